/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Memory that changes while the guest runs: given back and got again, with other rights, or watched
 * for being written. */

#include "world.h"

#include <guestmem/change.h>
#include <utils/util.h>

#define RAM   ((uintptr_t)0x80000000)
#define LARGE (2 * MEGABYTE)

static memory_fault_result_t fault_at(world_t *w, uintptr_t gpa)
{
    return vm_memory_handle_fault(&w->vm, NULL, gpa, 4);
}

static bool guest_writes(world_t *w, uintptr_t gpa)
{
    return guest_mapping_at(w, gpa).write;
}

static void register_ram(world_t *w, size_t size)
{
    assert_int_equal(vm_ram_register_at(&w->vm, RAM, size, false), 0);
}

static vm_memory_reservation_t *ram(world_t *w)
{
    return guestmem_find_reservation(&w->vm, RAM);
}

static size_t discard(world_t *w, uintptr_t addr, size_t size)
{
    size_t discarded = 1;
    assert_int_equal(guestmem_discard(&w->vm, addr, size, &discarded), 0);
    return discarded;
}

static uint64_t word_at(world_t *w, uintptr_t gpa)
{
    uint64_t word = 1;
    assert_int_equal(guestmem_read(&w->vm, gpa, &word, sizeof(word)), 0);
    return word;
}

/* Description. */

static void keep_lines(const char *line, void *cookie)
{
    char *lines = cookie;
    strcat(strcat(lines, line), "\n");
}

static void a_description_says_what_is_mapped_and_how(void **state)
{
    static const char *const parts[] = {
        "       3 B  ",
        "mixed   4 x 2M",
        "1 x 4K; not mapped: 4 KiB",
        "not mapped: 8 KiB\n",
        "0xffffffffffffe000-ffffffffffffffff      8 KiB  anonymous region",
        "1 GiB  anonymous region",
        "frames: 1 x 4K, 4 x 2M;"};
    world_t *w = *state;
    char lines[4096] = "";
    register_ram(w, 4 * LARGE);
    assert_int_equal(guestmem_protect(&w->vm, RAM + LARGE, LARGE, seL4_CanRead), 0);
    world_reserve(w, 0x1001, 3);
    assert_int_equal(vm_memory_make_anon(&w->vm, UINTPTR_MAX - 2 * PAGE + 1, 2 * PAGE), 0);
    assert_int_equal(vm_memory_make_anon(&w->vm, (uintptr_t)1 << 35, (size_t)1 << 30), 0);
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    for (uintptr_t gpa = RAM + 8 * LARGE; gpa <= RAM + 9 * LARGE; gpa += LARGE) {
        assert_int_equal(map_frame_alloc_reservation(&w->vm, world_reserve(w, gpa, 2 * PAGE)), 0);
    }
    assert_int_equal(fault_at(w, RAM + 8 * LARGE), FAULT_RESTART);
    assert_int_equal(guestmem_describe(&w->vm, keep_lines, lines), 0);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strstr(lines, parts[i]) == NULL) {
            fail_msg("\"%s\" is not in\n%s", parts[i], lines);
        }
    }
    assert_int_equal(guestmem_describe(NULL, keep_lines, lines), -1);
    w->log_lines = 0;
}

/* Discarding. */

static void only_whole_frames_are_given_back(void **state)
{
    world_t *w = *state;
    hosted_census_t had;
    hosted_census_t has;
    register_ram(w, 4 * LARGE);
    hosted_census_take(w->system, &had);
    assert_int_equal(discard(w, RAM + PAGE, 3 * LARGE - 2 * PAGE), LARGE);
    hosted_census_take(w->system, &has);
    assert_int_equal(had.guest_bytes - has.guest_bytes, LARGE);
    assert_int_equal(had.untyped_bytes - has.untyped_bytes, LARGE);
    assert_true(guest_has(w, RAM) && !guest_has(w, RAM + LARGE) && guest_has(w, RAM + 2 * LARGE));
    assert_int_equal(discard(w, RAM + PAGE, PAGE), 0);
    assert_int_equal(discard(w, RAM + LARGE, LARGE), 0); /* it has none already */
    assert_int_equal(w->vm.mem.num_ram_regions, 1);
    assert_int_equal(w->vm.mem.ram_regions[0].size, 4 * LARGE);
    assert_int_equal(guestmem_discard(&w->vm, RAM, 4 * LARGE, NULL), 0);
    assert_false(guest_has(w, RAM));
}

static void what_was_discarded_comes_again_zeroed_for_the_guest(void **state)
{
    world_t *w = *state;
    register_ram(w, 4 * LARGE);
    memset(guest_bytes(w, RAM), 0x5a, LARGE);
    assert_int_equal(discard(w, RAM, LARGE), LARGE);
    assert_int_equal(fault_at(w, RAM + 5 * PAGE), FAULT_RESTART);
    assert_int_equal(guest_mapping_at(w, RAM).size_bits, 21);
    assert_int_equal(guest_bytes(w, RAM)[0], 0);
    assert_int_equal(word_at(w, RAM + LARGE - 8), 0);
    assert_int_equal(fault_at(w, RAM), FAULT_RESTART); /* of another VCPU, at the same time */
}

