/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What the runtime's own code and people's VMMs do with the library, where they use it otherwise
 * than a test of its contract would: libsel4vm, libsel4vmmplatsupport, camkes-vm. */

#include "world.h"
#include <vka/capops.h>

#define GPA ((uintptr_t)0x80000000)

/* Every memcpy() of the library comes here (see CMakeLists.txt): a byte at a time, as that of a C
 * library may. In shared memory it must not be used for what the guest may read at the same time.
 */
static struct {
    const char *base; /* memory that is watched, in the VMM */
    size_t size;
    int copies; /* that wrote or read there */
} watched;

void *__wrap_memcpy(void *to, const void *from, size_t size)
{
    watched.copies += (size_t)((const char *)to - watched.base) < watched.size ||
                      (size_t)((const char *)from - watched.base) < watched.size;
    for (size_t i = 0; i < size; i++) {
        ((volatile char *)to)[i] = ((const volatile char *)from)[i];
    }
    return to;
}

/* What clang makes of it under AddressSanitizer. */
void *__wrap___asan_memcpy(void *to, const void *from, size_t size)
    __attribute__((alias("__wrap_memcpy")));

void *__wrap_memset(void *to, int byte, size_t size)
{
    watched.copies += (size_t)((char *)to - watched.base) < watched.size;
    for (size_t i = 0; i < size; i++) {
        ((volatile char *)to)[i] = (char)byte;
    }
    return to;
}

static void aligned_words_of_ram_are_single_accesses(void **state)
{
    world_t *w = *state;
    uint64_t value = 0x0102030405060708;
    uint64_t back = 0;
    char bytes[16] = "";
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 2 * MEGABYTE, false), 0);
    for (int kept = 0; kept < 2; kept++) {
        watched.base = guestmem_pointer(&w->vm, GPA, 2 * MEGABYTE);
        watched.size = 2 * MEGABYTE;
        assert_non_null(watched.base);
        watched.copies = 0;
        for (size_t size = 1; size <= 8; size *= 2) {
            uintptr_t at = GPA + 0x1000 + 3 * size;
            assert_int_equal(guestmem_write(&w->vm, at, &value, size), 0);
            assert_int_equal(guestmem_read(&w->vm, at, &back, size), 0);
            assert_memory_equal(&value, &back, size);
            assert_int_equal(vm_ram_touch(&w->vm, at, size, vm_guest_ram_write_callback, &value),
                             0);
            assert_int_equal(vm_ram_touch(&w->vm, at, size, vm_guest_ram_read_callback, &back), 0);
            assert_int_equal(guestmem_copy(&w->vm, at + 0x800, at, size), 0);
            w->vm.mem.clean_cache = !w->vm.mem.clean_cache; /* not by the shortest way */
        }
        assert_int_equal(watched.copies, 0);
        assert_int_equal(guestmem_write(&w->vm, GPA + 1, bytes, sizeof(bytes)), 0);
        assert_int_equal(watched.copies, 1); /* so it does watch */
    }
    watched.size = 0;
}

/* A device frame that an iterator hands in, as vGIC code does; memory of devices may only be
 * accessed as it is aligned, which a memcpy() need not do. */
typedef struct handed {
    vka_object_t frame;
    size_t attributes;
    seL4_CapRights_t rights;
} handed_t;

static vm_frame_t hand_in(uintptr_t addr, void *cookie)
{
    const handed_t *handed = cookie;
    return (vm_frame_t){
        .cptr = handed->frame.cptr,
        .rights = handed->rights,
        .vaddr = addr & ~(PAGE - 1),
        .size_bits = 12 | handed->attributes,
    };
}

