/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The library, the guests' page tables and the heap, against the model. */

#include "model.h"
#include <hosted/stage2.h>
#include <stdlib.h>
#include <string.h>

static void compare_info(model_vm_t *vm, const model_reservation_t *expected)
{
    guestmem_reservation_info_t info;
    size_t frames[GUESTMEM_NUM_FRAME_SIZES] = {0};
    must(guestmem_reservation_info(&vm->vm, expected->handle, &info) == 0, "no information");
    for (size_t i = 0; i < expected->num_frames; i++) {
        frames[(expected->frames[i].bits - 12) / 9]++;
    }
    must(info.base == expected->base && info.last == expected->last, "r%u has another range",
         expected->id);
    must(strcmp(info.name, expected->name) == 0, "r%u is called '%s'", expected->id, info.name);
    must(info.backing == (expected->mapped ? expected->backing : GUESTMEM_EMULATED) &&
             info.anonymous == expected->anonymous && info.ram == expected->ram &&
             info.mapped == expected->mapped,
         "r%u is another kind", expected->id);
    must(memcmp(info.frames, frames, sizeof(frames)) == 0, "r%u has other frames", expected->id);
    must(info.faults == expected->faults, "r%u has %lu faults, not %lu", expected->id,
         (unsigned long)info.faults, (unsigned long)expected->faults);
    must(guestmem_find_reservation(&vm->vm, expected->base) == expected->handle &&
             guestmem_find_reservation(&vm->vm, expected->last) == expected->handle,
         "r%u is not found", expected->id);
}

static void compare_list(model_vm_t *vm)
{
    size_t count = 0;
    uintptr_t from = 0;
    for (vm_memory_reservation_t *handle = guestmem_next_reservation(&vm->vm, NULL); handle != NULL;
         handle = guestmem_next_reservation(&vm->vm, handle)) {
        const model_reservation_t *expected = model_live(vm, handle);
        must(expected != NULL, "a reservation that nobody made");
        must(expected->base >= from, "the list is not in order");
        from = expected->last;
        compare_info(vm, expected);
        count++;
    }
    must(count == vm->num_reservations, "%zu reservations, not %zu", count, vm->num_reservations);
}

static void compare_ram(const model_vm_t *vm)
{
    const vm_mem_t *mem = &vm->vm.mem;
    must((size_t)mem->num_ram_regions == vm->num_ram, "%d ranges of RAM, not %zu",
         mem->num_ram_regions, vm->num_ram);
    for (size_t i = 0; i < vm->num_ram; i++) {
        must(mem->ram_regions[i].start == vm->ram[i].base &&
                 mem->ram_regions[i].size == vm->ram[i].last - vm->ram[i].base + 1 &&
                 mem->ram_regions[i].allocated == vm->ram[i].allocated,
             "the RAM range %zu is another", i);
    }
}

static int frame_order(const void *key, const void *element)
{
    uintptr_t gpa = *(const uintptr_t *)key;
    const model_frame_t *frame = element;
    return gpa < frame->gpa ? -1 : gpa > frame->gpa;
}

/* Whether the guest has what the model has, at one place after the other. */
typedef struct walk {
    model_vm_t *vm;
    size_t mappings;
} walk_t;

static bool compare_mapping(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    walk_t *walk = cookie;
    uintptr_t gpa = mapping->gpa;
    for (size_t i = 0; i < walk->vm->num_reservations; i++) {
        const model_reservation_t *reservation = walk->vm->reservations[i];
        if (gpa < first_page(reservation) || gpa > last_page(reservation) || !reservation->mapped) {
            continue;
        }
        const model_frame_t *frame = bsearch(&gpa, reservation->frames, reservation->num_frames,
                                             sizeof(*frame), frame_order);
        must(frame != NULL && frame->bits == mapping->size_bits && frame->paddr == mapping->paddr,
             "another frame at 0x%lx", (unsigned long)gpa);
        must(mapping->read == frame->read && mapping->write == frame->write,
             "other rights at 0x%lx", (unsigned long)gpa);
        walk->mappings++;
        return true;
    }
    must(false, "the guest can reach 0x%lx", (unsigned long)gpa);
    return false;
}

static size_t count_frames(const model_vm_t *vm, size_t frames[GUESTMEM_NUM_FRAME_SIZES],
                           size_t *touched)
{
    size_t all = 0;
    for (size_t i = 0; i < vm->num_reservations; i++) {
        const model_reservation_t *reservation = vm->reservations[i];
        for (size_t j = 0; j < reservation->num_frames; j++) {
            frames[(reservation->frames[j].bits - 12) / 9]++;
            *touched += reservation->frames[j].touched;
        }
        all += reservation->num_frames;
    }
    return all;
}

