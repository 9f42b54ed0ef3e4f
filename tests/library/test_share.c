/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Frames that two VMs have. */

#include "world.h"

#include <guestmem/change.h>
#include <simple/simple.h>
#include <vka/capops.h>
#include <vka/object.h>
#include <vka/capops.h>
#include <vka/object.h>

#define RAM   ((uintptr_t)0x80000000)
#define THERE ((uintptr_t)0x40000000)
#define LARGE (2 * MEGABYTE)

/* The world's VM and a second one, which gets what the first one has. */
typedef struct pair {
    world_t *world;
    vm_t other;
    hosted_census_t empty; /* with both, and without memory */
} pair_t;

static void begin(pair_t *pair, world_t *world)
{
    pair->world = world;
    world_make_vm(world, &pair->other);
    hosted_census_take(world->system, &pair->empty);
}

static void end(pair_t *pair)
{
    expect_census(pair->world, &pair->empty);
    vm_memory_destroy(&pair->other);
}

static vm_memory_reservation_t *share(pair_t *pair, uintptr_t addr, size_t size, uintptr_t to_addr,
                                      seL4_CapRights_t rights)
{
    return guestmem_share(&pair->world->vm, addr, size, &pair->other, to_addr, rights, record_fault,
                          pair->world);
}

/* RAM of large frames in the first VM, or of small ones. */
static vm_memory_reservation_t *make_ram(pair_t *pair, size_t size, bool small)
{
    vm_t *vm = &pair->world->vm;
    assert_int_equal(guestmem_set_largest_frame(vm, small ? 12 : 21), 0);
    assert_int_equal(vm_ram_register_at(vm, RAM, size, false), 0);
    return guestmem_find_reservation(vm, RAM);
}

static uint32_t word_of(vm_t *vm, uintptr_t gpa)
{
    uint32_t word = 0;
    assert_int_equal(guestmem_access(vm, gpa, sizeof(word), vm_guest_ram_read_callback, &word), 0);
    return word;
}

static void write_word(vm_t *vm, uintptr_t gpa, uint32_t word)
{
    assert_int_equal(guestmem_access(vm, gpa, sizeof(word), vm_guest_ram_write_callback, &word), 0);
}

static hosted_stage2_mapping_t mapping_of(pair_t *pair, vm_t *vm, uintptr_t gpa)
{
    hosted_stage2_mapping_t mapping;
    assert_true(
        hosted_stage2_translate(pair->world->system, vm->mem.vm_vspace_root.cptr, gpa, &mapping));
    return mapping;
}

static void expect_other_failure(pair_t *pair, guestmem_error_code_t code)
{
    assert_int_equal(guestmem_last_error(&pair->other)->code, code);
    assert_int_equal(pair->world->log_lines, 1);
    pair->world->log_lines = 0;
}

static void both_see_one_memory(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    vm_t *vm = &pair.world->vm;
    vm_memory_reservation_t *ram = make_ram(&pair, 4 * LARGE, false);
    write_word(vm, RAM + LARGE + 8, 0x1234);
    vm_memory_reservation_t *shared = share(&pair, RAM + LARGE, 2 * LARGE, THERE, seL4_CanRead);
    assert_non_null(shared);
    hosted_stage2_mapping_t here = mapping_of(&pair, vm, RAM + 2 * LARGE);
    hosted_stage2_mapping_t there = mapping_of(&pair, &pair.other, THERE + LARGE);
    assert_int_equal(here.paddr, there.paddr);
    assert_int_equal(there.size_bits, 21);
    assert_true(here.write && there.read && !there.write && there.cacheable);
    assert_int_equal(word_of(&pair.other, THERE + 8), 0x1234);
    write_word(&pair.other, THERE + 12, 7); /* the VMM may */
    assert_int_equal(word_of(vm, RAM + LARGE + 12), 7);
    assert_int_equal(vm_memory_handle_fault(&pair.other, NULL, THERE, 4), FAULT_HANDLED);
    assert_int_equal(pair.world->fault_addr, THERE);
    guestmem_reservation_info_t info;
    assert_int_equal(guestmem_reservation_info(&pair.other, shared, &info), 0);
    assert_int_equal(info.backing, GUESTMEM_SHARED);
    assert_int_equal(info.frames[GUESTMEM_FRAME_2M], 2);
    assert_int_equal(vm_free_reserved_memory(&pair.other, shared), 0);
    assert_int_equal(vm_free_reserved_memory(vm, ram), 0);
    end(&pair);
}

