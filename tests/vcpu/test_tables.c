/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Stage 1: how the guest's own tables are read. */

#include "test.h"
#include "stage1.h"

/* Stage 1: guest memory is an array at address 0; what is beyond cannot be read. */
typedef struct memory {
    uint64_t words[4096];
} memory_t;

static bool read_memory(void *cookie, uint64_t gpa, uint64_t *value)
{
    memory_t *memory = cookie;
    if (gpa / 8 >= 4096) {
        return false;
    }
    *value = memory->words[gpa / 8];
    return true;
}

static stage1_result_t walk(const stage1_regime_t *regime, memory_t *memory, uint64_t address,
                            uint64_t *gpa)
{
    return stage1_translate(regime, address, read_memory, memory, gpa);
}

static void without_mmu_addresses_are_physical(void **state)
{
    stage1_regime_t regime = {0};
    uint64_t gpa;
    assert_int_equal(walk(&regime, NULL, 0x123456789, &gpa), STAGE1_OK);
    assert_int_equal(gpa, 0x123456789);
}

static void a_walk_of_4k_pages_follows_three_levels(void **state)
{
    /* 39 bits in each half, 4 KiB granules: the walk starts at level 1. */
    stage1_regime_t regime = {
        .sctlr = 1, .tcr = 25 | 25 << 16 | 2ull << 30, .ttbr0 = 0x1000, .ttbr1 = 0x2000};
    memory_t *memory = calloc(1, sizeof(*memory));
    uint64_t gpa;
    assert_non_null(memory);
    memory->words[0x1000 / 8 + 2] = 0x3000 | 3;     /* 2 GiB.. : table */
    memory->words[0x3000 / 8 + 1] = 0x4000 | 3;     /* + 2 MiB : table */
    memory->words[0x4000 / 8 + 5] = 0xabc000 | 3;   /* + 20 KiB: page */
    memory->words[0x3000 / 8 + 2] = 0x40200000 | 1; /* + 4 MiB : block */
    memory->words[0x3000 / 8 + 3] = 0x80000000 | 3; /* + 6 MiB : a table that is not there */
    memory->words[0x2000 / 8 + 511] = 0x7fc0000000ull | 1;
    assert_int_equal(walk(&regime, memory, 0x80205678, &gpa), STAGE1_OK);
    assert_int_equal(gpa, 0xabc678);
    assert_int_equal(walk(&regime, memory, 0x80400123, &gpa), STAGE1_OK);
    assert_int_equal(gpa, 0x40200123);
    assert_int_equal(walk(&regime, memory, 0x80206000, &gpa), STAGE1_NONE);
    assert_int_equal(walk(&regime, memory, 0x40000000, &gpa), STAGE1_NONE);
    assert_int_equal(walk(&regime, memory, 0x80601000, &gpa), STAGE1_TABLE);
    assert_int_equal(gpa, 0x80000008);
    assert_int_equal(walk(&regime, memory, ~0ull, &gpa), STAGE1_OK);
    assert_int_equal(gpa, 0x7fffffffffull);
    assert_int_equal(walk(&regime, memory, 1ull << 39, &gpa), STAGE1_NONE);
    free(memory);
}

static void a_walk_of_64k_pages_follows_its_granule(void **state)
{
    /* 42 bits, 64 KiB granule: level 2 and level 3. */
    stage1_regime_t regime = {.sctlr = 1, .tcr = 22 | 1 << 14, .ttbr0 = 0};
    memory_t *memory = calloc(1, sizeof(*memory));
    uint64_t gpa;
    assert_non_null(memory);
    memory->words[1] = 0x60000000 | 1; /* 512 MiB block */
    assert_int_equal(walk(&regime, memory, 0x2000abcd, &gpa), STAGE1_OK);
    assert_int_equal(gpa, 0x6000abcd);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_mmu_addresses_are_physical),
        cmocka_unit_test(a_walk_of_4k_pages_follows_three_levels),
        cmocka_unit_test(a_walk_of_64k_pages_follows_its_granule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
