/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A reference model of the memory of some VMs on one hosted system, as simple as can be: a flat
 * list of reservations, each with a list of its frames, and a list of RAM. It predicts what each
 * call must do, and compares the library, the guests' page tables and the census with itself.
 *
 * A step that goes wrong ends the program with a message (see must()).
 */

#include <guestmem/error.h>
#include <guestmem/inspect.h>
#include <guestmem/policy.h>
#include <stdio.h>
#include <vka/object.h>
#include "machine.h"

enum {
    MODEL_VMS = 3,
    MODEL_RESERVATIONS = 48,
    MODEL_REGIONS = 6,
    MODEL_PIECES = 4 * MODEL_RESERVATIONS,
    MODEL_TAGS = 6,
    POOL_SMALL = 80,
    POOL_LARGE = 3,
    POOL_SIZE = POOL_SMALL + POOL_LARGE
};

#define GUEST_LAST ((uintptr_t)0xffffffffff)

/** A frame in a guest: learnt from its page tables, and checked against what is predicted. */
typedef struct model_frame {
    uintptr_t gpa;
    unsigned bits;
    uintptr_t paddr;
    bool read, write;         /* what the guest may do */
    bool touched;             /* by the VMM */
    bool had_read, had_write; /* the most that it may have: a caller's, what it came with */
    bool may_read, may_write; /* and now, but for tracking */
    bool given;               /* it has got the right to write since that was taken */
    bool pointed;             /* the VMM has a pointer to it */
    bool shared;              /* others may have it too */
    bool cached;              /* as the owner has it, from whom it is */
} model_frame_t;

/** A byte that must be found in guest memory. */
typedef struct model_tag {
    uintptr_t gpa;
    uint8_t value;
} model_tag_t;

typedef struct model model_t;
typedef struct supply supply_t;

typedef struct model_reservation {
    model_t *model;
    unsigned id; /* its name in what is printed */
    vm_memory_reservation_t *handle;
    uintptr_t base;
    uintptr_t last;
    guestmem_backing_t backing;
    bool anonymous, ram, mapped;
    bool on_fault;    /* frames still come at first access */
    bool refilled;    /* likewise, and the VMM's: some were discarded */
    bool *written;    /* while it is tracked: of each page */
    bool in_pages;    /* it is tracked in pages */
    bool read, write; /* what the guest may do with frames that are not a caller's */
    unsigned largest_bits;
    uintptr_t paddr_offset;
    supply_t *supply; /* of the caller's frames */
    uint64_t faults;
    char name[GUESTMEM_NAME_SIZE];
    model_frame_t *frames; /* ascending */
    size_t num_frames;
    size_t room;
    model_tag_t tags[MODEL_TAGS];
    unsigned num_tags;
    bool shared; /* what is in it is others' doing too: it has no tags */
    bool saved;  /* it is as it was when the VM was saved: with these frames, if it is RAM */
    bool *had_frame;
    model_tag_t saved_tags[MODEL_TAGS];
    unsigned num_saved_tags;
} model_reservation_t;

typedef struct model_piece {
    uintptr_t base;
    uintptr_t last;
    int allocated;
} model_piece_t;

typedef struct model_vm {
    vm_t vm;
    unsigned index;
    model_reservation_t *reservations[MODEL_RESERVATIONS]; /* in no order */
    size_t num_reservations;
    model_piece_t regions[MODEL_REGIONS]; /* in order of age */
    size_t num_regions;
    model_piece_t ram[MODEL_PIECES]; /* ascending; neighbours of one state are one */
    size_t num_ram;
    struct guestmem_saved *saved; /* NULL: nothing is */
    size_t num_saved;
    model_piece_t saved_ram[MODEL_PIECES];
    size_t num_saved_ram;
    bool map_on_fault;
    bool discarded_left;
    unsigned largest_bits;
    uint64_t faults;
    uint64_t faults_unhandled;
} model_vm_t;

/** A fault that is being handled. */
typedef struct model_fault {
    model_reservation_t *expected; /* whose callback is due, or NULL */
    uintptr_t addr;
    size_t size;
    memory_fault_result_t answer;
    unsigned calls;
    unsigned depth; /* of faults inside callbacks */
} model_fault_t;

