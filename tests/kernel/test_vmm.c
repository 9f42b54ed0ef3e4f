/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The VMM's address space: real mappings of physical memory, reservations, and what is left after.
 */

#include "world.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

static sigjmp_buf fault_return;

static void on_fault(int signal)
{
    siglongjmp(fault_return, 1);
}

/* Whether a load (or a store) there faults. */
static bool faults(volatile char *at, bool store)
{
    if (!at) {
        return true;
    }
    struct sigaction action, old_segv, old_bus;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_fault;
    sigaction(SIGSEGV, &action, &old_segv);
    sigaction(SIGBUS, &action, &old_bus);
    bool faulted = true;
    if (sigsetjmp(fault_return, 1) == 0) {
        char byte = *at;
        if (store) {
            *at = byte;
        }
        faulted = false;
    }
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
    return faulted;
}

static char *map_one(seL4_CPtr frame, seL4_CapRights_t rights)
{
    seL4_CPtr caps[] = {frame};
    return vspace_map_pages(vmm, caps, NULL, rights, 1, 12, 1);
}

static void vmm_mapping_is_physical_memory(void **state)
{
    seL4_CPtr frame = new_frame(12), twin = new_slot();
    hosted_census_t before = census();
    char *first = map_one(frame, seL4_AllRights);
    assert_non_null(first);
    assert_error(copy(twin, frame, seL4_AllRights), seL4_NoError);
    char *second = map_one(twin, seL4_CanRead);
    assert_non_null(second);
    memcpy(first + 10, "hello", 6);
    assert_string_equal(second + 10, "hello");
    char *physical = hosted_physical_memory(world, frame_address(frame), 0x1000);
    assert_string_equal(physical + 10, "hello");
    physical[10] = 'j';
    assert_string_equal(first + 10, "jello");
    assert_true(faults(second, true));
    assert_false(faults(second, false));
    vspace_unmap_pages(vmm, first, 1, 12, VSPACE_PRESERVE);
    vspace_unmap_pages(vmm, second, 1, 12, VSPACE_PRESERVE);
    assert_error(delete_cap(twin), seL4_NoError);
    assert_census(&before);
}

static void stale_pointers_fault(void **state)
{
    seL4_CPtr untyped = new_untyped(14), frames[3] = {new_slot(), new_slot(), new_slot()};
    void *vaddr = NULL;
    reservation_t range = vspace_reserve_range(vmm, 0x3000, seL4_AllRights, 1, &vaddr);
    assert_non_null(range.res);
    char *at = vaddr;
    assert_true(faults(at, false));
    for (size_t i = 0; i < 3; i++) {
        assert_error(retype(untyped, seL4_ARM_SmallPageObject, 0, frames[i], 1), seL4_NoError);
        assert_int_equal(
            vspace_map_pages_at_vaddr(vmm, &frames[i], NULL, at + 0x1000 * i, 1, 12, range), 0);
        assert_false(faults(at + 0x1000 * i, true));
    }
    assert_error(seL4_ARM_Page_Unmap(frames[0]), seL4_NoError);
    assert_true(faults(at, false));
    assert_error(delete_cap(frames[1]), seL4_NoError);
    assert_true(faults(at + 0x1000, false));
    assert_false(faults(at + 0x2000, true));
    assert_error(revoke(untyped), seL4_NoError);
    assert_true(faults(at + 0x2000, false));
    vspace_unmap_pages(vmm, at, 3, 12, VSPACE_PRESERVE);
    vspace_free_reservation(vmm, range);
    assert_int_equal(census().vmm_reservations, 0);
}

static void kernel_maps_only_where_the_vmm_has_reserved(void **state)
{
    seL4_CPtr frame = new_frame(12);
    static char own[0x2000];
    seL4_Word inside = ((seL4_Word)own + 0xfff) & ~0xffful;
    assert_error_0(map(frame, seL4_CapInitThreadVSpace, inside), seL4_InvalidArgument, 0);
    assert_error_0(map(frame, seL4_CapInitThreadVSpace, 1ul << 47), seL4_InvalidArgument, 0);
    assert_int_equal(census().vmm_mappings, 0);
}

