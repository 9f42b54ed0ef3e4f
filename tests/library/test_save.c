/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A VM's RAM, saved, and brought back to what it was. */

#include "world.h"

#include <guestmem/change.h>
#include <utils/util.h>

#define RAM   ((uintptr_t)0x80000000)
#define OTHER ((uintptr_t)0x90000000)
#define LARGE (2 * MEGABYTE)
#define SIZE  (4 * LARGE + 3 * PAGE)

static void register_at(world_t *w, uintptr_t addr, size_t size)
{
    assert_int_equal(vm_ram_register_at(&w->vm, addr, size, false), 0);
}

static guestmem_saved_t *save(world_t *w)
{
    guestmem_saved_t *saved = guestmem_save(&w->vm);
    assert_non_null(saved);
    return saved;
}

static void restore(world_t *w, guestmem_saved_t *saved)
{
    assert_int_equal(guestmem_restore(&w->vm, saved), 0);
}

static void write_word(world_t *w, uintptr_t gpa, uint64_t word)
{
    assert_int_equal(guestmem_write(&w->vm, gpa, &word, sizeof(word)), 0);
}

static uint64_t word_at(world_t *w, uintptr_t gpa)
{
    uint64_t word = 1;
    assert_int_equal(guestmem_read(&w->vm, gpa, &word, sizeof(word)), 0);
    return word;
}

static bool guest_writes(world_t *w, uintptr_t gpa)
{
    return guest_mapping_at(w, gpa).write;
}

/* A store of the guest's, as far as its rights go: it faults first where it has none. */
static void guest_store(world_t *w, uintptr_t gpa, uint64_t word)
{
    if (!guest_has(w, gpa) || !guest_writes(w, gpa)) {
        assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, gpa, 8), FAULT_RESTART);
    }
    assert_true(guest_writes(w, gpa));
    memcpy(guest_bytes(w, gpa), &word, sizeof(word));
    assert_int_equal(guestmem_clean(&w->vm, gpa, sizeof(word)), 0);
}

/* Every word of RAM, zero but for some. */
static void fill_ram(world_t *w)
{
    register_at(w, RAM, SIZE);
    for (uintptr_t gpa = RAM; gpa < RAM + SIZE; gpa += 3 * PAGE) {
        write_word(w, gpa + 16, gpa);
    }
}

static void expect_ram(world_t *w)
{
    for (uintptr_t gpa = RAM; gpa < RAM + SIZE; gpa += PAGE) {
        assert_int_equal(word_at(w, gpa + 16), (gpa - RAM) % (3 * PAGE) == 0 ? gpa : 0);
        assert_int_equal(word_at(w, gpa), 0);
        assert_int_equal(word_at(w, gpa + PAGE - 8), 0);
    }
}

static void what_anybody_wrote_is_undone(void **state)
{
    world_t *w = *state;
    fill_ram(w);
    guestmem_saved_t *saved = save(w);
    for (int i = 0; i < 3; i++) {
        assert_false(guest_writes(w, RAM + LARGE));
        guest_store(w, RAM + LARGE + 5 * PAGE, 7);
        guest_store(w, RAM + 4 * LARGE + 2 * PAGE - 8, 8);
        write_word(w, RAM + 16, 9);
        assert_int_equal(guestmem_fill(&w->vm, RAM + 3 * LARGE - PAGE, 0xa5, 2 * PAGE), 0);
        restore(w, saved);
        expect_ram(w);
    }
    guestmem_free_saved(&w->vm, saved);
    assert_true(guest_writes(w, RAM) && guest_writes(w, RAM + LARGE));
    expect_ram(w);
}

static void pages_are_tracked_where_they_were(void **state)
{
    world_t *w = *state;
    fill_ram(w);
    vm_memory_reservation_t *ram = guestmem_find_reservation(&w->vm, RAM);
    assert_int_equal(guestmem_track_written(&w->vm, ram, GUESTMEM_TRACK_PAGES), 0);
    guest_store(w, RAM + 7 * PAGE, 7); /* before the save: it is of the state */
    guestmem_saved_t *saved = save(w);
    uint64_t before = hosted_invocation_total(w->system);
    restore(w, saved); /* there is nothing to look at */
    assert_int_equal(hosted_invocation_total(w->system), before);
    guest_store(w, RAM + 7 * PAGE, 8);
    guest_store(w, RAM + 8 * PAGE, 8);
    restore(w, saved);
    assert_int_equal(word_at(w, RAM + 7 * PAGE), 7);
    assert_int_equal(word_at(w, RAM + 8 * PAGE), 0);
    guestmem_free_saved(&w->vm, saved);
    assert_false(guest_writes(w, RAM)); /* it is tracked still */
}

