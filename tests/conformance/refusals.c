/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The contract: which arguments are refused, that a refusal changes nothing, and its reason. */

#include "vm_memory.h"
#include <sel4vm/guest_iospace.h>
#include <string.h>

static faults_t faults;

/* A VM with something of each kind, in which bad calls are made. */
#define FREE_AT   GPA                    /* emulated, 6 pages */
#define MAPPED_AT (GPA + 0x10000)        /* mapped: 3 pages less 8 bytes */
#define SHARED_AT (GPA + 0x18010)        /* 16 bytes that share their page with 16 others */
#define EMPTY     (GPA + 0x20000)        /* nothing */
#define RAM_AT    (GPA + 64 * MEGABYTE)  /* 4 pages, the second allocated */
#define REGION_AT (GPA + 128 * MEGABYTE) /* anonymous, 4 pages, full */
#define TOP       UINTPTR_MAX

typedef struct scene {
    vm_memory_reservation_t *free, *mapped, *shared, *above;
    holdings_t held;
    guestmem_statistics_t statistics;
} scene_t;

static scene_t make_scene(suite_t *suite)
{
    scene_t scene;
    uintptr_t addr;
    vm_t *vm = &suite->vm;
    scene.free = reserve(suite, FREE_AT, 6 * PAGE);
    scene.mapped = reserve(suite, MAPPED_AT, 3 * PAGE - 8);
    EXPECT(map_frame_alloc_reservation(vm, scene.mapped) == 0);
    reserve(suite, SHARED_AT - 16, 16);
    scene.shared = reserve(suite, SHARED_AT, 16);
    scene.above = reserve(suite, ABOVE, PAGE);
    EXPECT(vm_ram_register_at(vm, RAM_AT, 4 * PAGE, false) == 0);
    vm_ram_mark_allocated(vm, RAM_AT + PAGE, PAGE);
    EXPECT(vm_memory_make_anon(vm, REGION_AT, 4 * PAGE) == 0);
    EXPECT(vm_reserve_anon_memory(vm, 4 * PAGE, 1, record_fault, &faults, &addr) != NULL);
    scene.held = suite->counting.held;
    scene.statistics = statistics_of(suite);
    return scene;
}

static void expect_unchanged(suite_t *suite, const scene_t *scene)
{
    guestmem_statistics_t now = statistics_of(suite);
    EXPECT_HELD(&scene->held);
    EXPECT_EQUAL(now.reservations, scene->statistics.reservations);
    EXPECT_EQUAL(now.anonymous_regions, scene->statistics.anonymous_regions);
    EXPECT(memcmp(now.frames, scene->statistics.frames, sizeof(now.frames)) == 0);
    EXPECT_EQUAL(now.page_tables, scene->statistics.page_tables);
    EXPECT_EQUAL(now.window_frames, scene->statistics.window_frames);
    EXPECT_EQUAL(suite->vm.mem.num_ram_regions, 3);
    EXPECT(!info_of(suite, scene->free).mapped);
    EXPECT(info_of(suite, scene->mapped).mapped);
    EXPECT_EQUAL(info_of(suite, scene->free).name[0], '\0');
}

/* A range, and why it is refused. */
typedef struct row {
    uintptr_t addr;
    size_t size;
    guestmem_error_code_t code;
} row_t;

#define FOR_EACH(row, rows)                                                                        \
    for (const row_t *row = rows; row < rows + sizeof(rows) / sizeof(rows[0]); row++)

static void handles_of_no_reservation_are_refused(suite_t *suite)
{
    static vm_t other;
    vm_t *vm = &suite->vm;
    guestmem_reservation_info_t info;
    handout_t handout = {0};
    seL4_CPtr cap = seL4_CapNull;
    const guestmem_error_code_t code = GUESTMEM_NO_RESERVATION;
    REQUIRE(memory_make(suite, &other));
    vm_memory_reservation_t *const handles[] = {
        NULL, vm_reserve_memory_at(&other, FREE_AT, PAGE, record_fault, &faults)};
    scene_t scene = make_scene(suite);
    for (size_t i = 0; i < 2; i++) {
        vm_memory_reservation_t *bad = handles[i];
        EXPECT_REFUSED(vm_free_reserved_memory(vm, bad) == -1, code);
        EXPECT_REFUSED(vm_map_reservation(vm, bad, hand_out, &handout) == -1, code);
        EXPECT_REFUSED(vm_map_reservation_frames(vm, bad, &cap, 1, 12) == -1, code);
        EXPECT_REFUSED(map_frame_alloc_reservation(vm, bad) == -1, code);
        EXPECT_REFUSED(map_maybe_device_reservation(vm, bad) == -1, code);
        EXPECT_REFUSED(map_ut_alloc_reservation(vm, bad) == -1, code);
        EXPECT_REFUSED(map_ut_alloc_reservation_with_base_paddr(vm, GPA, bad) == -1, code);
        EXPECT_REFUSED(guestmem_reservation_info(vm, bad, &info) == -1, code);
        EXPECT_REFUSED(guestmem_name_reservation(vm, bad, "name") == -1, code);
        EXPECT_REFUSED(guestmem_set_reservation_largest_frame(vm, bad, 12) == -1, code);
        if (bad != NULL) { /* NULL asks for the first */
            EXPECT_REFUSED(guestmem_next_reservation(vm, bad) == NULL, code);
        }
    }
    EXPECT_EQUAL(handout.next, 0);
    expect_unchanged(suite, &scene);
    vm_memory_destroy(&other);
}

