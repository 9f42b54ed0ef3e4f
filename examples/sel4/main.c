/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A root task that gives a VM its memory, runs a guest on it, and says what that costs. */

#include <guestmem/inspect.h>
#include <sel4vm/boot.h>
#include <stdio.h>
#include <vmm_memory.h>
#include "costs.h"
#include "guest.h"
#include "layout.h"
#include "lasting.h"
#include "root_task.h"

static void print_statistics(vm_t *vm)
{
    guestmem_statistics_t s;
    guestmem_get_statistics(vm, &s);
    printf(
        "  %zu reservations; frames: %zu x 4K, %zu x 2M, %zu x 1G; %zu page tables; %zu bytes of "
        "heap\n",
        s.reservations, s.frames[GUESTMEM_FRAME_4K], s.frames[GUESTMEM_FRAME_2M],
        s.frames[GUESTMEM_FRAME_1G], s.page_tables, s.heap_bytes);
}

static int free_all(vm_t *vm)
{
    vm_memory_reservation_t *reservation;
    while ((reservation = guestmem_next_reservation(vm, NULL)) != NULL) {
        if (vm_free_reserved_memory(vm, reservation) != 0) {
            return 1;
        }
    }
    return 0;
}

static int use_documented_interface(vm_t *vm)
{
    static const vmm_memory_layout_t layout = {
        .memory = FREE_MEMORY, .device = DEVICE_PAGE, .other_device = PASSED_DEVICE};
    const char *unmet = vmm_memory_use(vm, &layout);
    printf("  %s%s\n",
           unmet == NULL ? "all is as documented" : "WRONG: not so: ", unmet == NULL ? "" : unmet);
    return (unmet != NULL) + free_all(vm);
}

static int run(root_task_t *task, vm_t *vm)
{
    guest_memory_t memory = {0};
    printf("== what memory costs: invocations by kind, and time\n");
    int wrong = costs_print(vm);
    printf("== memory by the six functions\n");
    vm_vcpu_t *vcpu = guest_vcpu_make(vm);
    if (vcpu == NULL || guest_memory_make(vm, &memory) != 0) {
        printf("  the VM could not be made\n");
        return 1;
    }
    print_statistics(vm);
    printf("== a guest on it\n");
    wrong += guest_run(task, vm, vcpu, &memory);
    costs_print_stores(memory.last_store - memory.first_store, STORES - 1);
    wrong += free_all(vm);
    printf("== all is freed\n");
    print_statistics(vm);
    printf("== a VMM written for libsel4vm's documented interface\n");
    wrong += use_documented_interface(vm);
    printf("== for long, and too much\n");
    return wrong + lasting_repeat(vm) + lasting_exhaust(vm);
}

int main(void)
{
    static root_task_t task;
    static vm_t vm;
    root_task_start(&task, true);
    int wrong =
        vm_init(&vm, &task.vka, &task.simple, task.vspace, &task.io_ops, task.endpoint, "vm0");
    if (wrong == 0) {
        wrong = run(&task, &vm);
    }
    printf("== %s\n", wrong == 0 ? "all as it must be" : "NOT all as it must be");
    root_task_stop();
}
