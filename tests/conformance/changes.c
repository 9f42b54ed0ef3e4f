/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Memory that changes: given back, got again, with other rights, and watched for being written; as
 * the allocator sees it, and as a guest does that runs. */

#include <guestmem/change.h>
#include "guest.h"
#include "objects.h"

static void discarded_frames_go_back_to_the_allocator(suite_t *suite)
{
    size_t discarded = 0;
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    holdings_t nothing = suite->counting.held;
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 8 * PAGE, false) == 0);
    holdings_t all = suite->counting.held;
    EXPECT(guestmem_discard(&suite->vm, GPA + 2 * PAGE - 1, 3 * PAGE, &discarded) == 0);
    EXPECT_EQUAL(discarded, 2 * PAGE);
    EXPECT_EQUAL(suite->counting.held.objects, all.objects - 2);
    EXPECT_EQUAL(suite->counting.held.slots, all.slots - 2);
    EXPECT(has_frame(suite, GPA + PAGE) && !has_frame(suite, GPA + 2 * PAGE));
    EXPECT(!has_frame(suite, GPA + 3 * PAGE) && has_frame(suite, GPA + 4 * PAGE));
    EXPECT(guestmem_populate(&suite->vm, GPA, 8 * PAGE) == 0);
    EXPECT_EQUAL(suite->counting.held.objects, all.objects);
    EXPECT(guestmem_discard(&suite->vm, GPA, 8 * PAGE, &discarded) == 0);
    EXPECT_EQUAL(discarded, 8 * PAGE);
    EXPECT_EQUAL(suite->counting.held.objects, nothing.objects); /* the page tables too */
    EXPECT(vm_free_reserved_memory(&suite->vm, guestmem_find_reservation(&suite->vm, GPA)) == 0);
    EXPECT_HELD(&nothing);
}

static void vmm_finds_zeros_where_memory_was_discarded(suite_t *suite)
{
    uint64_t words[2] = {1, 1};
    EXPECT(guestmem_set_largest_frame(&suite->vm, 12) == 0);
    EXPECT(vm_ram_register_at(&suite->vm, GPA, 4 * PAGE, false) == 0);
    EXPECT(guestmem_fill(&suite->vm, GPA, 0x5a, 4 * PAGE) == 0);
    EXPECT(guestmem_discard(&suite->vm, GPA + PAGE, 2 * PAGE, NULL) == 0);
    EXPECT(guestmem_read(&suite->vm, GPA + PAGE - 8, words, sizeof(words)) == 0);
    EXPECT_EQUAL(words[0], 0x5a5a5a5a5a5a5a5a);
    EXPECT_EQUAL(words[1], 0);
    EXPECT(has_frame(suite, GPA + PAGE) && !has_frame(suite, GPA + 2 * PAGE));
}

static void changes_take_a_kernel_call_a_frame(suite_t *suite)
{
    enum { FRAMES = 4 };
    EXPECT(guestmem_set_largest_frame(&suite->vm, 21) == 0);
    vm_memory_reservation_t *r = reserve(suite, GPA, FRAMES * 2 * MEGABYTE);
    REQUIRE(r != NULL && map_frame_alloc_reservation(&suite->vm, r) == 0);
    guestmem_statistics_t before = statistics_of(suite);
    EXPECT_EQUAL(before.frames[GUESTMEM_FRAME_2M], FRAMES);
    EXPECT(guestmem_track_written(&suite->vm, r, GUESTMEM_TRACK_FRAMES) == 0);
    EXPECT(guestmem_protect(&suite->vm, GPA, FRAMES * 2 * MEGABYTE, seL4_CanRead) == 0);
    guestmem_statistics_t now = statistics_of(suite);
    EXPECT_EQUAL(now.page_maps - before.page_maps, 2 * FRAMES);
    EXPECT_EQUAL(now.page_unmaps - before.page_unmaps, 0);
}