static void reservations_that_cannot_be_mapped_are_refused_by_each_map(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    scene_t scene = make_scene(suite);
    handout_t handout = {0};
    seL4_CPtr cap = seL4_CapNull;
    const struct {
        vm_memory_reservation_t *r;
        guestmem_error_code_t code;
    } rows[] = {{scene.mapped, GUESTMEM_ALREADY_MAPPED},
                {scene.shared, GUESTMEM_PAGE_SHARED},
                {scene.above, GUESTMEM_BAD_RANGE}};
    for (size_t i = 0; i < 3; i++) {
        vm_memory_reservation_t *r = rows[i].r;
        uintptr_t paddr = 0x40000000 + (r == scene.shared ? 0x10 : 0);
        guestmem_error_code_t code = rows[i].code;
        EXPECT_REFUSED(vm_map_reservation(vm, r, hand_out, &handout) == -1, code);
        EXPECT_REFUSED(vm_map_reservation_frames(vm, r, &cap, 1, 12) == -1, code);
        EXPECT_REFUSED(map_frame_alloc_reservation(vm, r) == -1, code);
        EXPECT_REFUSED(map_maybe_device_reservation(vm, r) == -1, code);
        EXPECT_REFUSED(map_ut_alloc_reservation(vm, r) == -1, code);
        EXPECT_REFUSED(map_ut_alloc_reservation_with_base_paddr(vm, paddr, r) == -1, code);
    }
    EXPECT_EQUAL(handout.next, 0);
    expect_unchanged(suite, &scene);
}

static void physical_memory_that_is_not_there_or_in_use_is_refused(suite_t *suite)
{
    static vm_t other;
    vm_t *vm = &suite->vm;
    uintptr_t device = suite->env->device_paddr;
    REQUIRE(memory_make(suite, &other));
    EXPECT(create_device_reservation_frame(&other, device, seL4_CanRead, record_fault, &faults) !=
           NULL);
    scene_t scene = make_scene(suite);
    const row_t paddrs[] = {{device + 1, 0, GUESTMEM_MISALIGNED},
                            {device + PAGE / 2, 0, GUESTMEM_MISALIGNED},
                            {TOP - PAGE + 1, 0, GUESTMEM_BAD_RANGE}, /* wraps */
                            {device, 0, GUESTMEM_NO_FRAME},
                            {NO_PADDR, 0, GUESTMEM_NO_FRAME}};
    FOR_EACH(row, paddrs)
    {
        EXPECT_REFUSED(map_ut_alloc_reservation_with_base_paddr(vm, row->addr, scene.free) == -1,
                       row->code);
    }
    EXPECT_REFUSED(vm_ram_register_at(vm, device, PAGE, true) == -1, GUESTMEM_NO_FRAME);
    EXPECT_REFUSED(
        create_device_reservation_frame(vm, device, seL4_AllRights, record_fault, &faults) == NULL,
        GUESTMEM_NO_FRAME);
    expect_unchanged(suite, &scene);
    EXPECT_REFUSED(map_ut_alloc_reservation(vm, reserve(suite, device, PAGE)) == -1,
                   GUESTMEM_NO_FRAME);
    EXPECT(!has_frame(suite, device));
    vm_memory_destroy(&other);
}