static void a_device_frame_that_is_handed_in_is_uncached(void **state)
{
    world_t *w = *state;
    handed_t handed = {.rights = seL4_AllRights};
    guestmem_frame_info_t info;
    char bytes[64] = "unaligned accesses to the memory of a device may fault";
    char back[64];
    assert_int_equal(vka_alloc_frame_at(w->vm.vka, 12, UART, &handed.frame), 0);
    vm_memory_reservation_t *r = world_reserve(w, UART, PAGE);
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_in, &handed), 0);
    assert_false(guest_mapping_at(w, UART).cacheable);
    assert_false(guest_mapping_at(w, UART).execute);
    assert_int_equal(guestmem_frame_info(&w->vm, UART + 8, &info), 0);
    assert_true(info.caller && !info.cacheable);
    assert_int_equal(info.cap, handed.frame.cptr);
    /* The VMM's window. */
    assert_int_equal(guestmem_access(&w->vm, UART, 1, vm_guest_ram_read_callback, back), 0);
    watched.base = (char *)hosted_physical_memory(w->system, UART, PAGE);
    for (size_t offset = 0; offset < 9; offset++) {
        assert_int_equal(guestmem_access(&w->vm, UART + offset, sizeof(bytes),
                                         vm_guest_ram_write_callback, bytes),
                         0);
        assert_memory_equal(watched.base + offset, bytes, sizeof(bytes));
        memset(back, 0, sizeof(back));
        assert_int_equal(
            guestmem_access(&w->vm, UART + offset, sizeof(back), vm_guest_ram_read_callback, back),
            0);
        assert_memory_equal(back, bytes, sizeof(bytes));
    }
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    /* As the caller says, if it does; and RAM is cached. */
    handed.attributes = GUESTMEM_FRAME_CACHED;
    r = world_reserve(w, UART, PAGE);
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_in, &handed), 0);
    assert_true(guest_mapping_at(w, UART).cacheable);
    assert_int_equal(vspace_get_cookie(&w->vm.mem.vm_vspace, (void *)UART), 12);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    handed.attributes = 0;
    assert_int_equal(vm_ram_register_at_custom_iterator(&w->vm, UART, PAGE, hand_in, &handed), 0);
    assert_true(guest_mapping_at(w, UART).cacheable);
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, UART)), 0);
    vka_free_object(w->vm.vka, &handed.frame);
    handed.frame = world_frame(w, 12);
    handed.attributes = GUESTMEM_FRAME_UNCACHED;
    r = world_reserve(w, GPA, PAGE);
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_in, &handed), 0);
    assert_false(guest_mapping_at(w, GPA).cacheable);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    vka_free_object(w->vm.vka, &handed.frame);
}

static int watch_there(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size, size_t offset,
                       void *cookie)
{
    watched.base = (char *)vaddr - (guest_addr & (PAGE - 1));
    watched.size = PAGE;
    watched.copies = 0;
    return 0;
}

/* RAM that its owner wants uncached, beside such as is not. */
static vm_frame_t hand_in_each_otherwise(uintptr_t addr, void *cookie)
{
    handed_t *handed = cookie;
    handed->attributes = addr < GPA + PAGE ? GUESTMEM_FRAME_UNCACHED : 0;
    vm_frame_t frame = hand_in(addr, &handed[addr < GPA + PAGE ? 0 : 1]);
    frame.size_bits = 12 | handed->attributes;
    return frame;
}

static void uncached_ram_is_accessed_by_aligned_words(void **state)
{
    world_t *w = *state;
    handed_t handed[2] = {{.frame = world_frame(w, 12), .rights = seL4_AllRights},
                          {.frame = world_frame(w, 12), .rights = seL4_AllRights}};
    char bytes[32] = "every access is aligned";
    char back[32];
    assert_int_equal(
        vm_ram_register_at_custom_iterator(&w->vm, GPA, 2 * PAGE, hand_in_each_otherwise, handed),
        0);
    assert_false(guest_mapping_at(w, GPA).cacheable);
    assert_true(guest_mapping_at(w, GPA + PAGE).cacheable);
    assert_int_equal(vm_ram_touch(&w->vm, GPA, 1, watch_there, NULL), 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(guestmem_write(&w->vm, GPA + 3, bytes, sizeof(bytes)), 0);
        assert_int_equal(guestmem_read(&w->vm, GPA + 3, back, sizeof(back)), 0);
        assert_memory_equal(bytes, back, sizeof(bytes));
        assert_int_equal(guestmem_copy(&w->vm, GPA + PAGE + 5, GPA + 3, sizeof(bytes)), 0);
        assert_int_equal(guestmem_fill(&w->vm, GPA + 3, 0, sizeof(bytes)), 0);
    }
    assert_int_equal(watched.copies, 0);
    watched.size = 0;
    assert_int_equal(guestmem_read(&w->vm, GPA + PAGE + 5, back, sizeof(back)), 0);
    assert_memory_equal(bytes, back, sizeof(bytes));
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    /* A kernel that does not say where a frame is. */
    vm_memory_reservation_t *r = world_reserve(w, GPA, PAGE);
    hosted_inject_fail(w->system, HOSTED_OPERATION_INVOCATION, 1);
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_in, &handed[1]), -1);
    hosted_inject_stop(w->system);
    expect_failure(w, GUESTMEM_KERNEL);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    vka_free_object(w->vm.vka, &handed[0].frame);
    vka_free_object(w->vm.vka, &handed[1].frame);
}

