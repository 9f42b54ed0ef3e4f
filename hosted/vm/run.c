/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The run loop: receive on the VM's endpoint, which runs the guest, and handle what comes: faults
 * of the VCPU, and events of others. The ticker interrupts it regularly, for the poll function, the
 * deadline and stop requests.
 */

#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_vm_exits.h>
#include <sel4vm/guest_vm_util.h>
#include <utils/util.h>
#include "gdb.h"

#define IDLE_PERIOD     50 /* milliseconds between ticks when nothing asks for more */
#define DEADLINE_PERIOD 10

/* The virtual clock's rate, which is what CNTFRQ_EL0 says. */
#define TICKS_A_MILLISECOND 62500ull

static uint64_t now(const hosted_vm_t *runtime)
{
    return runtime_clock(runtime) / 1000000;
}

int runtime_start_processor(vm_vcpu_t *vcpu)
{
    vm_t *vm = vcpu->vm;
    hosted_vm_t *runtime = runtime_of(vm);
    char error[128] = "this build has no engine (see GUESTMEM_UNICORN)";

    if (runtime->processor != NULL) {
        return 0;
    }
    processor_t *processor =
        runtime->class != NULL ? processor_create(runtime->class, error, sizeof(error)) : NULL;
    if (processor == NULL) {
        report_end(vm, HOSTED_VM_ERROR, 0, "%s", error);
        return -1;
    }
    if (processor_attach(processor, runtime->system, vcpu->vcpu.cptr) != 0) {
        report_end(vm, HOSTED_VM_ERROR, 0, "the VCPU has no thread with an address space");
        return -1;
    }
    runtime->processor = processor;
    runtime->runs = vcpu;
    runtime->class->set_budget(processor->engine, runtime->budget);
    if (runtime->virtual_time && !runtime->class->set_virtual_time(processor->engine, 0)) {
        report_end(vm, HOSTED_VM_ERROR, 0, "the engine has no virtual time");
        return -1;
    }
    return 0;
}

/* Milliseconds of the clock that polls go by. */
static uint64_t poll_time(const hosted_vm_t *runtime)
{
    return runtime->virtual_time ? runtime->processor->exit.ticks / TICKS_A_MILLISECOND
                                 : now(runtime);
}

/* Call the poll function if it is due. @return whether it wants to stop */
static bool poll_stops(vm_t *vm, uint64_t *next_poll)
{
    hosted_vm_t *runtime = runtime_of(vm);
    uint64_t time = poll_time(runtime);
    bool stops = false;

    if (runtime->poll != NULL && time >= *next_poll) {
        *next_poll = time + runtime->poll_interval;
        runtime->counters.polls++;
        stops = runtime->poll(vm, runtime->poll_cookie) != 0;
    }
    if (runtime->virtual_time) {
        runtime->class->set_virtual_time(runtime->processor->engine,
                                         runtime->poll != NULL ? *next_poll * TICKS_A_MILLISECOND
                                                               : UINT64_MAX);
    }
    return stops;
}

/* Things besides the guest: a debugger, a stop request, the deadline, the poll function. @return 0
 * to go on */
static int attend(vm_vcpu_t *vcpu, uint64_t deadline, uint64_t *next_poll, uintptr_t pc)
{
    vm_t *vm = vcpu->vm;
    hosted_vm_t *runtime = runtime_of(vm);
    bool ticked = atomic_exchange(&runtime->ticker.due, false);

    if (!gdb_attend(vcpu, ticked)) {
        report_end(vm, HOSTED_VM_STOPPED, pc, "ended by the debugger");
        return 1;
    }
    if (!atomic_load(&runtime->stop) && (ticked || runtime->virtual_time) &&
        poll_stops(vm, next_poll)) {
        report_end(vm, HOSTED_VM_STOPPED, pc, "stopped by the poll function");
        return 1;
    }
    if (atomic_exchange(&runtime->stop, false)) { /* perhaps of the poll function: then at once */
        report_end(vm, HOSTED_VM_STOPPED, pc, "stopped on request");
        return 1;
    }
    if (ticked && now(runtime) >= deadline) {
        report_end(vm, HOSTED_VM_BUDGET, pc, "still running after %llu ms",
                   (unsigned long long)runtime->milliseconds);
        return -1;
    }
    return 0;
}

