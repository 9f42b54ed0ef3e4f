/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The guest runs until it stores to END_PAGE, whose callback signals a notification that is bound
 * to this task. vm_run() receives that instead of the next fault, calls the notification callback,
 * and returns as that says so.
 */

#include "guest.h"
#include <guestmem/memory.h>
#include <inttypes.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_vm_util.h>
#include <sel4vmmplatsupport/arch/guest_boot_init.h>
#include <stdio.h>
#include <vka/object.h>
#include "layout.h"

#define GUEST_PRIORITY (seL4_MaxPrio - 1)

extern const char guest_code[];
extern const char guest_code_end[];

vm_vcpu_t *guest_vcpu_make(vm_t *vm)
{
    vm_vcpu_t *vcpu = vm_create_vcpu(vm, GUEST_PRIORITY);
    return vcpu != NULL && vm_assign_vcpu_target(vcpu, 0) == 0 ? vcpu : NULL;
}

static int end_of_run(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    (void)vm, (void)badge, (void)tag;
    *(bool *)cookie = true;
    return -1; /* do not go on */
}

static int bind_notification(root_task_t *task, vm_t *vm, guest_memory_t *memory, bool *stopped)
{
    vka_object_t notification;
    if (vka_alloc_notification(&task->vka, &notification) != 0) {
        return -1;
    }
    memory->end = notification.cptr;
    if (seL4_TCB_BindNotification(simple_get_tcb(&task->simple), notification.cptr) != 0) {
        return -1;
    }
    return vm_register_notification_callback(vm, end_of_run, stopped);
}

/* The guest starts with its caches off, and so fetches what is in memory. */
static int load_code(vm_t *vm)
{
    size_t bytes = (size_t)(guest_code_end - guest_code);
    return guestmem_write(vm, RAM_BASE, guest_code, bytes) == 0
               ? guestmem_clean(vm, RAM_BASE, bytes)
               : -1;
}

static int start(vm_t *vm, vm_vcpu_t *vcpu)
{
    return load_code(vm) == 0 && vcpu_set_bootargs(vcpu, RAM_BASE, 0, 0) == 0 &&
                   vcpu_start(vcpu) == 0
               ? 0
               : -1;
}

static int expect(const char *what, uint64_t found, uint64_t expected)
{
    printf("  %-44s %#" PRIx64 "%s\n", what, found, found == expected ? "" : "  WRONG");
    return found == expected ? 0 : 1;
}

static int look(vm_t *vm, const guest_memory_t *memory)
{
    uint64_t found[FOUND_WORDS] = {0};
    int wrong = guestmem_read(vm, MAILBOX, found, sizeof(found)) == 0 ? 0 : 1;
    wrong += expect("guest: load from the read-only page", found[FOUND_READ_ONLY], PAGE_VALUE);
    wrong += expect("guest: load from the emulated page", found[FOUND_EMULATED], EMULATED_VALUE);
    wrong += expect("guest: load from the device page", found[FOUND_DEVICE], DEVICE_VALUE);
    wrong += expect("guest: load from the device that is 1:1", found[FOUND_PASSED], PASSED_VALUE);
    wrong += expect("guest: load from chosen memory", found[FOUND_CHOSEN], CHOSEN_BASE);
    wrong += expect("guest: load from the end of RAM", found[FOUND_RAM], RAM_BASE + RAM_SIZE - 16);
    wrong += expect("VMM: word in the shared page", *memory->shared, PAGE_VALUE);
    wrong += expect("VMM: word in the read-only page", *memory->read_only, PAGE_VALUE);
    wrong += expect("VMM: stores to the read-only page", memory->trapped_stores, 1);
    wrong += expect("VMM: stores to the emulated page", memory->stores, STORES);
    return wrong;
}

int guest_run(root_task_t *task, vm_t *vm, vm_vcpu_t *vcpu, guest_memory_t *memory)
{
    bool stopped = false;
    if (bind_notification(task, vm, memory, &stopped) != 0 || start(vm, vcpu) != 0) {
        printf("  the guest could not be started\n");
        return 1;
    }
    (void)vm_run(vm);
    seL4_TCB_Suspend(vm_get_vcpu_tcb(vcpu));
    seL4_TCB_UnbindNotification(simple_get_tcb(&task->simple));
    return expect("guest: stopped by itself", stopped, true) + look(vm, memory);
}
