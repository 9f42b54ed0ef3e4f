/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The environment's allocator: what is given back is as it was, and failures leave nothing. */

#include "world.h"

#include <stdlib.h>

enum { RESERVED_BASE = 0x48000000, RESERVED_SIZE = 0x1000000, UART = 0x9000000 };

static seL4_Word paddr_of(vka_object_t *object)
{
    return vka_object_paddr(vka, object);
}

typedef struct random_object {
    vka_object_t object;
    bool alive;
} random_object_t;

static void allocate_something(random_object_t *entry)
{
    static const seL4_Word types[] = {seL4_UntypedObject,       seL4_EndpointObject,
                                      seL4_TCBObject,           seL4_CapTableObject,
                                      seL4_ARM_SmallPageObject, seL4_ARM_LargePageObject,
                                      seL4_ARM_PageTableObject, seL4_ARM_VSpaceObject};
    seL4_Word type = types[rand() % 8];
    seL4_Word bits = type == seL4_UntypedObject ? 4 + rand() % 24 : 1 + rand() % 10;
    entry->alive = vka_alloc_object(vka, type, bits, &entry->object) == 0;
    assert_true(entry->alive);
}

static void random_use_returns_to_an_equal_census(void **state)
{
    static random_object_t objects[300];
    srand(7);
    allocate_something(&objects[0]); /* not an empty system */
    hosted_census_t before = census();
    for (int step = 0; step < 3000; step++) {
        random_object_t *entry = &objects[1 + rand() % 299];
        if (entry->alive) {
            vka_free_object(vka, &entry->object);
            entry->alive = false;
        } else {
            allocate_something(entry);
        }
    }
    for (int i = 1; i < 300; i++) {
        if (objects[i].alive) {
            vka_free_object(vka, &objects[i].object);
        }
        objects[i].alive = false;
    }
    assert_census(&before);
}

static void exhaustion_fails_cleanly_and_coalesces(void **state)
{
    static vka_object_t frames[3000];
    vka_object_t huge;
    int count = 0;
    hosted_census_t before = census();
    while (vka_alloc_frame(vka, 21, &frames[count]) == 0) {
        count++;
    }
    /* 4 GiB without the 16 MiB that are reserved, and the first 4, in which the kernel's image is.
     */
    assert_int_equal(count, (4096 - 16 - 4) / 2);
    hosted_census_t full = census();
    assert_int_not_equal(vka_alloc_frame(vka, 30, &huge), 0);
    assert_int_not_equal(vka_alloc_frame(vka, 21, &huge), 0);
    assert_census(&full);
    while (count-- > 0) {
        vka_free_object(vka, &frames[count]);
    }
    assert_census(&before);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(vka_alloc_frame(vka, 30, &huge), 0);
    }
}

static void allocation_at_an_address_is_exact(void **state)
{
    vka_object_t frame, other;
    hosted_census_t before = census();
    assert_int_equal(vka_alloc_frame_at(vka, 12, 0x87654000, &frame), 0);
    assert_int_equal(frame_address(frame.cptr), 0x87654000);
    hosted_census_t one = census();
    assert_int_not_equal(vka_alloc_frame_at(vka, 12, 0x87654000, &other), 0);
    assert_int_not_equal(vka_alloc_frame_at(vka, 21, 0x87600000, &other), 0);
    assert_int_not_equal(vka_alloc_frame_at(vka, 12, 0x87655800, &other), 0);
    assert_int_not_equal(vka_alloc_frame_at(vka, 12, 0x10000000000, &other), 0);
    assert_census(&one);
    assert_int_equal(vka_alloc_frame_at(vka, 12, 0x87655000, &other), 0);
    vka_free_object(vka, &frame);
    assert_int_equal(vka_alloc_untyped_at(vka, 12, 0x87654000, &frame), 0);
    vka_free_object(vka, &frame);
    vka_free_object(vka, &other);
    assert_census(&before);
}

