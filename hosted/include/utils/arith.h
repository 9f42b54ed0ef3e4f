/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Bits, alignment and rounding. Arguments are evaluated once unless a name says _UNSAFE. */

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <utils/attribute.h>
#include <utils/builtin.h>
#include <utils/stringify.h>

#define BIT(n)         (1ul << (n))
#define LLBIT(n)       (1ull << (n))
#define MASK_UNSAFE(n) (BIT(n) - 1ul)

/** The lowest n bits; n is 1 to 64. */
#define MASK(n)                                                                                    \
    __extension__({                                                                                \
        __typeof__(n) _mask_n = (n);                                                               \
        assert(_mask_n > 0);                                                                       \
        assert((unsigned long)_mask_n <= sizeof(unsigned long) * CHAR_BIT);                        \
        MASK_UNSAFE(_mask_n - 1) | BIT(_mask_n - 1);                                               \
    })

/** Whether n is a multiple of 2^b. */
#define IS_ALIGNED(n, b) (!((n)&MASK(b)))

#define LOG_BASE_2(n)            (sizeof(unsigned long) * CHAR_BIT - CLZL(n) - 1)
#define IS_POWER_OF_2_OR_ZERO(x) (0 == ((x) & ((x)-1)))
#define IS_POWER_OF_2(x)         (((x) != 0) && IS_POWER_OF_2_OR_ZERO(x))
#define ALIGN_UP(x, n)           (((x) + (n)-1) & ~((n)-1))
#define ALIGN_DOWN(x, n)         ((x) & ~((n)-1))
#define ROUND_DOWN_UNSAFE(n, b)  ((n) - ((n) % (b)))
#define ROUND_UP_UNSAFE(n, b)    ((n) + ((n) % (b) == 0 ? 0 : ((b) - ((n) % (b)))))
#define MIN_UNSAFE(x, y)         ((x) < (y) ? (x) : (y))
#define MAX_UNSAFE(x, y)         ((x) > (y) ? (x) : (y))

#define ROUND_DOWN(n, b)                                                                           \
    __extension__({                                                                                \
        __typeof__(n) _round_n = (n);                                                              \
        __typeof__(b) _round_b = (b);                                                              \
        ROUND_DOWN_UNSAFE(_round_n, _round_b);                                                     \
    })

#define ROUND_UP(n, b)                                                                             \
    __extension__({                                                                                \
        __typeof__(n) _round_n = (n);                                                              \
        __typeof__(b) _round_b = (b);                                                              \
        ROUND_UP_UNSAFE(_round_n, _round_b);                                                       \
    })

#define DIV_ROUND_UP(n, d)                                                                         \
    __extension__({                                                                                \
        __typeof__(n) _div_n = (n);                                                                \
        __typeof__(d) _div_d = (d);                                                                \
        _div_n / _div_d + (_div_n % _div_d == 0 ? 0 : 1);                                          \
    })

#define MIN(a, b)                                                                                  \
    __extension__({                                                                                \
        __typeof__(a) _min_a = (a);                                                                \
        __typeof__(b) _min_b = (b);                                                                \
        _min_a < _min_b ? _min_a : _min_b;                                                         \
    })

#define MAX(a, b)                                                                                  \
    __extension__({                                                                                \
        __typeof__(a) _max_a = (a);                                                                \
        __typeof__(b) _max_b = (b);                                                                \
        _max_a > _max_b ? _max_a : _max_b;                                                         \
    })

#define INRANGE(a, x, b) MIN(MAX(x, a), b)
#define ARRAY_SIZE(x)    (sizeof(x) / sizeof((x)[0]))