struct model {
    machine_t *machine;
    model_vm_t vms[MODEL_VMS];
    vka_object_t pool[POOL_SIZE];    /* the caller's frames, the large ones last */
    cspacepath_t limited[POOL_SIZE]; /* capabilities of fewer rights that stand in for some */
    bool used[POOL_SIZE];
    const uint8_t *next; /* the operations that are left */
    const uint8_t *end;
    hosted_census_t empty;  /* before the VMs and the pool were made */
    hosted_census_t before; /* before the current call */
    bool compares;          /* `before` was taken */
    bool injected;          /* the current call has an operation that fails */
    bool fired;             /* and it did fail */
    unsigned next_id;
    unsigned steps;
    model_fault_t fault;
    FILE *trace; /* receives the calls as C, or NULL */
};

/** Code bits, for sets of reasons that a call may fail for. */
#define CODE(name) (1u << GUESTMEM_##name)

/* model.c: the lists, and what they predict. */

model_reservation_t *model_find(model_vm_t *vm, uintptr_t addr);
model_reservation_t *model_live(model_vm_t *vm, const vm_memory_reservation_t *handle);

/** A record that is not in the list yet. @see model_add, model_drop */
model_reservation_t *model_new_reservation(model_t *model);
void model_add(model_vm_t *vm, model_reservation_t *reservation, vm_memory_reservation_t *handle,
               uintptr_t base, uintptr_t last);
void model_drop(model_reservation_t *reservation);

/** Take a reservation out of the lists, with its RAM; its frames of the pool are free again. */
void model_remove(model_vm_t *vm, model_reservation_t *reservation);

/** Why `[addr, addr + size)` cannot be reserved: CODE() bits, 0 if it can. */
unsigned model_reserve_codes(model_vm_t *vm, uintptr_t addr, size_t size);
unsigned model_region_codes(model_vm_t *vm, uintptr_t addr, size_t size);
unsigned model_map_codes(model_vm_t *vm, const model_reservation_t *reservation);

/** Where an anonymous reservation will be. @return false if nowhere */
bool model_anonymous_address(model_vm_t *vm, size_t size, size_t align, uintptr_t *addr);

/** Set RAM to free (0), allocated (1) or none (-1). */
void model_set_ram(model_vm_t *vm, uintptr_t base, uintptr_t last, int state);

/** Whether a range is all RAM of that state, or of any (-1). */
bool model_is_ram(const model_vm_t *vm, uintptr_t base, uintptr_t last, int state);

/** Whether all pages of a range of a reservation have frames. */
bool model_has_frames(const model_reservation_t *reservation, uintptr_t base, uintptr_t last);
bool model_present(const model_reservation_t *reservation, uintptr_t gpa);

/** Whether a physical address is a device's, or reserved memory. */
bool model_is_device(uintptr_t paddr);

/** Bytes of all mapped reservations. */
size_t model_mapped_bytes(const model_t *model);

static inline uintptr_t first_page(const model_reservation_t *reservation)
{
    return reservation->base & ~(PAGE - 1);
}

static inline uintptr_t last_page(const model_reservation_t *reservation)
{
    return reservation->last | (PAGE - 1);
}

/* frames.c: frames and their content. */

/** Learn the frames that a call made in a reservation, and check them: all, or the one at `gpa`. */
void model_learn_all(model_t *model, model_vm_t *vm, model_reservation_t *reservation);
void model_learn_one(model_t *model, model_vm_t *vm, model_reservation_t *reservation,
                     uintptr_t gpa);

/** Learn all frames that are missing in `[gpa, end]`, and came within `[first, last]`. */
void model_learn_missing(model_t *model, model_vm_t *vm, model_reservation_t *reservation,
                         uintptr_t gpa, uintptr_t end, uintptr_t first, uintptr_t last);

/** Note that a byte has that value; forget what was known of `[base, last]`. */
void model_tag(model_vm_t *vm, uintptr_t gpa, uint8_t value);
void model_untag(model_vm_t *vm, uintptr_t base, uintptr_t last);

/** Check what is known of a reservation's content. */
void model_check_tags(model_t *model, model_vm_t *vm, const model_reservation_t *reservation);

/** Whether each page of physical memory can be allocated now. */
bool model_physical_free(model_t *model, uintptr_t paddr, size_t pages);

/* operations_change.c: rights, and what is written. */