static void devices_are_allocated_by_address_only(void **state)
{
    vka_object_t frame;
    assert_int_equal(vka_alloc_frame_at(vka, 12, UART, &frame), 0);
    assert_int_equal(frame_address(frame.cptr), UART);
    vka_free_object(vka, &frame);
    assert_int_not_equal(vka_alloc_object_at(vka, seL4_EndpointObject, 0, UART, &frame), 0);
    assert_int_equal(vka_alloc_frame_at(vka, 12, UART, &frame), 0);
    assert_int_equal(vka_alloc_frame_at(vka, 12, UART + 0x1000, &frame), 0); /* nobody's */
    assert_int_not_equal(vka_alloc_frame_at(vka, 12, 0x8000000, &frame), 0); /* the kernel's */
}

static bool is_reserved(seL4_Word paddr)
{
    return paddr - RESERVED_BASE < RESERVED_SIZE;
}

static void maybe_device_prefers_reserved_memory_then_regular(void **state)
{
    vka_object_t frame;
    for (int i = 0; i < RESERVED_SIZE >> 21; i++) {
        assert_int_equal(vka_alloc_frame_maybe_device(vka, 21, true, &frame), 0);
        assert_true(is_reserved(paddr_of(&frame)));
    }
    assert_int_equal(vka_alloc_frame_maybe_device(vka, 21, true, &frame), 0);
    assert_false(is_reserved(paddr_of(&frame)));
    assert_true(paddr_of(&frame) >= 0x40000000);
    assert_int_equal(vka_alloc_frame_maybe_device(vka, 21, false, &frame), 0);
    assert_false(is_reserved(paddr_of(&frame)));
}

/* Fail each operation of one allocation in turn: nothing may be left behind. */
static void failed_allocation_leaves_nothing_behind(void **state)
{
    const unsigned operations = HOSTED_OPERATION_FORWARD;
    hosted_census_t before = census();
    int failures = 0;
    for (uint64_t k = 1;; k++) {
        vka_object_t frame;
        hosted_inject_fail(world, operations, k);
        int error = vka_alloc_frame_at(vka, 12, 0x87654000, &frame);
        bool fired = hosted_inject_fired(world);
        hosted_inject_stop(world);
        assert_int_equal(error != 0, fired);
        if (!fired) {
            vka_free_object(vka, &frame);
            break;
        }
        failures++;
        assert_census(&before);
    }
    assert_true(failures >= 4);
    assert_census(&before);
}

static void failed_undo_inside_the_allocator_is_survived(void **state)
{
    hosted_census_t before = census();
    for (uint64_t k = 1; k <= 2; k++) {
        vka_object_t frame;
        assert_int_equal(vka_alloc_frame_at(vka, 12, 0x87654000, &frame), 0);
        hosted_inject_fail(world, HOSTED_OPERATION_UNDO, k + 1); /* after the frame's delete */
        vka_free_object(vka, &frame);
        assert_true(hosted_inject_fired(world));
        hosted_inject_stop(world);
        assert_census(&before);
    }
}

static void wrong_frees_change_nothing(void **state)
{
    hosted_census_t before = census();
    vka_cspace_free(vka, 5);
    vka_cspace_free(vka, 1ul << 40);
    vka_utspace_free(vka, seL4_ARM_SmallPageObject, 12, 0);
    vka_utspace_free(vka, seL4_ARM_SmallPageObject, 12, 12ul << 56 | 0x50000000);
    assert_int_equal(vka_utspace_paddr(vka, 0, seL4_ARM_SmallPageObject, 12), VKA_NO_PADDR);
    assert_census(&before);
}

WORLD_MAIN(WORLD_TEST(random_use_returns_to_an_equal_census),
           WORLD_TEST(exhaustion_fails_cleanly_and_coalesces),
           WORLD_TEST(allocation_at_an_address_is_exact),
           WORLD_TEST(devices_are_allocated_by_address_only),
           WORLD_TEST(maybe_device_prefers_reserved_memory_then_regular),
           WORLD_TEST(failed_allocation_leaves_nothing_behind),
           WORLD_TEST(failed_undo_inside_the_allocator_is_survived),
           WORLD_TEST(wrong_frees_change_nothing), )