static void frame_that_is_cut_is_refused_and_named(suite_t *suite)
{
    EXPECT(guestmem_set_largest_frame(&suite->vm, 21) == 0);
    vm_memory_reservation_t *r = reserve(suite, GPA, 4 * MEGABYTE);
    REQUIRE(r != NULL && map_frame_alloc_reservation(&suite->vm, r) == 0);
    EXPECT_REFUSED(guestmem_protect(&suite->vm, GPA, 3 * MEGABYTE, seL4_CanRead) == -1,
                   GUESTMEM_MISALIGNED);
    EXPECT_EQUAL(guestmem_last_error(&suite->vm)->other_base, GPA + 2 * MEGABYTE);
    EXPECT_EQUAL(guestmem_last_error(&suite->vm)->other_last, GPA + 4 * MEGABYTE - 1);
}

/* The owner's memory is returned by whoever frees it last. */
static void shared_frames_go_back_with_the_last_reservation(suite_t *suite)
{
    static vm_t other;
    faults_t faults = {0};
    uint64_t word = 0x1234;
    EXPECT(guestmem_set_largest_frame(&suite->vm, 21) == 0);
    holdings_t nothing = suite->counting.held;
    REQUIRE(memory_make(suite, &other));
    holdings_t both = suite->counting.held;
    for (int owner_first = 0; owner_first < 2; owner_first++) {
        vm_memory_reservation_t *r = reserve(suite, GPA, 2 * MEGABYTE + 2 * PAGE);
        EXPECT(r != NULL && map_frame_alloc_reservation(&suite->vm, r) == 0);
        holdings_t owned = suite->counting.held;
        vm_memory_reservation_t *shared =
            guestmem_share(&suite->vm, GPA, 2 * MEGABYTE + PAGE, &other, GPA + 4 * MEGABYTE,
                           seL4_CanRead, record_fault, &faults);
        REQUIRE(shared != NULL);
        EXPECT(guestmem_access(&suite->vm, GPA + 2 * MEGABYTE, sizeof(word),
                               vm_guest_ram_write_callback, &word) == 0);
        EXPECT(vm_free_reserved_memory(owner_first ? &suite->vm : &other,
                                       owner_first ? r : shared) == 0);
        EXPECT(suite->counting.held.objects >= owned.objects - (owner_first ? 3 : 0));
        word = 0;
        EXPECT(guestmem_access(owner_first ? &other : &suite->vm,
                               GPA + (owner_first ? 6 : 2) * MEGABYTE, sizeof(word),
                               vm_guest_ram_read_callback, &word) == 0);
        EXPECT_EQUAL(word, 0x1234);
        EXPECT(vm_free_reserved_memory(owner_first ? &other : &suite->vm,
                                       owner_first ? shared : r) == 0);
        EXPECT_HELD(&both);
    }
    vm_memory_destroy(&other);
    EXPECT_HELD(&nothing);
}

static const check_t checks[] = {
    CHECK(shared_frames_go_back_with_the_last_reservation),
    CHECK(discarded_frames_go_back_to_the_allocator),
    CHECK(vmm_finds_zeros_where_memory_was_discarded),
    CHECK(changes_take_a_kernel_call_a_frame),
    CHECK(frame_that_is_cut_is_refused_and_named),
};

const area_t area_changes = AREA("changes", FIXTURE_MEMORY, checks);

/* As a guest sees it: with small frames, and with large ones. */

static const size_t sizes_bits[] = {12, 21};

static vm_memory_reservation_t *map_frames(suite_t *suite, size_t size_bits, size_t count,
                                           device_t *device)
{
    vm_t *vm = &suite->guest->vm;
    EXPECT(guestmem_set_largest_frame(vm, size_bits) == 0);
    vm_memory_reservation_t *r = guest_device(suite, GPA, count << size_bits, device);
    EXPECT(r != NULL && map_frame_alloc_reservation(vm, r) == 0);
    return r;
}