/* Whoever ends last gives the memory back: none of it before, all of it then. */
static void either_may_be_freed_first(void **state)
{
    for (int order = 0; order < 4; order++) {
        pair_t pair;
        begin(&pair, *state);
        vm_t *vm = &pair.world->vm;
        hosted_census_t had;
        hosted_census_t has;
        vm_memory_reservation_t *ram = make_ram(&pair, 16 * PAGE, true);
        vm_memory_reservation_t *once = share(&pair, RAM, 16 * PAGE, THERE, seL4_AllRights);
        vm_memory_reservation_t *again = guestmem_share(&pair.other, THERE + PAGE, 2 * PAGE, vm,
                                                        THERE, seL4_AllRights, record_fault, NULL);
        assert_true(once != NULL && again != NULL);
        write_word(vm, THERE, 0x5a5a);
        hosted_census_take(pair.world->system, &had);
        if (order % 2 == 0) {
            assert_int_equal(vm_free_reserved_memory(vm, ram), 0);
            hosted_census_take(pair.world->system, &has);
            assert_int_equal(has.frames_4k, had.frames_4k);
            assert_int_equal(word_of(&pair.other, THERE + PAGE), 0x5a5a);
        }
        if (order / 2 == 0) {
            assert_int_equal(vm_free_reserved_memory(vm, again), 0);
        }
        assert_int_equal(vm_free_reserved_memory(&pair.other, once), 0);
        if (order % 2 != 0) {
            assert_int_equal(word_of(vm, RAM + PAGE), 0x5a5a);
            assert_int_equal(vm_free_reserved_memory(vm, ram), 0);
        }
        if (order / 2 != 0) {
            hosted_census_take(pair.world->system, &has);
            assert_int_equal(has.frames_4k, had.frames_4k - 14);
            assert_int_equal(word_of(vm, THERE), 0x5a5a);
            assert_int_equal(vm_free_reserved_memory(vm, again), 0);
        }
        end(&pair);
    }
}

static void a_vm_may_end_before_the_other(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    make_ram(&pair, 4 * LARGE, false);
    vm_memory_reservation_t *shared = share(&pair, RAM, LARGE, THERE, seL4_AllRights);
    assert_non_null(shared);
    write_word(&pair.other, THERE, 99);
    vm_memory_destroy(&pair.world->vm);
    assert_int_equal(word_of(&pair.other, THERE), 99);
    vm_memory_destroy(&pair.other);
    expect_census(pair.world, &pair.world->before);
    world_make_vm(pair.world, &pair.world->vm);
}

static void what_the_owner_discards_is_shared_no_more(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    vm_t *vm = &pair.world->vm;
    vm_memory_reservation_t *ram = make_ram(&pair, 8 * PAGE, true);
    vm_memory_reservation_t *shared = share(&pair, RAM, 8 * PAGE, THERE, seL4_AllRights);
    write_word(vm, RAM + PAGE, 5);
    assert_int_equal(guestmem_discard(vm, RAM + PAGE, PAGE, NULL), 0);
    assert_int_equal(word_of(vm, RAM + PAGE), 0);
    assert_int_equal(word_of(&pair.other, THERE + PAGE), 5);
    assert_int_equal(guestmem_discard(&pair.other, THERE, PAGE, NULL), -1);
    expect_other_failure(&pair, GUESTMEM_BAD_FRAME);
    assert_int_equal(vm_free_reserved_memory(vm, ram), 0);
    assert_int_equal(vm_free_reserved_memory(&pair.other, shared), 0);
    end(&pair);
}

static int count(vm_t *vm, uintptr_t addr, size_t size, void *cookie)
{
    (void)vm;
    (void)addr;
    *(size_t *)cookie += size;
    return 0;
}