/* @return 0 to go on; 1 when the guest stopped itself; -1 with a report */
static int handle_exit(vm_vcpu_t *vcpu, const engine_exit_t *exit)
{
    vm_t *vm = vcpu->vm;

    fault_begin(vcpu, exit);
    switch (exit->reason) {
    case ENGINE_FAULT:
        return handle_memory_fault(vcpu);
    case ENGINE_HVC:
    case ENGINE_SMC:
        return handle_hypercall(vcpu);
    case ENGINE_UNDEFINED:
        report_end(vm, HOSTED_VM_UNDEFINED, exit->pc, "undefined instruction 0x%08x",
                   exit->instruction);
        return -1;
    case ENGINE_EXCEPTION:
        report_end(vm, HOSTED_VM_EXCEPTION, exit->pc, "%s", exit->text);
        return -1;
    case ENGINE_BUDGET:
        report_end(vm, HOSTED_VM_BUDGET, exit->pc, "the budget of %llu instructions is used up",
                   (unsigned long long)runtime_of(vm)->budget);
        return -1;
    default:
        report_end(vm, HOSTED_VM_ERROR, exit->pc, "%s", exit->text);
        return -1;
    }
}

/* A wait for the guest's next event. */
typedef struct waiting {
    vm_vcpu_t *vcpu;
    uint64_t deadline, next_poll;
    int result; /* as of handle_exit() */
} waiting_t;

/* Whether something but a message ends the run: a processor that cannot go on, or attend(). */
static bool interrupts(void *cookie)
{
    waiting_t *waiting = cookie;
    const engine_exit_t *exit = &runtime_of(waiting->vcpu->vm)->processor->exit;

    if (exit->reason == ENGINE_BUDGET || exit->reason == ENGINE_EXCEPTION ||
        exit->reason == ENGINE_ERROR) {
        waiting->result = handle_exit(waiting->vcpu, exit);
    } else {
        waiting->result = attend(waiting->vcpu, waiting->deadline, &waiting->next_poll, exit->pc);
    }
    return waiting->result != 0;
}

/* The virtual timer's interrupt; where nobody takes it, it is acknowledged at once. */
static int handle_timer(vm_vcpu_t *vcpu, int irq)
{
    if (vm_inject_irq(vcpu, irq) != 0 &&
        seL4_ARM_VCPU_AckVPPI(vcpu->vcpu.cptr, (seL4_Word)irq) != seL4_NoError) {
        report_end(vcpu->vm, HOSTED_VM_ERROR, 0, "the kernel does not acknowledge the timer");
        return -1;
    }
    return 0;
}

/* Handle a message of this VM's VCPU. @return as handle_exit() */
static int handle_message(vm_vcpu_t *vcpu, seL4_Word label)
{
    int result;

    switch (label) {
    case seL4_Fault_VGICMaintenance:
        gic_maintenance(vcpu, seL4_GetMR(seL4_VGICMaintenance_IDX));
        result = 0;
        break;
    case seL4_Fault_VPPIEvent:
        result = handle_timer(vcpu, (int)seL4_GetMR(seL4_VPPIEvent_IRQ));
        break;
    default:
        result = handle_exit(vcpu, &runtime_of(vcpu->vm)->processor->exit);
        break;
    }
    if (result == 0) {
        seL4_Reply(seL4_MessageInfo_new(0, 0, 0, 0));
    }
    return result;
}

/* An event that is none of the VCPU's; its callback may end the run. @return 0 to go on; -1 with a
 * report */
