/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A VMM's memory by the six functions of guest_memory_util.h. Usage: vmm BOARD.dtb */

#include <stdio.h>
#include <guestmem/inspect.h>
#include <hosted/system.h>
#include <hosted/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vmmplatsupport/guest_memory_util.h>

static int back_memory(vm_t *vm)
{
    memory_fault_callback_fn on_fault = default_error_fault_callback;
    vm_memory_reservation_t *ram = vm_reserve_memory_at(vm, 0x80000000, 64 << 20, on_fault, NULL);
    vm_memory_reservation_t *gic = vm_reserve_memory_at(vm, 0x8040000, 0x1000, on_fault, NULL);
    vm_memory_reservation_t *dma = vm_reserve_memory_at(vm, 0x50000000, 2 << 20, on_fault, NULL);
    vm_memory_reservation_t *any = vm_reserve_memory_at(vm, 0x90000000, 2 << 20, on_fault, NULL);
    int error = map_frame_alloc_reservation(vm, ram);                       /* free memory */
    error |= map_ut_alloc_reservation(vm, gic);                             /* a device, 1:1 */
    error |= map_ut_alloc_reservation_with_base_paddr(vm, 0x60000000, dma); /* chosen memory */
    error |= map_maybe_device_reservation(vm, any);                         /* any memory */
    char *page = create_allocated_reservation_frame(vm, 0xa000000, seL4_CanRead, on_fault, NULL);
    char *uart = create_device_reservation_frame(vm, 0x9000000, seL4_AllRights, on_fault, NULL);
    if (error || page == NULL || uart == NULL) {
        return -1; /* the log says why, and guestmem_last_error(vm) */
    }
    return snprintf(page, 4096, "the guest reads this at 0xa000000") > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    char why[256] = "usage: vmm BOARD.dtb";
    guestmem_statistics_t s = {0};
    vm_t vm;
    /* On seL4 the vka, simple, vspace and io_ops come from the root task; here from the board. */
    hosted_system_t *sel4 =
        argc == 2 ? hosted_system_create_from_file(argv[1], why, sizeof(why)) : NULL;
    if (sel4 == NULL) {
        fprintf(stderr, "vmm: %s\n", why);
        return 1;
    }
    int error = vm_init(&vm, hosted_vka(sel4), hosted_simple(sel4), *hosted_vmm_vspace(sel4),
                        hosted_io_ops(sel4), hosted_host_endpoint(sel4), "vm0");
    if (error == 0) {
        error = back_memory(&vm);
        guestmem_get_statistics(&vm, &s);
        printf("%zu reservations: %zu frames of 2 MiB, %zu of 4 KiB, %zu page tables\n",
               s.reservations, s.frames[GUESTMEM_FRAME_2M], s.frames[GUESTMEM_FRAME_4K],
               s.page_tables);
        vm_destroy(&vm); /* everything goes back to where it came from */
    }
    hosted_system_destroy(sel4);
    return error == 0 ? 0 : 1;
}