static void ranges_that_cannot_be_reserved_are_refused(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    scene_t scene = make_scene(suite);
    const row_t ranges[] = {
        {EMPTY, 0, GUESTMEM_BAD_RANGE},
        {TOP, 0, GUESTMEM_BAD_RANGE},
        {TOP, 2, GUESTMEM_BAD_RANGE}, /* wraps by a byte, and far */
        {EMPTY, SIZE_MAX, GUESTMEM_BAD_RANGE},
        {0, SIZE_MAX, GUESTMEM_OVERLAP}, /* all but one byte */
        {FREE_AT - 1, 2, GUESTMEM_OVERLAP},
        {FREE_AT + 6 * PAGE - 1, 2, GUESTMEM_OVERLAP},
        {FREE_AT - PAGE, 8 * PAGE, GUESTMEM_OVERLAP},
        {FREE_AT + PAGE, 1, GUESTMEM_OVERLAP},
        {MAPPED_AT + 3 * PAGE - 4, 2, GUESTMEM_PAGE_SHARED},
        {RAM_AT + 3 * PAGE, 2 * PAGE, GUESTMEM_OVERLAP},
        {REGION_AT + 4 * PAGE - 1, 1, GUESTMEM_OVERLAP},
        {REGION_AT - PAGE, PAGE + 1, GUESTMEM_OVERLAP},
    };
    FOR_EACH(row, ranges)
    {
        uintptr_t addr = row->addr;
        EXPECT_REFUSED(vm_reserve_memory_at(vm, addr, row->size, record_fault, &faults) == NULL,
                       row->code);
        EXPECT_REFUSED(vm_ram_register_at(vm, addr, row->size, false) == -1, row->code);
        EXPECT_REFUSED(vm_ram_register_at_custom_iterator(vm, addr, row->size, hand_out, &faults) ==
                           -1,
                       row->code);
        if (row->code != GUESTMEM_PAGE_SHARED) {
            EXPECT_REFUSED(vm_memory_make_anon(vm, addr, row->size) == -1, row->code);
        }
    }
    EXPECT_REFUSED(vm_ram_register_at(vm, ABOVE + 64 * PAGE, PAGE, false) == -1,
                   GUESTMEM_BAD_RANGE);
    EXPECT_REFUSED(vm_ram_register_at(vm, SHARED_AT + 0x800, 1, false) == -1, GUESTMEM_PAGE_SHARED);
    expect_unchanged(suite, &scene);
}

static void pages_that_cannot_be_shared_are_refused(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    scene_t scene = make_scene(suite);
    const row_t pages[] = {
        {EMPTY + 8, 0, GUESTMEM_MISALIGNED},         {TOP, 0, GUESTMEM_MISALIGNED},
        {FREE_AT + PAGE, 0, GUESTMEM_OVERLAP},       {MAPPED_AT + 2 * PAGE, 0, GUESTMEM_OVERLAP},
        {REGION_AT + 3 * PAGE, 0, GUESTMEM_OVERLAP}, {ABOVE + 64 * PAGE, 0, GUESTMEM_BAD_RANGE},
        {TOP - PAGE + 1, 0, GUESTMEM_BAD_RANGE}};
    FOR_EACH(row, pages)
    {
        EXPECT_REFUSED(create_allocated_reservation_frame(vm, row->addr, seL4_AllRights,
                                                          record_fault, &faults) == NULL,
                       row->code);
        EXPECT_REFUSED(create_device_reservation_frame(vm, row->addr, seL4_AllRights, record_fault,
                                                       &faults) == NULL,
                       row->code);
    }
    expect_unchanged(suite, &scene);
}

static void anonymous_memory_that_no_region_has_is_refused(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    uintptr_t addr = 77;
    scene_t scene = make_scene(suite);
    static const struct {
        size_t size, align;
        guestmem_error_code_t code;
    } rows[] = {
        {0, 1, GUESTMEM_BAD_RANGE},
        {1, 0, GUESTMEM_BAD_ARGUMENT},
        {1, 3, GUESTMEM_BAD_ARGUMENT},
        {1, PAGE + 8, GUESTMEM_BAD_ARGUMENT},
        {1, SIZE_MAX, GUESTMEM_BAD_ARGUMENT},
        {1, 1, GUESTMEM_NO_ADDRESS},
        {1, SIZE_MAX / 2 + 1, GUESTMEM_NO_ADDRESS},
        {SIZE_MAX, 1, GUESTMEM_NO_ADDRESS},
        {SIZE_MAX - 4, 1, GUESTMEM_NO_ADDRESS}, /* its pages round to 0 */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        EXPECT_REFUSED(vm_reserve_anon_memory(vm, rows[i].size, rows[i].align, record_fault,
                                              &faults, &addr) == NULL,
                       rows[i].code);
    }
    EXPECT_REFUSED(vm_ram_register(vm, 0) == 0, GUESTMEM_BAD_RANGE);
    EXPECT_REFUSED(vm_ram_register(vm, PAGE) == 0, GUESTMEM_NO_ADDRESS);
    EXPECT_REFUSED(vm_ram_register(vm, SIZE_MAX) == 0, GUESTMEM_NO_ADDRESS);
    EXPECT_EQUAL(addr, 77);
    expect_unchanged(suite, &scene);
}

