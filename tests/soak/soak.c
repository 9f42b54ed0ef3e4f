/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The long run: VMs that map, touch, fault, free and are ended for many operations. At equal points
 * (all VMs just ended) the census must be exactly what it was, and once warm, the process must not
 * grow. In between, VMs with the same reservations must hold the same.
 *
 *     soak [operations]
 */

#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <guestmem/policy.h>
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_memory_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "machine.h"

enum {
    DEFAULT_OPERATIONS = 1000000,
    VMS = 4,
    REPORTS = 10,
    ROUND_OPERATIONS = 2500, /* until all VMs are ended */
    SLOTS = 24,              /* reservations of a VM */
};

/* How many bytes the process may grow by once it is warm: nothing but what malloc() keeps. */
#ifndef MOST_GROWTH
#define MOST_GROWTH (256 * 1024)
#endif

/** An address with room for a reservation, of its own for each slot. */
static uintptr_t slot_address(unsigned slot)
{
    return 0x80000000 + slot * 8 * MEGABYTE + (slot % 3) * PAGE;
}

typedef struct guest {
    vm_t vm;
    vm_memory_reservation_t *slots[SLOTS];
    bool mapped[SLOTS];
} guest_t;

typedef struct soak {
    machine_t machine;
    guest_t guests[VMS];
    uint64_t random;
    uint64_t operations;
    uint64_t faults;
} soak_t;

static unsigned choose(soak_t *soak, unsigned count)
{
    soak->random = soak->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((soak->random >> 33) % count);
}

static memory_fault_result_t on_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                      size_t fault_length, void *cookie)
{
    soak_t *soak = cookie;
    soak->faults++;
    return FAULT_HANDLED;
}

/* Sizes from a byte to some large frames; most are small. */
static size_t choose_size(soak_t *soak)
{
    switch (choose(soak, 8)) {
    case 0:
        return 2 * MEGABYTE + 3 * PAGE;
    case 1:
        return 1 + choose(soak, 2 * (unsigned)PAGE);
    default:
        return (1 + choose(soak, 16)) * PAGE;
    }
}

static void fill_slot(soak_t *soak, guest_t *guest, unsigned slot)
{
    vm_t *vm = &guest->vm;
    uintptr_t addr = slot_address(slot);
    size_t size = choose_size(soak);
    unsigned kind = choose(soak, 6);
    int error = 0;
    if (kind == 0) {
        must(vm_ram_register_at(vm, addr, size, false) == 0, "no RAM");
    } else if (kind == 1) {
        must(create_allocated_reservation_frame(vm, addr, seL4_AllRights, on_fault, soak) != NULL,
             "no shared page");
    } else {
        must(vm_reserve_memory_at(vm, addr, size, on_fault, soak) != NULL, "no reservation");
    }
    guest->slots[slot] = guestmem_find_reservation(vm, addr);
    guest->mapped[slot] = kind != 2;
    if (kind >= 3) {
        must(guestmem_set_map_time(vm, kind == 3 ? GUESTMEM_MAP_ON_FAULT : GUESTMEM_MAP_NOW) == 0,
             "no policy");
        error = kind == 5 ? map_maybe_device_reservation(vm, guest->slots[slot])
                          : map_frame_alloc_reservation(vm, guest->slots[slot]);
    }
    must(error == 0, "no frames");
    must(guestmem_name_reservation(vm, guest->slots[slot], "soak") == 0, "no name");
}

static void use_slot(soak_t *soak, guest_t *guest, unsigned slot)
{
    char bytes[64] = {0};
    uintptr_t addr;
    size_t size;
    vm_get_reservation_memory_region(guest->slots[slot], &addr, &size);
    uintptr_t at = addr + choose(soak, (unsigned)size);
    if (choose(soak, 2) == 0 && guest->mapped[slot]) {
        size_t length = size < sizeof(bytes) ? size : sizeof(bytes);
        (void)guestmem_access(&guest->vm, addr, length, vm_guest_ram_write_callback, bytes);
    } else {
        (void)vm_memory_handle_fault(&guest->vm, NULL, at, 1);
    }
}

static void one_operation(soak_t *soak)
{
    guest_t *guest = &soak->guests[choose(soak, VMS)];
    unsigned slot = choose(soak, SLOTS);
    if (guest->slots[slot] == NULL) {
        fill_slot(soak, guest, slot);
    } else if (choose(soak, 3) == 0) {
        must(vm_free_reserved_memory(&guest->vm, guest->slots[slot]) == 0, "not freed");
        guest->slots[slot] = NULL;
    } else {
        use_slot(soak, guest, slot);
    }
    soak->operations++;
}

/* A round: new VMs, operations, and their end. */
static void one_round(soak_t *soak)
{
    for (unsigned i = 0; i < VMS; i++) {
        soak->guests[i] = (guest_t){0};
        machine_make_vm(&soak->machine, &soak->guests[i].vm);
    }
    for (unsigned i = 0; i < ROUND_OPERATIONS; i++) {
        one_operation(soak);
    }
    for (unsigned i = 0; i < VMS; i++) {
        vm_memory_destroy(&soak->guests[i].vm);
    }
}

/* Resident memory of the process, in bytes. */
static size_t resident_bytes(void)
{
    unsigned long total;
    unsigned long resident;
    FILE *file = fopen("/proc/self/statm", "r");
    must(file != NULL && fscanf(file, "%lu %lu", &total, &resident) == 2, "no statm");
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void print_row(soak_t *soak, size_t resident)
{
    hosted_census_t census = machine_census(&soak->machine);
    printf("%10lu %10lu %10lu %7zu %7zu %7zu %10zu\n", (unsigned long)soak->operations,
           (unsigned long)soak->faults, (unsigned long)census.heap_bytes, census.heap_blocks,
           census.slots, census.caps, resident / 1024);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static soak_t soak;
    uint64_t operations = argc > 1 ? strtoull(argv[1], NULL, 0) : DEFAULT_OPERATIONS;
    uint64_t rounds = (operations + ROUND_OPERATIONS - 1) / ROUND_OPERATIONS;
    size_t warm = 0;
    soak.random = 1;
    machine_begin(&soak.machine);
    hosted_census_t before = machine_census(&soak.machine);
    printf("%10s %10s %10s %7s %7s %7s %10s\n", "operations", "faults", "heap bytes", "blocks",
           "slots", "caps", "RSS KiB");
    for (uint64_t i = 0; i < rounds; i++) {
        one_round(&soak);
        machine_require_census(&soak.machine, &before, "a round");
        size_t resident = resident_bytes();
        if (i < rounds / REPORTS || i == 0) {
            warm = resident > warm ? resident : warm; /* still warming up */
        }
        if ((i + 1) % (rounds / REPORTS + (rounds < REPORTS)) == 0) {
            print_row(&soak, resident);
        }
        must(resident <= warm + MOST_GROWTH, "the process grew from %zu to %zu bytes", warm,
             resident);
    }
    machine_end(&soak.machine);
    printf("flat: the same census after each of %lu rounds of %d operations\n",
           (unsigned long)rounds, (int)ROUND_OPERATIONS);
    return 0;
}
