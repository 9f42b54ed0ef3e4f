/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Making and destroying a hosted system: boot the kernel model on a board, write down its boot
 * information, and build the root task's handles.
 */

#include "system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "board.h"

kernel_t *hosted_system_kernel(struct hosted_system *system)
{
    return &system->kernel;
}

static int fail(char *error, size_t error_size, const char *why)
{
    if (error && error_size) {
        snprintf(error, error_size, "%s", why);
    }
    return -1;
}

/* The board's untypeds go to the slots after the root task's initial capabilities, devices first
   as the kernel has them. */
static int make_untypeds(hosted_system_t *system, const board_t *board)
{
    memory_root_t *roots = calloc(board->num_untypeds, sizeof(*roots));
    system->untypeds = calloc(board->num_untypeds, sizeof(*system->untypeds));
    if (!roots || !system->untypeds) {
        free(roots);
        return -1;
    }
    seL4_BootInfo *info = system->bootinfo;
    seL4_CPtr slot = seL4_NumInitialCaps;
    info->untyped.start = slot;
    for (int device = 1; device >= 0; device--) {
        for (size_t i = 0; i < board->num_untypeds; i++) {
            const board_range_t *range = &board->untypeds[i];
            if ((range->kind != HOSTED_MEMORY) != device) {
                continue;
            }
            unsigned bits = (unsigned)__builtin_ctzl(range->last - range->base + 1);
            roots[i] = (memory_root_t){range->base, bits, range->kind, slot};
            system->untypeds[slot - info->untyped.start] = (seL4_UntypedDesc){
                .paddr = range->base, .sizeBits = (seL4_Uint8)bits, .isDevice = (seL4_Uint8)device};
            kernel_boot_untyped(&system->kernel, slot, range->base, bits, device);
            slot++;
        }
    }
    size_t listed = MIN(board->num_untypeds, (size_t)CONFIG_MAX_NUM_BOOTINFO_UNTYPED_CAPS);
    memcpy(info->untypedList, system->untypeds, listed * sizeof(*system->untypeds));
    info->untyped.end = info->untyped.start + listed;
    system->endpoint = slot;
    int error = memory_init(&system->memory, &system->slots, roots, board->num_untypeds);
    free(roots);
    return error;
}

static int boot(hosted_system_t *system)
{
    const board_t *board = &system->board;
    system->kernel.system = system;
    system->kernel.host_range_is_ours = vmm_vspace_holds;
    system->kernel.gicv_base = board->gicv_base;
    system->bootinfo = aligned_alloc(seL4_BootInfoFrameSize, seL4_BootInfoFrameSize);
    if (!system->bootinfo || kernel_boot(&system->kernel)) {
        return -1;
    }
    for (size_t i = 0; i < board->num_banks; i++) {
        if (physical_add(&system->kernel, board->banks[i].base, board->banks[i].last)) {
            return -1;
        }
    }
    memset(system->bootinfo, 0, seL4_BootInfoFrameSize);
    if (make_untypeds(system, board) || serials_init(system, board->serials, board->num_serials)) {
        return -1;
    }
    seL4_BootInfo *info = system->bootinfo;
    info->numNodes = CONFIG_MAX_NUM_NODES;
    info->initThreadCNodeSizeBits = CONFIG_ROOT_CNODE_SIZE_BITS;
    info->extraLen = system->board_dtb_size + sizeof(seL4_BootInfoHeader);
    info->ipcBuffer = seL4_GetIPCBuffer();
    info->empty = (seL4_SlotRegion){system->endpoint + 1, 1ul << CONFIG_ROOT_CNODE_SIZE_BITS};
    return kernel_boot_endpoint(&system->kernel, system->endpoint) ||
                   slots_init(&system->slots, info->empty.start, info->empty.end)
               ? -1
               : 0;
}

static void free_system(hosted_system_t *system)
{
    /* Unmapping pages of the VMM needs their ranges: the kernel goes first. */
    kernel_shut_down(&system->kernel);
    memory_free(&system->memory);
    slots_free(&system->slots);
    free(system->serials);
    free(system->untypeds);
    board_free(&system->board);
    free(system->bootinfo);
    free(system->board_dtb);
    free(system);
}

hosted_system_t *hosted_system_create(const void *board_dtb, size_t size, char *error,
                                      size_t error_size)
{
    board_t board;
    if (board_read(&board, board_dtb, size, error, error_size)) {
        return NULL;
    }
    hosted_system_t *system = calloc(1, sizeof(*system));
    if (!system || !(system->board_dtb = malloc(size))) {
        free(system);
        board_free(&board);
        fail(error, error_size, "out of host memory");
        return NULL;
    }
    memcpy(system->board_dtb, board_dtb, size);
    system->board_dtb_size = size;
    system->board = board;
    if (boot(system)) {
        fail(error, error_size, "the host has not enough memory or files for the board");
        free_system(system);
        return NULL;
    }
    vka_init(system);
    simple_init(system);
    vmm_vspace_init(system);
    io_ops_init(system);
    hosted_system_enter(system);
    return system;
}

static void *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    if (!file) {
        return NULL;
    }
    if (fseek(file, 0, SEEK_END) == 0) {
        long length = ftell(file);
        rewind(file);
        bytes = length > 0 ? malloc((size_t)length) : NULL;
        if (bytes && fread(bytes, 1, (size_t)length, file) != (size_t)length) {
            free(bytes);
            bytes = NULL;
        }
        *size = bytes ? (size_t)length : 0;
    }
    fclose(file);
    return bytes;
}

hosted_system_t *hosted_system_create_from_file(const char *path, char *error, size_t error_size)
{
    size_t size = 0;
    void *bytes = read_file(path, &size);
    if (!bytes) {
        if (error && error_size) {
            snprintf(error, error_size, "board %s: cannot be read, or is empty", path);
        }
        return NULL;
    }
    hosted_system_t *system = hosted_system_create(bytes, size, error, error_size);
    free(bytes);
    return system;
}

void hosted_system_destroy(hosted_system_t *system)
{
    if (!system) {
        return;
    }
    if (hosted_system_current() == system) {
        hosted_system_enter(NULL);
    }
    kernel_delete_all(&system->kernel);
    vmm_vspace_free(system);
    free_system(system);
}

void hosted_system_enter(hosted_system_t *system)
{
    kernel_enter(system ? &system->kernel : NULL);
}

hosted_system_t *hosted_system_current(void)
{
    kernel_t *kernel = kernel_current();
    return kernel ? kernel->system : NULL;
}

seL4_BootInfo *hosted_bootinfo(hosted_system_t *system)
{
    return system->bootinfo;
}

vka_t *hosted_vka(hosted_system_t *system)
{
    return &system->vka;
}

simple_t *hosted_simple(hosted_system_t *system)
{
    return &system->simple;
}

vspace_t *hosted_vmm_vspace(hosted_system_t *system)
{
    return &system->vspace;
}

void hosted_vmm_keep_tables(hosted_system_t *system)
{
    system->kernel.host->tables_stay = true;
}

void hosted_system_refuse_remaps(hosted_system_t *system)
{
    system->kernel.refuses_remaps = true;
}

size_t hosted_physical_ranges(hosted_system_t *system, const hosted_physical_range_t **ranges)
{
    *ranges = system->board.map;
    return system->board.num_ranges;
}

ps_io_ops_t *hosted_io_ops(hosted_system_t *system)
{
    return &system->io_ops;
}

seL4_CPtr hosted_host_endpoint(hosted_system_t *system)
{
    return system->endpoint;
}