static void rights_and_tracking_are_each_vms_own(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    size_t written = 0;
    vm_t *vm = &pair.world->vm;
    vm_memory_reservation_t *ram = make_ram(&pair, 2 * LARGE, false);
    vm_memory_reservation_t *shared = share(&pair, RAM, 2 * LARGE, THERE, seL4_AllRights);
    assert_int_equal(guestmem_track_written(&pair.other, shared, GUESTMEM_TRACK_FRAMES), 0);
    assert_int_equal(guestmem_protect(vm, RAM + LARGE, LARGE, seL4_CanRead), 0);
    assert_true(mapping_of(&pair, vm, RAM).write && !mapping_of(&pair, vm, RAM + LARGE).write);
    assert_int_equal(vm_memory_handle_fault(&pair.other, NULL, THERE + LARGE, 4), FAULT_RESTART);
    assert_true(mapping_of(&pair, &pair.other, THERE + LARGE).write);
    assert_int_equal(guestmem_written(&pair.other, shared, count, &written), 0);
    assert_int_equal(written, LARGE);
    assert_int_equal(guestmem_track_written(&pair.other, shared, GUESTMEM_TRACK_NOTHING), 0);
    assert_int_equal(guestmem_track_written(&pair.other, shared, GUESTMEM_TRACK_PAGES), -1);
    expect_other_failure(&pair, GUESTMEM_BAD_FRAME);
    assert_int_equal(guestmem_track_written(vm, ram, GUESTMEM_TRACK_PAGES), -1);
    expect_failure(pair.world, GUESTMEM_BAD_FRAME);
    assert_int_equal(vm_free_reserved_memory(&pair.other, shared), 0);
    assert_int_equal(vm_free_reserved_memory(vm, ram), 0);
    end(&pair);
}

/* A caller's frames. */
typedef struct handed {
    seL4_CPtr cap;
    seL4_CapRights_t rights;
    size_t size_bits;
} handed_t;

static vm_frame_t hand_in(uintptr_t addr, void *cookie)
{
    const handed_t *handed = cookie;
    return (vm_frame_t){handed->cap, handed->rights, addr, handed->size_bits};
}

static void a_callers_frames_stay_the_callers(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    vm_t *vm = &pair.world->vm;
    vka_object_t frame = world_frame(pair.world, 12);
    handed_t handed = {frame.cptr, seL4_ReadWrite, 12};
    vm_memory_reservation_t *reservation = world_reserve(pair.world, RAM, PAGE);
    assert_int_equal(vm_map_reservation(vm, reservation, hand_in, &handed), 0);
    vm_memory_reservation_t *shared = share(&pair, RAM, PAGE, THERE, seL4_CanRead);
    assert_non_null(shared);
    vm_memory_reservation_t *again =
        guestmem_share(&pair.other, THERE, PAGE, vm, THERE, seL4_AllRights, record_fault, NULL);
    assert_non_null(again);
    assert_int_equal(vm_free_reserved_memory(vm, reservation), 0);
    write_word(&pair.other, THERE, 3);
    assert_int_equal(vm_free_reserved_memory(&pair.other, shared), 0);
    assert_int_equal(word_of(vm, THERE), 3);
    assert_int_equal(vm_free_reserved_memory(vm, again), 0);
    vka_free_object(vm->vka, &frame);
    end(&pair);
}

