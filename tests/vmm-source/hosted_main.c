/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Runs vmm_memory.c on the hosted system. Usage: vmm-source BOARD.dtb */

#include <stdio.h>
#include <hosted/system.h>
#include <hosted/vm.h>
#include <sel4vm/boot.h>
#include "vmm_memory.h"

int main(int argc, char **argv)
{
    static const vmm_memory_layout_t layout = {
        .memory = 0x60000000, .device = 0x09000000, .other_device = 0x09010000};
    char why[256] = "usage: vmm-source BOARD.dtb";
    vm_t vm;
    hosted_system_t *system =
        argc == 2 ? hosted_system_create_from_file(argv[1], why, sizeof(why)) : NULL;
    if (system == NULL) {
        fprintf(stderr, "vmm-source: %s\n", why);
        return 1;
    }
    if (vm_init(&vm, hosted_vka(system), hosted_simple(system), *hosted_vmm_vspace(system),
                hosted_io_ops(system), hosted_host_endpoint(system), "vm0") != 0) {
        hosted_system_destroy(system);
        return 1;
    }
    const char *unmet = vmm_memory_use(&vm, &layout);
    if (unmet != NULL) {
        fprintf(stderr, "vmm-source: not so: %s\n", unmet);
    }
    vm_destroy(&vm);
    hosted_system_destroy(system);
    return unmet == NULL ? 0 : 1;
}
