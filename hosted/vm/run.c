/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The run loop: hand the registers to the engine, let it run, take them back, and handle what it
 * stopped for. The ticker interrupts it regularly, for the poll function, the deadline and stop
 * requests.
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <time.h>
#include <sel4vm/guest_vm_exits.h>
#include <sel4vm/guest_vm_util.h>
#include <utils/util.h>
#include "runtime.h"

#define IDLE_PERIOD     50 /* milliseconds between ticks when nothing asks for more */
#define DEADLINE_PERIOD 10
#define NAP_NANOSECONDS 1000000

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void engine_mapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    hosted_vm_t *runtime = cookie;
    hosted_stage2_mapping_t seen = *mapping;
    if (gicv_is(mapping)) {
        seen.read = seen.write = seen.execute = false;
    }
    runtime->class->mapped(runtime->engine, &seen);
}

static void engine_unmapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    hosted_vm_t *runtime = cookie;
    runtime->class->unmapped(runtime->engine, mapping);
}

static bool visit_mapping(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    engine_mapped(cookie, mapping);
    return true;
}

int runtime_start_engine(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);
    seL4_CPtr vspace = vm->mem.vm_vspace_root.cptr;
    hosted_stage2_listener_t listener = {engine_mapped, engine_unmapped, runtime};
    char error[128] = "this build has no engine (see GUESTMEM_UNICORN)";

    if (runtime->engine != NULL) {
        return 0;
    }
    if (runtime->class != NULL) {
        runtime->engine = runtime->class->create(error, sizeof(error));
    }
    if (runtime->engine == NULL) {
        report_end(vm, HOSTED_VM_ERROR, 0, "%s", error);
        return -1;
    }
    hosted_stage2_for_each(runtime->system, vspace, visit_mapping, runtime);
    if (hosted_stage2_listen(runtime->system, vspace, &listener) != 0) {
        report_end(vm, HOSTED_VM_ERROR, 0, "the guest's address space cannot be watched");
        runtime_end_engine(vm);
        return -1;
    }
    runtime->listening = true;
    runtime->class->set_budget(runtime->engine, runtime->budget);
    return 0;
}

void runtime_end_engine(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime->listening) {
        hosted_stage2_listen(runtime->system, vm->mem.vm_vspace_root.cptr, NULL);
        runtime->listening = false;
    }
    if (runtime->engine != NULL) {
        runtime->class->destroy(runtime->engine);
        runtime->engine = NULL;
    }
}

/* Notifications and messages that are no faults of this VM. @return 0 to go on; -1 with a report */
static int receive(vm_t *vm, uintptr_t pc)
{
    for (;;) {
        seL4_Word badge = 0;
        seL4_MessageInfo_t tag = seL4_NBRecv(vm->host_endpoint, &badge);
        if (badge == 0 && tag.words[0] == 0) {
            return 0;
        }
        if (vm->run.notification_callback == NULL) {
            report_end(vm, HOSTED_VM_ERROR, pc, "badge %#lx came, and no callback is there for it",
                       badge);
            return -1;
        }
        if (vm->run.notification_callback(vm, badge, tag, vm->run.notification_callback_cookie) !=
            0) {
            report_end(vm, HOSTED_VM_ERROR, pc, "the notification callback failed at badge %#lx",
                       badge);
            return -1;
        }
    }
}

static void kick(void *cookie)
{
    hosted_vm_t *runtime = cookie;
    runtime->class->kick(runtime->engine);
}

/* Things besides the guest: a stop request, the deadline, the poll function. @return 0 to go on */
static int attend(vm_t *vm, uint64_t deadline, uint64_t *next_poll, uintptr_t pc)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (atomic_exchange(&runtime->stop, false)) {
        report_end(vm, HOSTED_VM_STOPPED, pc, "stopped on request");
        return 1;
    }
    if (!atomic_exchange(&runtime->ticker.due, false)) {
        return 0;
    }
    uint64_t time = now();
    if (runtime->poll != NULL && time >= *next_poll) {
        *next_poll = time + runtime->poll_interval;
        runtime->counters.polls++;
        if (runtime->poll(vm, runtime->poll_cookie) != 0) {
            report_end(vm, HOSTED_VM_STOPPED, pc, "stopped by the poll function");
            return 1;
        }
    }
    if (time >= deadline) {
        report_end(vm, HOSTED_VM_BUDGET, pc, "still running after %llu ms",
                   (unsigned long long)runtime->milliseconds);
        return -1;
    }
    return 0;
}

/* The guest waits for an interrupt, and none will come: rest, and go on as the architecture allows.
 */