static int never_called(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size, size_t offset,
                        void *cookie)
{
    fail_msg("called for %zu bytes at 0x%lx", size, (unsigned long)guest_addr);
    return -1;
}

static void frames_of_fewer_rights_are_not_written(void **state)
{
    world_t *w = *state;
    handed_t handed = {.frame = world_frame(w, 12), .rights = seL4_CanRead};
    handed_t whole = handed;
    char bytes[8] = "before";
    cspacepath_t from;
    cspacepath_t to;
    vka_cspace_make_path(w->vm.vka, whole.frame.cptr, &from);
    assert_int_equal(vka_cspace_alloc_path(w->vm.vka, &to), 0);
    assert_int_equal(vka_cnode_mint(&to, &from, seL4_CanRead, 0), 0);
    handed.frame.cptr = to.capPtr;
    assert_int_equal(vm_ram_register_at_custom_iterator(&w->vm, GPA, PAGE, hand_in, &handed), 0);
    assert_int_equal(guestmem_read(&w->vm, GPA, bytes, 8), 0);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(guestmem_write(&w->vm, GPA, bytes, 8), -1);
    expect_failure(w, GUESTMEM_NO_RIGHT);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 1, 8), -1);
    expect_failure(w, GUESTMEM_NO_RIGHT);
    assert_int_equal(vm_ram_touch(&w->vm, GPA, 8, vm_guest_ram_write_callback, bytes), -1);
    expect_failure(w, GUESTMEM_NO_RIGHT);
    assert_int_equal(guestmem_copy(&w->vm, GPA, GPA + 64, 8), -1);
    expect_failure(w, GUESTMEM_NO_RIGHT);
    assert_int_equal(vm_ram_touch(&w->vm, GPA, 8, vm_guest_ram_read_callback, bytes), 0);
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    handed.rights = seL4_NoRights;
    vm_memory_reservation_t *r = world_reserve(w, GPA, PAGE);
    assert_int_equal(vm_map_reservation(&w->vm, r, hand_in, &handed), 0);
    assert_int_equal(guestmem_access(&w->vm, GPA, 8, never_called, NULL), -1);
    expect_failure(w, GUESTMEM_NO_RIGHT);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    vka_cnode_delete(&to);
    vka_cspace_free_path(w->vm.vka, to);
    vka_free_object(w->vm.vka, &whole.frame);
}

/* Upstream's iterators may answer in any order, as long as they answer with all of it. */
typedef struct backwards {
    vka_object_t frames[8];
    int asked;
    bool twice;    /* the same page */
    int read_only; /* that page, if it is not 0 */
} backwards_t;

static vm_frame_t from_the_end(uintptr_t addr, void *cookie)
{
    backwards_t *backwards = cookie;
    assert_int_equal(addr, GPA + (uintptr_t)backwards->asked * PAGE);
    int page = 7 - backwards->asked++;
    return (vm_frame_t){
        .cptr = backwards->frames[page].cptr,
        .rights = page > 0 && page == backwards->read_only ? seL4_CanRead : seL4_AllRights,
        .vaddr = GPA + (uintptr_t)(backwards->twice && page == 3 ? 4 : page) * PAGE,
        .size_bits = 12,
    };
}