static void what_was_discarded_comes_again_zeroed_for_the_vmm(void **state)
{
    world_t *w = *state;
    uint64_t word = 7;
    register_ram(w, 4 * LARGE);
    assert_int_equal(guestmem_fill(&w->vm, RAM, 0x5a, 3 * LARGE), 0);
    volatile uint64_t *kept = guestmem_pointer(&w->vm, RAM, 8);
    assert_non_null(kept);
    assert_int_equal(discard(w, RAM + LARGE, 2 * LARGE), 2 * LARGE);
    assert_int_equal(word_at(w, RAM + 2 * LARGE - 8), 0);
    assert_true(guest_has(w, RAM + LARGE) && !guest_has(w, RAM + 2 * LARGE));
    assert_int_equal(guestmem_write(&w->vm, RAM + 2 * LARGE - 4, &word, 8), 0);
    assert_int_equal(word_at(w, RAM + 2 * LARGE), 0);
    assert_int_equal(discard(w, RAM + LARGE, 2 * LARGE), 2 * LARGE);
    assert_int_equal(guestmem_copy(&w->vm, RAM + 2 * LARGE, RAM + LARGE, 8), 0);
    assert_int_equal(word_at(w, RAM + 2 * LARGE), 0);
    assert_int_equal(discard(w, RAM + LARGE, 2 * LARGE), 2 * LARGE);
    const uint64_t *pointer = guestmem_pointer(&w->vm, RAM + LARGE, LARGE);
    assert_non_null(pointer);
    assert_int_equal(*pointer, 0);
    assert_int_equal(*kept, 0x5a5a5a5a5a5a5a5a);
}

/* A large frame, where a window was made for the small one that was left. */
static void what_comes_again_and_does_not_suit_the_window_is_accessed_by_itself(void **state)
{
    world_t *w = *state;
    uint64_t word = 7;
    register_ram(w, LARGE + PAGE);
    assert_int_equal(vm_ram_register_at(&w->vm, RAM + 2 * LARGE, PAGE, false), 0);
    assert_int_equal(word_at(w, RAM + 2 * LARGE), 0); /* has the first addresses for windows */
    assert_int_equal(discard(w, RAM, LARGE), LARGE);
    char *end = guestmem_pointer(&w->vm, RAM + LARGE, PAGE);
    assert_true(end != NULL && (uintptr_t)end % LARGE != 0);
    assert_int_equal(guestmem_write(&w->vm, RAM + LARGE - 4, &word, 8), 0);
    assert_int_equal(guest_mapping_at(w, RAM).size_bits, 21);
    assert_int_equal(word_at(w, RAM + LARGE - 4), 7);
    assert_ptr_equal(guestmem_pointer(&w->vm, RAM + LARGE, PAGE), end);
    assert_null(guestmem_pointer(&w->vm, RAM, 8));
    assert_non_null(strstr(w->log_line, "do not suit the window"));
    expect_failure(w, GUESTMEM_NO_ADDRESS);
}

/* Memory that is plugged in after what is there is one with it, until it is taken out again. */
static void ram_grows_and_shrinks_at_its_end(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    register_ram(w, 2 * LARGE);
    hosted_census_take(w->system, &before);
    assert_int_equal(vm_ram_register_at(&w->vm, RAM + 2 * LARGE, LARGE, false), 0);
    assert_int_equal(w->vm.mem.num_ram_regions, 1);
    assert_int_equal(w->vm.mem.ram_regions[0].size, 3 * LARGE);
    assert_int_equal(guestmem_fill(&w->vm, RAM + LARGE, 0x5a, 2 * LARGE), 0);
    assert_int_equal(word_at(w, RAM + 2 * LARGE - 4), 0x5a5a5a5a5a5a5a5a);
    assert_int_equal(
        vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, RAM + 2 * LARGE)), 0);
    assert_int_equal(w->vm.mem.ram_regions[0].size, 2 * LARGE);
    assert_false(guest_has(w, RAM + 2 * LARGE));
    assert_int_equal(word_at(w, RAM + 2 * LARGE - 8), 0x5a5a5a5a5a5a5a5a);
    assert_int_equal(discard(w, RAM + LARGE, LARGE),
                     LARGE); /* or without a reservation of its own */
    assert_false(guest_has(w, RAM + LARGE));
}

static void an_access_that_fails_fills_nothing(void **state)
{
    world_t *w = *state;
    uint64_t word = 7;
    hosted_census_t before;
    register_ram(w, LARGE);
    discard(w, RAM, LARGE);
    hosted_census_take(w->system, &before);
    for (uint64_t k = 1, fired = true; fired; k++) {
        hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
        int error = guestmem_read(&w->vm, RAM + 8, &word, sizeof(word));
        fired = hosted_inject_fired(w->system);
        hosted_inject_stop(w->system);
        if (error == 0) {
            discard(w, RAM, LARGE);
        }
        expect_census(w, &before);
    }
    w->log_lines = 0;
}