static void nap(vm_vcpu_t *vcpu)
{
    struct timespec time = {0, NAP_NANOSECONDS};
    nanosleep(&time, NULL);
    fault_skip(vcpu);
}

/* @return 0 to go on; 1 when the guest stopped itself; -1 with a report */
static int handle_exit(vm_vcpu_t *vcpu, const engine_exit_t *exit)
{
    vm_t *vm = vcpu->vm;

    if (exit->reason == ENGINE_KICKED) {
        return 0;
    }
    fault_begin(vcpu, exit);
    switch (exit->reason) {
    case ENGINE_FAULT:
        return cpu_interface_access(vcpu) ? 0 : handle_memory_fault(vcpu);
    case ENGINE_HVC:
    case ENGINE_SMC:
        return handle_hypercall(vcpu);
    case ENGINE_WFI:
        nap(vcpu);
        return 0;
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

/* Hand over what changed, run, and take the registers back. @return 0; -1 with a report */
static int run_slice(vm_vcpu_t *vcpu, engine_exit_t *exit)
{
    hosted_vm_t *runtime = runtime_of(vcpu->vm);
    seL4_UserContext *context = hosted_tcb_registers(runtime->system, vm_get_vcpu_tcb(vcpu));
    seL4_Word *registers = hosted_vcpu_registers(runtime->system, vcpu->vcpu.cptr);

    runtime->class->set_system_registers(runtime->engine, registers);
    if (runtime->class->set_registers(runtime->engine, context) != 0) {
        report_end(vcpu->vm, HOSTED_VM_ERROR, context->pc,
                   "engine %s cannot start in the mode of processor state 0x%lx",
                   runtime->class->name, (unsigned long)context->spsr);
        return -1;
    }
    bool incoherent = hosted_guest_enters(runtime->system, registers);
    runtime->class->run(runtime->engine, exit);
    if (incoherent) {
        runtime->class->get_system_registers(runtime->engine, registers);
        hosted_guest_stops(runtime->system);
    }
    runtime->class->get_registers(runtime->engine, context);
    runtime->counters.exits++;
    return 0;
}

static int loop(vm_vcpu_t *vcpu)
{
    hosted_vm_t *runtime = runtime_of(vcpu->vm);
    uint64_t start = now();
    uint64_t deadline = runtime->milliseconds != 0 ? start + runtime->milliseconds : UINT64_MAX;
    uint64_t next_poll = start;
    engine_exit_t exit = {.pc = hosted_tcb_registers(runtime->system, vm_get_vcpu_tcb(vcpu))->pc};
    int result = 0;

    /* From here on, what comes for receive() stops the engine, or lets it not start. */
    hosted_guest_runs(runtime->system, vm_get_vcpu_tcb(vcpu), kick, runtime);
    while (result == 0) {
        result = attend(vcpu->vm, deadline, &next_poll, exit.pc);
        if (result == 0) {
            result = receive(vcpu->vm, exit.pc);
        }
        if (result == 0) {
            result = run_slice(vcpu, &exit);
        }
        if (result == 0) {
            result = handle_exit(vcpu, &exit);
        }
    }
    hosted_guest_runs(runtime->system, vm_get_vcpu_tcb(vcpu), NULL, NULL);
    vcpu->vcpu_arch.fault->active = false;
    return result > 0 ? 0 : -1;
}

static vm_vcpu_t *online_vcpu(vm_t *vm)
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

int vm_run(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime == NULL) {
        ZF_LOGE("vm_run: the VM is not initialised");
        return -1;
    }
    vm_vcpu_t *vcpu = online_vcpu(vm);
    int result = -1;
    if (vcpu == NULL) {
        report_end(vm, HOSTED_VM_ERROR, 0, "no VCPU was started");
    } else if (runtime_start_engine(vm) == 0) {
        if (ticker_start(&runtime->ticker, runtime->engine, tick_period(runtime)) != 0) {
            report_end(vm, HOSTED_VM_ERROR, 0, "the host refused a thread");
        } else {
            result = loop(vcpu);
            ticker_stop(&runtime->ticker);
            runtime->class->get_system_registers(
                runtime->engine, hosted_vcpu_registers(runtime->system, vcpu->vcpu.cptr));
        }
    }
    if (result != 0) {
        ZF_LOGE("%s", runtime->report.text);
        vm->run.exit_reason = VM_GUEST_ERROR_EXIT;
    } else {
        vm->run.exit_reason = VM_GUEST_NOTIFICATION_EXIT;
    }
    return result;
}
