/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Rights, on the capability and on the mapping, by what a guest's loads and stores do. */

#include "guest.h"
#include "objects.h"

#define VALUE ((seL4_Word)0x1122334455667788)

/* What a frame allows. */
typedef enum allows { ALLOWS_NOTHING, ALLOWS_LOAD, ALLOWS_BOTH } allows_t;

/* Load and store at GPA, where `device` sees what faults. */
static void expect_allowed(suite_t *suite, allows_t allows, device_t *device)
{
    *device = (device_t){.result = FAULT_IGNORE};
    guest_clear(suite);
    size_t load = guest_load(suite, GUEST_WORD, GPA);
    guest_store(suite, GUEST_WORD, GPA + GUEST_WORD, VALUE);
    if (!guest_go(suite)) {
        return;
    }
    int faults = allows == ALLOWS_NOTHING ? 2 : allows == ALLOWS_LOAD ? 1 : 0;
    EXPECT_EQUAL(device->count, faults);
    EXPECT_EQUAL(guest_loaded(suite, load), allows == ALLOWS_NOTHING ? GUEST_UNTOUCHED : VALUE);
    if (faults == 1) {
        EXPECT(!device->seen[0].read);
        EXPECT_EQUAL(device->seen[0].address, GPA + GUEST_WORD);
    }
}

/* A frame that holds VALUE at its start. */
static seL4_CPtr frame_with_value(suite_t *suite)
{
    seL4_CPtr frame = new_frame(suite, 12);
    unsigned char *page = show_frame(suite, frame);
    if (EXPECT(page != NULL)) {
        *(seL4_Word *)(void *)page = VALUE;
        hide_frame(suite, page);
    }
    return frame;
}

/* Map a copy of a frame, with rights of its own, by an iterator's rights. */
static void capability_and_mapping(suite_t *suite, seL4_CapRights_t capability,
                                   seL4_CapRights_t mapping, allows_t allows)
{
    device_t device = {0};
    vm_t *vm = &suite->guest->vm;
    seL4_CPtr copy = new_slot(suite);
    EXPECT_ERROR(copy_cap(suite, copy, frame_with_value(suite), capability), seL4_NoError);
    handout_t handout = {.frames = {{copy, mapping, GPA, seL4_PageBits}}};
    vm_memory_reservation_t *r = guest_device(suite, GPA, PAGE, &device);
    REQUIRE(r != NULL);
    EXPECT(vm_map_reservation(vm, r, hand_out, &handout) == 0);
    expect_allowed(suite, allows, &device);
    EXPECT(vm_free_reserved_memory(vm, r) == 0);
}

static void guest_may_do_what_both_capability_and_mapping_allow(suite_t *suite)
{
    capability_and_mapping(suite, seL4_ReadWrite, seL4_ReadWrite, ALLOWS_BOTH);
    capability_and_mapping(suite, seL4_AllRights, seL4_AllRights, ALLOWS_BOTH);
    capability_and_mapping(suite, seL4_ReadWrite, seL4_CanRead, ALLOWS_LOAD);
    capability_and_mapping(suite, seL4_CanRead, seL4_ReadWrite, ALLOWS_LOAD);
    capability_and_mapping(suite, seL4_CanWrite, seL4_ReadWrite, ALLOWS_NOTHING);
    capability_and_mapping(suite, seL4_NoRights, seL4_ReadWrite, ALLOWS_NOTHING);
    capability_and_mapping(suite, seL4_ReadWrite, seL4_CanWrite, ALLOWS_NOTHING);
    capability_and_mapping(suite, seL4_ReadWrite, seL4_NoRights, ALLOWS_NOTHING);
}

static void rights_of_an_allocated_page_are_the_guests(suite_t *suite)
{
    static const struct {
        seL4_Word read, write;
        allows_t allows;
    } rows[] = {
        {1, 1, ALLOWS_BOTH}, {1, 0, ALLOWS_LOAD}, {0, 1, ALLOWS_NOTHING}, {0, 0, ALLOWS_NOTHING}};
    vm_t *vm = &suite->guest->vm;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        device_t device = {0};
        seL4_Word *page = create_allocated_reservation_frame(
            vm, GPA, seL4_CapRights_new(0, 0, rows[i].read, rows[i].write), device_access, &device);
        REQUIRE(page != NULL);
        page[0] = VALUE; /* the VMM may, whatever the guest may */
        guest_clean(suite, page, sizeof(VALUE));
        expect_allowed(suite, rows[i].allows, &device);
        EXPECT_EQUAL(page[1], rows[i].allows == ALLOWS_BOTH ? VALUE : 0);
        EXPECT(vm_free_reserved_memory(vm, guestmem_find_reservation(vm, GPA)) == 0);
    }
}

static const check_t checks[] = {
    CHECK(guest_may_do_what_both_capability_and_mapping_allow),
    CHECK(rights_of_an_allocated_page_are_the_guests),
};

const area_t area_rights = AREA("rights", FIXTURE_GUEST, checks);
