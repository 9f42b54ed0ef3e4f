/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See machine.h. */

#include "machine.h"
#include <guestmem/memory.h>
#include <guestmem/vspace.h>
#include <hosted/log.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utils/util.h>
#include <vka/object.h>

void machine_fail(const char *condition, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "FAILED: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " (%s)\n", condition);
    fflush(NULL);
    abort();
}

static void count_line(void *cookie, int level, const char *line)
{
    machine_t *machine = cookie;
    if (level >= ZF_LOG_ERROR) {
        machine->log_lines++;
        snprintf(machine->log_line, sizeof(machine->log_line), "%s", line);
    }
}

void machine_begin(machine_t *machine)
{
    char error[256];
    *machine = (machine_t){0};
    machine->system = hosted_system_create_from_file(BOARD_DTB, error, sizeof(error));
    must(machine->system != NULL, "%s", error);
    must(getenv("INCOHERENT") == NULL || hosted_system_incoherent(machine->system) == 0,
         "the system could not be made incoherent");
    hosted_log_to(count_line, machine);
}

void machine_end(machine_t *machine)
{
    hosted_log_to(NULL, NULL);
    hosted_system_destroy(machine->system);
    machine->system = NULL;
}

void machine_make_vm(machine_t *machine, vm_t *vm)
{
    memset(vm, 0, sizeof(*vm));
    vm->vka = hosted_vka(machine->system);
    vm->simple = hosted_simple(machine->system);
    vm->io_ops = hosted_io_ops(machine->system);
    vm->mem.clean_cache = getenv("INCOHERENT") != NULL;
    vm->mem.vmm_vspace = *hosted_vmm_vspace(machine->system);
    must(vm_memory_init(vm) == 0, "a VM's memory could not be initialised");
    must(vka_alloc_vspace_root(vm->vka, &vm->mem.vm_vspace_root) == 0, "no address space");
    must(simple_ASIDPool_assign(vm->simple, vm->mem.vm_vspace_root.cptr) == seL4_NoError,
         "no ASID");
    must(vm_init_guest_vspace(&vm->mem.vmm_vspace, &vm->mem.vmm_vspace, &vm->mem.vm_vspace, vm->vka,
                              vm->mem.vm_vspace_root.cptr) == 0,
         "the address space could not be initialised");
}

hosted_census_t machine_census(const machine_t *machine)
{
    hosted_census_t census;
    hosted_census_take(machine->system, &census);
    return census;
}

void machine_require_census(const machine_t *machine, const hosted_census_t *before,
                            const char *what)
{
    hosted_census_t now = machine_census(machine);
    if (!hosted_census_equal(before, &now)) {
        hosted_census_print_difference(stderr, before, &now);
        must(false, "the census has changed: %s", what);
    }
}