static void what_is_left_out_faults_until_it_is_populated(void **state)
{
    world_t *w = *state;
    char byte;
    vm_memory_reservation_t *reservation = world_reserve(w, RAM, 2 * LARGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, reservation), 0);
    assert_int_equal(guestmem_set_discarded(&w->vm, GUESTMEM_DISCARDED_LEFT), 0);
    discard(w, RAM, 2 * LARGE);
    assert_int_equal(fault_at(w, RAM + 8), FAULT_HANDLED);
    assert_int_equal(w->fault_addr, RAM + 8);
    assert_int_equal(guestmem_access(&w->vm, RAM, 1, vm_guest_ram_read_callback, &byte), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_populate(&w->vm, RAM + 3 * PAGE, 2 * PAGE - 1), 0);
    assert_true(!guest_has(w, RAM + 2 * PAGE) && guest_has(w, RAM + 3 * PAGE));
    assert_true(guest_has(w, RAM + 4 * PAGE) && !guest_has(w, RAM + 5 * PAGE));
    assert_int_equal(guestmem_populate(&w->vm, RAM, 2 * LARGE), 0);
    assert_int_equal(guest_mapping_at(w, RAM).size_bits, 12);
    assert_int_equal(guest_mapping_at(w, RAM + LARGE).size_bits, 21);
    assert_int_equal(guestmem_populate(&w->vm, RAM, 2 * LARGE), 0);
    assert_int_equal(guestmem_set_discarded(&w->vm, (guestmem_discarded_t)2), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
}

static void fixed_ram_comes_again_where_it_was(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_ram_register_at(&w->vm, RAM_PADDR, 2 * LARGE, true), 0);
    discard(w, RAM_PADDR, LARGE);
    vka_object_t other;
    assert_int_equal(vka_alloc_frame_at(w->vm.vka, 12, RAM_PADDR + PAGE, &other), 0);
    assert_int_equal(guestmem_populate(&w->vm, RAM_PADDR, LARGE), -1);
    expect_failure(w, GUESTMEM_NO_FRAME);
    assert_false(guest_has(w, RAM_PADDR));
    vka_free_object(w->vm.vka, &other);
    assert_int_equal(guestmem_populate(&w->vm, RAM_PADDR, LARGE), 0);
    assert_int_equal(guest_mapping_at(w, RAM_PADDR).paddr, RAM_PADDR);
}

static vm_frame_t two_frames(uintptr_t addr, void *cookie)
{
    const vka_object_t *frames = cookie;
    return (vm_frame_t){frames[(addr - RAM) / PAGE].cptr,
                        addr == RAM ? seL4_AllRights : seL4_CanRead, addr, 12};
}