static void frames_may_be_handed_in_in_any_order(void **state)
{
    world_t *w = *state;
    backwards_t backwards = {.asked = 0};
    hosted_census_t before;
    for (int i = 0; i < 8; i++) {
        backwards.frames[i] = world_frame(w, 12);
    }
    vm_memory_reservation_t *r = world_reserve(w, GPA, 8 * PAGE);
    hosted_census_take(w->system, &before);
    backwards.twice = true;
    assert_int_equal(vm_map_reservation(&w->vm, r, from_the_end, &backwards), -1);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    expect_census(w, &before);
    backwards.asked = 0;
    backwards.twice = false;
    assert_int_equal(vm_map_reservation(&w->vm, r, from_the_end, &backwards), 0);
    for (uintptr_t i = 0; i < 8; i++) {
        assert_int_equal(vspace_get_cap(&w->vm.mem.vm_vspace, (void *)(GPA + i * PAGE)),
                         backwards.frames[i].cptr);
    }
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    /* On a fault, the frame must be the one that the guest accesses. */
    r = world_reserve(w, GPA, 8 * PAGE);
    backwards.asked = 0;
    assert_int_equal(guestmem_set_map_time(&w->vm, GUESTMEM_MAP_ON_FAULT), 0);
    assert_int_equal(vm_map_reservation(&w->vm, r, from_the_end, &backwards), 0);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA, 4), FAULT_ERROR);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    r = world_reserve(w, GPA, 8 * PAGE);
    backwards.asked = 5;
    assert_int_equal(vm_map_reservation(&w->vm, r, from_the_end, &backwards), 0);
    assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + 5 * PAGE, 4), FAULT_ERROR);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    /* A frame without the right to write, in the middle. */
    backwards.asked = 0;
    backwards.read_only = 2;
    assert_int_equal(
        vm_ram_register_at_custom_iterator(&w->vm, GPA, 8 * PAGE, from_the_end, &backwards), 0);
    assert_int_equal(guestmem_fill(&w->vm, GPA + PAGE, 1, 3 * PAGE), -1);
    expect_failure(w, GUESTMEM_NO_RIGHT);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 1, 2 * PAGE), 0);
    assert_int_equal(guestmem_fill(&w->vm, GPA + 3 * PAGE, 1, 2 * PAGE), 0);
    assert_int_equal(vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA)), 0);
    for (int i = 0; i < 8; i++) {
        vka_free_object(w->vm.vka, &backwards.frames[i]);
    }
}

static vm_frame_t share_instead(uintptr_t addr, void *cookie)
{
    world_t *w = cookie;
    assert_null(vspace_share_mem(&w->vm.mem.vm_vspace, &w->vm.mem.vmm_vspace, (void *)GPA, 1, 12,
                                 seL4_AllRights, 1));
    assert_int_equal(guestmem_last_error(&w->vm)->code, GUESTMEM_IN_ITERATOR);
    return (vm_frame_t){.cptr = seL4_CapNull};
}

/* libsel4vm's vm_create_vcpu() on x86_64 shares a page so. */
static void guest_pages_are_shared_with_the_vmms_address_space(void **state)
{
    world_t *w = *state;
    vspace_t *guest = &w->vm.mem.vm_vspace;
    vspace_t *vmm = &w->vm.mem.vmm_vspace;
    hosted_census_t before;
    vm_memory_reservation_t *r = world_reserve(w, GPA, 2 * PAGE);
    assert_int_equal(map_frame_alloc_reservation(&w->vm, r), 0);
    hosted_census_take(w->system, &before);
    char *shared = vspace_share_mem(guest, vmm, (void *)GPA, 2, 12, seL4_AllRights, 1);
    assert_non_null(shared);
    shared[PAGE] = 0x5a;
    assert_int_equal(guestmem_clean(&w->vm, GPA + PAGE, 1), 0);
    assert_int_equal(guest_bytes(w, GPA + PAGE)[0], 0x5a);
    vspace_unmap_pages(vmm, shared, 2, 12, VSPACE_FREE);
    expect_census(w, &before);
    /* What is not mapped, or not in such pages. */
    assert_null(vspace_share_mem(guest, vmm, (void *)(GPA + PAGE), 2, 12, seL4_AllRights, 1));
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    assert_null(vspace_share_mem(guest, vmm, (void *)(GPA + 8), 1, 12, seL4_AllRights, 1));
    expect_failure(w, GUESTMEM_BAD_FRAME);
    assert_null(vspace_share_mem(guest, vmm, (void *)GPA, 1, 21, seL4_AllRights, 1));
    expect_failure(w, GUESTMEM_BAD_FRAME);
    reservation_t none = {NULL};
    assert_int_not_equal(vspace_share_mem_at_vaddr(guest, vmm, (void *)GPA, 1, 64, vmm, none), 0);
    expect_failure(w, GUESTMEM_BAD_FRAME);
    /* An iterator may not share: its VM's frames are about to change. */
    vm_memory_reservation_t *other = world_reserve(w, GPA + MEGABYTE, PAGE);
    assert_int_equal(vm_map_reservation(&w->vm, other, share_instead, w), -1);
    assert_int_equal(vm_free_reserved_memory(&w->vm, other), 0);
    w->log_lines = 0;
    for (uint64_t k = 1; k <= 4; k++) {
        hosted_inject_fail(w->system, HOSTED_OPERATION_FORWARD, k);
        shared = vspace_share_mem(guest, vmm, (void *)GPA, 2, 12, seL4_AllRights, 1);
        bool fired = hosted_inject_fired(w->system);
        hosted_inject_stop(w->system);
        assert_true(shared == NULL && fired);
        expect_census(w, &before);
    }
    w->log_lines = 0;
}