static void capabilities_are_found_by_any_address_of_their_page(void **state)
{
    void *vaddr = NULL;
    seL4_CPtr large = new_frame(21), small = new_frame(12);
    reservation_t range =
        vspace_reserve_range_aligned(vmm, 4ul << 21, 21, seL4_AllRights, 1, &vaddr);
    char *at = vaddr;
    assert_int_equal((uintptr_t)at & ((1ul << 21) - 1), 0);
    uintptr_t cookies[] = {77};
    assert_int_equal(vspace_map_pages_at_vaddr(vmm, &large, cookies, at, 1, 21, range), 0);
    assert_int_equal(
        vspace_map_pages_at_vaddr(vmm, &small, NULL, at + (1ul << 21) + 0x5000, 1, 12, range), 0);
    assert_int_equal(vspace_get_cap(vmm, at + 0x12345), large);
    assert_int_equal(vspace_get_cookie(vmm, at + 0x12345), 77);
    assert_int_equal(vspace_get_cap(vmm, at + (1ul << 21) + 0x5fff), small);
    assert_int_equal(vspace_get_cap(vmm, at + (1ul << 21) + 0x6000), seL4_CapNull);
    assert_int_equal(vspace_get_cap(vmm, &range), seL4_CapNull);
    assert_int_equal(vspace_get_root(vmm), seL4_CapInitThreadVSpace);
    /* What is mapped is refused, by the range or by the kernel, and stays. */
    seL4_CPtr other[] = {new_frame(12), new_frame(21)};
    assert_int_not_equal(vspace_map_pages_at_vaddr(vmm, &other[0], NULL, at, 1, 12, range), 0);
    assert_int_not_equal(vspace_map_pages_at_vaddr(vmm, &other[0], NULL, at + 0x1000, 1, 12, range),
                         0);
    assert_int_not_equal(
        vspace_map_pages_at_vaddr(vmm, &other[1], NULL, at + (1ul << 21), 1, 21, range), 0);
    assert_int_not_equal(
        vspace_map_pages_at_vaddr(vmm, &other[1], NULL, at + (4ul << 21), 1, 21, range), 0);
    assert_int_equal(census().vmm_mappings, 2);
    vspace_unmap_pages(vmm, at + (1ul << 21) + 0x5000, 1, 12, VSPACE_PRESERVE);
    assert_int_equal(
        vspace_map_pages_at_vaddr(vmm, &other[1], NULL, at + (1ul << 21), 1, 21, range), 0);
}

static void map_of_many_is_all_or_nothing(void **state)
{
    void *vaddr = NULL;
    seL4_CPtr caps[4] = {new_frame(12), new_frame(12), seL4_CapNull, new_frame(12)};
    reservation_t range = vspace_reserve_range(vmm, 0x4000, seL4_AllRights, 1, &vaddr);
    hosted_census_t before = census();
    assert_int_not_equal(vspace_map_pages_at_vaddr(vmm, caps, NULL, vaddr, 4, 12, range), 0);
    assert_census(&before);
    caps[2] = new_frame(12);
    assert_int_equal(vspace_map_pages_at_vaddr(vmm, caps, NULL, vaddr, 4, 12, range), 0);
}

static void new_pages_come_and_go_whole(void **state)
{
    hosted_census_t before = census();
    char *pages = vspace_new_pages(vmm, seL4_AllRights, 5, 12);
    assert_non_null(pages);
    memset(pages, 3, 0x5000);
    vspace_unmap_pages(vmm, pages, 5, 12, VSPACE_FREE);
    assert_census(&before);
    for (uint64_t k = 1;; k++) {
        hosted_inject_fail(world, HOSTED_OPERATION_FORWARD, k);
        pages = vspace_new_pages(vmm, seL4_AllRights, 3, 12);
        hosted_inject_stop(world);
        if (pages) {
            break;
        }
        assert_census(&before);
    }
    vspace_unmap_pages(vmm, pages, 3, 12, VSPACE_FREE);
    assert_census(&before);
}

