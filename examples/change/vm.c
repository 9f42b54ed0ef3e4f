/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See vm.h. */

#include "vm.h"

#include <guestmem/memory.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void example_must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "%s failed\n", what);
        exit(EXIT_FAILURE);
    }
}

hosted_system_t *example_open(void)
{
    char why[256];
    hosted_system_t *sel4 = hosted_system_create_from_file(BOARD_DTB, why, sizeof(why));
    if (sel4 == NULL) {
        fprintf(stderr, "%s\n", why);
        exit(EXIT_FAILURE);
    }
    return sel4;
}

static void load(vm_t *vm, const char *image)
{
    char path[4096];
    char instructions[4096];
    snprintf(path, sizeof(path), "%s/%s", IMAGES, image);
    FILE *file = fopen(path, "rb");
    size_t size = file != NULL ? fread(instructions, 1, sizeof(instructions), file) : 0;
    example_must(size == 0, path);
    fclose(file);
    example_must(guestmem_write(vm, RAM, instructions, size), "guestmem_write()");
}

void example_make(hosted_system_t *sel4, vm_t *vm, size_t ram_size, const char *image,
                  memory_fault_callback_fn device)
{
    memset(vm, 0, sizeof(*vm));
    example_must(vm_init(vm, hosted_vka(sel4), hosted_simple(sel4), *hosted_vmm_vspace(sel4),
                         hosted_io_ops(sel4), hosted_host_endpoint(sel4), "example"),
                 "vm_init()");
    vm_vcpu_t *vcpu = vm_create_vcpu(vm, 100);
    example_must(vcpu == NULL || vm_assign_vcpu_target(vcpu, 0) != 0, "vm_create_vcpu()");
    example_must(vm_ram_register_at(vm, RAM, ram_size, false), "vm_ram_register_at()");
    example_must(vm_reserve_memory_at(vm, DEVICE, PAGE, device, NULL) == NULL,
                 "vm_reserve_memory_at()");
    load(vm, image);
    example_must(hosted_vm_set_entry(vcpu, RAM, DEVICE, 0, 0, 0), "hosted_vm_set_entry()");
    example_must(vcpu_start(vcpu), "vcpu_start()");
}

void example_run(vm_t *vm)
{
    example_must(vm_run(vm) != 0 || hosted_vm_get_report(vm)->reason != HOSTED_VM_POWEROFF,
                 "the guest");
}
