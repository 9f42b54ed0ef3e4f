/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Which frame sizes there are, as a VMM sees it that is written for all architectures. */

#include "world.h"

static void a_frame_size_tells_its_bytes(void **state)
{
    (void)state;
    assert_int_equal(guestmem_frame_size_bits(GUESTMEM_FRAME_4K), 12);
    assert_int_equal(guestmem_frame_size_bits(GUESTMEM_FRAME_2M), 21);
    assert_int_equal(guestmem_frame_size_bits(GUESTMEM_FRAME_1G), 30);
}

static void sizes_that_the_architecture_lacks_have_no_bytes(void **state)
{
    (void)state;
    assert_int_equal(guestmem_frame_size_bits(GUESTMEM_FRAME_64K), 0);
    assert_int_equal(guestmem_frame_size_bits(GUESTMEM_FRAME_32M), 0);
    assert_int_equal(guestmem_frame_size_bits(GUESTMEM_NUM_FRAME_SIZES), 0);
}

static void a_policy_takes_the_sizes_that_there_are(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < GUESTMEM_NUM_FRAME_SIZES; i++) {
        size_t size_bits = guestmem_frame_size_bits((guestmem_frame_size_t)i);
        int expected = size_bits != 0 ? 0 : -1;
        assert_int_equal(guestmem_set_largest_frame(&w->vm, size_bits), expected);
    }
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 16), -1);
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 25), -1);
}

static void frames_are_counted_by_their_size(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < GUESTMEM_NUM_FRAME_SIZES; i++) {
        size_t size_bits = guestmem_frame_size_bits((guestmem_frame_size_t)i);
        if (size_bits == 0) {
            continue;
        }
        guestmem_reservation_info_t info;
        size_t size = (size_t)1 << size_bits;
        vm_memory_reservation_t *r = world_reserve(w, (uintptr_t)4 << 30, size);
        assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
        assert_int_equal(guestmem_reservation_info(&w->vm, r, &info), 0);
        for (int other = 0; other < GUESTMEM_NUM_FRAME_SIZES; other++) {
            assert_int_equal(info.frames[other], other == i ? 1 : 0);
        }
        assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_size_tells_its_bytes),
        cmocka_unit_test(sizes_that_the_architecture_lacks_have_no_bytes),
        world_test(a_policy_takes_the_sizes_that_there_are),
        world_test(frames_are_counted_by_their_size),
    };
    return cmocka_run_group_tests_name("frame_sizes", tests, NULL, NULL);
}
