/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The tests' microscope: census, counters, operations that are made to fail, log lines. */

#include "world.h"

#include <stdlib.h>
#include <string.h>

static void invocations_are_counted_with_their_failures(void **state)
{
    seL4_CPtr frame = new_frame(12), space = new_space();
    uint64_t maps = hosted_invocation_count(world, HOSTED_PAGE_MAP);
    uint64_t failures = hosted_invocation_failures(world, HOSTED_PAGE_MAP);
    uint64_t total = hosted_invocation_total(world);
    assert_error(map(frame, space, 0), seL4_FailedLookup);
    assert_error(seL4_ARM_Page_Unmap(frame), seL4_NoError);
    assert_int_equal(hosted_invocation_count(world, HOSTED_PAGE_MAP), maps + 1);
    assert_int_equal(hosted_invocation_failures(world, HOSTED_PAGE_MAP), failures + 1);
    assert_int_equal(hosted_invocation_failures(world, HOSTED_PAGE_UNMAP), 0);
    assert_int_equal(hosted_invocation_total(world), total + 2);
    assert_string_equal(hosted_invocation_name(HOSTED_PAGE_MAP), "ARM_Page_Map");
    for (int i = 0; i < HOSTED_NUM_INVOCATIONS; i++) {
        assert_non_null(hosted_invocation_name(i));
    }
}

static void failed_operation_changes_nothing(void **state)
{
    seL4_CPtr untyped = new_untyped(13), slot = new_slot();
    hosted_census_t before = census();
    hosted_inject_fail(world, HOSTED_OPERATION_INVOCATION, 2);
    assert_error(seL4_ARM_Page_GetAddress(untyped).error, seL4_IllegalOperation);
    assert_false(hosted_inject_fired(world));
    assert_error_0(retype(untyped, seL4_ARM_SmallPageObject, 0, slot, 1), seL4_NotEnoughMemory, 0);
    assert_true(hosted_inject_fired(world));
    assert_census(&before);
    assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, slot, 1), seL4_NoError); /* once */
    assert_int_equal(hosted_inject_stop(world), 3);
}

static void undo_fails_only_when_asked_for(void **state)
{
    seL4_CPtr frame = new_frame(12);
    hosted_inject_fail(world, HOSTED_OPERATION_FORWARD, 1);
    assert_error(seL4_ARM_Page_Unmap(frame), seL4_NoError);
    assert_int_equal(hosted_inject_stop(world), 0);
    hosted_inject_fail(world, HOSTED_OPERATION_UNDO, 1);
    assert_error(delete_cap(frame), seL4_NotEnoughMemory);
    hosted_inject_stop(world);
    assert_error(delete_cap(frame), seL4_NoError);
}

/* The census notices what the counts alone would not. */
static void census_sees_rights_and_mappings_and_places(void **state)
{
    seL4_CPtr space = new_space(), frame = new_frame(12), slot = new_slot(), other = new_slot();
    make_tables(space, 0, 12);
    hosted_census_t start = census();
    assert_error(copy(slot, frame, seL4_AllRights), seL4_NoError);
    hosted_census_t full = census();
    assert_error(delete_cap(slot), seL4_NoError);
    assert_error(copy(slot, frame, seL4_CanRead), seL4_NoError);
    hosted_census_t limited = census();
    assert_false(hosted_census_equal(&full, &limited));
    assert_int_equal(full.caps, limited.caps);
    assert_error(delete_cap(slot), seL4_NoError);
    assert_error(copy(other, frame, seL4_AllRights), seL4_NoError);
    hosted_census_t elsewhere = census();
    assert_false(hosted_census_equal(&full, &elsewhere));
    assert_error(delete_cap(other), seL4_NoError);
    assert_error(map(frame, space, 0), seL4_NoError);
    hosted_census_t at_zero = census();
    assert_error(seL4_ARM_Page_Unmap(frame), seL4_NoError);
    assert_error(map(frame, space, 0x1000), seL4_NoError);
    hosted_census_t at_one = census();
    assert_false(hosted_census_equal(&at_zero, &at_one));
    assert_error(seL4_ARM_Page_Unmap(frame), seL4_NoError);
    assert_census(&start);
}

static void keep_line(void *cookie, int level, const char *line)
{
    snprintf(cookie, 256, "%d %s", level, line);
}

static void log_lines_reach_their_sink(void **state)
{
    char line[256] = "";
    hosted_log_to(keep_line, line);
    ZF_LOGE("no %s at %#x\n", "frame", 0x1000);
    assert_non_null(strstr(line, "5 error: test_inspect.c:"));
    assert_non_null(strstr(line, "log_lines_reach_their_sink: no frame at 0x1000"));
    assert_null(strchr(line, '\n'));
    line[0] = '\0';
    zf_log_set_output_level(ZF_LOG_FATAL);
    ZF_LOGE("not seen");
    assert_string_equal(line, "");
    zf_log_set_output_level(ZF_LOG_VERBOSE);
}

static void boot_information_lists_the_untypeds(void **state)
{
    simple_t *simple = hosted_simple(world);
    size_t bits = 0;
    uintptr_t paddr = 0;
    bool device = false, ram = false, uart = false;
    int count = simple_get_untyped_count(simple);
    assert_true(count > 10);
    for (int i = 0; i < count; i++) {
        assert_int_equal(simple_get_nth_untyped(simple, i, &bits, &paddr, &device),
                         hosted_bootinfo(world)->untyped.start + i);
        assert_int_equal(paddr & ((1ul << bits) - 1), 0);
        ram |= !device && paddr == 0x80000000 && bits == 31;
        uart |= device && paddr == 0x9000000 && bits == 24;
    }
    assert_true(ram);
    assert_true(uart);
    assert_int_equal(simple_get_nth_untyped(simple, count, NULL, NULL, NULL), seL4_CapNull);
    assert_int_equal(simple_get_nth_cap(simple, 0), seL4_CapInitThreadTCB);
    assert_int_equal(simple_get_cnode(simple), seL4_CapInitThreadCNode);
    cspacepath_t path;
    assert_int_equal(vka_cspace_alloc_path(vka, &path), 0);
    assert_error(simple_get_frame_cap(simple, (void *)0x9000000, 12, &path), seL4_FailedLookup);
    ssize_t length = simple_get_extended_bootinfo_length(simple, SEL4_BOOTINFO_HEADER_FDT);
    assert_true(length > (ssize_t)sizeof(seL4_BootInfoHeader));
    assert_int_equal(simple_get_extended_bootinfo_length(simple, SEL4_BOOTINFO_HEADER_X86_VBE), -1);
}

WORLD_MAIN(WORLD_TEST(invocations_are_counted_with_their_failures),
           WORLD_TEST(failed_operation_changes_nothing), WORLD_TEST(undo_fails_only_when_asked_for),
           WORLD_TEST(census_sees_rights_and_mappings_and_places),
           WORLD_TEST(log_lines_reach_their_sink), WORLD_TEST(boot_information_lists_the_untypeds))