static void pointers_go_on_working(void **state)
{
    world_t *w = *state;
    fill_ram(w);
    volatile uint64_t *before = guestmem_pointer(&w->vm, RAM + LARGE, 8);
    assert_non_null(before);
    guestmem_saved_t *saved = save(w);
    volatile uint64_t *after = guestmem_pointer(&w->vm, RAM + 2 * LARGE, 8);
    assert_non_null(after);
    for (int i = 0; i < 2; i++) {
        *before = 7;
        *after = 8;
        assert_int_equal(guestmem_clean(&w->vm, RAM + LARGE, LARGE + 8), 0);
        restore(w, saved);
        assert_int_equal(*before, 0);
        assert_int_equal(*after, 0);
    }
    expect_ram(w);
}

static void what_was_discarded_comes_back(void **state)
{
    world_t *w = *state;
    fill_ram(w);
    assert_int_equal(guestmem_set_discarded(&w->vm, GUESTMEM_DISCARDED_LEFT), 0);
    assert_int_equal(guestmem_discard(&w->vm, RAM + 4 * LARGE, PAGE, NULL), 0);
    guestmem_saved_t *saved = save(w);
    assert_int_equal(guestmem_discard(&w->vm, RAM, 2 * LARGE, NULL), 0);
    assert_int_equal(guestmem_discard(&w->vm, RAM + SIZE - PAGE, PAGE, NULL), 0);
    restore(w, saved);
    assert_false(guest_has(w, RAM + 4 * LARGE));
    assert_int_equal(guestmem_populate(&w->vm, RAM + 4 * LARGE, PAGE), 0);
    assert_int_equal(guestmem_discard(&w->vm, RAM + 3 * LARGE, LARGE + PAGE, NULL), 0);
    restore(w, saved);
    assert_true(guest_has(w, RAM + 3 * LARGE) && !guest_has(w, RAM + 4 * LARGE));
    assert_int_equal(guestmem_populate(&w->vm, RAM, SIZE), 0);
    guest_store(w, RAM + 4 * LARGE, 7);
    restore(w, saved); /* what was no page is a page of zeroes now */
    write_word(w, RAM + 4 * LARGE + 16,
               (RAM + 4 * LARGE - RAM) % (3 * PAGE) == 0 ? RAM + 4 * LARGE : 0);
    expect_ram(w);
    assert_int_equal(guest_mapping_at(w, RAM).size_bits, 21);
}

static void the_list_of_ram_comes_back(void **state)
{
    world_t *w = *state;
    fill_ram(w);
    vm_ram_mark_allocated(&w->vm, RAM, PAGE);
    guestmem_saved_t *saved = save(w);
    vm_ram_free(&w->vm, RAM, PAGE);
    restore(w, saved); /* more entries than there are */
    assert_int_equal(w->vm.mem.num_ram_regions, 2);
    assert_int_equal(w->vm.mem.ram_regions[0].allocated, 1);
    assert_int_equal(vm_ram_allocate(&w->vm, PAGE), RAM + PAGE);
    vm_ram_mark_allocated(&w->vm, RAM + LARGE, PAGE);
    restore(w, saved); /* fewer */
    assert_int_equal(w->vm.mem.num_ram_regions, 2);
    assert_int_equal(w->vm.mem.ram_regions[0].size, PAGE);
    assert_int_equal(w->vm.mem.ram_regions[1].size, SIZE - PAGE);
}

