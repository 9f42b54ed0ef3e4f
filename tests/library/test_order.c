/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Frames go back to the allocator in the reverse order: seL4's allocator then has its smallest
 * pieces first, and need not break large ones for its own records.
 */

#include "world.h"

#define GPA  ((uintptr_t)0x80000000)
#define MOST 16

/* The allocator of the hosted system, behind one that notes the frames that come and go, and has
 * only so many. */
static struct {
    vka_t *inner;
    vka_t vka;
    size_t left;
    seL4_Word taken[MOST];
    seL4_Word given[MOST];
    size_t num_taken, num_given;
} noted;

static bool is_frame(seL4_Word type)
{
    return type == seL4_ARM_SmallPageObject || type == seL4_ARM_LargePageObject;
}

static int take(void *data, const cspacepath_t *dest, seL4_Word type, seL4_Word size_bits,
                bool can_use_dev, seL4_Word *cookie)
{
    (void)data;
    if (is_frame(type) && noted.left == 0) {
        return -1;
    }
    int error = noted.inner->utspace_alloc_maybe_device(noted.inner->data, dest, type, size_bits,
                                                        can_use_dev, cookie);
    if (error == 0 && is_frame(type)) {
        noted.left--;
        noted.taken[noted.num_taken++] = *cookie;
    }
    return error;
}

static void give(void *data, seL4_Word type, seL4_Word size_bits, seL4_Word cookie)
{
    (void)data;
    if (is_frame(type)) {
        noted.given[noted.num_given++] = cookie;
    }
    noted.inner->utspace_free(noted.inner->data, type, size_bits, cookie);
}

static void note(world_t *w, size_t frames)
{
    noted.inner = w->vm.vka;
    noted.vka = *noted.inner;
    noted.vka.utspace_alloc_maybe_device = take;
    noted.vka.utspace_free = give;
    noted.left = frames;
    noted.num_taken = noted.num_given = 0;
    w->vm.vka = &noted.vka;
}

static void expect_reversed(size_t count)
{
    assert_int_equal(noted.num_taken, count);
    assert_int_equal(noted.num_given, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(noted.given[i], noted.taken[count - 1 - i]);
    }
}

static void a_map_that_fails_gives_its_frames_back_newest_first(void **state)
{
    world_t *w = *state;
    /* Two runs: a frame of 2 MiB, and small ones behind it. */
    vm_memory_reservation_t *r = world_reserve(w, GPA, 2 * MEGABYTE + 8 * PAGE);
    note(w, 6);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), -1);
    expect_failure(w, GUESTMEM_NO_FRAME);
    expect_reversed(6);
    w->vm.vka = noted.inner;
}

static void a_reservation_that_is_freed_gives_its_frames_back_newest_first(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *r = world_reserve(w, GPA, 2 * MEGABYTE + 8 * PAGE);
    note(w, MOST);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    expect_reversed(9);
    w->vm.vka = noted.inner;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_map_that_fails_gives_its_frames_back_newest_first),
        world_test(a_reservation_that_is_freed_gives_its_frames_back_newest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