static void fixed_and_deferred_ranges(void **state)
{
    void *vaddr = NULL;
    hosted_census_t before = census();
    reservation_t range = vspace_reserve_range(vmm, 0x10000, seL4_AllRights, 1, &vaddr);
    assert_null(vspace_reserve_range_at(vmm, vaddr, 0x1000, seL4_AllRights, 1).res);
    assert_null(vspace_reserve_range_at(vmm, (void *)-0x1000ul, 0x2000, seL4_AllRights, 1).res);
    vspace_free_reservation(vmm, range);
    range = vspace_reserve_deferred_rights_range_at(vmm, (char *)vaddr + 8, 0x1000, 1);
    assert_non_null(range.res); /* both pages that are touched */
    seL4_CPtr frame = new_frame(12);
    char *second = (char *)vaddr + 0x1000;
    assert_int_equal(vspace_deferred_rights_map_pages_at_vaddr(vmm, &frame, NULL, second, 1, 12,
                                                               seL4_CanRead, range),
                     0);
    assert_false(faults(second, false));
    assert_true(faults(second, true));
    vspace_free_reservation_by_vaddr(vmm, vaddr);
    assert_int_equal(census().vmm_reservations,
                     before.vmm_reservations + 1); /* until its last page */
    assert_false(faults(second, false));
    vspace_unmap_pages(vmm, second, 1, 12, VSPACE_PRESERVE);
    assert_int_equal(census().vmm_reservations, before.vmm_reservations);
}

static int read_word(void *access_addr, void *vaddr, void *cookie)
{
    memcpy(cookie, vaddr, sizeof(int));
    return 42;
}

static void shared_memory_is_the_same_memory(void **state)
{
    hosted_census_t before = census();
    char *pages = vspace_new_pages(vmm, seL4_AllRights, 2, 12);
    char *shared = vspace_share_mem(vmm, vmm, pages, 2, 12, seL4_CanRead, 1);
    assert_non_null(shared);
    pages[0x1234] = 9;
    assert_int_equal(shared[0x1234], 9);
    assert_true(faults(shared, true));
    assert_null(vspace_share_mem(vmm, vmm, pages, 3, 12, seL4_CanRead, 1));
    int word = 0, value = 0x12345678;
    memcpy(pages + 0x1100, &value, sizeof(value));
    assert_int_equal(vspace_access_page_with_callback(vmm, vmm, pages + 0x1100, 12, seL4_AllRights,
                                                      1, read_word, &word),
                     42);
    assert_int_equal(word, value);
    vspace_unmap_pages(vmm, shared, 2, 12, VSPACE_FREE);
    vspace_unmap_pages(vmm, pages, 2, 12, VSPACE_FREE);
    assert_census(&before);
}

static void io_ops_map_devices_and_count_the_heap(void **state)
{
    ps_io_ops_t *ops = hosted_io_ops(world);
    hosted_census_t before = census();
    volatile uint32_t *uart = ps_io_map(&ops->io_mapper, 0x9000018, 8, 0, PS_MEM_NORMAL);
    assert_non_null(uart);
    *uart = 0x90;
    assert_int_equal(*(uint32_t *)hosted_physical_memory(world, 0x9000018, 4), 0x90);
    assert_null(ps_io_map(&ops->io_mapper, 0x9000000, 8, 0, PS_MEM_NORMAL));
    ps_io_unmap(&ops->io_mapper, (void *)uart, 8);
    void *block = NULL;
    assert_int_equal(ps_calloc(&ops->malloc_ops, 3, 5, &block), 0);
    assert_int_equal(census().heap_blocks, before.heap_blocks + 1);
    assert_int_equal(census().heap_bytes, before.heap_bytes + 15);
    assert_int_equal(ps_free(&ops->malloc_ops, 15, block), 0);
    hosted_inject_fail(world, HOSTED_OPERATION_HEAP, 1);
    assert_int_equal(ps_malloc(&ops->malloc_ops, 8, &block), ENOMEM);
    assert_int_equal(hosted_inject_stop(world), 1);
    assert_census(&before);
}

/* Mappings that the host has for this process; its limit is 65,530. */
static size_t host_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    size_t lines = 0;
    assert_non_null(maps);
    for (int c; (c = getc(maps)) != EOF;) {
        lines += c == '\n';
    }
    fclose(maps);
    return lines;
}

enum { MANY = 100000 };

/* The order in which the pages go that makes most holes at a time: every second, then the rest. */
static size_t every_second(size_t i)
{
    return i < MANY / 2 ? 2 * i : 2 * (i - MANY / 2) + 1;
}

