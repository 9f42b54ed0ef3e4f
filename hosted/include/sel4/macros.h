/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Compiler attributes and small helpers of the seL4 API headers. */

#include <sel4/config.h>

#ifndef CONST
#define CONST __attribute__((__const__))
#endif
#ifndef PURE
#define PURE __attribute__((__pure__))
#endif

#define SEL4_PACKED        __attribute__((packed))
#define SEL4_DEPRECATED(x) __attribute__((deprecated(x)))

#define LIBSEL4_UNUSED       __attribute__((unused))
#define LIBSEL4_INLINE       static inline
#define LIBSEL4_INLINE_FUNC  static inline
#define LIBSEL4_THREAD_LOCAL __thread
#define LIBSEL4_BIT(n)       (1ul << (n))

#define SEL4_COMPILE_ASSERT(name, expr) _Static_assert(expr, #name);

/** Last member of an enumeration that must be as wide as a machine word. */
#define SEL4_FORCE_LONG_ENUM(type) _enum_pad_##type = ((1ULL << ((sizeof(long) * 8) - 1)) - 1)