static void discarded_memory_comes_again_with_the_guests_access(suite_t *suite)
{
    vm_t *vm = &suite->guest->vm;
    for (size_t i = 0; i < 2; i++) {
        device_t device = {.result = FAULT_IGNORE};
        size_t size = (size_t)1 << sizes_bits[i];
        vm_memory_reservation_t *r = map_frames(suite, sizes_bits[i], 2, &device);
        guest_store_now(suite, GUEST_WORD, GPA + size - 8, GUEST_VALUE);
        guest_store_now(suite, GUEST_WORD, GPA + size, GUEST_VALUE);
        EXPECT(guestmem_discard(vm, GPA, size, NULL) == 0);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + size - 8), 0);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + size), GUEST_VALUE);
        EXPECT_EQUAL(device.count, 0);
        EXPECT(guestmem_set_discarded(vm, GUESTMEM_DISCARDED_LEFT) == 0);
        EXPECT(vm_free_reserved_memory(vm, r) == 0);
        r = map_frames(suite, sizes_bits[i], 2, &device);
        EXPECT(guestmem_discard(vm, GPA, size, NULL) == 0);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + size - 8), GUEST_UNTOUCHED);
        EXPECT_EQUAL(device.count, 1);
        EXPECT(guestmem_populate(vm, GPA, size) == 0);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + size - 8), 0);
        EXPECT_EQUAL(device.count, 1);
        EXPECT(guestmem_set_discarded(vm, GUESTMEM_DISCARDED_REFILLED) == 0);
        EXPECT(vm_free_reserved_memory(vm, r) == 0);
    }
}

static void guest_has_the_rights_that_it_was_given_last(suite_t *suite)
{
    vm_t *vm = &suite->guest->vm;
    for (size_t i = 0; i < 2; i++) {
        device_t device = {.result = FAULT_IGNORE};
        size_t size = (size_t)1 << sizes_bits[i];
        vm_memory_reservation_t *r = map_frames(suite, sizes_bits[i], 2, &device);
        guest_store_now(suite, GUEST_WORD, GPA, GUEST_VALUE);
        EXPECT(guestmem_protect(vm, GPA, size, seL4_CanRead) == 0);
        guest_store_now(suite, GUEST_WORD, GPA, 1);
        guest_store_now(suite, GUEST_WORD, GPA + size, 1);
        EXPECT_EQUAL(device.count, 1);
        EXPECT(!device.seen[0].read);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA), GUEST_VALUE);
        EXPECT(guestmem_protect(vm, GPA, 2 * size, seL4_NoRights) == 0);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA), GUEST_UNTOUCHED);
        EXPECT_EQUAL(device.count, 2);
        EXPECT(guestmem_protect(vm, GPA, 2 * size, seL4_AllRights) == 0);
        guest_store_now(suite, GUEST_WORD, GPA, 2);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA), 2);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + size), 1);
        EXPECT_EQUAL(device.count, 2);
        EXPECT(vm_free_reserved_memory(vm, r) == 0);
    }
}

typedef struct report {
    unsigned count;
    uintptr_t addr[4];
    size_t size;
} report_t;

static int take(vm_t *vm, uintptr_t addr, size_t size, void *cookie)
{
    (void)vm;
    report_t *report = cookie;
    report->addr[report->count % 4] = addr;
    report->size = size;
    report->count++;
    return 0;
}

static report_t report_of(suite_t *suite, vm_memory_reservation_t *r)
{
    report_t report = {0};
    EXPECT(guestmem_written(&suite->guest->vm, r, take, &report) == 0);
    return report;
}

