/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A root task that starts the VMM of ../hosted-vmm, with a guest's files: Linux's, if there is an
 * initrd. */

#include <sel4vmmplatsupport/arch/guest_vcpu_fault.h>
#include <stdio.h>
#include <vmm.h>
#include "root_task.h"

/* The file at `path`, which the build made, between name and name_end. */
#define FILE_AT(name, path)                                                                        \
    __asm__(".pushsection .rodata\n.balign 16\n" #name ":\n.incbin \"" path "\"\n" #name           \
            "_end:\n.popsection\n");                                                               \
    extern const char name[], name##_end[]

FILE_AT(guest_image, VMM_IMAGE);
FILE_AT(guest_tree, VMM_TREE);
#ifdef VMM_INITRD
FILE_AT(guest_initrd, VMM_INITRD);
#endif

int main(void)
{
    static root_task_t task;
    static vmm_t vmm;
    root_task_start(&task);
    const vmm_env_t env = {&task.vka,    &task.simple,  &task.vspace,
                           &task.io_ops, task.endpoint, vmm_handle_arm_vcpu_exception};
#ifdef VMM_INITRD
    vmm_guest_t guest = vmm_linux_guest;
    guest.initrd = (vmm_file_t){guest_initrd, (size_t)(guest_initrd_end - guest_initrd)};
#else
    vmm_guest_t guest = vmm_small_guest;
#endif
    guest.image = (vmm_file_t){guest_image, (size_t)(guest_image_end - guest_image)};
    guest.tree = (vmm_file_t){guest_tree, (size_t)(guest_tree_end - guest_tree)};
    int wrong = vmm_make(&vmm, &env, &guest) != 0 || vmm_run(&vmm, &guest) != 0;
    printf("== %s\n", wrong ? "NOT all as it must be" : "all as it must be");
    root_task_stop();
}