static void a_callers_and_a_devices_frames_are_refused(void **state)
{
    world_t *w = *state;
    vka_object_t frames[] = {world_frame(w, 12), world_frame(w, 12)};
    assert_int_equal(
        vm_map_reservation(&w->vm, world_reserve(w, RAM, 2 * PAGE), two_frames, frames), 0);
    assert_int_equal(guestmem_discard(&w->vm, RAM, PAGE, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    vm_memory_reservation_t *uart = world_reserve(w, UART, PAGE);
    assert_int_equal(map_ut_alloc_reservation(&w->vm, uart), 0);
    assert_int_equal(guestmem_discard(&w->vm, UART, PAGE, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    assert_int_equal(guestmem_track_written(&w->vm, uart, GUESTMEM_TRACK_FRAMES), -1);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    vm_memory_destroy(&w->vm);
    vka_free_object(hosted_vka(w->system), &frames[0]);
    vka_free_object(hosted_vka(w->system), &frames[1]);
}

static void ranges_must_lie_in_one_mapped_reservation(void **state)
{
    world_t *w = *state;
    register_ram(w, 2 * PAGE);
    vm_memory_reservation_t *emulated = world_reserve(w, RAM + 2 * PAGE, PAGE);
    assert_int_equal(guestmem_discard(&w->vm, RAM, 3 * PAGE, NULL), -1);
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_int_equal(guestmem_populate(&w->vm, RAM, 0), -1);
    expect_failure(w, GUESTMEM_BAD_RANGE);
    assert_int_equal(guestmem_populate(&w->vm, RAM + 2 * PAGE, PAGE), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_protect(&w->vm, RAM - 1, PAGE, seL4_CanRead), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_track_written(&w->vm, emulated, GUESTMEM_TRACK_FRAMES), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_int_equal(guestmem_track_written(&w->vm, NULL, GUESTMEM_TRACK_FRAMES), -1);
    expect_failure(w, GUESTMEM_NO_RESERVATION);
}

/* Rights. */

static void rights_change_for_whole_frames(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *reservation = world_reserve(w, RAM + 8, 2 * LARGE - 16);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, reservation), 0);
    assert_int_equal(guestmem_protect(&w->vm, RAM + LARGE, LARGE - 8, seL4_CanRead), 0);
    assert_true(guest_writes(w, RAM) && !guest_writes(w, RAM + LARGE));
    assert_int_equal(fault_at(w, RAM + LARGE), FAULT_HANDLED);
    assert_int_equal(guestmem_protect(&w->vm, RAM + 8, 2 * LARGE - 16, seL4_NoRights), 0);
    assert_false(guest_mapping_at(w, RAM).read);
    assert_int_equal(guestmem_protect(&w->vm, RAM + 8, LARGE - 8, seL4_AllRights), 0);
    assert_true(guest_writes(w, RAM) && !guest_mapping_at(w, RAM + LARGE).read);
    assert_int_equal(guestmem_protect(&w->vm, RAM + PAGE, 2 * LARGE - PAGE - 8, seL4_CanRead), -1);
    expect_failure(w, GUESTMEM_MISALIGNED);
    assert_int_equal(guestmem_last_error(&w->vm)->other_base, RAM);
    assert_int_equal(guestmem_last_error(&w->vm)->other_last, RAM + LARGE - 1);
    discard(w, RAM + LARGE - PAGE, LARGE + PAGE - 8);
    assert_int_equal(guestmem_protect(&w->vm, RAM + 8, 2 * LARGE - 16, seL4_CanRead), 0);
    uint64_t before = hosted_invocation_total(w->system);
    assert_int_equal(guestmem_protect(&w->vm, RAM + 8, 2 * LARGE - 16, seL4_AllRights), 0);
    assert_int_equal(hosted_invocation_total(w->system) - before, 2);
}

static void frames_that_are_missing_have_no_rights_to_change(void **state)
{
    world_t *w = *state;
    register_ram(w, 4 * LARGE);
    discard(w, RAM + LARGE, LARGE);
    assert_int_equal(guestmem_protect(&w->vm, RAM, 4 * LARGE, seL4_CanRead), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_true(guest_writes(w, RAM));
}

static void a_callers_frames_get_no_more_than_they_had(void **state)
{
    world_t *w = *state;
    vka_object_t frames[] = {world_frame(w, 12), world_frame(w, 12)};
    assert_int_equal(
        vm_map_reservation(&w->vm, world_reserve(w, RAM, 2 * PAGE), two_frames, frames), 0);
    assert_int_equal(guestmem_protect(&w->vm, RAM, 2 * PAGE, seL4_NoRights), 0);
    assert_false(guest_mapping_at(w, RAM).read || guest_mapping_at(w, RAM + PAGE).read);
    assert_int_equal(guestmem_access(&w->vm, RAM, 4, vm_guest_ram_read_callback, &(int){0}), 0);
    assert_int_equal(guestmem_protect(&w->vm, RAM, 2 * PAGE, seL4_AllRights), 0);
    assert_true(guest_writes(w, RAM) && !guest_writes(w, RAM + PAGE));
    vm_memory_destroy(&w->vm);
    vka_free_object(hosted_vka(w->system), &frames[0]);
    vka_free_object(hosted_vka(w->system), &frames[1]);
}

/* Written pages. */

typedef struct seen {
    uintptr_t addr[8];
    size_t size[8];
    unsigned count;
    unsigned stop;
} seen_t;

static int see(vm_t *vm, uintptr_t addr, size_t size, void *cookie)
{
    seen_t *seen = cookie;
    assert_true(seen->count < ARRAY_SIZE(seen->addr));
    seen->addr[seen->count] = addr;
    seen->size[seen->count++] = size;
    return seen->count == seen->stop ? 5 : 0;
}

static seen_t report(world_t *w)
{
    seen_t seen = {.count = 0};
    assert_int_equal(guestmem_written(&w->vm, ram(w), see, &seen), 0);
    return seen;
}

static void track(world_t *w)
{
    assert_int_equal(guestmem_track_written(&w->vm, ram(w), GUESTMEM_TRACK_FRAMES), 0);
}

static void what_the_guest_writes_is_reported_once(void **state)
{
    world_t *w = *state;
    register_ram(w, 4 * LARGE);
    track(w);
    assert_false(guest_writes(w, RAM + LARGE));
    assert_int_equal(report(w).count, 0);
    assert_int_equal(fault_at(w, RAM + LARGE + 4 * PAGE), FAULT_RESTART);
    assert_true(guest_writes(w, RAM + LARGE) && !guest_writes(w, RAM));
    /* Another processor's fault may have been on its way. */
    assert_int_equal(fault_at(w, RAM + LARGE + 4 * PAGE), FAULT_RESTART);
    assert_int_equal(fault_at(w, RAM + 3 * LARGE), FAULT_RESTART);
    seen_t seen = report(w);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.addr[0], RAM + LARGE);
    assert_int_equal(seen.size[0], LARGE);
    assert_int_equal(seen.addr[1], RAM + 3 * LARGE);
    assert_false(guest_writes(w, RAM + LARGE) || guest_writes(w, RAM + 3 * LARGE));
    assert_int_equal(report(w).count, 0);
    assert_int_equal(guestmem_track_written(&w->vm, ram(w), GUESTMEM_TRACK_NOTHING), 0);
    assert_true(guest_writes(w, RAM) && guest_writes(w, RAM + LARGE));
    assert_int_equal(guestmem_written(&w->vm, ram(w), see, &seen), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(w->faults, 0);
}

static void what_the_vmm_writes_is_reported_too(void **state)
{
    world_t *w = *state;
    uint32_t word = 1;
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    register_ram(w, 16 * PAGE);
    track(w);
    word_at(w, RAM);
    assert_int_equal(report(w).count, 0);
    for (int i = 0; i < 2; i++) { /* the second time by the memory that was used last */
        assert_int_equal(guestmem_write(&w->vm, RAM + 2 * PAGE - 2, &word, sizeof(word)), 0);
        assert_int_equal(report(w).count, 2);
        assert_int_equal(vm_ram_touch(&w->vm, RAM + 9 * PAGE, 4, vm_guest_ram_read_callback, &word),
                         0);
        assert_int_equal(report(w).count, 0);
        assert_int_equal(
            vm_ram_touch(&w->vm, RAM + 9 * PAGE, 4, vm_guest_ram_write_callback, &word), 0);
        assert_int_equal(report(w).addr[0], RAM + 9 * PAGE);
    }
    assert_int_equal(guestmem_fill(&w->vm, RAM + 3 * PAGE, 1, PAGE), 0);
    assert_int_equal(report(w).count, 1);
    assert_int_equal(guestmem_copy(&w->vm, RAM + 5 * PAGE, RAM, 1), 0);
    assert_int_equal(report(w).addr[0], RAM + 5 * PAGE);
    assert_int_equal(fault_at(w, RAM + 5 * PAGE), FAULT_RESTART);
    assert_true(guest_writes(w, RAM + 5 * PAGE));
}

static void memory_that_the_vmm_has_a_pointer_to_counts_as_written(void **state)
{
    world_t *w = *state;
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    register_ram(w, 16 * PAGE);
    assert_non_null(guestmem_pointer(&w->vm, RAM + 7 * PAGE - 1, 2));
    track(w);
    for (int i = 0; i < 2; i++) {
        seen_t seen = report(w);
        assert_int_equal(seen.count, 2);
        assert_int_equal(seen.addr[0], RAM + 6 * PAGE);
    }
    discard(w, RAM + 6 * PAGE, 2 * PAGE);
    assert_int_equal(report(w).count, 2); /* what was in it is gone */
    assert_int_equal(report(w).count, 0);
    assert_int_equal(fault_at(w, RAM + 6 * PAGE), FAULT_RESTART);
    assert_true(guest_writes(w, RAM + 6 * PAGE)); /* it is new */
    assert_int_equal(report(w).count, 1);
    assert_false(guest_writes(w, RAM + 6 * PAGE));
}

static void a_report_may_end_early_and_goes_on_in_the_next(void **state)
{
    world_t *w = *state;
    seen_t seen = {.stop = 1};
    register_ram(w, 4 * LARGE);
    track(w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fault_at(w, RAM + i * LARGE), FAULT_RESTART);
    }
    assert_int_equal(guestmem_written(&w->vm, ram(w), see, &seen), 5);
    assert_int_equal(seen.count, 1);
    seen = report(w);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.addr[0], RAM + LARGE);
}

static void rights_and_tracking_go_together(void **state)
{
    world_t *w = *state;
    w->fault_answer = FAULT_IGNORE;
    vm_memory_reservation_t *reservation = world_reserve(w, RAM, 2 * LARGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, reservation), 0);
    assert_int_equal(guestmem_protect(&w->vm, RAM, LARGE, seL4_CanRead), 0);
    track(w);
    assert_int_equal(fault_at(w, RAM), FAULT_IGNORE);
    assert_int_equal(fault_at(w, RAM + LARGE), FAULT_RESTART);
    assert_int_equal(guestmem_protect(&w->vm, RAM, 2 * LARGE, seL4_CanRead), 0);
    assert_int_equal(fault_at(w, RAM + LARGE), FAULT_IGNORE);
    assert_int_equal(guestmem_protect(&w->vm, RAM, 2 * LARGE, seL4_AllRights), 0);
    assert_false(guest_writes(w, RAM));
    assert_true(guest_writes(w, RAM + LARGE)); /* written, and not reported yet */
    assert_int_equal(report(w).count, 1);
}

/* RAM of large frames with a word at the end of each page, which the VMM has mapped. */
static void register_large_ram(world_t *w)
{
    register_ram(w, 2 * LARGE);
    for (uint64_t gpa = RAM; gpa < RAM + 2 * LARGE; gpa += PAGE) {
        assert_int_equal(guestmem_write(&w->vm, gpa + PAGE - 8, &gpa, sizeof(gpa)), 0);
    }
}

static void expect_words(world_t *w)
{
    for (uintptr_t gpa = RAM; gpa < RAM + 2 * LARGE; gpa += PAGE) {
        assert_int_equal(*(const uint64_t *)(guest_bytes(w, gpa) + PAGE - 8), gpa);
        assert_int_equal(word_at(w, gpa + PAGE - 8), gpa);
    }
}

static int track_pages(world_t *w)
{
    return guestmem_track_written(&w->vm, ram(w), GUESTMEM_TRACK_PAGES);
}

static void large_frames_are_broken_with_what_is_in_them(void **state)
{
    world_t *w = *state;
    register_large_ram(w);
    assert_int_equal(track_pages(w), 0);
    assert_int_equal(guest_mapping_at(w, RAM).size_bits, 12);
    expect_words(w);
    assert_false(guest_writes(w, RAM + LARGE + 5 * PAGE));
    assert_int_equal(fault_at(w, RAM + LARGE + 5 * PAGE), FAULT_RESTART);
    seen_t seen = report(w);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.addr[0], RAM + LARGE + 5 * PAGE);
    assert_int_equal(seen.size[0], PAGE);
    assert_int_equal(track_pages(w), 0);
    assert_int_equal(guestmem_track_written(&w->vm, ram(w), GUESTMEM_TRACK_NOTHING), 0);
    assert_true(guest_writes(w, RAM));
}