static void what_the_guest_writes_is_reported_and_watched_again(suite_t *suite)
{
    vm_t *vm = &suite->guest->vm;
    for (size_t i = 0; i < 2; i++) {
        device_t device = {.result = FAULT_IGNORE};
        size_t size = (size_t)1 << sizes_bits[i];
        vm_memory_reservation_t *r = map_frames(suite, sizes_bits[i], 4, &device);
        guest_store_now(suite, GUEST_WORD, GPA, 1);
        EXPECT(guestmem_track_written(vm, r, GUESTMEM_TRACK_FRAMES) == 0);
        for (seL4_Word round = 0; round < 3; round++) {
            guest_clear(suite);
            size_t load = guest_load(suite, GUEST_WORD, GPA + size);
            guest_store(suite, GUEST_WORD, GPA + 3 * size + GUEST_WORD, GUEST_VALUE + round);
            guest_store(suite, 1, GPA + 2 * size - 1, round);
            guest_store(suite, 4, GPA + 2 * size - 8, round);
            size_t loads[] = {guest_load(suite, GUEST_WORD, GPA + 3 * size + GUEST_WORD),
                              guest_load(suite, 1, GPA + 2 * size - 1)};
            REQUIRE(guest_go(suite));
            EXPECT_EQUAL(guest_loaded(suite, load), 0);
            EXPECT_EQUAL(guest_loaded(suite, loads[0]), GUEST_VALUE + round);
            EXPECT_EQUAL(guest_loaded(suite, loads[1]), round);
            report_t report = report_of(suite, r);
            EXPECT_EQUAL(report.count, 2);
            EXPECT_EQUAL(report.addr[0], GPA + size);
            EXPECT_EQUAL(report.addr[1], GPA + 3 * size);
            EXPECT_EQUAL(report.size, size);
            EXPECT_EQUAL(report_of(suite, r).count, 0);
        }
        EXPECT(guestmem_track_written(vm, r, GUESTMEM_TRACK_NOTHING) == 0);
        guest_store_now(suite, GUEST_WORD, GPA, 1);
        EXPECT_EQUAL(device.count, 0);
        EXPECT(vm_free_reserved_memory(vm, r) == 0);
    }
}

static void large_frames_are_broken_under_the_guest(suite_t *suite)
{
    vm_t *vm = &suite->guest->vm;
    device_t device = {.result = FAULT_IGNORE};
    guestmem_reservation_info_t info;
    vm_memory_reservation_t *r = map_frames(suite, 21, 2, &device);
    for (uintptr_t i = 0; i < 4; i++) {
        guest_store_now(suite, GUEST_WORD, GPA + i * MEGABYTE + GUEST_WORD, GUEST_VALUE + i);
    }
    if (guestmem_clean(vm, GPA, 4 * MEGABYTE) != 0) { /* as the guest's caches are off */
        suite_skip(suite, "the kernel does not clean this memory from the caches");
        EXPECT(vm_free_reserved_memory(vm, r) == 0);
        return;
    }
    bool clean = vm->mem.clean_cache;
    vm->mem.clean_cache = true;
    EXPECT(guestmem_track_written(vm, r, GUESTMEM_TRACK_PAGES) == 0);
    vm->mem.clean_cache = clean;
    EXPECT(guestmem_reservation_info(vm, r, &info) == 0);
    EXPECT_EQUAL(info.frames[GUESTMEM_FRAME_4K], 1024);
    for (uintptr_t i = 0; i < 4; i++) {
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + i * MEGABYTE + GUEST_WORD),
                     GUEST_VALUE + i);
    }
    guest_store_now(suite, GUEST_WORD, GPA + 3 * MEGABYTE, 1);
    report_t report = report_of(suite, r);
    EXPECT_EQUAL(report.count, 1);
    EXPECT_EQUAL(report.addr[0], GPA + 3 * MEGABYTE);
    EXPECT_EQUAL(report.size, PAGE);
    EXPECT_EQUAL(device.count, 0);
    EXPECT(vm_free_reserved_memory(vm, r) == 0);
}

