/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the guest has mapped is read from its page tables. Sizes, addresses, rights and attributes
 * must be what is predicted; only where the allocator took a frame from is learnt.
 */

#include "model.h"
#include <hosted/stage2.h>
#include <stdlib.h>
#include <string.h>

static const unsigned sizes[] = {30, 21, 12};

/* The largest frame that fits at `gpa`, in the hole `[first, last]`. */
static unsigned predicted_bits(const model_reservation_t *reservation, uintptr_t gpa,
                               uintptr_t first, uintptr_t last)
{
    for (unsigned i = 0; i < 3; i++) {
        uintptr_t mask = ((uintptr_t)1 << sizes[i]) - 1;
        bool congruent =
            reservation->backing != GUESTMEM_UNTYPED || (reservation->paddr_offset & mask) == 0;
        if (sizes[i] <= reservation->largest_bits && congruent && (gpa & ~mask) >= first &&
            (gpa | mask) <= last) {
            return sizes[i];
        }
    }
    return 12;
}

/* Check the size, where the library chose it. */
static void check_size(const model_t *model, const model_reservation_t *reservation,
                       const hosted_stage2_mapping_t *mapping, unsigned predicted)
{
    /* 1 GiB of free memory in one piece may not be there; nor may memory at an address. */
    bool may_be_less = predicted == 30 || model->fired || reservation->backing == GUESTMEM_UNTYPED;
    must(mapping->size_bits == predicted || (may_be_less && mapping->size_bits < predicted),
         "a frame of 2^%u bytes at 0x%lx, where 2^%u fit", mapping->size_bits,
         (unsigned long)mapping->gpa, predicted);
}

static void check_frame(const model_t *model, const model_reservation_t *reservation,
                        const hosted_stage2_mapping_t *mapping)
{
    bool read = reservation->read;
    bool write = reservation->write;
    if (reservation->backing == GUESTMEM_CALLER) {
        unsigned index = pool_find(model, mapping->paddr);
        must(index < POOL_SIZE, "0x%lx is of no caller", (unsigned long)mapping->gpa);
        read = reservation->supply->read[index];
        write = reservation->supply->write[index];
    }
    bool untyped = reservation->backing == GUESTMEM_UNTYPED;
    if (reservation->backing == GUESTMEM_SHARED) {
        must(mapping->read == read && mapping->write == write, "other rights at 0x%lx",
             (unsigned long)mapping->gpa);
        return; /* the rest is the owner's */
    }
    bool device = model_is_device(mapping->paddr);
    bool cacheable = !device || reservation->ram;
    must(mapping->read == read && mapping->write == write, "the guest may %s%s at 0x%lx",
         mapping->read ? "read " : "", mapping->write ? "write" : "", (unsigned long)mapping->gpa);
    must(!untyped || mapping->paddr == mapping->gpa + reservation->paddr_offset,
         "0x%lx is mapped to 0x%lx", (unsigned long)mapping->gpa, (unsigned long)mapping->paddr);
    must(untyped || !device || reservation->backing == GUESTMEM_MAYBE_DEVICE,
         "0x%lx is mapped to a device", (unsigned long)mapping->gpa);
    must(mapping->cacheable == cacheable, "0x%lx is %scacheable", (unsigned long)mapping->gpa,
         mapping->cacheable ? "" : "not ");
}

/* Put a frame into the list, in order. */
static void insert(model_reservation_t *reservation, const hosted_stage2_mapping_t *mapping)
{
    if (reservation->num_frames == reservation->room) {
        reservation->room = reservation->room * 2 + 16;
        reservation->frames =
            realloc(reservation->frames, reservation->room * sizeof(reservation->frames[0]));
        must(reservation->frames != NULL, "no memory");
    }
    size_t i = reservation->num_frames++;
    for (; i > 0 && reservation->frames[i - 1].gpa > mapping->gpa; i--) {
        reservation->frames[i] = reservation->frames[i - 1];
    }
    reservation->frames[i] = (model_frame_t){
        .gpa = mapping->gpa,
        .bits = mapping->size_bits,
        .paddr = mapping->paddr,
        .read = mapping->read,
        .write = mapping->write,
        .had_read = mapping->read || reservation->backing != GUESTMEM_CALLER,
        .had_write = mapping->write || reservation->backing != GUESTMEM_CALLER,
        .may_read = mapping->read,
        .may_write = mapping->write,
        .given = reservation->written != NULL,
    };
}

/* Learn the frame at `gpa`, in the hole `[first, last]`. @return its last byte */
static uintptr_t learn(model_t *model, model_vm_t *vm, model_reservation_t *reservation,
                       uintptr_t gpa, uintptr_t first, uintptr_t last)
{
    hosted_stage2_mapping_t mapping;
    must(hosted_stage2_translate(model->machine->system, vm->vm.mem.vm_vspace_root.cptr, gpa,
                                 &mapping),
         "nothing is mapped at 0x%lx", (unsigned long)gpa);
    uintptr_t frame_last = mapping.gpa + (((uintptr_t)1 << mapping.size_bits) - 1);
    must(mapping.gpa >= first && frame_last <= last, "a frame of 2^%u bytes at 0x%lx reaches out",
         mapping.size_bits, (unsigned long)mapping.gpa);
    if (reservation->backing != GUESTMEM_CALLER && reservation->backing != GUESTMEM_SHARED) {
        check_size(model, reservation, &mapping, predicted_bits(reservation, gpa, first, last));
    }
    check_frame(model, reservation, &mapping);
    insert(reservation, &mapping);
    model_note_written(reservation, mapping.gpa, frame_last);
    return frame_last;
}