/* Far operations are alike: fewer of them. */
static void breaking_frames_is_all_or_nothing(void **state)
{
    world_t *w = *state;
    hosted_census_t before;
    register_large_ram(w);
    hosted_census_take(w->system, &before);
    int failures = 0;
    for (uint64_t k = 1, fired = true; fired; k += 1 + k / 32) {
        hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
        int error = track_pages(w);
        fired = hosted_inject_fired(w->system);
        hosted_inject_stop(w->system);
        assert_int_equal(error, fired ? -1 : 0);
        if (fired) {
            failures++;
            expect_census(w, &before);
            assert_true(guest_writes(w, RAM) && guest_writes(w, RAM + LARGE));
            assert_int_equal(guest_mapping_at(w, RAM + LARGE).size_bits, 21);
        }
    }
    assert_true(failures > 100);
    expect_words(w);
    w->log_lines = 0;
}

static void a_pointer_to_a_small_frame_outlives_the_large_ones(void **state)
{
    world_t *w = *state;
    uint64_t word = 9;
    assert_int_equal(vm_ram_register_at(&w->vm, RAM - PAGE, LARGE + PAGE, false), 0);
    volatile uint64_t *pointer = guestmem_pointer(&w->vm, RAM - PAGE, 8);
    assert_non_null(pointer);
    assert_int_equal(guestmem_write(&w->vm, RAM - 4, &word, sizeof(word)), 0);
    assert_int_equal(track_pages(w), 0);
    *pointer = 5;
    assert_int_equal(word_at(w, RAM - PAGE), 5);
    word = 0;
    assert_int_equal(guestmem_read(&w->vm, RAM - 4, &word, sizeof(word)), 0);
    assert_int_equal(word, 9);
}