/* Nor does the VMM write by a capability without the right to, which would fault. */
static void a_callers_frames_have_no_more_rights_than_they_were_handed_in_with(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    uint32_t word = 3;
    cspacepath_t from;
    cspacepath_t copy;
    vm_t *vm = &pair.world->vm;
    vka_object_t frame = world_frame(pair.world, 12);
    vka_cspace_make_path(vm->vka, frame.cptr, &from);
    assert_int_equal(vka_cspace_alloc_path(vm->vka, &copy), 0);
    assert_int_equal(vka_cnode_mint(&copy, &from, seL4_CanRead, 0), 0);
    handed_t handed = {copy.capPtr, seL4_CanRead, 12};
    vm_memory_reservation_t *reservation = world_reserve(pair.world, RAM, PAGE);
    assert_int_equal(vm_map_reservation(vm, reservation, hand_in, &handed), 0);
    assert_null(share(&pair, RAM, PAGE, THERE, seL4_ReadWrite));
    expect_other_failure(&pair, GUESTMEM_NO_RIGHT);
    vm_memory_reservation_t *shared = share(&pair, RAM, PAGE, THERE, seL4_CanRead);
    assert_non_null(shared);
    assert_int_equal(word_of(&pair.other, THERE), 0);
    assert_int_equal(guestmem_access(&pair.other, THERE, 4, vm_guest_ram_write_callback, &word),
                     -1);
    expect_other_failure(&pair, GUESTMEM_NO_RIGHT);
    assert_int_equal(guestmem_protect(&pair.other, THERE, PAGE, seL4_ReadWrite), 0);
    assert_false(mapping_of(&pair, &pair.other, THERE).write);
    assert_null(
        guestmem_share(&pair.other, THERE, PAGE, vm, THERE, seL4_ReadWrite, record_fault, NULL));
    expect_failure(pair.world, GUESTMEM_NO_RIGHT);
    assert_int_equal(vm_free_reserved_memory(&pair.other, shared), 0);
    assert_int_equal(vm_free_reserved_memory(vm, reservation), 0);
    assert_int_equal(vka_cnode_delete(&copy), 0);
    vka_cspace_free_path(vm->vka, copy);
    vka_free_object(vm->vka, &frame);
    end(&pair);
}

static void a_callers_large_frames_are_not_broken_where_they_are_shared(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    vm_t *vm = &pair.world->vm;
    vka_object_t frame = world_frame(pair.world, 21);
    handed_t handed = {frame.cptr, seL4_ReadWrite, 21};
    vm_memory_reservation_t *reservation = world_reserve(pair.world, RAM, LARGE);
    assert_int_equal(vm_map_reservation(vm, reservation, hand_in, &handed), 0);
    vm_memory_reservation_t *shared = share(&pair, RAM, LARGE, THERE, seL4_ReadWrite);
    assert_int_equal(guestmem_track_written(&pair.other, shared, GUESTMEM_TRACK_PAGES), -1);
    expect_other_failure(&pair, GUESTMEM_BAD_FRAME);
    write_word(vm, RAM, 8);
    assert_int_equal(word_of(&pair.other, THERE), 8);
    assert_int_equal(vm_free_reserved_memory(&pair.other, shared), 0);
    assert_int_equal(vm_free_reserved_memory(vm, reservation), 0);
    vka_free_object(vm->vka, &frame);
    end(&pair);
}

static void what_cannot_be_shared_is_refused(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    vm_t *vm = &pair.world->vm;
    hosted_census_t before;
    vm_memory_reservation_t *ram = make_ram(&pair, 4 * LARGE, false);
    vm_memory_reservation_t *emulated = world_reserve(pair.world, THERE, LARGE);
    assert_int_equal(guestmem_discard(vm, RAM + 3 * LARGE, LARGE, NULL), 0);
    hosted_census_take(pair.world->system, &before);
    const struct {
        uintptr_t addr;
        size_t size;
        uintptr_t to_addr;
        guestmem_error_code_t code;
    } refused[] = {
        {RAM, 0, THERE, GUESTMEM_BAD_RANGE},
        {RAM, 5 * LARGE, THERE, GUESTMEM_BAD_RANGE},
        {THERE, LARGE, THERE, GUESTMEM_NOT_MAPPED},
        {RAM + 2 * LARGE, 2 * LARGE, THERE, GUESTMEM_NOT_MAPPED},
        {RAM + PAGE, LARGE, THERE, GUESTMEM_MISALIGNED},
        {RAM, LARGE + PAGE, THERE, GUESTMEM_MISALIGNED},
        {RAM, LARGE, THERE + PAGE, GUESTMEM_MISALIGNED},
        {RAM, LARGE, THERE + 1, GUESTMEM_MISALIGNED},
        {RAM, LARGE, UINTPTR_MAX - PAGE + 1, GUESTMEM_BAD_RANGE},
        {RAM, LARGE, (uintptr_t)1 << 60, GUESTMEM_BAD_RANGE},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_null(
            share(&pair, refused[i].addr, refused[i].size, refused[i].to_addr, seL4_AllRights));
        expect_other_failure(&pair, refused[i].code);
        expect_census(pair.world, &before);
    }
    assert_null(
        guestmem_share(vm, RAM, LARGE, vm, RAM + LARGE, seL4_AllRights, record_fault, NULL));
    expect_failure(pair.world, GUESTMEM_OVERLAP);
    assert_null(guestmem_share(NULL, RAM, LARGE, vm, THERE, seL4_AllRights, record_fault, NULL));
    assert_int_equal(guestmem_last_error(vm)->code, GUESTMEM_BAD_ARGUMENT);
    assert_null(guestmem_share(vm, RAM, LARGE, NULL, THERE, seL4_AllRights, record_fault, NULL));
    pair.world->log_lines = 0;
    expect_census(pair.world, &before);
    assert_int_equal(vm_free_reserved_memory(vm, emulated), 0);
    assert_int_equal(vm_free_reserved_memory(vm, ram), 0);
    end(&pair);
}