static void other_reservations_are_refused(void **state)
{
    world_t *w = *state;
    fill_ram(w);
    vm_memory_reservation_t *device = world_reserve(w, UART, PAGE);
    world_reserve(w, UINTPTR_MAX - 7, 8);
    guestmem_saved_t *saved = save(w);
    vm_memory_reservation_t *another = world_reserve(w, OTHER, PAGE);
    assert_int_equal(guestmem_name_reservation(&w->vm, another, "another"), 0);
    guest_store(w, RAM, 7);
    assert_int_equal(guestmem_restore(&w->vm, saved), -1);
    expect_failure(w, GUESTMEM_OVERLAP);
    assert_string_equal(guestmem_last_error(&w->vm)->other_name, "another");
    assert_int_equal(word_at(w, RAM), 7);
    vm_free_reserved_memory(&w->vm, another);
    restore(w, saved); /* as it was again */
    assert_int_equal(map_ut_alloc_reservation(&w->vm, device), 0);
    assert_int_equal(guestmem_restore(&w->vm, saved), -1);
    expect_failure(w, GUESTMEM_OVERLAP);
    vm_free_reserved_memory(&w->vm, device);
    assert_int_equal(guestmem_restore(&w->vm, saved), -1);
    expect_failure(w, GUESTMEM_NO_RESERVATION);
    vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, RAM));
    register_at(w, RAM, SIZE);
    assert_int_equal(guestmem_restore(&w->vm, saved), -1);
    expect_failure(w, GUESTMEM_OVERLAP);
    guestmem_free_saved(&w->vm, saved);
    assert_true(guest_writes(w, RAM));
}

static void arguments_are_checked(void **state)
{
    world_t *w = *state;
    vm_t other;
    fill_ram(w);
    vm_memory_reservation_t *ram = guestmem_find_reservation(&w->vm, RAM);
    vm_memory_reservation_t *frames = world_reserve(w, OTHER, PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, frames), 0);
    assert_null(guestmem_save(NULL));
    guestmem_saved_t *saved = save(w);
    assert_int_equal(guestmem_restore(NULL, saved), -1);
    guestmem_free_saved(NULL, saved);
    w->log_lines = 0;
    assert_null(guestmem_save(&w->vm));
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_track_written(&w->vm, ram, GUESTMEM_TRACK_NOTHING), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_written(&w->vm, ram, NULL, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_track_written(&w->vm, frames, GUESTMEM_TRACK_FRAMES), 0);
    assert_int_equal(guestmem_restore(&w->vm, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    guestmem_free_saved(&w->vm, NULL);
    world_make_vm(w, &other);
    assert_int_equal(guestmem_restore(&other, saved), -1);
    guestmem_free_saved(&other, saved);
    w->log_lines = 0;
    guestmem_saved_t *nothing = guestmem_save(&other); /* it has no RAM */
    assert_non_null(nothing);
    assert_int_equal(guestmem_restore(&other, nothing), 0);
    vm_memory_destroy(&other);
    guest_store(w, RAM, 7);
    restore(w, saved);
    expect_ram(w);
}

static seL4_CapRights_t rights_of_second;

static vm_frame_t two_frames(uintptr_t addr, void *cookie)
{
    const vka_object_t *frames = cookie;
    return (vm_frame_t){frames[(addr - RAM) / PAGE].cptr,
                        addr == RAM ? seL4_AllRights : rights_of_second, addr, 12};
}

static int look(vm_t *vm, uintptr_t addr, void *vaddr, size_t size, size_t offset, void *cookie)
{
    (void)vm, (void)addr, (void)vaddr, (void)size, (void)offset, (void)cookie;
    return 0;
}

static void a_callers_frames_are_saved_as_far_as_they_can_be_read(void **state)
{
    world_t *w = *state;
    vka_object_t frames[] = {world_frame(w, 12), world_frame(w, 12)};
    rights_of_second = seL4_CanRead;
    assert_int_equal(vm_ram_register_at_custom_iterator(&w->vm, RAM, 2 * PAGE, two_frames, frames),
                     0);
    guestmem_saved_t *saved = save(w);
    guest_store(w, RAM, 7);
    assert_int_equal(vm_ram_touch(&w->vm, RAM + PAGE, 1, look, NULL), 0); /* it may have written */
    *guest_bytes(w, RAM + PAGE) = 5; /* the caller; the VMM has no right to */
    restore(w, saved);
    assert_int_equal(word_at(w, RAM), 0);
    assert_int_equal(*guest_bytes(w, RAM + PAGE), 5);
    vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, RAM));
    guestmem_free_saved(&w->vm, saved);
    rights_of_second = seL4_NoRights;
    assert_int_equal(vm_ram_register_at_custom_iterator(&w->vm, RAM, 2 * PAGE, two_frames, frames),
                     0);
    assert_null(guestmem_save(&w->vm));
    expect_failure(w, GUESTMEM_NO_RIGHT);
    assert_true(guest_writes(w, RAM));
    vm_memory_destroy(&w->vm);
    vka_free_object(hosted_vka(w->system), &frames[0]);
    vka_free_object(hosted_vka(w->system), &frames[1]);
}