static int count_call(vm_t *vm, uintptr_t addr, void *vaddr, size_t size, size_t offset,
                      void *cookie)
{
    (void)vm, (void)addr, (void)vaddr, (void)size, (void)offset;
    ++*(int *)cookie;
    return 0;
}

static void access_beyond_ram_is_refused_before_the_first_byte(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    int calls = 0;
    unsigned char bytes[16] = {0};
    scene_t scene = make_scene(suite);
    const row_t ranges[] = {{EMPTY, PAGE, GUESTMEM_NOT_RAM},
                            {MAPPED_AT, PAGE, GUESTMEM_NOT_RAM}, /* mapped, but no RAM */
                            {RAM_AT - 1, 2, GUESTMEM_NOT_RAM},
                            {RAM_AT + 3 * PAGE, PAGE + 1, GUESTMEM_NOT_RAM},
                            {RAM_AT, TOP - RAM_AT, GUESTMEM_NOT_RAM},
                            {TOP, 1, GUESTMEM_NOT_RAM},
                            {TOP, 2, GUESTMEM_BAD_RANGE},
                            {RAM_AT, SIZE_MAX, GUESTMEM_BAD_RANGE}};
    for (int warm = 0; warm < 2; warm++) { /* the second time with an open window */
        FOR_EACH(row, ranges)
        {
            uintptr_t addr = row->addr;
            size_t size = row->size;
            EXPECT_REFUSED(vm_ram_touch(vm, addr, size, count_call, &calls) == -1, row->code);
            EXPECT_REFUSED(guestmem_read(vm, addr, bytes, size) == -1, row->code);
            EXPECT_REFUSED(guestmem_write(vm, addr, bytes, size) == -1, row->code);
            EXPECT_REFUSED(guestmem_fill(vm, addr, 0x77, size) == -1, row->code);
            EXPECT_REFUSED(guestmem_copy(vm, addr, RAM_AT, size) == -1, row->code);
            EXPECT_REFUSED(guestmem_copy(vm, RAM_AT, addr, size) == -1, row->code);
        }
        EXPECT_REFUSED(guestmem_pointer(vm, RAM_AT - 1, 1) == NULL, GUESTMEM_NOT_RAM);
        EXPECT_REFUSED(guestmem_pointer(vm, RAM_AT + 4 * PAGE, 1) == NULL, GUESTMEM_NOT_RAM);
        EXPECT_REFUSED(guestmem_pointer(vm, TOP, 1) == NULL, GUESTMEM_NOT_RAM);
        EXPECT_REFUSED(guestmem_pointer(vm, RAM_AT, 0) == NULL, GUESTMEM_BAD_RANGE);
        expect_unchanged(suite, &scene);
        EXPECT(guestmem_fill(vm, RAM_AT, 0, 4 * PAGE) == 0);
        scene.held = suite->counting.held;
        scene.statistics = statistics_of(suite);
    }
    EXPECT_EQUAL(calls, 0);
}

static void access_to_what_is_not_mapped_is_refused(suite_t *suite)
{
    int calls = 0;
    scene_t scene = make_scene(suite);
    const row_t ranges[] = {{MAPPED_AT, SIZE_MAX, GUESTMEM_BAD_RANGE},
                            {EMPTY, 1, GUESTMEM_NOT_MAPPED},
                            {FREE_AT, 1, GUESTMEM_NOT_MAPPED}, /* emulated */
                            {MAPPED_AT, 3 * PAGE, GUESTMEM_NOT_MAPPED},
                            {RAM_AT - 1, 2, GUESTMEM_NOT_MAPPED}};
    FOR_EACH(row, ranges)
    {
        EXPECT_REFUSED(guestmem_access(&suite->vm, row->addr, row->size, count_call, &calls) == -1,
                       row->code);
    }
    EXPECT_EQUAL(calls, 0);
    expect_unchanged(suite, &scene);
}

