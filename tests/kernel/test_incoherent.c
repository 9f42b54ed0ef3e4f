/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A system whose VMM has a data cache: what is in it, what is in memory, and who moves it. */

#include "world.h"

#include <string.h>

enum { SIZE = 0x1000, LINE = 64 };

static seL4_CPtr frame;        /* mapped in the VMM, cached ... */
static volatile char *written; /* ... here */
static volatile char *memory;  /* what a guest whose caches are off sees of it */

static volatile char *map_in_vmm(seL4_CPtr cap, int cacheable)
{
    volatile char *at = vspace_map_pages(vmm, &cap, NULL, seL4_AllRights, 1, 12, cacheable);
    assert_non_null(at);
    return at;
}

static seL4_CPtr copy_of_frame(void)
{
    seL4_CPtr twin = new_slot();
    assert_error(copy(twin, frame, seL4_AllRights), seL4_NoError);
    return twin;
}

static int setup(void **state)
{
    if (world_setup(state) || hosted_system_incoherent(world)) {
        return -1;
    }
    frame = new_frame(12);
    written = map_in_vmm(frame, 1);
    memory = hosted_physical_memory(world, frame_address(frame), SIZE);
    return 0;
}

/* A guest runs, and writes one byte. */
static void guest_runs(seL4_Word sctlr, size_t offset, char value)
{
    seL4_Word registers[seL4_VCPUReg_Num] = {[seL4_VCPUReg_SCTLR] = sctlr};
    assert_true(hosted_guest_enters(world, registers));
    memory[offset] = value;
    hosted_guest_stops(world);
}

static void only_what_is_cleaned_reaches_memory(void **state)
{
    memset((char *)written, 'w', SIZE);
    assert_int_equal(memory[0], 0);
    assert_error(seL4_ARM_Page_Clean_Data(frame, 100, 101), seL4_NoError);
    assert_int_equal(memory[LINE - 1], 0);
    assert_int_equal(memory[LINE], 'w'); /* the whole line of that byte */
    assert_int_equal(memory[2 * LINE - 1], 'w');
    assert_int_equal(memory[2 * LINE], 0);
    assert_error(seL4_ARM_Page_Unify_Instruction(frame, 0, 1), seL4_NoError);
    assert_int_equal(memory[0], 'w');
    seL4_Word third = (seL4_Word)written + 2 * LINE;
    assert_error(seL4_ARM_VSpace_Clean_Data(seL4_CapInitThreadVSpace, third, third + 1),
                 seL4_NoError);
    assert_int_equal(memory[2 * LINE], 'w');
    assert_int_equal(memory[3 * LINE], 0);
    /* By any capability of the frame that is mapped. */
    seL4_CPtr space = new_space(), twin = copy_of_frame();
    make_tables(space, 0x40000000, 12);
    assert_error(seL4_ARM_Page_Clean_Data(twin, 0, SIZE), seL4_IllegalOperation);
    assert_error(map(twin, space, 0x40000000), seL4_NoError);
    assert_error(seL4_ARM_Page_CleanInvalidate_Data(twin, LINE, SIZE), seL4_NoError);
    assert_int_equal(memory[SIZE - 1], 'w');
}

static void mappings_of_a_frame_agree_with_each_other_or_with_memory(void **state)
{
    volatile char *cached = map_in_vmm(copy_of_frame(), 1);
    volatile char *uncached = map_in_vmm(copy_of_frame(), 0);
    written[5] = 'c';
    assert_int_equal(cached[5], 'c');
    assert_int_equal(uncached[5], 0);
    uncached[LINE] = 'u';
    assert_int_equal(memory[LINE], 'u');
}

static void invalidating_forgets_whole_lines_and_cleans_parts(void **state)
{
    memset((char *)written, 'w', SIZE);
    assert_error(seL4_ARM_Page_Invalidate_Data(frame, 1, 3 * LINE), seL4_NoError);
    assert_int_equal(memory[0], 'w'); /* its first byte is outside */
    assert_int_equal(memory[LINE], 0);
    assert_int_equal(written[LINE], 0);
    assert_int_equal(written[3 * LINE - 1], 0);
    assert_int_equal(written[3 * LINE], 'w');
    assert_int_equal(memory[3 * LINE], 0);
}

