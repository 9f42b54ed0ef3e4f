/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Sums of addresses, and their pages, up to the top of the address space. Pure C11: no seL4 types.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARCH_PAGE_BITS 12
#define ARCH_PAGE_SIZE ((uintptr_t)1 << ARCH_PAGE_BITS)

/*@ // Shifts as products and quotients; scripts/prove has each proved for one n after the other.
    lemma gm_shift_left:
        \forall integer n; 0 <= n < 32 ==> \forall integer x; (x << n) == x * (1 << n);
    lemma gm_shift_right:
        \forall integer n; 0 <= n < 32 ==> \forall integer x; 0 <= x ==> (x >> n) == x / (1 << n);
    lemma gm_shift_one: \forall integer n; 0 <= n < 64 ==>
        0 < (1 << n) <= 0x8000000000000000 && (12 <= n ==> ARCH_PAGE_SIZE <= (1 << n)) &&
        (n < 32 ==> (1 << n) <= 0x80000000) && (n < 40 ==> (1 << n) <= 0x8000000000);
    lemma gm_shift_sum: \forall integer m, n; 0 <= m && 0 <= n < 32 ==>
        ((1 << m) << n) == (1 << (m + n)) && (1 << (m + n)) == (1 << m) * (1 << n);

    lemma gm_product: \forall integer a, b, c; a <= b && 0 <= c ==> a * c <= b * c;
    lemma gm_multiple: \forall integer a, b; 0 < b ==> (a * b) % b == 0;
    lemma gm_quotient:
        \forall integer a, b; 0 <= a && 0 < b ==> (a / b) * b <= a < (a / b) * b + b;
    lemma gm_factor: \forall integer a, b, c; 0 <= c && a * c < b * c ==> a < b;
    lemma gm_multiples: \forall integer a, b, c; 0 <= c && a < b ==> a * c + c <= b * c;
 */

/** Whether `[addr, addr + size)` goes beyond the top of the address space. */
/*@ assigns \nothing;
    ensures \result <==> addr + size - 1 > UINTPTR_MAX;
 */
static inline bool gm_wraps(uintptr_t addr, size_t size)
{
    return size > 0 && size - 1 > UINTPTR_MAX - addr;
}

/** The last address of a range for a report, even if it is empty or wraps. */
/*@ assigns \nothing;
    ensures size == 0 ==> \result == addr;
    ensures size > 0 && addr + size - 1 <= UINTPTR_MAX ==> \result == addr + size - 1;
    ensures size > 0 && addr + size - 1 > UINTPTR_MAX ==> \result == UINTPTR_MAX;
 */
static inline uintptr_t gm_last_of(uintptr_t addr, size_t size)
{
    if (size == 0) {
        return addr;
    }
    return gm_wraps(addr, size) ? UINTPTR_MAX : addr + (size - 1);
}

/** The first address of the page that `addr` is in. */
/*@ assigns \nothing;
    ensures \result % ARCH_PAGE_SIZE == 0 && \result <= addr < \result + ARCH_PAGE_SIZE;
 */
static inline uintptr_t gm_page_of(uintptr_t addr)
{
    return addr - addr % ARCH_PAGE_SIZE;
}

/** The last address of the page that `addr` is in. */
/*@ assigns \nothing;
    ensures \result % ARCH_PAGE_SIZE == ARCH_PAGE_SIZE - 1;
    ensures addr <= \result < addr + ARCH_PAGE_SIZE;
 */
static inline uintptr_t gm_page_last(uintptr_t addr)
{
    return gm_page_of(addr) + (ARCH_PAGE_SIZE - 1);
}

/** How far `addr` is into its block of 2^bits bytes, which begins at a multiple of that. */
/*@ requires bits < 32;
    assigns \nothing;
    ensures \result == addr % (1 << bits) && \result <= addr && \result < (1 << bits);
 */
static inline uintptr_t gm_offset_in(uintptr_t addr, size_t bits)
{
    return addr % ((uintptr_t)1 << bits);
}

/** Where the block `index` begins, of those of 2^bits bytes from `base` on. */
/*@ requires bits < 32 && base + index * (1 << bits) <= UINTPTR_MAX;
    assigns \nothing;
    ensures \result == base + index * (1 << bits);
 */
static inline uintptr_t gm_block_at(uintptr_t base, size_t index, size_t bits)
{
    return base + ((uintptr_t)index << bits);
}

//@ assigns \nothing; ensures \result == (a < b ? a : b);
static inline uintptr_t gm_min(uintptr_t a, uintptr_t b)
{
    return a < b ? a : b;
}

//@ assigns \nothing; ensures \result == (a > b ? a : b);
static inline uintptr_t gm_max(uintptr_t a, uintptr_t b)
{
    return a > b ? a : b;
}

/** The first page that begins at or above `addr`; the last address if none does. */
/*@ assigns \nothing;
    ensures \result == UINTPTR_MAX || \result % ARCH_PAGE_SIZE == 0;
    ensures addr <= \result && (\result < UINTPTR_MAX ==> \result < addr + ARCH_PAGE_SIZE);
    ensures \result == UINTPTR_MAX ==> addr > UINTPTR_MAX - (ARCH_PAGE_SIZE - 1);
 */
static inline uintptr_t gm_page_from(uintptr_t addr)
{
    if (addr % ARCH_PAGE_SIZE == 0) {
        return addr;
    }
    return gm_page_last(addr) < UINTPTR_MAX ? gm_page_last(addr) + 1 : UINTPTR_MAX;
}