static void ram_changes_its_state_as_a_whole_only(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    scene_t scene = make_scene(suite);
    const row_t neither[] = {{RAM_AT, 0, GUESTMEM_BAD_RANGE},
                             {RAM_AT, SIZE_MAX, GUESTMEM_BAD_RANGE},
                             {EMPTY, PAGE, GUESTMEM_NOT_RAM},
                             {MAPPED_AT, PAGE, GUESTMEM_NOT_RAM},
                             {RAM_AT - 1, 2, GUESTMEM_NOT_RAM},
                             {RAM_AT, 2 * PAGE, GUESTMEM_NOT_RAM}, /* half of it allocated */
                             {RAM_AT + 3 * PAGE, PAGE + 1, GUESTMEM_NOT_RAM}};
    FOR_EACH(row, neither)
    {
        vm_ram_free(vm, row->addr, row->size);
        EXPECT_REASON(row->code);
        vm_ram_mark_allocated(vm, row->addr, row->size);
        EXPECT_REASON(row->code);
    }
    vm_ram_free(vm, RAM_AT, PAGE); /* it is free */
    EXPECT_REASON(GUESTMEM_NOT_RAM);
    EXPECT_REFUSED(vm_ram_allocate(vm, 0) == 0, GUESTMEM_BAD_RANGE);
    EXPECT_REFUSED(vm_ram_allocate(vm, 8 * PAGE) == 0, GUESTMEM_NO_ADDRESS);
    EXPECT_REFUSED(vm_ram_allocate(vm, SIZE_MAX) == 0, GUESTMEM_NO_ADDRESS);
    expect_unchanged(suite, &scene);
}

static void pointers_that_must_not_be_null_are_refused(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    uintptr_t addr = 77;
    size_t size = 77;
    char page[16] = "";
    scene_t scene = make_scene(suite);
    const guestmem_error_code_t code = GUESTMEM_BAD_ARGUMENT;
    EXPECT_REFUSED(vm_reserve_memory_at(vm, EMPTY, PAGE, NULL, NULL) == NULL, code);
    EXPECT_REFUSED(vm_reserve_anon_memory(vm, 1, 1, NULL, NULL, &addr) == NULL, code);
    EXPECT_REFUSED(vm_reserve_anon_memory(vm, 1, 1, record_fault, NULL, NULL) == NULL, code);
    EXPECT_REFUSED(vm_map_reservation(vm, scene.free, NULL, NULL) == -1, code);
    EXPECT_REFUSED(vm_ram_register_at_custom_iterator(vm, EMPTY, PAGE, NULL, NULL) == -1, code);
    EXPECT_REFUSED(
        create_allocated_reservation_frame(vm, EMPTY, seL4_AllRights, NULL, NULL) == NULL, code);
    EXPECT_REFUSED(create_device_reservation_frame(vm, EMPTY, seL4_AllRights, NULL, NULL) == NULL,
                   code);
    EXPECT_REFUSED(vm_ram_touch(vm, RAM_AT, 1, NULL, page) == -1, code);
    EXPECT_REFUSED(guestmem_access(vm, MAPPED_AT, 1, NULL, page) == -1, code);
    EXPECT_REFUSED(guestmem_reservation_info(vm, scene.free, NULL) == -1, code);
    EXPECT_REFUSED(guestmem_get_statistics(vm, NULL) == -1, code);
    EXPECT_REFUSED(guestmem_frame_info(vm, MAPPED_AT, NULL) == -1, code);
    EXPECT_REFUSED(vm_ram_find_largest_free_region(vm, NULL, &size) == -1, code);
    EXPECT_REFUSED(vm_ram_find_largest_free_region(vm, &addr, NULL) == -1, code);
    vm_get_reservation_memory_region(NULL, &addr, &size);
    vm_get_reservation_memory_region(scene.free, NULL, &size);
    vm_get_reservation_memory_region(scene.free, &addr, NULL);
    EXPECT(addr == 77 && size == 77);
    expect_unchanged(suite, &scene);
    for (int warm = 0; warm < 2; warm++) { /* the second time with an open window */
        EXPECT_REFUSED(guestmem_read(vm, RAM_AT, NULL, 1) == -1, code);
        EXPECT_REFUSED(guestmem_write(vm, RAM_AT, NULL, 1) == -1, code);
        EXPECT(guestmem_fill(vm, RAM_AT, 0, 4 * PAGE) == 0);
    }
}

static void policies_that_do_not_exist_are_refused(suite_t *suite)
{
    vm_t *vm = &suite->vm;
    scene_t scene = make_scene(suite);
    const guestmem_error_code_t code = GUESTMEM_BAD_ARGUMENT;
    static const size_t sizes[] = {0, 11, 13, 15, 26, 64, 256 + 12};
    static const unsigned beyond[] = {GUESTMEM_MAP_ON_FAULT + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        EXPECT_REFUSED(guestmem_set_largest_frame(vm, sizes[i]) == -1, code);
        EXPECT_REFUSED(guestmem_set_reservation_largest_frame(vm, scene.free, sizes[i]) == -1,
                       code);
    }
    for (size_t i = 0; i < 2; i++) {
        EXPECT_REFUSED(guestmem_set_map_time(vm, (guestmem_map_time_t)beyond[i]) == -1, code);
        EXPECT_REFUSED(guestmem_set_windows(vm, (guestmem_windows_t)beyond[i]) == -1, code);
        EXPECT_REFUSED(guestmem_set_fixed_ram(vm, (guestmem_fixed_ram_t)beyond[i]) == -1, code);
    }
    expect_unchanged(suite, &scene);
}