static void frames_that_cannot_move_are_not_broken(void **state)
{
    world_t *w = *state;
    register_large_ram(w);
    assert_non_null(guestmem_pointer(&w->vm, RAM + LARGE, 8));
    assert_int_equal(track_pages(w), -1);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    assert_int_equal(guestmem_last_error(&w->vm)->other_base, RAM);
    track(w);
    assert_int_equal(track_pages(w), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(vm_ram_register_at(&w->vm, RAM_PADDR, LARGE, true), 0);
    vm_memory_reservation_t *fixed = guestmem_find_reservation(&w->vm, RAM_PADDR);
    assert_int_equal(guestmem_track_written(&w->vm, fixed, GUESTMEM_TRACK_PAGES), -1);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    assert_int_equal(guestmem_track_written(&w->vm, fixed, (guestmem_track_t)3), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
}

/* A kernel that does not map a frame again where it is mapped. */
static void where_the_kernel_refuses_remaps_frames_are_unmapped_before(void **state)
{
    world_t *w = *state;
    hosted_system_refuse_remaps(w->system);
    register_ram(w, 2 * LARGE);
    track(w);
    assert_false(guest_writes(w, RAM));
    assert_int_equal(fault_at(w, RAM), FAULT_RESTART);
    for (uint64_t k = 1, fired = true; fired; k++) {
        hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
        int error = guestmem_protect(&w->vm, RAM, 2 * LARGE, seL4_CanRead);
        fired = hosted_inject_fired(w->system);
        hosted_inject_stop(w->system);
        assert_int_equal(error, fired ? -1 : 0);
        assert_int_equal(guest_writes(w, RAM), fired);
        assert_true(guest_has(w, RAM + LARGE) && !guest_writes(w, RAM + LARGE));
    }
    w->log_lines = 0;
}

/* Arguments, and what fails half-way. */

static void arguments_are_checked(void **state)
{
    world_t *w = *state;
    seen_t seen = {.count = 0};
    vm_t other;
    world_make_vm(w, &other);
    register_ram(w, LARGE);
    assert_int_equal(guestmem_discard(NULL, RAM, LARGE, NULL), -1);
    assert_int_equal(guestmem_populate(NULL, RAM, LARGE), -1);
    assert_int_equal(guestmem_protect(NULL, RAM, LARGE, seL4_CanRead), -1);
    assert_int_equal(guestmem_track_written(NULL, ram(w), GUESTMEM_TRACK_FRAMES), -1);
    assert_int_equal(guestmem_written(NULL, ram(w), see, &seen), -1);
    assert_int_equal(guestmem_set_discarded(NULL, GUESTMEM_DISCARDED_LEFT), -1);
    w->log_lines = 0;
    assert_int_equal(guestmem_set_discarded(&w->vm, (guestmem_discarded_t)2), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_track_written(&w->vm, ram(w), GUESTMEM_TRACK_NOTHING), 0);
    assert_int_equal(guestmem_written(&w->vm, ram(w), see, &seen), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    track(w);
    track(w);
    assert_int_equal(guestmem_written(&w->vm, ram(w), NULL, &seen), -1);
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    assert_int_equal(guestmem_written(&w->vm, NULL, see, &seen), -1);
    assert_int_equal(guestmem_written(&other, ram(w), see, &seen), -1);
    w->log_lines = 0;
    vm_memory_destroy(&other);
    world_renew(w);
    register_large_ram(w);
    assert_int_equal(track_pages(w), 0);
    assert_int_equal(track_pages(w), 0);
}

/* With a kernel that maps over a mapping, and with one that does not. */
static void a_report_that_fails_loses_nothing(void **state)
{
    world_t *w = *state;
    for (int refuses = 0; refuses < 2; refuses++) {
        register_ram(w, 4 * LARGE);
        track(w);
        for (uint64_t k = 1, fired = true; fired; k++) {
            seen_t seen = {.count = 0};
            for (uintptr_t i = 0; i < 3; i++) {
                fault_at(w, RAM + i * LARGE);
            }
            w->log_lines = 0;
            hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
            int error = guestmem_written(&w->vm, ram(w), see, &seen);
            fired = hosted_inject_fired(w->system);
            hosted_inject_stop(w->system);
            assert_int_equal(error, fired ? -1 : 0);
            assert_int_equal(seen.count, fired ? 0 : 3);
            assert_true(fired ? guest_writes(w, RAM + 2 * LARGE) : !guest_writes(w, RAM));
        }
        w->log_lines = 0;
        world_renew(w);
        hosted_system_refuse_remaps(w->system);
    }
}

static int count(vm_t *vm, uintptr_t addr, size_t size, void *cookie)
{
    (void)vm, (void)addr, (void)size;
    ++*(int *)cookie;
    return 0;
}

/* An access that fails has had frames mapped, with the right to write, and taken back. */
static void what_went_again_is_not_armed_again(void **state)
{
    world_t *w = *state;
    uint64_t word;
    register_ram(w, LARGE);
    track(w);
    discard(w, RAM, LARGE);
    for (uint64_t k = 1, fired = true; fired; k++) {
        hosted_inject_fail_from(w->system, HOSTED_OPERATION_FORWARD, k);
        int error = guestmem_read(&w->vm, RAM + 8, &word, sizeof(word));
        fired = hosted_inject_fired(w->system);
        hosted_inject_stop(w->system);
        assert_int_equal(error, fired ? -1 : 0);
        int pages = 0;
        assert_int_equal(guestmem_written(&w->vm, ram(w), count, &pages), 0);
        assert_true(fired || pages == 1);
    }
    w->log_lines = 0;
}

static void memory_without_the_right_to_read_is_not_tracked(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *frames = world_reserve(w, RAM, 3 * LARGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, frames), 0);
    assert_int_equal(guestmem_protect(&w->vm, RAM, LARGE, seL4_NoRights), 0);
    assert_int_equal(guestmem_protect(&w->vm, RAM + LARGE, LARGE, seL4_CanRead), 0);
    assert_int_equal(guestmem_track_written(&w->vm, frames, GUESTMEM_TRACK_FRAMES), 0);
    assert_int_equal(fault_at(w, RAM), w->fault_answer);
    assert_int_equal(fault_at(w, RAM + LARGE), w->fault_answer);
    assert_int_equal(w->faults, 2);
    assert_int_equal(fault_at(w, RAM + 2 * LARGE), FAULT_RESTART);
    assert_int_equal(report(w).addr[0], RAM + 2 * LARGE);
}

/* What comes again is frames with all rights: a fault at one is old, but not at others. */
static void a_fault_where_rights_forbid_the_access_is_not_old(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *frames = world_reserve(w, RAM, 4 * LARGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, frames), 0);
    assert_int_equal(discard(w, RAM, LARGE), LARGE);
    assert_int_equal(fault_at(w, RAM), FAULT_RESTART);
    assert_int_equal(fault_at(w, RAM), FAULT_RESTART);
    assert_int_equal(guestmem_protect(&w->vm, RAM + LARGE, LARGE, seL4_CanRead), 0);
    assert_int_equal(guestmem_protect(&w->vm, RAM + 2 * LARGE, LARGE, seL4_NoRights), 0);
    assert_int_equal(w->faults, 0);
    assert_int_equal(fault_at(w, RAM + LARGE), w->fault_answer);
    assert_int_equal(fault_at(w, RAM + 2 * LARGE), w->fault_answer);
    assert_int_equal(w->faults, 2);
}

static void a_write_across_reservations_is_noted_in_each(void **state)
{
    world_t *w = *state;
    char bytes[16] = {1};
    register_ram(w, LARGE);
    assert_int_equal(vm_ram_register_at(&w->vm, RAM + LARGE, LARGE, false), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, RAM + 2 * LARGE, LARGE, false), 0);
    vm_memory_reservation_t *third = guestmem_find_reservation(&w->vm, RAM + 2 * LARGE);
    track(w);
    assert_int_equal(guestmem_track_written(&w->vm, third, GUESTMEM_TRACK_FRAMES), 0);
    assert_int_equal(guestmem_write(&w->vm, RAM + LARGE - 8, bytes, 16), 0);
    assert_int_equal(guestmem_write(&w->vm, RAM + 2 * LARGE - 8, bytes, 16), 0);
    assert_int_equal(report(w).count, 1);
    seen_t seen = {.count = 0};
    assert_int_equal(guestmem_written(&w->vm, third, see, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.addr[0], RAM + 2 * LARGE);
}

/* Memory of a device untyped at a chosen address, as RAM is at 1:1 on some boards. */
static void fixed_ram_of_reserved_memory_comes_again(void **state)
{
    world_t *w = *state;
    const uintptr_t reserved = 0x48000000;
    assert_int_equal(vm_ram_register_at(&w->vm, reserved, 2 * LARGE, true), 0);
    assert_int_equal(discard(w, reserved, LARGE), LARGE);
    assert_false(guest_has(w, reserved));
    uint64_t words[2] = {1, 1};
    assert_int_equal(guestmem_read(&w->vm, reserved + LARGE - 8, words, 16), 0);
    assert_true(guest_has(w, reserved));
    assert_int_equal(guest_mapping_at(w, reserved).paddr, reserved);
}

static void only_frames_with_pointers_count_as_written(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_ram_register_at(&w->vm, RAM - PAGE, 4 * LARGE + PAGE, false), 0);
    assert_non_null(guestmem_pointer(&w->vm, RAM + LARGE, 8));
    assert_non_null(guestmem_pointer(&w->vm, RAM + 3 * LARGE, 8));
    vm_memory_reservation_t *all = guestmem_find_reservation(&w->vm, RAM);
    assert_int_equal(guestmem_track_written(&w->vm, all, GUESTMEM_TRACK_FRAMES), 0);
    for (int i = 0; i < 2; i++) {
        seen_t seen = {.count = 0};
        assert_int_equal(guestmem_written(&w->vm, all, see, &seen), 0);
        assert_int_equal(seen.count, 2);
        assert_int_equal(seen.addr[0], RAM + LARGE);
        assert_int_equal(seen.addr[1], RAM + 3 * LARGE);
    }
}