static void guest_sees_one_memory_at_two_addresses(suite_t *suite)
{
    vm_t *vm = &suite->guest->vm;
    for (size_t i = 0; i < 2; i++) {
        device_t device = {.result = FAULT_IGNORE};
        size_t size = (size_t)1 << sizes_bits[i];
        uintptr_t there = GPA + 8 * MEGABYTE;
        vm_memory_reservation_t *r = map_frames(suite, sizes_bits[i], 3, &device);
        vm_memory_reservation_t *shared = guestmem_share(vm, GPA + size, 2 * size, vm, there,
                                                         seL4_CanRead, device_access, &device);
        REQUIRE(shared != NULL);
        guest_store_now(suite, GUEST_WORD, GPA + 2 * size + 8, GUEST_VALUE);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, there + size + 8), GUEST_VALUE);
        EXPECT_EQUAL(device.count, 0);
        guest_store_now(suite, GUEST_WORD, there + size + 8, 1); /* it may only read */
        EXPECT_EQUAL(device.count, 1);
        EXPECT(vm_free_reserved_memory(vm, r) == 0);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, there + size + 8), GUEST_VALUE);
        EXPECT(guestmem_protect(vm, there, 2 * size, seL4_ReadWrite) == 0);
        guest_store_now(suite, GUEST_WORD, there + size + 8, 1);
        EXPECT_EQUAL(device.count, 1);
        EXPECT(vm_free_reserved_memory(vm, shared) == 0);
    }
}

static void saved_memory_comes_back_under_the_guest(suite_t *suite)
{
    vm_t *vm = &suite->guest->vm;
    for (size_t i = 0; i < 2; i++) {
        size_t size = (size_t)1 << sizes_bits[i];
        EXPECT(guestmem_set_largest_frame(vm, sizes_bits[i]) == 0);
        REQUIRE(vm_ram_register_at(vm, GPA, 3 * size, false) == 0);
        guest_store_now(suite, GUEST_WORD, GPA, GUEST_VALUE);
        guest_store_now(suite, GUEST_WORD, GPA + 2 * size - 8, GUEST_VALUE + 1);
        if (guestmem_clean(vm, GPA, 3 * size) != 0) {
            suite_skip(suite, "the kernel does not clean this memory from the caches");
            return;
        }
        bool clean = vm->mem.clean_cache;
        vm->mem.clean_cache = true; /* as the guest's caches are off */
        guestmem_saved_t *saved = guestmem_save(vm);
        REQUIRE(saved != NULL);
        for (seL4_Word round = 0; round < 2; round++) {
            guest_store_now(suite, GUEST_WORD, GPA, round);
            guest_store_now(suite, GUEST_WORD, GPA + 2 * size - 8, round);
            guest_store_now(suite, GUEST_WORD, GPA + 3 * size - 8, GUEST_VALUE);
            EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + 2 * size - 8), round);
            EXPECT(guestmem_restore(vm, saved) == 0);
            EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA), GUEST_VALUE);
            EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + 2 * size - 8), GUEST_VALUE + 1);
            EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA + 3 * size - 8), 0);
        }
        guestmem_free_saved(vm, saved);
        vm->mem.clean_cache = clean;
        guest_store_now(suite, GUEST_WORD, GPA, 2);
        EXPECT_EQUAL(guest_load_now(suite, GUEST_WORD, GPA), 2);
        EXPECT(vm_free_reserved_memory(vm, guestmem_find_reservation(vm, GPA)) == 0);
    }
}

static const check_t guest_checks[] = {
    CHECK(guest_sees_one_memory_at_two_addresses),
    CHECK(discarded_memory_comes_again_with_the_guests_access),
    CHECK(guest_has_the_rights_that_it_was_given_last),
    CHECK(what_the_guest_writes_is_reported_and_watched_again),
    CHECK(large_frames_are_broken_under_the_guest),
    CHECK(saved_memory_comes_back_under_the_guest),
};

const area_t area_guest_changes = AREA("guest", FIXTURE_GUEST, guest_checks);