/* A part of a page is the reservation's, and the page is shared. */
static void a_reservation_within_a_page_is_shared_as_it_is(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    vm_t *vm = &pair.world->vm;
    vm_memory_reservation_t *reservation = world_reserve(pair.world, RAM + 0x100, PAGE);
    assert_int_equal(map_frame_alloc_reservation(vm, reservation), 0);
    assert_null(share(&pair, RAM + 0x200, PAGE - 0x200, THERE + 0x200, seL4_AllRights));
    expect_other_failure(&pair, GUESTMEM_MISALIGNED);
    vm_memory_reservation_t *shared =
        share(&pair, RAM + 0x100, PAGE, THERE + 0x100, seL4_AllRights);
    assert_non_null(shared);
    write_word(vm, RAM + 0x100, 11);
    assert_int_equal(word_of(&pair.other, THERE + 0x100), 11);
    assert_int_equal(vm_free_reserved_memory(vm, reservation), 0);
    assert_int_equal(vm_free_reserved_memory(&pair.other, shared), 0);
    end(&pair);
}

/* Frames that simple hands out: copies, whose memory is not the library's to give back. */
static vka_object_t simples_frame;

static seL4_Error copy_frame(void *data, void *paddr, int size_bits, cspacepath_t *path)
{
    cspacepath_t from;
    (void)data;
    if (size_bits != 12 || (uintptr_t)paddr != RAM_PADDR) {
        return seL4_FailedLookup;
    }
    vka_cspace_make_path(hosted_vka(hosted_system_current()), simples_frame.cptr, &from);
    return (seL4_Error)vka_cnode_copy(path, &from, seL4_AllRights);
}

static void what_simple_handed_out_stays_its_own(void **state)
{
    pair_t pair;
    begin(&pair, *state);
    vm_t *vm = &pair.world->vm;
    simple_t simple = *vm->simple;
    simple_t *before = vm->simple;
    assert_int_equal(vka_alloc_frame_at(vm->vka, 12, RAM_PADDR, &simples_frame), 0);
    simple.frame_cap = copy_frame;
    vm->simple = &simple;
    vm_memory_reservation_t *reservation = world_reserve(pair.world, RAM_PADDR, PAGE);
    assert_int_equal(map_ut_alloc_reservation(vm, reservation), 0);
    for (uint64_t k = 1, fired = true; fired; k++) {
        hosted_inject_fail(pair.world->system, HOSTED_OPERATION_FORWARD, k);
        vm_memory_reservation_t *shared = share(&pair, RAM_PADDR, PAGE, THERE, seL4_AllRights);
        fired = hosted_inject_fired(pair.world->system);
        hosted_inject_stop(pair.world->system);
        assert_true(fired || shared != NULL);
        if (shared != NULL) {
            write_word(&pair.other, THERE, 0x77);
            assert_int_equal(word_of(vm, RAM_PADDR), 0x77);
            assert_int_equal(vm_free_reserved_memory(&pair.other, shared), 0);
        }
        pair.world->log_lines = 0;
    }
    assert_int_equal(word_of(vm, RAM_PADDR), 0x77);
    assert_int_equal(vm_free_reserved_memory(vm, reservation), 0);
    vm->simple = before;
    vka_free_object(vm->vka, &simples_frame);
    end(&pair);
}