static void a_save_that_fails_leaves_no_frame_mapped(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    hosted_census_t after;
    bool failed = true;
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
    register_at(w, RAM, SIZE);
    hosted_census_take(w->system, &before);
    for (uint64_t k = 1; failed; k++) {
        hosted_inject_fail(w->system, HOSTED_OPERATION_HEAP, k);
        failed = guestmem_save(&w->vm) == NULL;
        hosted_inject_stop(w->system);
        hosted_census_take(w->system, &after);
        assert_true(!failed || hosted_census_equal(&before, &after));
    }
    w->log_lines = 0;
}

/* Where there are no windows, frames are mapped one by one. */
static void without_windows_a_second_restore_completes_the_first(void **state)
{
    world_t *w = *state;
    int failures = 0;
    assert_int_equal(guestmem_set_windows(&w->vm, GUESTMEM_WINDOWS_NONE), 0);
    fill_ram(w);
    guestmem_saved_t *saved = NULL;
    for (uint64_t k = 1; saved == NULL; k += 1 + k / 8) {
        hosted_inject_fail_from(w->system, HOSTED_OPERATION_FORWARD, k);
        saved = guestmem_save(&w->vm);
        hosted_inject_stop(w->system);
    }
    for (uint64_t k = 1, fired = true; fired; k++) {
        for (uintptr_t i = 0; i < 5; i++) {
            guest_store(w, RAM + i * LARGE + 16, 7);
        }
        hosted_inject_fail_from(w->system, HOSTED_OPERATION_FORWARD, k);
        int error = guestmem_restore(&w->vm, saved);
        fired = hosted_inject_fired(w->system);
        hosted_inject_stop(w->system);
        failures += error != 0;
        if (error != 0) {
            restore(w, saved);
        }
        for (uintptr_t i = 0; i < 5; i++) {
            uintptr_t gpa = RAM + i * LARGE;
            assert_int_equal(word_at(w, gpa + 16), (gpa - RAM) % (3 * PAGE) == 0 ? gpa : 0);
        }
    }
    assert_true(failures > 5);
    expect_ram(w);
    w->log_lines = 0;
}

/* Costs. An incoherent system takes long for much memory. */

enum { FRAMES = 128, LESS_FRAMES = 32 };

static void costs_in_kernel_invocations(void **state)
{
    world_t *w = *state;
    size_t cleans = w->vm.mem.clean_cache ? 2 : 0;
    register_at(w, RAM, (cleans == 0 ? FRAMES : LESS_FRAMES) * LARGE);
    guestmem_saved_t *saved = save(w);
    for (int i = 0; i < 2; i++) {
        for (uintptr_t frame = 0; frame < 10; frame++) {
            guest_store(w, RAM + 3 * frame * LARGE + 8, 7);
        }
        uint64_t before = hosted_invocation_total(w->system);
        restore(w, saved);
        assert_int_equal(hosted_invocation_total(w->system) - before, 10 * (2 + cleans));
    }
    uint64_t before = hosted_invocation_total(w->system);
    restore(w, saved);
    assert_int_equal(hosted_invocation_total(w->system), before);
    guestmem_free_saved(&w->vm, saved);
    vm_memory_reservation_t *ram = guestmem_find_reservation(&w->vm, RAM);
    assert_int_equal(guestmem_track_written(&w->vm, ram, GUESTMEM_TRACK_PAGES), 0);
    saved = save(w);
    for (uintptr_t page = 0; page < 1000; page++) {
        guest_store(w, RAM + 13 * page * PAGE, 7);
    }
    before = hosted_invocation_total(w->system);
    restore(w, saved);
    assert_int_equal(hosted_invocation_total(w->system) - before, 1000 * (2 + cleans));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(what_anybody_wrote_is_undone),
        world_test(pages_are_tracked_where_they_were),
        world_test(pointers_go_on_working),
        world_test(what_was_discarded_comes_back),
        world_test(the_list_of_ram_comes_back),
        world_test(other_reservations_are_refused),
        world_test(arguments_are_checked),
        world_test(a_callers_frames_are_saved_as_far_as_they_can_be_read),
        world_test(a_save_that_fails_leaves_no_frame_mapped),
        world_test(without_windows_a_second_restore_completes_the_first),
        world_test(costs_in_kernel_invocations),
    };
    return cmocka_run_group_tests_name("save", tests, NULL, NULL);
}
