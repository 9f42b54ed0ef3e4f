/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file A sequence that runs: what it does next, what it knows of its slots, its transcript. */

#include "differential.h"

/** What a slot holds, as far as a sequence knows. */
typedef enum kind {
    KIND_EMPTY,
    KIND_UNKNOWN, /* it came from a CNode other than the root's */
    KIND_UNTYPED,
    KIND_FRAME,
    KIND_PAGE_TABLE,
    KIND_SPACE,
    KIND_CNODE,
    KIND_TCB,
    KIND_VCPU,
    KIND_ENDPOINT,
    KIND_MUTE_ENDPOINT, /* without the right to send */
    KIND_NOTIFICATION,
    KIND_POOL,
    KIND_ASID_CONTROL,
    KIND_IRQ_CONTROL,
    KIND_HANDLER,
    KIND_DOMAIN,
    NUM_KINDS
} kind_t;

typedef struct machine {
    const differential_env_t *env;
    differential_output_t output;
    uint64_t random, hash;
    kind_t kinds[DIFFERENTIAL_SLOTS];
    kind_t favourite;     /* what is copied, moved and deleted most */
    bool endpoint_hidden; /* an endpoint may be in a CNode other than the root's */
    char line[512];
    size_t length;
} machine_t;

/** Where a slot is, seen from a CNode capability. */
typedef struct place {
    seL4_CPtr root;
    seL4_Word index;
    seL4_Uint8 depth;
    int slot; /* of the sequence's own; -1: somewhere else, or nowhere */
    kind_t kind;
} place_t;

enum { NO_SLOT = -1 };

/* machine.c: chance. */
uint64_t machine_below(machine_t *machine, uint64_t limit);
/** Whether something happens that does so once in `n` times. */
bool machine_once_in(machine_t *machine, unsigned n);
#define MACHINE_CHOOSE(machine, values)                                                            \
    (values)[machine_below(machine, sizeof(values) / sizeof((values)[0]))]

/* Slots. A capability that is invoked is never an endpoint to which can be sent: the kernel would
   let the caller wait for a reply. */
seL4_CPtr machine_cptr(const machine_t *machine, int slot);
/** A capability to hand over, mostly of that kind. */
seL4_CPtr machine_argument(machine_t *machine, kind_t kind);
/** A capability to invoke, mostly of that kind. */
seL4_CPtr machine_service(machine_t *machine, kind_t kind);
/** A slot to put something in, mostly empty; its CNode is to be invoked, or handed over. */
place_t machine_destination(machine_t *machine);
/** A slot to take something from, mostly of that kind. */
place_t machine_source(machine_t *machine, kind_t kind);
/** An invocation of `service` that returned NoError put a capability there. */
void machine_put(machine_t *machine, seL4_CPtr service, const place_t *place, kind_t kind);
/** It took it away. */
void machine_forget(machine_t *machine, seL4_CPtr service, const place_t *place);
/** Whether a slot is known to hold that kind. */
bool machine_holds(const machine_t *machine, seL4_CPtr cptr, kind_t kind);

/* The transcript. */
void machine_write(machine_t *machine, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void machine_write_place(machine_t *machine, const char *name, const place_t *place);
void machine_write_cptr(machine_t *machine, const char *name, seL4_CPtr cptr);
/** The error and its details. @return `error` */
seL4_Error machine_write_error(machine_t *machine, seL4_Error error);
/** A physical address, relative to the untyped that it is in. */
void machine_write_address(machine_t *machine, seL4_Word paddr);
/** Which slots are occupied. */
void machine_write_slots(machine_t *machine);
void machine_end_line(machine_t *machine);

/* objects.c, capabilities.c: a random invocation each. */
void step_retype(machine_t *machine);
void step_retype_as(machine_t *machine, int untyped, seL4_Word type, seL4_Word bits, int slot);
void step_copy(machine_t *machine);
void step_move(machine_t *machine);
void step_nest(machine_t *machine);
void step_rotate(machine_t *machine);
void step_delete(machine_t *machine);
void step_revoke(machine_t *machine);
void step_other_cnode(machine_t *machine);
void step_badge(machine_t *machine);
void step_page_map(machine_t *machine);
void step_page(machine_t *machine);
void step_page_table(machine_t *machine);
void step_space_cache(machine_t *machine);
void step_asid(machine_t *machine);
void step_tcb_configure(machine_t *machine);
void step_tcb_schedule(machine_t *machine);
void step_tcb_registers(machine_t *machine);
void step_tcb_other(machine_t *machine);
void step_vcpu(machine_t *machine);
void step_irq(machine_t *machine);
void step_domain(machine_t *machine);
