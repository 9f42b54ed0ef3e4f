/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The kernel's facts about mappings, by what a guest finds at an address. Frames are mapped into
 * the guest's space behind the library's back, inside a reservation whose callback sees what
 * faults.
 */

#include "guest.h"
#include "objects.h"

/* Where the library has no tables. */
#define AT GUEST_FAR

/* What the guest loads where nothing is mapped: the callback's answer. */
#define NOTHING ((uint64_t)0xdead)

static device_t device;

static seL4_CPtr space_of_guest(suite_t *suite)
{
    device = (device_t){.answer = NOTHING};
    guest_device(suite, AT, 4 * MEGABYTE, &device);
    return suite->guest->vm.mem.vm_vspace_root.cptr;
}

/* A frame of 4 KiB that holds `value`. */
static seL4_CPtr frame_of(suite_t *suite, uint64_t value)
{
    seL4_CPtr frame = new_frame(suite, 12);
    unsigned char *page = show_frame(suite, frame);
    if (EXPECT(page != NULL)) {
        *(uint64_t *)(void *)page = value;
        hide_frame(suite, page);
    }
    return frame;
}

#define EXPECT_GUEST_LOADS(address, value)                                                         \
    EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, address), value)

static void frame_at_an_occupied_address_replaces_silently(suite_t *suite)
{
    seL4_CPtr space = space_of_guest(suite), first = frame_of(suite, 1),
              second = frame_of(suite, 2);
    make_tables(suite, space, AT, 12);
    EXPECT_GUEST_LOADS(AT, NOTHING);
    EXPECT_ERROR(map(first, space, AT), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, 1);
    EXPECT_ERROR(map(second, space, AT), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, 2);
}

static void unmap_of_the_displaced_capability_leaves_the_new_mapping(suite_t *suite)
{
    seL4_CPtr space = space_of_guest(suite), first = frame_of(suite, 1),
              second = frame_of(suite, 2);
    make_tables(suite, space, AT, 12);
    EXPECT_ERROR(map(first, space, AT), seL4_NoError);
    EXPECT_ERROR(map(second, space, AT), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_Page_Unmap(first), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, 2);
    EXPECT_ERROR(delete_cap(suite, first), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, 2);
    EXPECT_ERROR(seL4_ARM_Page_Unmap(second), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, NOTHING);
}

static void one_frame_can_be_at_two_addresses_by_two_capabilities(suite_t *suite)
{
    seL4_CPtr space = space_of_guest(suite), frame = frame_of(suite, 1), copy = new_slot(suite);
    make_tables(suite, space, AT, 12);
    EXPECT_ERROR(map(frame, space, AT), seL4_NoError);
    EXPECT_ERROR(copy_cap(suite, copy, frame, seL4_AllRights), seL4_NoError);
    EXPECT_ERROR(map(copy, space, AT + PAGE), seL4_NoError);
    guest_store_now(suite, GUEST_WORD, AT, 7);
    EXPECT_GUEST_LOADS(AT + PAGE, 7);
    EXPECT_EQUAL(device.count, 0);
}

static void revoke_of_the_untyped_ends_mappings(suite_t *suite)
{
    seL4_CPtr space = space_of_guest(suite), untyped = new_untyped(suite, 12);
    seL4_CPtr frame = new_slot(suite);
    make_tables(suite, space, AT, 12);
    EXPECT_ERROR(retype(suite, untyped, seL4_ARM_SmallPageObject, 12, frame), seL4_NoError);
    EXPECT_ERROR(map(frame, space, AT), seL4_NoError);
    guest_store_now(suite, GUEST_WORD, AT, 5);
    EXPECT_GUEST_LOADS(AT, 5);
    EXPECT_ERROR(revoke_cap(suite, untyped), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, NOTHING);
    EXPECT_ERROR(retype(suite, untyped, seL4_ARM_SmallPageObject, 12, frame), seL4_NoError);
    EXPECT_ERROR(map(frame, space, AT), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, 0);
}

static void map_again_changes_the_rights(suite_t *suite)
{
    seL4_CPtr space = space_of_guest(suite), frame = frame_of(suite, 1);
    make_tables(suite, space, AT, 12);
    EXPECT_ERROR(map(frame, space, AT), seL4_NoError);
    EXPECT_ERROR(seL4_ARM_Page_Map(frame, space, AT, seL4_CanRead, seL4_ARM_Default_VMAttributes),
                 seL4_NoError);
    guest_store_now(suite, GUEST_WORD, AT, 9);
    EXPECT_EQUAL(device.count, 1);
    EXPECT_GUEST_LOADS(AT, 1);
    EXPECT_ERROR(map(frame, space, AT), seL4_NoError);
    guest_store_now(suite, GUEST_WORD, AT, 9);
    EXPECT_EQUAL(device.count, 1);
    EXPECT_GUEST_LOADS(AT, 9);
}

static void table_unmap_takes_its_pages_along(suite_t *suite)
{
    seL4_CPtr space = space_of_guest(suite), frame = frame_of(suite, 1), table = new_table(suite);
    make_tables(suite, space, AT, 21);
    EXPECT_ERROR(map_table(table, space, AT), seL4_NoError);
    EXPECT_ERROR(map(frame, space, AT), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, 1);
    EXPECT_ERROR(seL4_ARM_PageTable_Unmap(table), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, NOTHING);
    EXPECT_ERROR(map_table(table, space, AT), seL4_NoError);
    EXPECT_GUEST_LOADS(AT, NOTHING); /* the table is empty again */
}

static const check_t checks[] = {
    CHECK(frame_at_an_occupied_address_replaces_silently),
    CHECK(unmap_of_the_displaced_capability_leaves_the_new_mapping),
    CHECK(one_frame_can_be_at_two_addresses_by_two_capabilities),
    CHECK(revoke_of_the_untyped_ends_mappings),
    CHECK(map_again_changes_the_rights),
    CHECK(table_unmap_takes_its_pages_along),
};

const area_t area_guest_kernel = AREA("kernel by guest", FIXTURE_GUEST, checks);
