/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The stage-1 table walk of AArch64, for granules of 4, 16 and 64 KiB and addresses of up to 48
 * bits (Arm architecture reference manual, "The VMSAv8-64 address translation stages").
 */

#include "stage1.h"

#define SCTLR_MMU        1u
#define DESCRIPTOR_VALID 1u
#define DESCRIPTOR_TABLE 2u
#define ADDRESS_MASK     0x0000fffffffff000ull
#define LAST_LEVEL       3
#define TABLE_MASK       0x0000ffffffffffc0ull /* a first table can be smaller than a page */

typedef struct walk {
    uint64_t base;        /* of the first table */
    unsigned region_bits; /* size of the half of the address space that it translates */
    unsigned granule_bits;
} walk_t;

static uint64_t mask(unsigned bits)
{
    return ((uint64_t)1 << bits) - 1;
}

/* Which table translates the address; false if the address is outside of both halves. */
static bool choose_walk(const stage1_regime_t *regime, uint64_t address, walk_t *walk)
{
    /* TG0 and TG1 encode the granules differently. */
    static const uint8_t granules0[4] = {12, 16, 14, 0};
    static const uint8_t granules1[4] = {0, 14, 12, 16};
    bool upper = address >> 55 & 1;
    unsigned field = upper ? 16 : 0;
    unsigned size = (unsigned)(regime->tcr >> field) & 0x3f;
    bool disabled = regime->tcr >> (upper ? 23 : 7) & 1;
    bool tagged = regime->tcr >> (upper ? 38 : 37) & 1;

    walk->base = (upper ? regime->ttbr1 : regime->ttbr0) & TABLE_MASK;
    walk->granule_bits =
        upper ? granules1[regime->tcr >> 30 & 3] : granules0[regime->tcr >> 14 & 3];
    if (disabled || walk->granule_bits == 0 || size < 16 || size > 39) {
        return false;
    }
    walk->region_bits = 64 - size;
    uint64_t top = tagged ? address << 8 >> 8 : address;
    uint64_t expected = upper ? ~mask(walk->region_bits) : 0;
    if (tagged) {
        expected = expected << 8 >> 8;
    }
    return (top & ~mask(walk->region_bits)) == expected;
}

stage1_result_t stage1_translate(const stage1_regime_t *regime, uint64_t address,
                                 stage1_read_fn read, void *cookie, uint64_t *gpa)
{
    walk_t walk;

    *gpa = address;
    if (!(regime->sctlr & SCTLR_MMU)) {
        return STAGE1_OK;
    }
    if (!choose_walk(regime, address, &walk)) {
        return STAGE1_NONE;
    }
    unsigned stride = walk.granule_bits - 3;
    int levels = (int)((walk.region_bits - walk.granule_bits + stride - 1) / stride);
    uint64_t table = walk.base;
    unsigned top = walk.region_bits;
    for (int level = LAST_LEVEL + 1 - levels; level <= LAST_LEVEL; level++) {
        unsigned shift = walk.granule_bits + stride * (unsigned)(LAST_LEVEL - level);
        uint64_t index = (address & mask(top)) >> shift;
        uint64_t entry;
        *gpa = table + index * 8;
        if (!read(cookie, *gpa, &entry)) {
            return STAGE1_TABLE;
        }
        bool table_or_page = entry & DESCRIPTOR_TABLE;
        if (!(entry & DESCRIPTOR_VALID) || (level == LAST_LEVEL && !table_or_page)) {
            return STAGE1_NONE;
        }
        if (level == LAST_LEVEL || !table_or_page) {
            *gpa = (entry & ADDRESS_MASK & ~mask(shift)) | (address & mask(shift));
            return STAGE1_OK;
        }
        table = entry & ADDRESS_MASK & ~mask(walk.granule_bits);
        top = shift;
    }
    return STAGE1_NONE;
}
