/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* What all invocations of a sequence need: see machine.h. */

#include "machine.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint64_t machine_below(machine_t *machine, uint64_t limit)
{
    /* splitmix64 */
    uint64_t z = machine->random += 0x9e3779b97f4a7c15ul;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ul;
    z = (z ^ z >> 27) * 0x94d049bb133111ebul;
    return (z ^ z >> 31) % limit;
}

bool machine_once_in(machine_t *machine, unsigned n)
{
    return machine_below(machine, n) == 0;
}

seL4_CPtr machine_cptr(const machine_t *machine, int slot)
{
    return slot == NO_SLOT ? seL4_CapNull : machine->env->first_slot + (seL4_CPtr)slot;
}

/* The first slot of that kind from a random one on; sometimes, or if there is none, another one
   that is occupied, or any. */
static int pick(machine_t *machine, kind_t kind)
{
    int start = (int)machine_below(machine, DIFFERENTIAL_SLOTS);
    int occupied = NO_SLOT;
    if (machine_once_in(machine, 24)) {
        return start;
    }
    bool other = machine_once_in(machine, 16);
    for (int i = 0; i < DIFFERENTIAL_SLOTS; i++) {
        int slot = (start + i) % DIFFERENTIAL_SLOTS;
        if (machine->kinds[slot] == kind && !other) {
            return slot;
        }
        if (machine->kinds[slot] != KIND_EMPTY && occupied == NO_SLOT) {
            occupied = slot;
        }
    }
    return occupied == NO_SLOT ? start : occupied;
}

static bool can_be_invoked(const machine_t *machine, int slot)
{
    kind_t kind = machine->kinds[slot];
    return kind != KIND_ENDPOINT && !(kind == KIND_UNKNOWN && machine->endpoint_hidden);
}

static seL4_CPtr initial_capability(kind_t kind)
{
    switch (kind) {
    case KIND_POOL:
        return seL4_CapInitThreadASIDPool;
    case KIND_ASID_CONTROL:
        return seL4_CapASIDControl;
    case KIND_IRQ_CONTROL:
        return seL4_CapIRQControl;
    case KIND_DOMAIN:
        return seL4_CapDomain;
    default:
        return seL4_CapNull;
    }
}

seL4_CPtr machine_argument(machine_t *machine, kind_t kind)
{
    if (machine_once_in(machine, 50)) {
        return seL4_CapNull;
    }
    seL4_CPtr initial = initial_capability(kind);
    if (initial != seL4_CapNull && !machine_once_in(machine, 4)) {
        return initial;
    }
    return machine_cptr(machine, pick(machine, kind));
}

seL4_CPtr machine_service(machine_t *machine, kind_t kind)
{
    seL4_CPtr cptr = machine_argument(machine, kind);
    if (cptr < machine->env->first_slot ||
        can_be_invoked(machine, (int)(cptr - machine->env->first_slot))) {
        return cptr;
    }
    return seL4_CapNull;
}

static place_t own_place(const machine_t *machine, int slot)
{
    return (place_t){.root = seL4_CapInitThreadCNode,
                     .index = machine_cptr(machine, slot),
                     .depth = seL4_WordBits,
                     .slot = slot,
                     .kind = machine->kinds[slot]};
}

/* A place in a CNode of the sequence, if its bits fit; or in what is no CNode at all. */
static place_t other_place(machine_t *machine, seL4_CPtr root)
{
    static const seL4_Uint8 depths[] = {2, 3, 2, 3, 2, 3, 4, 5, 6, 7, 8, 64, 0, 65};
    seL4_Word index = machine_below(machine, 8);
    if (machine_once_in(machine, 6)) {
        index = machine_below(machine, 1024);
    }
    return (place_t){.root = root,
                     .index = index,
                     .depth = MACHINE_CHOOSE(machine, depths),
                     .slot = NO_SLOT,
                     .kind = KIND_UNKNOWN};
}

place_t machine_destination(machine_t *machine)
{
    if (machine_once_in(machine, 4)) {
        return other_place(machine, machine_service(machine, KIND_CNODE));
    }
    return own_place(machine, pick(machine, KIND_EMPTY));
}

place_t machine_source(machine_t *machine, kind_t kind)
{
    if (machine_once_in(machine, 5)) {
        return other_place(machine, machine_service(machine, KIND_CNODE));
    }
    seL4_CPtr initial = initial_capability(kind);
    if (initial != seL4_CapNull && machine_once_in(machine, 2)) {
        return (place_t){.root = seL4_CapInitThreadCNode,
                         .index = initial,
                         .depth = seL4_WordBits,
                         .slot = NO_SLOT,
                         .kind = kind};
    }
    return own_place(machine, pick(machine, kind));
}

bool machine_holds(const machine_t *machine, seL4_CPtr cptr, kind_t kind)
{
    return cptr >= machine->env->first_slot &&
           machine->kinds[cptr - machine->env->first_slot] == kind;
}

