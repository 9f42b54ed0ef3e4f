/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The tables of both stages: the shadow stage 2 that is written, and the stage 1 that is read. */

#include "test.h"
#include "shadow.h"
#include "stage1.h"

#define ARENA 0x80040000000ull
#define KIB   1024ull
#define MIB   (KIB * KIB)

static int make(void **state)
{
    *state = shadow_create(ARENA);
    return *state != NULL ? 0 : -1;
}

static int end(void **state)
{
    shadow_destroy(*state);
    return 0;
}

static shadow_entry_t page(uint64_t target)
{
    return (shadow_entry_t){.target = target,
                            .size_bits = 12,
                            .read = true,
                            .write = true,
                            .execute = true,
                            .cacheable = true};
}

static void blocks_of_each_size_translate(void **state)
{
    shadow_entry_t entry = page(0x90040000000ull);
    shadow_entry_t found;

    entry.size_bits = 30;
    assert_int_equal(shadow_map(*state, 0xffc0000000ull, &entry), 0);
    entry.size_bits = 21;
    assert_int_equal(shadow_map(*state, 0x200000, &entry), 0);
    assert_true(shadow_lookup(*state, 0xffffffffffull, &found));
    assert_int_equal(found.size_bits, 30);
    assert_true(shadow_lookup(*state, 0x3fffff, &found));
    assert_int_equal(found.size_bits, 21);
    assert_int_equal(found.target, 0x90040000000ull);
}

static void what_does_not_fit_is_refused(void **state)
{
    shadow_entry_t entry = page(0x90000000000ull);

    assert_int_equal(shadow_map(*state, 1ull << 40, &entry), -1);
    assert_int_equal(shadow_map(*state, 0x800, &entry), -1);
    entry.size_bits = 21;
    assert_int_equal(shadow_map(*state, 0x1000, &entry), -1);
    entry.target = 0x90000001000ull;
    assert_int_equal(shadow_map(*state, 0x200000, &entry), -1);
}

static void tables_are_used_again_after_unmapping(void **state)
{
    shadow_entry_t found;

    /* Each round takes two tables at a new place; without reuse the arena would be full. */
    for (uint64_t i = 0; i < 300000; i++) {
        shadow_entry_t entry = page(0x90000000000ull);
        uint64_t gpa = (i % 1024) << 30 | (i % 512) << 21;
        if (shadow_map(*state, gpa, &entry) != 0) {
            fail_msg("round %lu", (unsigned long)i);
        }
        shadow_unmap(*state, gpa, 12);
        assert_false(shadow_lookup(*state, gpa, &found));
    }
}

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
        cmocka_unit_test_setup_teardown(blocks_of_each_size_translate, make, end),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, make, end),
        cmocka_unit_test_setup_teardown(tables_are_used_again_after_unmapping, make, end),
        cmocka_unit_test(without_mmu_addresses_are_physical),
        cmocka_unit_test(a_walk_of_4k_pages_follows_three_levels),
        cmocka_unit_test(a_walk_of_64k_pages_follows_its_granule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
