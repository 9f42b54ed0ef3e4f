/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The load/store decoder, against what the assembler makes of instructions.S; and stage 1: how the
 * guest's own tables are read. */

#include "test.h"
#include "decode.h"
#include "stage1.h"

#define NONE   7
#define STORE  1
#define SIGNED 2
#define WIDE   4

typedef struct record {
    uint32_t instruction;
    uint8_t kind, flags, rt, width, bytes, base, index, zero;
    uint32_t pad;
    int64_t offset;
    uint64_t end;
} record_t;

static void check_record(const record_t *record)
{
    a64_access_t access;
    bool known = a64_decode_access(record->instruction, &access);
    if (known != (record->kind != NONE)) {
        fail_msg("instruction %08x: known %d", record->instruction, known);
    }
    if (!known) {
        return;
    }
    bool loads_register = !access.store && record->kind < 3;
    if (access.kind != record->kind || access.store != (bool)(record->flags & STORE) ||
        access.rt != record->rt || access.width != record->width || access.bytes != record->bytes ||
        access.base != record->base || access.index != record->index ||
        access.offset != record->offset || access.valid_syndrome != (record->kind == A64_SINGLE) ||
        (loads_register && access.sign_extend != (bool)(record->flags & SIGNED)) ||
        (loads_register && access.sixty_four != (bool)(record->flags & WIDE))) {
        fail_msg("instruction %08x: kind %d store %d rt %d width %d bytes %d base %d index %d "
                 "offset %ld sign %d wide %d",
                 record->instruction, access.kind, access.store, access.rt, access.width,
                 access.bytes, access.base, access.index, (long)access.offset, access.sign_extend,
                 access.sixty_four);
    }
}

static void every_form_is_decoded_as_the_assembler_encodes_it(void **state)
{
    size_t size;
    record_t *records = read_file(INSTRUCTIONS, &size);
    assert_int_equal(sizeof(record_t), 32);
    assert_int_equal(size % sizeof(record_t), 0);
    assert_true(size / sizeof(record_t) > 60);
    for (size_t i = 0; i < size / sizeof(record_t); i++) {
        check_record(&records[i]);
    }
    free(records);
}

static void no_encoding_makes_the_decoder_fail(void **state)
{
    const uint64_t x[31] = {0};
    uint32_t instruction = 12345;
    for (unsigned i = 0; i < 4000000; i++) {
        a64_access_t access;
        instruction = instruction * 1664525 + 1013904223;
        if (a64_decode_access(instruction, &access)) {
            assert_true(access.bytes >= access.width && access.bytes <= 64);
            assert_true(access.kind <= A64_ZERO_BLOCK);
            a64_access_address(&access, x, 0, 0);
        }
    }
}

static uint64_t address_of(uint32_t instruction, const uint64_t x[31], uint64_t sp, uint64_t pc)
{
    a64_access_t access;
    assert_true(a64_decode_access(instruction, &access));
    return a64_access_address(&access, x, sp, pc);
}

static void addresses_follow_the_addressing_mode(void **state)
{
    uint64_t x[31] = {0};
    x[1] = 0x10000;
    x[3] = 0xfffffffe;                                                 /* -2 as a word */
    assert_int_equal(address_of(0xb9400c22, x, 0, 0), 0x1000c);        /* ldr w2, [x1, #12] */
    assert_int_equal(address_of(0xb81fc022, x, 0, 0), 0xfffc);         /* stur w2, [x1, #-4] */
    assert_int_equal(address_of(0xb823d824, x, 0, 0), 0xfff8);         /* [x1, w3, sxtw #2] */
    assert_int_equal(address_of(0x78635824, x, 0, 0), 0x20000fffcull); /* [x1, w3, uxtw #1] */
    assert_int_equal(address_of(0xf9400be4, x, 0x8000, 0), 0x8010);    /* ldr x4, [sp, #16] */
    assert_int_equal(address_of(0x58000041, x, 0, 0x400), 0x408);      /* ldr x1, . + 8 */
    assert_int_equal(address_of(0xb8404422, x, 0, 0), 0x10000);        /* ldr w2, [x1], #4 */
    x[7] = 0x1234;
    assert_int_equal(address_of(0xd50b7427, x, 0, 0), 0x1200); /* dc zva, x7 */
}

static uint64_t extended(unsigned width, bool sign, bool wide, uint64_t data)
{
    a64_access_t access = {.width = (uint8_t)width, .sign_extend = sign, .sixty_four = wide};
    return a64_extend(&access, data);
}

static void loads_extend_as_their_form_says(void **state)
{
    assert_int_equal(extended(1, false, false, 0xffffff80), 0x80);
    assert_int_equal(extended(1, true, false, 0x180), 0xffffff80);
    assert_int_equal(extended(1, true, true, 0x80), 0xffffffffffffff80);
    assert_int_equal(extended(1, true, true, 0x7f), 0x7f);
    assert_int_equal(extended(2, true, false, 0x8000), 0xffff8000);
    assert_int_equal(extended(4, true, true, 0x80000000), 0xffffffff80000000);
    assert_int_equal(extended(4, false, false, 0x180000000), 0x80000000);
    assert_int_equal(extended(8, false, true, ~0ull), ~0ull);
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
        cmocka_unit_test(every_form_is_decoded_as_the_assembler_encodes_it),
        cmocka_unit_test(no_encoding_makes_the_decoder_fail),
        cmocka_unit_test(addresses_follow_the_addressing_mode),
        cmocka_unit_test(loads_extend_as_their_form_says),
        cmocka_unit_test(without_mmu_addresses_are_physical),
        cmocka_unit_test(a_walk_of_4k_pages_follows_three_levels),
        cmocka_unit_test(a_walk_of_64k_pages_follows_its_granule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