static void learn(machine_t *machine, seL4_CPtr service, const place_t *place, kind_t kind,
                  kind_t hidden)
{
    if (machine_holds(machine, service, KIND_NOTIFICATION)) {
        return; /* that was a signal, whatever was asked for */
    }
    if (machine_holds(machine, service, KIND_UNKNOWN)) {
        machine->endpoint_hidden = true;
        kind = KIND_UNKNOWN;
    }
    if (place->slot != NO_SLOT && place->slot < DIFFERENTIAL_SLOTS) {
        machine->kinds[place->slot] = kind;
    } else if (hidden == KIND_ENDPOINT) {
        machine->endpoint_hidden = true;
    }
}

void machine_put(machine_t *machine, seL4_CPtr service, const place_t *place, kind_t kind)
{
    learn(machine, service, place, kind, kind);
}

void machine_forget(machine_t *machine, seL4_CPtr service, const place_t *place)
{
    learn(machine, service, place, KIND_EMPTY, KIND_EMPTY);
}

void machine_write(machine_t *machine, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof(machine->line) - machine->length;
    int written = vsnprintf(machine->line + machine->length, room, format, arguments);
    va_end(arguments);
    machine->length += written < 0 ? 0 : (size_t)written < room ? (size_t)written : room - 1;
}

void machine_write_cptr(machine_t *machine, const char *name, seL4_CPtr cptr)
{
    if (cptr >= machine->env->first_slot) {
        machine_write(machine, " %s=s%lu", name, (unsigned long)(cptr - machine->env->first_slot));
    } else {
        machine_write(machine, " %s=%lu", name, (unsigned long)cptr);
    }
}

void machine_write_place(machine_t *machine, const char *name, const place_t *place)
{
    if (place->root == seL4_CapInitThreadCNode && place->depth == seL4_WordBits) {
        machine_write_cptr(machine, name, place->index);
        return;
    }
    machine_write_cptr(machine, name, place->root);
    machine_write(machine, "[%#lx:%u]", (unsigned long)place->index, place->depth);
}

/* Message registers that an error sets. */
static int details_of(seL4_Error error)
{
    switch (error) {
    case seL4_InvalidArgument:
    case seL4_InvalidCapability:
    case seL4_NotEnoughMemory:
        return 1;
    case seL4_RangeError:
        return 2;
    case seL4_FailedLookup:
        switch (seL4_GetMR(1)) {
        case seL4_InvalidRoot:
            return 2;
        case seL4_MissingCapability:
            return 3;
        case seL4_DepthMismatch:
            return 4;
        default:
            return 5;
        }
    default:
        return 0;
    }
}

seL4_Error machine_write_error(machine_t *machine, seL4_Error error)
{
    machine_write(machine, " -> %d", (int)error);
    for (int i = 0; i < details_of(error); i++) {
        machine_write(machine, " %lx", (unsigned long)seL4_GetMR(i));
    }
    return error;
}

void machine_write_address(machine_t *machine, seL4_Word paddr)
{
    static const seL4_Word bits[] = DIFFERENTIAL_MEMORY_BITS;
    for (int i = 0; i < DIFFERENTIAL_MEMORIES; i++) {
        seL4_Word offset = paddr - machine->env->base[i];
        if (offset >> bits[i] == 0) {
            machine_write(machine, " memory%d+%#lx", i, (unsigned long)offset);
            return;
        }
    }
    machine_write(machine, " outside");
}

/* A capability that is moved to where it is: DeleteFirst if it is there. */
static bool is_occupied(const machine_t *machine, int slot)
{
    seL4_CPtr cptr = machine_cptr(machine, slot);
    return seL4_CNode_Move(seL4_CapInitThreadCNode, cptr, seL4_WordBits, seL4_CapInitThreadCNode,
                           cptr, seL4_WordBits) == seL4_DeleteFirst;
}

void machine_write_slots(machine_t *machine)
{
    uint64_t occupied = 0;
    for (int i = 0; i < DIFFERENTIAL_SLOTS; i++) {
        if (!is_occupied(machine, i)) {
            machine->kinds[i] = KIND_EMPTY;
            continue;
        }
        occupied |= 1ul << i;
        if (machine->kinds[i] == KIND_EMPTY) {
            machine->kinds[i] = KIND_UNKNOWN;
            machine->endpoint_hidden = true;
        }
    }
    machine_write(machine, " slots=%lx", (unsigned long)occupied);
}

void machine_end_line(machine_t *machine)
{
    for (size_t i = 0; i < machine->length; i++) {
        machine->hash = (machine->hash ^ (unsigned char)machine->line[i]) * 0x100000001b3ul;
    }
    if (machine->output == DIFFERENTIAL_PRINT) {
        machine->env->print(machine->line);
    }
    machine->length = 0;
}
