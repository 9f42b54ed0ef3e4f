/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A root task that starts the VMM of ../linux. The guest's files are in an archive of this task,
 * where the C library opens them by name. The guest starts again when it resets itself; as much
 * must be in use then as before.
 */

#include <cpio/cpio.h>
#include <muslcsys/io.h>
#include <sel4vmmplatsupport/arch/guest_vcpu_fault.h>
#include <stdio.h>
#include <vka/object.h>
#include <vmm.h>
#include "census.h"
#include "counter.h"
#include "root_task.h"

extern char _cpio_archive[], _cpio_archive_end[]; /* by the build */

static uint64_t step_start;

/* What the step that ends here took. */
static void end_step(const char *step)
{
    uint64_t now = counter_now();
    printf("vmm: %-7s %10llu ns, then in use: %zu slots, %zu KiB of objects, %zu bytes of heap\n",
           step, (unsigned long long)counter_nanoseconds(now - step_start), census.slots,
           census.object_bytes / 1024, census.heap_bytes);
    step_start = counter_now();
}

/* Whether as much is in use as at the second start. The first start needs less: libsel4utils keeps
 * its records of addresses that were in use once. */
static bool in_use_as_before(unsigned start)
{
    static census_t before;
    if (start == 2) {
        before = census;
    }
    return start < 2 ||
           (census.slots == before.slots && census.object_bytes == before.object_bytes &&
            census.heap_bytes == before.heap_bytes);
}

static int run(vmm_t *vmm)
{
    vmm_end_t end = VMM_RESET;
    for (unsigned start = 1; end == VMM_RESET && start <= LINUX_STARTS; start++) {
        printf("vmm: start %u\n", start);
        if (vmm_back(vmm) != 0) {
            return -1;
        }
        if (!in_use_as_before(start)) {
            printf("vmm: NOT what was in use at the second start\n");
            return -1;
        }
        end = vmm_start(vmm) == 0 ? vmm_run(vmm) : VMM_RUNS;
        end_step("run");
        if (end == VMM_RUNS || !vmm_has_reply(vmm)) {
            return -1;
        }
        vmm_free(vmm);
        end_step("free");
    }
    return 0;
}

int main(void)
{
    static root_task_t task;
    static vmm_t vmm;
    static const vmm_guest_t guest = {.kernel = LINUX_KERNEL,
                                      .tree = LINUX_TREE,
                                      .initrd = LINUX_INITRD,
                                      .ram = LINUX_RAM,
                                      .ram_size = LINUX_RAM_BYTES,
                                      .one_to_one = LINUX_ONE_TO_ONE};
    vka_object_t events = {0};
    root_task_start(&task, false);
    muslcsys_install_cpio_interface(_cpio_archive, (size_t)(_cpio_archive_end - _cpio_archive),
                                    cpio_get_file);
    census_watch_vka(&task.vka);
    census_watch_heap(&task.io_ops.malloc_ops);
    int error = vka_alloc_notification(&task.vka, &events);
    const vmm_env_t env = {.vka = &task.vka,
                           .simple = &task.simple,
                           .vspace = &task.vspace,
                           .io_ops = &task.io_ops,
                           .endpoint = task.endpoint,
                           .events = events.cptr,
                           .on_exception = vmm_handle_arm_vcpu_exception,
                           .done = end_step};
    step_start = counter_now();
    error = error != 0 || seL4_TCB_BindNotification(seL4_CapInitThreadTCB, events.cptr) != 0 ||
            vmm_make(&vmm, &env, &guest) != 0;
    error = error || run(&vmm) != 0;
    printf("== %s\n", error ? "NOT all as it must be" : "all as it must be");
    root_task_stop();
}