/* Where a capability of one VM's stays, nobody gives the memory to others. */
static void a_capability_that_stays_keeps_the_memory(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        world_t *w = NULL;
        hosted_census_t had;
        hosted_census_t has;
        assert_int_equal(world_setup((void **)&w), 0);
        pair_t pair;
        begin(&pair, w);
        vm_memory_reservation_t *ram = make_ram(&pair, PAGE, true);
        vm_memory_reservation_t *shared = share(&pair, RAM, PAGE, THERE, seL4_AllRights);
        hosted_census_take(w->system, &had);
        hosted_inject_fail(w->system, HOSTED_OPERATION_UNDO, 1);
        assert_int_equal(who == 0 ? vm_free_reserved_memory(&w->vm, ram)
                                  : vm_free_reserved_memory(&pair.other, shared),
                         0);
        assert_true(hosted_inject_fired(w->system));
        hosted_inject_stop(w->system);
        vm_memory_destroy(&w->vm);
        vm_memory_destroy(&pair.other);
        hosted_census_take(w->system, &has);
        assert_int_equal(has.frames_4k, w->before.frames_4k + 1);
        assert_true(has.untyped_bytes >= w->before.untyped_bytes + PAGE);
        assert_int_equal(has.heap_bytes, w->before.heap_bytes);
        hosted_system_destroy(w->system);
        hosted_log_to(NULL, NULL);
        free(w);
    }
}

/* Neither where it is of a call that failed. */
static void a_capability_that_a_failed_call_leaves_keeps_the_memory(void **state)
{
    (void)state;
    unsigned kept = 0;
    bool fired = true;
    for (uint64_t k = 1; fired; k++) {
        world_t *w = NULL;
        hosted_census_t has;
        assert_int_equal(world_setup((void **)&w), 0);
        pair_t pair;
        begin(&pair, w);
        make_ram(&pair, PAGE, true);
        hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
        hosted_inject_then_fail(w->system, HOSTED_OPERATION_UNDO, 1);
        vm_memory_reservation_t *shared = share(&pair, RAM, PAGE, THERE, seL4_AllRights);
        fired = hosted_inject_fired(w->system);
        assert_true(fired ? shared == NULL : shared != NULL);
        hosted_inject_stop(w->system);
        vm_memory_destroy(&w->vm);
        vm_memory_destroy(&pair.other);
        hosted_census_take(w->system, &has);
        if (hosted_inject_fired_twice(w->system)) {
            kept++; /* the frame's, or a page table's */
            assert_int_equal(has.untyped_bytes, w->before.untyped_bytes + PAGE);
        }
        hosted_system_destroy(w->system);
        hosted_log_to(NULL, NULL);
        free(w);
    }
    assert_true(kept > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(both_see_one_memory),
        world_test(either_may_be_freed_first),
        world_test(a_vm_may_end_before_the_other),
        world_test(what_the_owner_discards_is_shared_no_more),
        world_test(rights_and_tracking_are_each_vms_own),
        world_test(a_callers_frames_stay_the_callers),
        world_test(a_callers_frames_have_no_more_rights_than_they_were_handed_in_with),
        world_test(a_callers_large_frames_are_not_broken_where_they_are_shared),
        world_test(what_cannot_be_shared_is_refused),
        world_test(a_reservation_within_a_page_is_shared_as_it_is),
        world_test(what_simple_handed_out_stays_its_own),
        cmocka_unit_test(a_capability_that_stays_keeps_the_memory),
        world_test(what_simple_handed_out_stays_its_own),
        cmocka_unit_test(a_capability_that_a_failed_call_leaves_keeps_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