static void what_is_not_cleaned_outlives_its_mapping(void **state)
{
    written[5] = 'w';
    vspace_unmap_pages(vmm, (void *)written, 1, 12, VSPACE_PRESERVE);
    assert_int_equal(memory[5], 0);
    written = map_in_vmm(frame, 1);
    assert_int_equal(written[5], 'w');
    assert_error(seL4_ARM_Page_Clean_Data(frame, 0, SIZE), seL4_NoError);
    assert_int_equal(memory[5], 'w');
}

static void memory_that_the_kernel_clears_is_in_no_cache(void **state)
{
    seL4_CPtr untyped = new_untyped(12), slot = new_slot();
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, slot, 1), seL4_NoError);
    map_in_vmm(slot, 1)[5] = 'w';
    assert_error(revoke(untyped), seL4_NoError);
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, slot, 1), seL4_NoError);
    assert_int_equal(map_in_vmm(slot, 1)[5], 0);
    assert_error(seL4_ARM_Page_Clean_Data(slot, 0, SIZE), seL4_NoError);
    assert_int_equal(*(char *)hosted_physical_memory(world, frame_address(slot) + 5, 1), 0);
}

static void vmm_sees_what_a_guest_writes_but_in_lines_of_its_own(void **state)
{
    written[LINE] = 'w';
    guest_runs(0, 0, 'g');
    assert_int_equal(written[0], 'g');
    guest_runs(0, LINE + 1, 'g');
    assert_int_equal(written[LINE + 1], 0);
    assert_error(seL4_ARM_Page_Clean_Data(frame, 0, SIZE), seL4_NoError);
    assert_int_equal(memory[0], 'g');
    assert_int_equal(memory[LINE], 'w');
    assert_int_equal(memory[LINE + 1], 0); /* the line went over it */
}

static void guest_with_its_caches_on_sees_all(void **state)
{
    written[5] = 'w';
    guest_runs(1 << 0, LINE, 'g');
    guest_runs(1 << 2, LINE, 'g'); /* without its MMU it has no cache either */
    assert_int_equal(memory[5], 0);
    guest_runs(1 << 0 | 1 << 2, LINE, 'g');
    assert_int_equal(memory[5], 'w');
}

static void large_frames_cost_what_is_touched(void **state)
{
    seL4_CPtr huge = new_frame(30);
    volatile char *at = vspace_map_pages(vmm, &huge, NULL, seL4_AllRights, 1, 30, 1);
    volatile char *last = hosted_physical_memory(world, frame_address(huge) + (1ul << 30) - 1, 1);
    assert_non_null(at);
    at[(1ul << 30) - 1] = 'w';
    assert_error(seL4_ARM_Page_Clean_Data(huge, 0, (1ul << 30) - LINE), seL4_NoError);
    assert_int_equal(*last, 0);
    assert_error(seL4_ARM_Page_Clean_Data(huge, 0, 1ul << 30), seL4_NoError);
    assert_int_equal(*last, 'w');
}

static void it_is_too_late_once_pages_are_mapped(void **state)
{
    assert_int_equal(hosted_system_incoherent(world), -1); /* it is so already */
    hosted_system_destroy(world);
    assert_int_equal(world_setup(state), 0);
    seL4_Word registers[seL4_VCPUReg_Num] = {0};
    assert_false(hosted_guest_enters(world, registers));
    map_in_vmm(new_frame(12), 1);
    assert_int_equal(hosted_system_incoherent(world), -1);
}

#define INCOHERENT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

WORLD_MAIN(INCOHERENT_TEST(only_what_is_cleaned_reaches_memory),
           INCOHERENT_TEST(mappings_of_a_frame_agree_with_each_other_or_with_memory),
           INCOHERENT_TEST(invalidating_forgets_whole_lines_and_cleans_parts),
           INCOHERENT_TEST(what_is_not_cleaned_outlives_its_mapping),
           INCOHERENT_TEST(memory_that_the_kernel_clears_is_in_no_cache),
           INCOHERENT_TEST(vmm_sees_what_a_guest_writes_but_in_lines_of_its_own),
           INCOHERENT_TEST(guest_with_its_caches_on_sees_all),
           INCOHERENT_TEST(large_frames_cost_what_is_touched),
           INCOHERENT_TEST(it_is_too_late_once_pages_are_mapped))