/* The image loader for x86_64 maps a copy of what vspace_get_cap() returns, as a page of 4 KiB. */
static void small_frames_are_mapped_in_the_vmm_by_their_capability(void **state)
{
    world_t *w = *state;
    cspacepath_t from;
    cspacepath_t to;
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 4 * MEGABYTE, false), 0);
    assert_int_equal(vka_cspace_alloc_path(w->vm.vka, &to), 0);
    for (uintptr_t gpa = GPA + 0x10; gpa < GPA + 4 * MEGABYTE; gpa += PAGE) {
        seL4_CPtr cap = vspace_get_cap(&w->vm.mem.vm_vspace, (void *)gpa);
        vka_cspace_make_path(w->vm.vka, cap, &from);
        assert_int_equal(vka_cnode_copy(&to, &from, seL4_AllRights), 0);
        char *page =
            vspace_map_pages(&w->vm.mem.vmm_vspace, &to.capPtr, NULL, seL4_AllRights, 1, 12, 1);
        assert_non_null(page);
        page[gpa & 0xfff] = 0x5a;
        assert_true(w->vm.mem.clean_cache || guest_bytes(w, gpa)[0] == 0x5a);
        vspace_unmap_pages(&w->vm.mem.vmm_vspace, page, 1, 12, VSPACE_PRESERVE);
        assert_int_equal(vka_cnode_delete(&to), 0);
    }
    vka_cspace_free_path(w->vm.vka, to);
}

static int load_page(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size, size_t offset,
                     void *cookie)
{
    memset(vaddr, 0xc3, size);
    return 0;
}

/* Upstream's image loader cleans the first page of the frame that its callback finds in the VMM's
 * address space, which is another one in a large frame. */
static void what_is_written_is_cleaned_in_frames_of_any_size(void **state)
{
    world_t *w = *state;
    uint64_t word = 0xc3c3c3c3c3c3c3c3;
    const uintptr_t image = GPA + 0x80000;
    w->vm.mem.clean_cache = true;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 64 * MEGABYTE, false), 0);
    assert_int_equal(vm_ram_touch(&w->vm, image, 8 * MEGABYTE, load_page, NULL), 0);
    for (uintptr_t at = image; at < image + 8 * MEGABYTE; at += PAGE) {
        assert_int_equal(guest_bytes(w, at)[0], 0xc3);
        assert_int_equal(guest_bytes(w, at)[PAGE - 1], 0xc3);
    }
    for (int way = 0; way < 4; way++) {
        uintptr_t at = GPA + 30 * MEGABYTE - 4 + (uintptr_t)way * 0x1000;
        assert_int_equal(way == 0   ? guestmem_write(&w->vm, at, &word, 8)
                         : way == 1 ? guestmem_fill(&w->vm, at, 0xc3, 8)
                         : way == 2
                             ? guestmem_copy(&w->vm, at, image, 8)
                             : vm_ram_touch(&w->vm, at, 8, vm_guest_ram_write_callback, &word),
                         0);
        assert_int_equal(guest_bytes(w, at)[0], 0xc3);
        assert_int_equal(guest_bytes(w, at + 7)[0], 0xc3);
    }
    /* A VMM that decides itself: through a pointer, in a frame and over its end. */
    w->vm.mem.clean_cache = false;
    char *pointer = guestmem_pointer(&w->vm, GPA + 40 * MEGABYTE - 8, 16);
    assert_non_null(pointer);
    memset(pointer, 0xc3, 16);
    assert_int_equal(guestmem_clean(&w->vm, GPA + 40 * MEGABYTE - 8, 16), 0);
    assert_int_equal(guest_bytes(w, GPA + 40 * MEGABYTE - 8)[0], 0xc3);
    assert_int_equal(guest_bytes(w, GPA + 40 * MEGABYTE)[7], 0xc3);
    assert_int_equal(guestmem_clean(&w->vm, GPA + 64 * MEGABYTE - 1, 2), -1);
    expect_failure(w, GUESTMEM_NOT_MAPPED);
    hosted_inject_fail(w->system, HOSTED_OPERATION_INVOCATION, 1);
    assert_int_equal(guestmem_clean(&w->vm, GPA, 1), -1);
    hosted_inject_stop(w->system);
    expect_failure(w, GUESTMEM_KERNEL);
}