/* Costs. */

#define FRAMES 32

static void costs_in_kernel_invocations(void **state)
{
    world_t *w = *state;
    vm_memory_reservation_t *reservation = world_reserve(w, RAM, (FRAMES + 1) * LARGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, reservation), 0);
    uint64_t before = hosted_invocation_total(w->system);
    track(w);
    assert_in_range(hosted_invocation_total(w->system) - before, 1, FRAMES + 1);
    for (uintptr_t i = 0; i < 5; i++) {
        before = hosted_invocation_total(w->system);
        assert_int_equal(fault_at(w, RAM + 3 * i * LARGE), FAULT_RESTART);
        assert_int_equal(hosted_invocation_total(w->system) - before, 1);
    }
    before = hosted_invocation_total(w->system);
    assert_int_equal(report(w).count, 5);
    assert_int_equal(hosted_invocation_total(w->system) - before, 5);
    assert_int_equal(guestmem_track_written(&w->vm, ram(w), GUESTMEM_TRACK_NOTHING), 0);

    before = hosted_invocation_total(w->system);
    uint64_t maps = hosted_invocation_count(w->system, HOSTED_PAGE_MAP);
    assert_int_equal(discard(w, RAM, FRAMES * LARGE), FRAMES * LARGE);
    assert_int_equal(guestmem_populate(&w->vm, RAM, FRAMES * LARGE), 0);
    /* A delete, a retype and a map each; and the allocator joins memory and splits it again. */
    assert_in_range(hosted_invocation_total(w->system) - before, 3 * FRAMES, 3 * FRAMES + 10);
    assert_int_equal(hosted_invocation_count(w->system, HOSTED_PAGE_MAP), maps + FRAMES);
    assert_int_equal(hosted_invocation_count(w->system, HOSTED_CNODE_DELETE), FRAMES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_description_says_what_is_mapped_and_how),
        world_test(only_whole_frames_are_given_back),
        world_test(what_was_discarded_comes_again_zeroed_for_the_guest),
        world_test(what_was_discarded_comes_again_zeroed_for_the_vmm),
        world_test(what_comes_again_and_does_not_suit_the_window_is_accessed_by_itself),
        world_test(ram_grows_and_shrinks_at_its_end),
        world_test(an_access_that_fails_fills_nothing),
        world_test(what_is_left_out_faults_until_it_is_populated),
        world_test(fixed_ram_comes_again_where_it_was),
        world_test(a_callers_and_a_devices_frames_are_refused),
        world_test(ranges_must_lie_in_one_mapped_reservation),
        world_test(rights_change_for_whole_frames),
        world_test(frames_that_are_missing_have_no_rights_to_change),
        world_test(a_callers_frames_get_no_more_than_they_had),
        world_test(what_the_guest_writes_is_reported_once),
        world_test(what_the_vmm_writes_is_reported_too),
        world_test(memory_that_the_vmm_has_a_pointer_to_counts_as_written),
        world_test(a_report_may_end_early_and_goes_on_in_the_next),
        world_test(rights_and_tracking_go_together),
        world_test(large_frames_are_broken_with_what_is_in_them),
        world_test(breaking_frames_is_all_or_nothing),
        world_test(a_pointer_to_a_small_frame_outlives_the_large_ones),
        world_test(frames_that_cannot_move_are_not_broken),
        world_test(where_the_kernel_refuses_remaps_frames_are_unmapped_before),
        world_test(arguments_are_checked),
        world_test(a_report_that_fails_loses_nothing),
        world_test(what_went_again_is_not_armed_again),
        world_test(memory_without_the_right_to_read_is_not_tracked),
        world_test(a_fault_where_rights_forbid_the_access_is_not_old),
        world_test(a_write_across_reservations_is_noted_in_each),
        world_test(fixed_ram_of_reserved_memory_comes_again),
        world_test(only_frames_with_pointers_count_as_written),
        world_test(costs_in_kernel_invocations),
    };
    return cmocka_run_group_tests_name("change", tests, NULL, NULL);
}