void model_learn_all(model_t *model, model_vm_t *vm, model_reservation_t *reservation)
{
    uintptr_t gpa = first_page(reservation);
    uintptr_t last = last_page(reservation);
    for (;;) {
        uintptr_t frame_last = learn(model, vm, reservation, gpa, gpa, last);
        if (frame_last == last) {
            return;
        }
        gpa = frame_last + 1;
    }
}

/* The same in a part of the reservation. */
static void learn_in(model_t *model, model_vm_t *vm, model_reservation_t *reservation,
                     uintptr_t gpa, uintptr_t first, uintptr_t last)
{
    for (size_t i = 0; i < reservation->num_frames; i++) {
        const model_frame_t *frame = &reservation->frames[i];
        uintptr_t frame_last = frame->gpa + (((uintptr_t)1 << frame->bits) - 1);
        if (frame_last < gpa && frame_last + 1 > first) {
            first = frame_last + 1;
        }
        if (frame->gpa > gpa && frame->gpa - 1 < last) {
            last = frame->gpa - 1;
        }
    }
    learn(model, vm, reservation, gpa, first, last);
}

void model_learn_one(model_t *model, model_vm_t *vm, model_reservation_t *reservation,
                     uintptr_t gpa)
{
    learn_in(model, vm, reservation, gpa, first_page(reservation), last_page(reservation));
}

void model_learn_missing(model_t *model, model_vm_t *vm, model_reservation_t *reservation,
                         uintptr_t gpa, uintptr_t end, uintptr_t first, uintptr_t last)
{
    for (gpa &= ~(PAGE - 1); gpa <= end; gpa += PAGE) {
        if (!model_present(reservation, gpa)) {
            learn_in(model, vm, reservation, gpa, first, last);
            /* What comes is zero, unless it is a caller's. */
            const uintptr_t ends[] = {gpa | 8, gpa | (PAGE - 1)};
            for (int i = 0; i < 2; i++) {
                hosted_stage2_mapping_t mapping;
                hosted_stage2_translate(model->machine->system, vm->vm.mem.vm_vspace_root.cptr, gpa,
                                        &mapping);
                if (reservation->backing != GUESTMEM_CALLER &&
                    (!model_is_device(mapping.paddr) || reservation->ram)) {
                    model_tag(vm, ends[i], 0);
                }
            }
        }
    }
}

void model_untag(model_vm_t *vm, uintptr_t base, uintptr_t last)
{
    for (size_t i = 0; i < vm->num_reservations; i++) {
        model_reservation_t *reservation = vm->reservations[i];
        for (unsigned j = 0; j < reservation->num_tags;) {
            if (reservation->tags[j].gpa >= base && reservation->tags[j].gpa <= last) {
                reservation->tags[j] = reservation->tags[--reservation->num_tags];
            } else {
                j++;
            }
        }
    }
}

void model_tag(model_vm_t *vm, uintptr_t gpa, uint8_t value)
{
    model_untag(vm, gpa, gpa);
    model_reservation_t *reservation = model_find(vm, gpa);
    if (reservation != NULL && reservation->num_tags < MODEL_TAGS && !reservation->shared) {
        reservation->tags[reservation->num_tags++] = (model_tag_t){gpa, value};
    }
}

void model_check_tags(model_t *model, model_vm_t *vm, const model_reservation_t *reservation)
{
    for (unsigned i = 0; i < reservation->num_tags; i++) {
        uintptr_t gpa = reservation->tags[i].gpa;
        hosted_stage2_mapping_t mapping;
        must(hosted_stage2_translate(model->machine->system, vm->vm.mem.vm_vspace_root.cptr, gpa,
                                     &mapping),
             "nothing is mapped at 0x%lx", (unsigned long)gpa);
        const uint8_t *byte =
            hosted_physical_memory(model->machine->system, mapping.paddr + (gpa - mapping.gpa), 1);
        must(byte != NULL && *byte == reservation->tags[i].value,
             "the byte at 0x%lx is 0x%x and not 0x%x", (unsigned long)gpa,
             byte != NULL ? *byte : 0u, reservation->tags[i].value);
    }
}

bool model_physical_free(model_t *model, uintptr_t paddr, size_t pages)
{
    vka_t *vka = hosted_vka(model->machine->system);
    for (size_t i = 0; i < pages; i++) {
        vka_object_t frame;
        if (vka_alloc_frame_at(vka, 12, (paddr & ~(PAGE - 1)) + i * PAGE, &frame) != 0) {
            return false;
        }
        vka_free_object(vka, &frame);
    }
    return true;
}
