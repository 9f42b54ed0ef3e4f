/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Short names of compiler attributes. */

#define ALIGN(n)           __attribute__((__aligned__(n)))
#define NO_INLINE          __attribute__((noinline))
#define ALWAYS_INLINE      __attribute__((always_inline))
#define CLEANUP(fn)        __attribute__((cleanup(fn)))
#define COLD               __attribute__((cold))
#define HOT                __attribute__((hot))
#define DEPRECATED(msg)    __attribute__((deprecated(msg)))
#define FORMAT(kind, s, a) __attribute__((format(kind, s, a)))
#define NONNULL(...)       __attribute__((__nonnull__(__VA_ARGS__)))
#define NONNULL_ALL        __attribute__((__nonnull__))
#define NORETURN           __attribute__((__noreturn__))
#define PACKED             __attribute__((__packed__))
#define SECTION(sect)      __attribute__((section(sect)))
#define UNUSED             __attribute__((__unused__))
#define USED               __attribute__((__used__))
#define WARN_UNUSED_RESULT __attribute__((warn_unused_result))
#define WEAK               __attribute__((weak))

#ifndef PURE
#define PURE __attribute__((__pure__))
#endif
#ifndef CONST
#define CONST __attribute__((__const__))
#endif