static void compare_counts(hosted_system_t *system, model_vm_t *vm)
{
    guestmem_statistics_t statistics;
    size_t frames[GUESTMEM_NUM_FRAME_SIZES] = {0};
    size_t touched = 0;
    walk_t walk = {vm, 0};
    must(guestmem_get_statistics(&vm->vm, &statistics) == 0, "no statistics");
    size_t all = count_frames(vm, frames, &touched);
    hosted_stage2_for_each(system, vm->vm.mem.vm_vspace_root.cptr, compare_mapping, &walk);
    must(walk.mappings == all, "the guest has %zu frames mapped, not %zu", walk.mappings, all);
    must(memcmp(statistics.frames, frames, sizeof(frames)) == 0, "the statistics' frames");
    /* Fewer, where the VMM has mapped frames by themselves. */
    must(statistics.window_frames <= touched, "%zu frames in the VMM of %zu touched ones",
         statistics.window_frames, touched);
    must(statistics.reservations == vm->num_reservations &&
             statistics.anonymous_regions == vm->num_regions,
         "the statistics' reservations");
    must(statistics.faults == vm->faults && statistics.faults_unhandled == vm->faults_unhandled,
         "the statistics' faults");
}

void model_compare_vm(model_t *model, model_vm_t *vm)
{
    compare_list(vm);
    compare_ram(vm);
    compare_counts(model->machine->system, vm);
    for (size_t i = 0; i < vm->num_reservations; i++) {
        model_check_tags(model, vm, vm->reservations[i]);
    }
}

static int by_number(const void *a, const void *b)
{
    uintptr_t left = *(const uintptr_t *)a;
    uintptr_t right = *(const uintptr_t *)b;
    return left < right ? -1 : left > right;
}

/* Page tables of a guest: one for each GiB with smaller frames, one for each 2 MiB with 4 KiB. */
static size_t page_tables(const model_vm_t *vm, uintptr_t *numbers)
{
    size_t count = 0;
    size_t tables = 0;
    for (size_t i = 0; i < vm->num_reservations; i++) {
        const model_reservation_t *reservation = vm->reservations[i];
        for (size_t j = 0; j < reservation->num_frames; j++) {
            const model_frame_t *frame = &reservation->frames[j];
            if (frame->bits < 30) {
                numbers[count++] = (frame->gpa >> 30) | (uintptr_t)1 << 62;
            }
            if (frame->bits < 21) {
                numbers[count++] = frame->gpa >> 21;
            }
        }
    }
    qsort(numbers, count, sizeof(*numbers), by_number);
    for (size_t i = 0; i < count; i++) {
        tables += i == 0 || numbers[i] != numbers[i - 1];
    }
    return tables;
}

static int by_paddr(const void *a, const void *b)
{
    return by_number(&((const model_frame_t *)a)->paddr, &((const model_frame_t *)b)->paddr);
}

/* No two guests, and no two places of one, have the same memory but for frames that are shared. */
static void require_disjoint(const model_t *model, model_frame_t *frames)
{
    size_t count = 0;
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        for (size_t j = 0; j < model->vms[i].num_reservations; j++) {
            const model_reservation_t *reservation = model->vms[i].reservations[j];
            if (reservation->num_frames > 0) {
                memcpy(frames + count, reservation->frames,
                       reservation->num_frames * sizeof(*frames));
            }
            count += reservation->num_frames;
        }
    }
    qsort(frames, count, sizeof(*frames), by_paddr);
    for (size_t i = 1; i < count; i++) {
        bool same = frames[i].paddr == frames[i - 1].paddr && frames[i].bits == frames[i - 1].bits;
        must((same && frames[i].shared && frames[i - 1].shared) ||
                 frames[i].paddr >= frames[i - 1].paddr + ((uintptr_t)1 << frames[i - 1].bits),
             "the memory at 0x%lx is mapped twice", (unsigned long)frames[i].paddr);
    }
}

static void compare_heap(model_t *model)
{
    hosted_census_t now = machine_census(model->machine);
    uint64_t bytes = model->empty.heap_bytes;
    size_t blocks = model->empty.heap_blocks;
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        guestmem_statistics_t statistics;
        must(guestmem_get_statistics(&model->vms[i].vm, &statistics) == 0, "no statistics");
        bytes += statistics.heap_bytes;
        blocks += statistics.heap_blocks;
    }
    must(now.heap_bytes == bytes && now.heap_blocks == blocks,
         "%lu bytes of heap, and the VMs say %lu", (unsigned long)now.heap_bytes,
         (unsigned long)bytes);
}

void model_compare_all(model_t *model)
{
    size_t all = 1;
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        size_t frames[GUESTMEM_NUM_FRAME_SIZES] = {0};
        size_t touched = 0;
        model_compare_vm(model, &model->vms[i]);
        all += count_frames(&model->vms[i], frames, &touched);
    }
    void *room = malloc(all * (sizeof(model_frame_t) + 2 * sizeof(uintptr_t)));
    must(room != NULL, "no memory");
    require_disjoint(model, room);
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        guestmem_statistics_t statistics;
        size_t tables = page_tables(&model->vms[i], room);
        must(guestmem_get_statistics(&model->vms[i].vm, &statistics) == 0, "no statistics");
        must(statistics.page_tables == tables, "%zu page tables, not %zu", statistics.page_tables,
             tables);
    }
    free(room);
    compare_heap(model);
}