static void frames_are_of_sizes_that_the_runtime_can_follow(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 64 * MEGABYTE, false), 0);
    assert_int_equal(vspace_get_cookie(&w->vm.mem.vm_vspace, (void *)(GPA + 0x1000)), 21);
}

/* A virtio device whose driver puts headers into descriptors of their own touches 0 bytes of data a
 * thousand times. */
static void touching_nothing_is_no_error(void **state)
{
    world_t *w = *state;
    char byte = 0;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, PAGE, false), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(vm_ram_touch(&w->vm, GPA + 17, 0, never_called, NULL), 0);
    }
    assert_int_equal(guestmem_access(&w->vm, 0, 0, never_called, NULL), 0);
    assert_int_equal(guestmem_read(&w->vm, 0, &byte, 0), 0);
    assert_int_equal(guestmem_write(&w->vm, GPA + PAGE, &byte, 0), 0);
    assert_int_equal(guestmem_fill(&w->vm, 8, 0, 0), 0);
    assert_int_equal(guestmem_copy(&w->vm, 8, GPA, 0), 0);
    assert_int_equal(guestmem_clean(&w->vm, 8, 0), 0);
    assert_int_equal(w->log_lines, 0);
}

static void a_guest_does_not_flood_the_log(void **state)
{
    world_t *w = *state;
    char byte = 0;
    guestmem_statistics_t statistics;
    world_reserve(w, GPA, PAGE);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(guestmem_read(&w->vm, 0x1000, &byte, 1), -1);
        assert_int_equal(vm_memory_handle_fault(&w->vm, NULL, GPA + PAGE - 1, 8), FAULT_ERROR);
        assert_int_equal(default_error_fault_callback(&w->vm, NULL, GPA, 4, NULL), FAULT_ERROR);
    }
    assert_in_range(w->log_lines, 3, 3 * 22);
    assert_int_equal(guestmem_get_statistics(&w->vm, &statistics), 0);
    assert_int_equal(statistics.errors_not_logged, 300000 - w->log_lines);
    w->log_lines = 0;
    guestmem_frame_info_t info;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(guestmem_frame_info(&w->vm, GPA, &info), -1);
    }
    assert_in_range(w->log_lines, 1, 16);
    w->log_lines = 0;
    /* An error of the VMM's own is logged. */
    assert_null(vm_reserve_memory_at(&w->vm, GPA, PAGE, record_fault, w));
    expect_failure(w, GUESTMEM_OVERLAP);
}

static void address_0_is_never_allocated(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_ram_register_at(&w->vm, 0, 0x80000, false), 0);
    assert_int_equal(vm_ram_allocate(&w->vm, 0x80000), 0);
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    assert_int_equal(vm_ram_allocate(&w->vm, 0x1000), 0x1000);
    assert_int_equal(vm_ram_allocate(&w->vm, 0x1000), 0x2000);
    assert_int_equal(w->vm.mem.num_ram_regions, 3);
    world_renew(w);
    assert_int_equal(vm_memory_make_anon(&w->vm, 0, PAGE), 0);
    assert_int_equal(vm_ram_register(&w->vm, PAGE), 0);
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    assert_int_equal(vm_memory_make_anon(&w->vm, 4 * PAGE, PAGE), 0);
    assert_int_equal(vm_ram_register(&w->vm, PAGE), 4 * PAGE);
}

/* Images are loaded again after a reboot, to where they were. */
static void marking_what_is_marked_is_nothing_to_log(void **state)
{
    world_t *w = *state;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 8 * PAGE, false), 0);
    vm_ram_mark_allocated(&w->vm, GPA + PAGE, 2 * PAGE);
    vm_ram_mark_allocated(&w->vm, GPA + PAGE, 2 * PAGE);
    vm_ram_free(&w->vm, GPA + 4 * PAGE, PAGE);
    assert_int_equal(w->log_lines, 0);
    assert_int_equal(guestmem_last_error(&w->vm)->code, GUESTMEM_NOT_RAM);
    assert_int_equal(w->vm.mem.num_ram_regions, 3);
    vm_ram_mark_allocated(&w->vm, GPA + 2 * PAGE, 2 * PAGE);
    expect_failure(w, GUESTMEM_NOT_RAM);
}