/** What the guest may do to each frame, from its rights and tracking. */
void model_set_rights(model_reservation_t *reservation);

/** Whether the guest's first write to a frame is noted. */
bool model_is_tracked(const model_reservation_t *reservation, const model_frame_t *frame);

/** Whether it has a caller's frames by capabilities of fewer rights than it has itself. */
bool model_has_limited(const model_t *model, const model_reservation_t *reservation);

/** Whether it is RAM of a saved state: how it is tracked is the library's own business then. */
bool model_is_saved(const model_vm_t *vm, const model_reservation_t *reservation);

/** Note that pages are written, if the reservation is tracked. */
void model_note_written(model_reservation_t *reservation, uintptr_t base, uintptr_t last);

/** Begin all tracking anew, after a call of which it is not known what it has written. */
void model_forget_written(model_t *model, model_vm_t *vm);

/* compare.c: the library against the model. */
void model_compare_vm(model_t *model, model_vm_t *vm);
void model_compare_all(model_t *model);

/* supply.c: a map iterator with the pool's frames. */

/** How a supply spoils one of its answers. */
typedef enum supply_fault {
    SUPPLY_GOOD,
    SUPPLY_NULL,
    SUPPLY_NO_SUCH_SIZE,
    SUPPLY_MISALIGNED,
    SUPPLY_BEFORE,
    SUPPLY_USED,
    SUPPLY_MEDDLES, /* it calls the library for the same VM, and then gives a good frame */
    SUPPLY_NUM_FAULTS
} supply_fault_t;

struct supply {
    model_t *model;
    model_vm_t *vm;
    uintptr_t first; /* the pages of the reservation */
    uintptr_t last;
    uintptr_t from;             /* its first byte */
    seL4_CapRights_t rights[2]; /* of its frames, in turn */
    bool large;
    supply_fault_t fault;
    unsigned spoil; /* which answer */
    unsigned answers;
    uintptr_t expected;     /* where it must be asked next */
    unsigned codes;         /* what the answers of the current call must lead to */
    bool owned[POOL_SIZE];  /* frames of the reservation */
    bool handed[POOL_SIZE]; /* frames handed out in the current call */
    bool read[POOL_SIZE];   /* what the guest may do with frames that were handed out: what both */
    bool write[POOL_SIZE];  /* their capability and the rights given with it allow */
};

/** The capability of a frame of the pool, and whether it has all rights. */
seL4_CPtr pool_cap(const model_t *model, unsigned index);
bool pool_is_limited(const model_t *model, unsigned index);

/** Make the capability of fewer rights that stands in for a frame of the pool, if one does. */
void pool_limit(model_t *model, unsigned index);
void pool_unlimit(model_t *model, unsigned index);

/** The pool's frame with that memory; POOL_SIZE if there is none. */
unsigned pool_find(const model_t *model, uintptr_t paddr);

/** Note that a frame is handed out with rights. */
void supply_give(supply_t *supply, unsigned index, seL4_CapRights_t rights);

/** Prepare for a call that asks for `gpa` first. */
void supply_begin(supply_t *supply, uintptr_t gpa);
vm_frame_t supply_next(uintptr_t addr, void *cookie);

/** The call has ended: what it handed out is the reservation's now, or free again. */
void supply_end(supply_t *supply, bool mapped);
void supply_free(supply_t *supply);

/* run.c */

/** A call begins; `inject` fails that operation of it, 0 none. @see model_finish */
void model_begin_call(model_t *model, unsigned inject);

/**
 * A call has ended. Check that it did what it must: fail for one of `codes` and leave everything as
 * it was, or else succeed, but that it may fail for one of `may`.
 */
void model_finish_call(model_t *model, model_vm_t *vm, bool ok, unsigned codes, unsigned may);

/** Stop failing operations; model_finish_call() does. */
void model_end_injection(model_t *model);

/** Print a call as C, if that was asked for. */
void model_say(model_t *model, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Run one operation, which is taken from `model->next`. */
void model_run_operation(model_t *model);

enum { OPERATION_BYTES = 8 };

/**
 * Run the operations that `bytes` stand for, on new VMs, and end them. The census is as before
 * then.
 *
 * @param trace  receives the calls as C; may be NULL
 */
void model_run(machine_t *machine, const uint8_t *bytes, size_t size, FILE *trace);
