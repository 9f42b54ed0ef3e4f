/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Short names of compiler builtins. */

#include <assert.h>

#define CTZ(x)                   __builtin_ctz(x)
#define CLZ(x)                   __builtin_clz(x)
#define CTZL(x)                  __builtin_ctzl(x)
#define CLZL(x)                  __builtin_clzl(x)
#define FFS(x)                   __builtin_ffs(x)
#define FFSL(x)                  __builtin_ffsl(x)
#define POPCOUNT(x)              __builtin_popcount(x)
#define POPCOUNTL(x)             __builtin_popcountl(x)
#define OFFSETOF(type, member)   __builtin_offsetof(type, member)
#define IS_CONSTANT(expr)        __builtin_constant_p(expr)
#define TYPES_COMPATIBLE(t1, t2) __builtin_types_compatible_p(t1, t2)

#if CONFIG_WORD_SIZE == 64 /* after <autoconf.h> only */
#define BSWAP_WORD(x) __builtin_bswap64(x)
#endif

#define UNREACHABLE()                                                                              \
    do {                                                                                           \
        assert(!"unreachable");                                                                    \
        __builtin_unreachable();                                                                   \
    } while (0)

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