static void io_space_that_is_null_is_refused(suite_t *suite)
{
    EXPECT_REFUSED(vm_guest_add_iospace(&suite->vm, &suite->vm.mem.vmm_vspace, seL4_CapNull) == -1,
                   GUESTMEM_BAD_ARGUMENT);
    EXPECT(vm_guest_add_iospace(NULL, NULL, seL4_CapNull) == -1);
}

/* Each call, with a VM that has no memory management. */
static void expect_no_memory(suite_t *suite, vm_t *vm)
{
    uintptr_t addr;
    size_t size;
    guestmem_reservation_info_t info;
    guestmem_statistics_t statistics;
    guestmem_frame_info_t frame;
    vm_memory_reservation_t *r = reserve(suite, GPA, PAGE);
    EXPECT(vm_reserve_memory_at(vm, GPA, PAGE, record_fault, &faults) == NULL);
    EXPECT(vm_reserve_anon_memory(vm, PAGE, PAGE, record_fault, &faults, &addr) == NULL);
    EXPECT(vm_memory_make_anon(vm, GPA, PAGE) == -1);
    EXPECT(vm_free_reserved_memory(vm, r) == -1);
    EXPECT(vm_map_reservation(vm, r, hand_out, NULL) == -1);
    EXPECT(vm_map_reservation_frames(vm, r, NULL, 0, 12) == -1);
    EXPECT(map_frame_alloc_reservation(vm, r) == -1);
    EXPECT(map_ut_alloc_reservation(vm, r) == -1);
    EXPECT(map_ut_alloc_reservation_with_base_paddr(vm, 0, r) == -1);
    EXPECT(map_maybe_device_reservation(vm, r) == -1);
    EXPECT(create_allocated_reservation_frame(vm, GPA, seL4_AllRights, record_fault, r) == NULL);
    EXPECT(create_device_reservation_frame(vm, GPA, seL4_AllRights, record_fault, r) == NULL);
    EXPECT(vm_memory_handle_fault(vm, NULL, GPA, 1) == FAULT_ERROR);
    EXPECT(default_error_fault_callback(vm, NULL, GPA, 1, NULL) == FAULT_ERROR);
    EXPECT(vm_ram_register(vm, PAGE) == 0);
    EXPECT(vm_ram_register_at(vm, GPA, PAGE, false) == -1);
    EXPECT(vm_ram_register_at_custom_iterator(vm, GPA, PAGE, hand_out, NULL) == -1);
    EXPECT(vm_ram_find_largest_free_region(vm, &addr, &size) == -1);
    EXPECT(vm_ram_allocate(vm, PAGE) == 0);
    vm_ram_mark_allocated(vm, GPA, PAGE);
    vm_ram_free(vm, GPA, PAGE);
    EXPECT(vm_ram_touch(vm, GPA, 1, vm_guest_ram_read_callback, &addr) == -1);
    EXPECT(guestmem_access(vm, GPA, 1, vm_guest_ram_read_callback, &addr) == -1);
    EXPECT(guestmem_read(vm, GPA, &addr, 1) == -1);
    EXPECT(guestmem_write(vm, GPA, &addr, 1) == -1);
    EXPECT(guestmem_fill(vm, GPA, 0, 1) == -1);
    EXPECT(guestmem_copy(vm, GPA, 2 * GPA, 1) == -1);
    EXPECT(guestmem_pointer(vm, GPA, 1) == NULL);
    EXPECT(guestmem_find_reservation(vm, GPA) == NULL);
    EXPECT(guestmem_next_reservation(vm, NULL) == NULL);
    EXPECT(guestmem_reservation_info(vm, r, &info) == -1);
    EXPECT(guestmem_name_reservation(vm, r, "name") == -1);
    EXPECT(guestmem_get_statistics(vm, &statistics) == -1);
    EXPECT(guestmem_set_map_time(vm, GUESTMEM_MAP_NOW) == -1);
    EXPECT(guestmem_set_largest_frame(vm, 12) == -1);
    EXPECT(guestmem_set_reservation_largest_frame(vm, r, 12) == -1);
    EXPECT(guestmem_set_windows(vm, GUESTMEM_WINDOWS_NONE) == -1);
    EXPECT(guestmem_set_fixed_ram(vm, GUESTMEM_FIXED_RAM_KEPT) == -1);
    EXPECT(guestmem_frame_info(vm, GPA, &frame) == -1);
    EXPECT(guestmem_clean(vm, GPA, 1) == -1);
    EXPECT(guestmem_reserve_anon_at_offset(vm, 1, 1, 0, record_fault, NULL, &addr) == NULL);
    EXPECT_EQUAL(guestmem_last_error(vm)->code, GUESTMEM_NOT_INITIALISED);
    vm_memory_destroy(vm);
    EXPECT(!info_of(suite, r).mapped);
    EXPECT(vm_free_reserved_memory(&suite->vm, r) == 0);
}

