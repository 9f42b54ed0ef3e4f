/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See world.h. */

#include "world.h"
#include <guestmem/vspace.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vka/object.h>

#define MEMORY_BASE UINT64_C(0x1000000000)
#define GIBIBYTE    (UINT64_C(1) << 30)

void world_fail(const char *what)
{
    fprintf(stderr, "bench: %s failed\n", what);
    exit(1);
}

/* A device tree with a memory node and nothing else. */
static void make_board(void *buffer, int size, unsigned gib)
{
    char name[32];
    fdt64_t reg[2] = {cpu_to_fdt64(MEMORY_BASE), cpu_to_fdt64(gib * GIBIBYTE)};
    snprintf(name, sizeof(name), "memory@%llx", (unsigned long long)MEMORY_BASE);
    int error = fdt_create(buffer, size) | fdt_finish_reservemap(buffer);
    error |= fdt_begin_node(buffer, "");
    error |= fdt_property_string(buffer, "compatible", "guestmem,bench");
    error |= fdt_property_u32(buffer, "#address-cells", 2);
    error |= fdt_property_u32(buffer, "#size-cells", 2);
    error |= fdt_begin_node(buffer, name);
    error |= fdt_property_string(buffer, "device_type", "memory");
    error |= fdt_property(buffer, "reg", reg, sizeof(reg));
    error |= fdt_end_node(buffer) | fdt_end_node(buffer) | fdt_finish(buffer);
    if (error != 0) {
        world_fail("making the board's device tree");
    }
}

void world_begin(world_t *world, unsigned gib)
{
    char board[4096];
    char error[256];
    memset(world, 0, sizeof(*world));
    make_board(board, sizeof(board), gib);
    world->system = hosted_system_create(board, sizeof(board), error, sizeof(error));
    if (world->system == NULL) {
        world_fail(error);
    }
    vm_t *vm = &world->vm;
    vm->vka = hosted_vka(world->system);
    vm->simple = hosted_simple(world->system);
    vm->io_ops = hosted_io_ops(world->system);
    vm->mem.vmm_vspace = *hosted_vmm_vspace(world->system);
    if (vm_memory_init(vm) != 0 || vka_alloc_vspace_root(vm->vka, &vm->mem.vm_vspace_root) != 0 ||
        simple_ASIDPool_assign(vm->simple, vm->mem.vm_vspace_root.cptr) != seL4_NoError ||
        vm_init_guest_vspace(&vm->mem.vmm_vspace, &vm->mem.vmm_vspace, &vm->mem.vm_vspace, vm->vka,
                             vm->mem.vm_vspace_root.cptr) != 0) {
        world_fail("making a VM");
    }
}

void world_end(world_t *world)
{
    vm_memory_destroy(&world->vm);
    hosted_system_destroy(world->system);
}

size_t world_heap(world_t *world)
{
    guestmem_statistics_t statistics;
    if (guestmem_get_statistics(&world->vm, &statistics) != 0) {
        world_fail("guestmem_get_statistics");
    }
    return statistics.heap_bytes;
}