/* A PCI device's registers of 256 bytes, in the middle of a page. */
static void registers_in_the_middle_of_a_page_are_mapped_at_a_free_address(void **state)
{
    world_t *w = *state;
    uintptr_t addr = 0;
    assert_int_equal(vm_memory_make_anon(&w->vm, GPA, MEGABYTE), 0);
    assert_null(
        guestmem_reserve_anon_at_offset(&w->vm, 0x100, 0x100, PAGE, record_fault, w, &addr));
    expect_failure(w, GUESTMEM_BAD_ARGUMENT);
    vm_memory_reservation_t *r =
        guestmem_reserve_anon_at_offset(&w->vm, 0x100, 0x100, 0x100, record_fault, w, &addr);
    assert_non_null(r);
    assert_int_equal(addr, GPA + 0x100);
    assert_int_equal(map_ut_alloc_reservation_with_base_paddr(&w->vm, UART + 0x100, r), 0);
    assert_int_equal(guest_mapping_at(w, addr).paddr, UART);
    uintptr_t next = 0;
    assert_int_equal(vm_free_reserved_memory(&w->vm, r), 0);
    assert_non_null(vm_reserve_anon_memory(&w->vm, 1, 1, record_fault, w, &next));
    assert_int_equal(next, GPA); /* all of the page is free again */
    assert_non_null(
        guestmem_reserve_anon_at_offset(&w->vm, PAGE, 1, 0x800, record_fault, w, &next));
    assert_int_equal(next, GPA + PAGE + 0x800); /* two pages */
    assert_non_null(vm_reserve_anon_memory(&w->vm, 1, 1, record_fault, w, &next));
    assert_int_equal(next, GPA + 3 * PAGE);
}

/* The VMM's address space, with little room. */
static struct {
    vspace_t *inner;
    size_t room; /* the largest range */
    int asked;
    int ranges; /* that are left, if not 0 */
} small_vmm;

static reservation_t reserve_little(vspace_t *vspace, size_t bytes, size_t size_bits,
                                    seL4_CapRights_t rights, int cacheable, void **vaddr)
{
    small_vmm.asked++;
    if (small_vmm.ranges == 1) {
        return (reservation_t){NULL};
    }
    small_vmm.ranges -= small_vmm.ranges > 0;
    return bytes <= small_vmm.room ? vspace_reserve_range_aligned(small_vmm.inner, bytes, size_bits,
                                                                  rights, cacheable, vaddr)
                                   : (reservation_t){NULL};
}

static void free_little(vspace_t *vspace, reservation_t reservation)
{
    small_vmm.ranges = 2;
    vspace_free_reservation(small_vmm.inner, reservation);
}

static uint64_t copies(world_t *w)
{
    guestmem_statistics_t statistics;
    assert_int_equal(guestmem_get_statistics(&w->vm, &statistics), 0);
    return statistics.cap_copies;
}

static void a_vmm_without_room_for_a_window_has_access(void **state)
{
    world_t *w = *state;
    static char page[4096];
    small_vmm.inner = hosted_vmm_vspace(w->system);
    small_vmm.room = 4 * MEGABYTE;
    small_vmm.asked = 0;
    w->vm.mem.vmm_vspace.reserve_range_aligned = reserve_little;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 64 * MEGABYTE, false), 0);
    small_vmm.asked = 0;
    uint32_t word = 0x12345678;
    assert_int_equal(guestmem_write(&w->vm, GPA + 8, &word, 4), 0);
    assert_int_equal(guest_bytes(w, GPA)[8], 0x78);
    assert_int_equal(copies(w), 1);
    /* An image, page by page: each frame is mapped once. */
    for (uintptr_t at = 0; at < 32 * MEGABYTE; at += PAGE) {
        page[0] = (char)(at >> 12);
        assert_int_equal(guestmem_write(&w->vm, GPA + at, page, PAGE), 0);
    }
    assert_int_equal(copies(w), 16);
    assert_int_equal(small_vmm.asked, 1 + 16); /* the window was asked for once */
    assert_int_equal(guest_bytes(w, GPA + 31 * MEGABYTE)[0], 0);
    assert_int_equal(guest_bytes(w, GPA + 31 * MEGABYTE + PAGE)[0], 1);
    /* A copy from frame to frame, and a pointer, which needs the window. */
    assert_int_equal(guestmem_copy(&w->vm, GPA + 40 * MEGABYTE, GPA, 3 * MEGABYTE), 0);
    assert_int_equal(guest_bytes(w, GPA + 43 * MEGABYTE - PAGE)[0], (unsigned char)(0x300 - 1));
    assert_null(guestmem_pointer(&w->vm, GPA, 1));
    expect_failure(w, GUESTMEM_NO_ADDRESS);
    /* Where there is room for one frame, the one that was used last gives way. */
    small_vmm.ranges = 0;
    assert_int_equal(guestmem_write(&w->vm, GPA, &word, 4), 0);
    small_vmm.ranges = 1;
    w->vm.mem.vmm_vspace.free_reservation = free_little;
    assert_int_equal(guestmem_write(&w->vm, GPA + 60 * MEGABYTE, &word, 4), 0);
    assert_int_equal(guest_bytes(w, GPA + 60 * MEGABYTE)[0], 0x78);
    /* A window is asked for again when another one has made room. */
    small_vmm.room = SIZE_MAX;
    small_vmm.ranges = 0;
    assert_int_equal(vm_ram_register_at(&w->vm, GPA + 512 * MEGABYTE, PAGE, false), 0);
    assert_int_equal(guestmem_write(&w->vm, GPA + 512 * MEGABYTE, &word, 4), 0);
    assert_int_equal(
        vm_free_reserved_memory(&w->vm, guestmem_find_reservation(&w->vm, GPA + 512 * MEGABYTE)),
        0);
    assert_non_null(guestmem_pointer(&w->vm, GPA, 64 * MEGABYTE));
}

