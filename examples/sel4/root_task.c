/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The usual start of a root task: an allocator over the boot information's untyped memory, first in
 * a static pool and then in virtual memory of its own; an address space; a console; io_ops.
 */

#include "root_task.h"
#include <allocman/bootstrap.h>
#include <allocman/vka.h>
#include <arch_stdio.h>
#include <sel4platsupport/bootinfo.h>
#include <sel4platsupport/io.h>
#include <sel4platsupport/platsupport.h>
#include <sel4utils/vspace.h>
#include <simple-default/simple-default.h>
#include <utils/util.h>
#include <vka/object.h>

#define STATIC_POOL_BYTES  ((size_t)4 << 20)
#define VIRTUAL_POOL_BYTES ((size_t)64 << 20)

static char static_pool[STATIC_POOL_BYTES];
static sel4utils_alloc_data_t vspace_data;

static allocman_t *start_allocator(root_task_t *task)
{
    allocman_t *allocator =
        bootstrap_use_current_simple(&task->simple, STATIC_POOL_BYTES, static_pool);
    ZF_LOGF_IF(allocator == NULL, "no allocator: the static pool is too small");
    allocman_make_vka(&task->vka, allocator);
    return allocator;
}

static void start_address_space(root_task_t *task, allocman_t *allocator)
{
    void *pool = NULL;
    int error = sel4utils_bootstrap_vspace_with_bootinfo_leaky(
        &task->vspace, &vspace_data, simple_get_pd(&task->simple), &task->vka,
        platsupport_get_bootinfo());
    ZF_LOGF_IF(error != 0, "no address space");
    reservation_t range =
        vspace_reserve_range(&task->vspace, VIRTUAL_POOL_BYTES, seL4_AllRights, 1, &pool);
    ZF_LOGF_IF(range.res == NULL, "no virtual memory for the allocator");
    bootstrap_configure_virtual_pool(allocator, pool, VIRTUAL_POOL_BYTES,
                                     simple_get_pd(&task->simple));
}

/* Standard output by the kernel. */
static size_t print(void *data, size_t count)
{
#ifdef CONFIG_PRINTING
    for (size_t i = 0; i < count; i++) {
        seL4_DebugPutChar(((const char *)data)[i]);
    }
#else
    (void)data;
#endif
    return count;
}

void root_task_start(root_task_t *task, bool takes_uart)
{
    vka_object_t endpoint;
    simple_default_init_bootinfo(&task->simple, platsupport_get_bootinfo());
    start_address_space(task, start_allocator(task));
    int error = sel4platsupport_new_io_ops(&task->vspace, &task->vka, &task->simple, &task->io_ops);
    ZF_LOGF_IF(error != 0, "no io_ops");
    if (takes_uart) {
        error = platsupport_serial_setup_simple(&task->vspace, &task->simple, &task->vka);
        ZF_LOGF_IF(error != 0, "no console");
    } else {
        sel4muslcsys_register_stdio_write_fn(print);
    }
    error = vka_alloc_endpoint(&task->vka, &endpoint);
    ZF_LOGF_IF(error != 0, "no endpoint");
    task->endpoint = endpoint.cptr;
}

_Noreturn void root_task_stop(void)
{
    while (true) {
        seL4_TCB_Suspend(seL4_CapInitThreadTCB);
    }
}