static void vm_without_memory_management_is_refused(suite_t *suite)
{
    static const vm_t zeroed;
    static vm_t never, destroyed;
    expect_no_memory(suite, NULL);
    expect_no_memory(suite, &never);
    EXPECT(memcmp(&never, &zeroed, sizeof(never)) == 0);
    REQUIRE(memory_make(suite, &destroyed));
    vm_memory_destroy(&destroyed);
    expect_no_memory(suite, &destroyed);
}

static void initialisation_twice_or_without_its_means_is_refused(suite_t *suite)
{
    vm_t *good = &suite->vm;
    vspace_t *vmm = &good->mem.vmm_vspace;
    static vm_t without_heap, without_vka, never;
    without_heap = (vm_t){.vka = good->vka};
    without_vka = (vm_t){.io_ops = good->io_ops};
    EXPECT(vm_memory_init(NULL) == -1);
    EXPECT(vm_memory_init(&without_heap) == -1);
    EXPECT(vm_memory_init(&without_vka) == -1);
    EXPECT(vm_memory_init(good) == -1);
    EXPECT(vm_init_guest_vspace(vmm, vmm, NULL, good->vka, 1) == -1);
    EXPECT(vm_init_guest_vspace(vmm, vmm, &never.mem.vm_vspace, good->vka, 1) == -1);
    EXPECT(vm_init_guest_vspace(vmm, vmm, &good->mem.vm_vspace, good->vka, seL4_CapNull) == -1);
    EXPECT_EQUAL(vspace_get_root(&good->mem.vm_vspace), good->mem.vm_vspace_root.cptr);
}

static void nothing_is_mapped_before_the_guest_has_an_address_space(suite_t *suite)
{
    static vm_t vm;
    holdings_t before = suite->counting.held;
    vm = (vm_t){.vka = suite->vm.vka, .simple = suite->vm.simple, .io_ops = suite->vm.io_ops};
    EXPECT(vm_memory_init(&vm) == 0);
    EXPECT(guestmem_set_map_time(&vm, GUESTMEM_MAP_NOW) == 0);
    vm_memory_reservation_t *r = vm_reserve_memory_at(&vm, GPA, PAGE, record_fault, &faults);
    EXPECT(map_frame_alloc_reservation(&vm, r) == -1);
    EXPECT_EQUAL(guestmem_last_error(&vm)->code, GUESTMEM_NOT_INITIALISED);
    EXPECT(vm_ram_register_at(&vm, 2 * GPA, PAGE, false) == -1);
    EXPECT_EQUAL(guestmem_last_error(&vm)->code, GUESTMEM_NOT_INITIALISED);
    vm_memory_destroy(&vm);
    EXPECT_HELD(&before);
}

static void the_byte_at_0_can_be_in_the_way(suite_t *suite)
{
    reserve(suite, 0, 0x10);
    EXPECT_REFUSED(vm_reserve_memory_at(&suite->vm, 0, 1, record_fault, &faults) == NULL,
                   GUESTMEM_OVERLAP);
    EXPECT_EQUAL(guestmem_last_error(&suite->vm)->other_last, 0xf);
    EXPECT(strstr(guestmem_last_error(&suite->vm)->message, "[0x0..0xf]") != NULL);
}

static void reasons_have_names_of_their_own(suite_t *suite)
{
    for (int code = GUESTMEM_OK; code <= GUESTMEM_IN_ITERATOR; code++) {
        for (int other = GUESTMEM_OK; other < code; other++) {
            EXPECT(strcmp(guestmem_error_name((guestmem_error_code_t)code),
                          guestmem_error_name((guestmem_error_code_t)other)) != 0);
        }
    }
    EXPECT(strcmp(guestmem_error_name((guestmem_error_code_t)99), "unknown") == 0);
}