/* A kernel may refuse to map where a page is, the same capability too. */
static void large_frames_are_mapped_where_the_kernel_refuses_to_map_again(void **state)
{
    world_t *w = *state;
    guestmem_statistics_t statistics;
    hosted_system_refuse_remaps(w->system);
    assert_int_equal(vm_ram_register_at(&w->vm, GPA, 8 * MEGABYTE, false), 0);
    assert_int_equal(guestmem_fill(&w->vm, GPA, 0x5a, 8 * MEGABYTE), 0);
    assert_int_equal(guest_bytes(w, GPA + 7 * MEGABYTE)[1], 0x5a);
    assert_int_equal(guestmem_get_statistics(&w->vm, &statistics), 0);
    assert_int_equal(statistics.window_frames, 4);
    assert_int_equal(hosted_invocation_failures(w->system, HOSTED_PAGE_MAP), 1); /* it learns */
}

static struct {
    simple_t *inner;
    uint64_t asked;
} counted_simple;

static seL4_CPtr count_nth_untyped(void *data, int n, size_t *size_bits, uintptr_t *paddr,
                                   bool *device)
{
    counted_simple.asked++;
    return simple_get_nth_untyped(counted_simple.inner, n, size_bits, paddr, device);
}

static void one_to_one_ram_does_not_walk_the_untypeds_for_each_frame(void **state)
{
    world_t *w = *state;
    simple_t simple = *w->vm.simple;
    counted_simple.inner = w->vm.simple;
    counted_simple.asked = 0;
    simple.nth_untyped = count_nth_untyped;
    w->vm.simple = &simple;
    assert_int_equal(guestmem_set_largest_frame(&w->vm, 12), 0);
    assert_int_equal(vm_ram_register_at(&w->vm, RAM_PADDR, 64 * MEGABYTE, true), 0);
    assert_true(counted_simple.asked > 0);
    assert_in_range(counted_simple.asked, 1,
                    4 * (uint64_t)simple_get_untyped_count(counted_simple.inner));
    w->vm.simple = counted_simple.inner;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(aligned_words_of_ram_are_single_accesses),
        world_test(a_device_frame_that_is_handed_in_is_uncached),
        world_test(uncached_ram_is_accessed_by_aligned_words),
        world_test(frames_of_fewer_rights_are_not_written),
        world_test(frames_may_be_handed_in_in_any_order),
        world_test(guest_pages_are_shared_with_the_vmms_address_space),
        world_test(small_frames_are_mapped_in_the_vmm_by_their_capability),
        world_test(what_is_written_is_cleaned_in_frames_of_any_size),
        world_test(frames_are_of_sizes_that_the_runtime_can_follow),
        world_test(touching_nothing_is_no_error),
        world_test(a_guest_does_not_flood_the_log),
        world_test(address_0_is_never_allocated),
        world_test(marking_what_is_marked_is_nothing_to_log),
        world_test(registers_in_the_middle_of_a_page_are_mapped_at_a_free_address),
        world_test(a_vmm_without_room_for_a_window_has_access),
        world_test(large_frames_are_mapped_where_the_kernel_refuses_to_map_again),
        world_test(one_to_one_ram_does_not_walk_the_untypeds_for_each_frame),
    };
    return cmocka_run_group_tests_name("runtime calls", tests, NULL, NULL);
}