static void many_single_pages_take_few_mappings_of_the_host(void **state)
{
    static struct {
        vka_object_t frame;
        uint32_t *page;
    } all[MANY];
    hosted_census_t before = census();
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(vka_alloc_frame(vka, 12, &all[i].frame), 0);
        all[i].page = (uint32_t *)map_one(all[i].frame.cptr, seL4_AllRights);
        assert_non_null(all[i].page);
        *all[i].page = i;
    }
    assert_in_range(host_mappings(), 1, 5000);
    for (size_t i = 0; i < MANY; i++) {
        size_t page = every_second(i);
        assert_int_equal(*all[page].page, page);
        vspace_unmap_pages(vmm, all[page].page, 1, 12, VSPACE_PRESERVE);
        if (i == 0 || i >= MANY / 2) {
            assert_true(faults((char *)all[page].page, false));
        }
        vka_free_object(vka, &all[page].frame);
    }
    for (size_t i = 0; i < MANY; i += 2) {
        assert_true(faults((char *)all[i].page, false));
    }
    assert_in_range(host_mappings(), 1, 5000);
    assert_census(&before);
}

static void scattered_pages_are_refused_before_the_host_has_no_room(void **state)
{
    static vka_object_t frames[MANY];
    void *vaddr = NULL;
    size_t mapped = 0;
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(vka_alloc_frame(vka, 12, &frames[i]), 0);
    }
    hosted_census_t before = census();
    reservation_t range = vspace_reserve_range(vmm, MANY * 0x1000ul, seL4_AllRights, 1, &vaddr);
    while (mapped < MANY &&
           vspace_map_pages_at_vaddr(vmm, &frames[every_second(mapped)].cptr, NULL,
                                     (char *)vaddr + mapped * 0x1000, 1, 12, range) == 0) {
        mapped++;
    }
    assert_true(mapped > 50000); /* all, where the host's limit is higher */
    void *own = mmap(NULL, 0x3000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(own, MAP_FAILED);
    assert_int_equal(munmap(own, 0x3000), 0);
    vspace_unmap_pages(vmm, vaddr, mapped, 12, VSPACE_PRESERVE);
    assert_true(faults(vaddr, false));
    vspace_free_reservation(vmm, range);
    assert_census(&before);
}

static void address_of_a_single_page_can_be_asked_for_again(void **state)
{
    void *vaddr = NULL;
    reservation_t first = vspace_reserve_range(vmm, 0x1000, seL4_AllRights, 1, &vaddr);
    assert_null(vspace_reserve_range_at(vmm, vaddr, 0x1000, seL4_AllRights, 1).res);
    vspace_free_reservation(vmm, first);
    first = vspace_reserve_range_at(vmm, vaddr, 0x3000, seL4_AllRights, 1);
    assert_non_null(first.res);
    void *other = NULL;
    assert_non_null(vspace_reserve_range(vmm, 0x1000, seL4_AllRights, 1, &other).res);
    assert_ptr_equal(other, (char *)vaddr + 0x3000);
    vspace_free_reservation(vmm, first);
    assert_non_null(vspace_reserve_range(vmm, 0x1000, seL4_AllRights, 1, &other).res);
    assert_ptr_equal(other, vaddr);
}

WORLD_MAIN(WORLD_TEST(vmm_mapping_is_physical_memory), WORLD_TEST(stale_pointers_fault),
           WORLD_TEST(kernel_maps_only_where_the_vmm_has_reserved),
           WORLD_TEST(capabilities_are_found_by_any_address_of_their_page),
           WORLD_TEST(map_of_many_is_all_or_nothing), WORLD_TEST(new_pages_come_and_go_whole),
           WORLD_TEST(many_single_pages_take_few_mappings_of_the_host),
           WORLD_TEST(scattered_pages_are_refused_before_the_host_has_no_room),
           WORLD_TEST(address_of_a_single_page_can_be_asked_for_again),
           WORLD_TEST(fixed_and_deferred_ranges), WORLD_TEST(shared_memory_is_the_same_memory),
           WORLD_TEST(io_ops_map_devices_and_count_the_heap))