static void range_that_ends_at_the_top_is_valid(suite_t *suite)
{
    uintptr_t addr = 0;
    size_t size = 0;
    vm_memory_reservation_t *top = reserve(suite, UINTPTR_MAX - 0xf, 0x10);
    REQUIRE(top != NULL);
    vm_get_reservation_memory_region(top, &addr, &size);
    EXPECT_EQUAL(addr, UINTPTR_MAX - 0xf);
    EXPECT_EQUAL(size, 0x10);
    EXPECT(guestmem_find_reservation(&suite->vm, UINTPTR_MAX) == top);
    EXPECT(vm_free_reserved_memory(&suite->vm, top) == 0);
    EXPECT(guestmem_find_reservation(&suite->vm, UINTPTR_MAX) == NULL);
}

static void failure_tells_code_range_and_what_is_in_the_way(suite_t *suite)
{
    vm_memory_reservation_t *first = reserve(suite, 0x2000, 0x1000);
    EXPECT(guestmem_name_reservation(&suite->vm, first, "uart@2000") == 0);
    EXPECT_REFUSED(vm_reserve_memory_at(&suite->vm, 0x1800, 0x1000, record_fault, &faults) == NULL,
                   GUESTMEM_OVERLAP);
    const guestmem_error_t *error = guestmem_last_error(&suite->vm);
    EXPECT_EQUAL(error->base, 0x1800);
    EXPECT_EQUAL(error->last, 0x27ff);
    EXPECT_EQUAL(error->other_base, 0x2000);
    EXPECT_EQUAL(error->other_last, 0x2fff);
    EXPECT(strcmp(error->other_name, "uart@2000") == 0);
    EXPECT(strcmp(error->function, "vm_reserve_memory_at") == 0);
    EXPECT(strstr(error->message, "uart@2000") != NULL);
    EXPECT(strstr(error->message, "0x1800") != NULL);
    EXPECT_EQUAL(error->kernel_error, seL4_NoError);
}

static void failure_tells_the_kernels_error(suite_t *suite)
{
    /* A frame that is mapped already: the library cannot know, the kernel does. */
    vm_memory_reservation_t *first = reserve(suite, GPA, PAGE);
    vm_memory_reservation_t *second = reserve(suite, GPA + PAGE, PAGE);
    REQUIRE(first != NULL && second != NULL);
    EXPECT(map_frame_alloc_reservation(&suite->vm, first) == 0);
    seL4_CPtr mapped = vspace_get_cap(&suite->vm.mem.vm_vspace, (void *)GPA);
    holdings_t before = suite->counting.held;
    EXPECT_REFUSED(vm_map_reservation_frames(&suite->vm, second, &mapped, 1, seL4_PageBits) == -1,
                   GUESTMEM_KERNEL);
    EXPECT_ERROR(guestmem_last_error(&suite->vm)->kernel_error, seL4_InvalidArgument);
    EXPECT_HELD(&before);
    EXPECT(has_frame(suite, GPA));
    EXPECT(!has_frame(suite, GPA + PAGE));
}

static void success_leaves_the_reason_alone(suite_t *suite)
{
    EXPECT_EQUAL(guestmem_last_error(&suite->vm)->code, GUESTMEM_OK);
    EXPECT(vm_reserve_memory_at(&suite->vm, 0, 0, record_fault, &faults) == NULL);
    reserve(suite, GPA, PAGE);
    EXPECT_REASON(GUESTMEM_BAD_RANGE);
}

static const check_t checks[] = {
    CHECK(handles_of_no_reservation_are_refused),
    CHECK(reservations_that_cannot_be_mapped_are_refused_by_each_map),
    CHECK(physical_memory_that_is_not_there_or_in_use_is_refused),
    CHECK(ranges_that_cannot_be_reserved_are_refused),
    CHECK(pages_that_cannot_be_shared_are_refused),
    CHECK(anonymous_memory_that_no_region_has_is_refused),
    CHECK(access_beyond_ram_is_refused_before_the_first_byte),
    CHECK(access_to_what_is_not_mapped_is_refused),
    CHECK(ram_changes_its_state_as_a_whole_only),
    CHECK(pointers_that_must_not_be_null_are_refused),
    CHECK(policies_that_do_not_exist_are_refused),
    CHECK(io_space_that_is_null_is_refused),
    CHECK(vm_without_memory_management_is_refused),
    CHECK(initialisation_twice_or_without_its_means_is_refused),
    CHECK(nothing_is_mapped_before_the_guest_has_an_address_space),
    CHECK(the_byte_at_0_can_be_in_the_way),
    CHECK(reasons_have_names_of_their_own),
    CHECK(range_that_ends_at_the_top_is_valid),
    CHECK(failure_tells_code_range_and_what_is_in_the_way),
    CHECK(failure_tells_the_kernels_error),
    CHECK(success_leaves_the_reason_alone),
};

const area_t area_refusals = AREA("refusals", FIXTURE_MEMORY, checks);