static int handle_notification(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t info)
{
    vm_run_t *run = &vm->run;
    uintptr_t pc = runtime_of(vm)->processor->exit.pc;

    if (run->notification_callback == NULL) {
        report_end(vm, HOSTED_VM_ERROR, pc, "an event with badge 0x%lx, and no callback for it",
                   (unsigned long)badge);
        return -1;
    }
    if (run->notification_callback(vm, badge, info, run->notification_callback_cookie) != 0) {
        report_end(vm, HOSTED_VM_STOPPED, pc,
                   "stopped by the callback for the event of badge 0x%lx", (unsigned long)badge);
        return -1;
    }
    return 0;
}

static int loop(vm_vcpu_t *vcpu)
{
    vm_t *vm = vcpu->vm;
    hosted_vm_t *runtime = runtime_of(vm);
    waiting_t waiting = {
        .vcpu = vcpu,
        .deadline = runtime->milliseconds != 0 ? now(runtime) + runtime->milliseconds : UINT64_MAX,
        .next_poll = poll_time(runtime),
    };
    int result = 0;

    runtime->processor->exit =
        (engine_exit_t){.pc = hosted_tcb_registers(runtime->system, vm_get_vcpu_tcb(vcpu))->pc,
                        .ticks = runtime->processor->exit.ticks};
    while (result == 0) {
        seL4_Word badge;
        seL4_MessageInfo_t info;
        if (!hosted_receive(runtime->system, vm->host_endpoint, &badge, &info, vcpu->vcpu.cptr,
                            interrupts, &waiting)) {
            result = waiting.result;
        } else if (badge == VCPU_BADGE(vcpu->vcpu_id)) {
            result = handle_message(vcpu, seL4_MessageInfo_get_label(info));
        } else {
            result = handle_notification(vm, badge, info);
        }
    }
    gdb_run_ended(vcpu);
    vcpu->vcpu_arch.fault->active = false;
    return result > 0 ? 0 : -1;
}

vm_vcpu_t *runtime_online_vcpu(const vm_t *vm)
{
    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        if (vm->vcpus[i]->vcpu_online) {
            return vm->vcpus[i];
        }
    }
    return NULL;
}

static unsigned tick_period(const hosted_vm_t *runtime)
{
    unsigned period = runtime->milliseconds != 0 ? DEADLINE_PERIOD : IDLE_PERIOD;
    return runtime->poll != NULL && runtime->poll_interval < period ? runtime->poll_interval
                                                                    : period;
}

static int run_vcpu(vm_vcpu_t *vcpu)
{
    hosted_vm_t *runtime = runtime_of(vcpu->vm);
    hosted_system_t *before = hosted_system_current();
    int result = -1;

    hosted_system_enter(runtime->system);
    if (ticker_start(&runtime->ticker, runtime->processor->engine, tick_period(runtime)) != 0) {
        report_end(vcpu->vm, HOSTED_VM_ERROR, 0, "the host refused a thread");
    } else {
        hosted_vcpu_resume(runtime->system, vcpu->vcpu.cptr);
        result = loop(vcpu);
        ticker_stop(&runtime->ticker);
    }
    hosted_system_enter(before);
    return result;
}

int vm_run(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime == NULL) {
        ZF_LOGE("vm_run: the VM is not initialised");
        return -1;
    }
    vm_vcpu_t *vcpu = runtime_online_vcpu(vm);
    int result = -1;
    if (vcpu == NULL) {
        report_end(vm, HOSTED_VM_ERROR, 0, "no VCPU was started");
    } else if (runtime_start_processor(vcpu) == 0) {
        result = run_vcpu(vcpu);
    }
    if (result != 0) {
        if (runtime->report.reason != HOSTED_VM_STOPPED) {
            ZF_LOGE("%s", runtime->report.text);
        }
        vm->run.exit_reason = VM_GUEST_ERROR_EXIT;
    } else {
        vm->run.exit_reason = VM_GUEST_NOTIFICATION_EXIT;
    }
    return result;
}
