/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The settings of a hosted VM, and the report of why it stopped.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <guestmem/inspect.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <utils/util.h>
#include "runtime.h"

/* EL1 with its own stack pointer; debug, SError, IRQ and FIQ masked. */
#define ENTRY_STATE 0x3c5

enum { NANOSECONDS_A_TICK = 16 }; /* of the guest's clock */

const char *hosted_vm_reason_name(hosted_vm_reason_t reason)
{
    static const char *const names[] = {
        [HOSTED_VM_NOT_RUN] = "not run",     [HOSTED_VM_POWEROFF] = "poweroff",
        [HOSTED_VM_RESET] = "reset",         [HOSTED_VM_STOPPED] = "stopped",
        [HOSTED_VM_FAULT] = "fault",         [HOSTED_VM_UNDEFINED] = "undefined instruction",
        [HOSTED_VM_EXCEPTION] = "exception", [HOSTED_VM_BUDGET] = "budget",
        [HOSTED_VM_ERROR] = "error",
    };
    return (size_t)reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "unknown";
}

const hosted_vm_report_t *hosted_vm_get_report(const vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);
    return runtime != NULL ? &runtime->report : NULL;
}

int hosted_vm_get_counters(const vm_t *vm, hosted_vm_counters_t *counters)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime == NULL || counters == NULL) {
        return -1;
    }
    *counters = runtime->counters;
    counters->exits = runtime->processor != NULL ? runtime->processor->stops : 0;
    return 0;
}

bool hosted_vm_sleeps(const vm_t *vm)
{
    const hosted_vm_t *runtime = runtime_of(vm);
    return runtime != NULL && runtime->processor != NULL &&
           runtime->processor->exit.reason == ENGINE_WFI;
}

const char *hosted_engine_name(size_t index)
{
    return engine_name(index);
}

int hosted_vm_set_engine(vm_t *vm, const char *name)
{
    hosted_vm_t *runtime = runtime_of(vm);
    const engine_class_t *found = engine_find(name);

    if (runtime == NULL || found == NULL || runtime->processor != NULL) {
        return -1;
    }
    runtime->class = found;
    return 0;
}

int hosted_vm_set_entry(vm_vcpu_t *vcpu, seL4_Word pc, seL4_Word x0, seL4_Word x1, seL4_Word x2,
                        seL4_Word x3)
{
    seL4_UserContext context = {
        .pc = pc, .spsr = ENTRY_STATE, .x0 = x0, .x1 = x1, .x2 = x2, .x3 = x3};
    return vcpu != NULL ? vm_set_thread_context(vcpu, context) : -1;
}

int hosted_vm_use_virtual_time(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime == NULL || runtime->processor != NULL) {
        return -1;
    }
    runtime->virtual_time = true;
    return 0;
}

static uint64_t host_clock(void)
{
    enum { NANOSECONDS = 1000000000 };
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

uint64_t runtime_clock(const hosted_vm_t *runtime)
{
    return (runtime->stopped_from != 0 ? runtime->stopped_from : host_clock()) - runtime->stopped;
}

void runtime_stop_clock(vm_vcpu_t *vcpu)
{
    runtime_of(vcpu->vm)->stopped_from = host_clock();
}

void runtime_start_clock(vm_vcpu_t *vcpu)
{
    hosted_vm_t *runtime = runtime_of(vcpu->vm);
    uint64_t stood = host_clock() - runtime->stopped_from;
    uintptr_t offset;

    runtime->stopped += stood;
    runtime->stopped_from = 0;
    if (!runtime->virtual_time && vm_get_arm_vcpu_reg(vcpu, seL4_VCPUReg_CNTVOFF, &offset) == 0) {
        vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_CNTVOFF, offset + stood / NANOSECONDS_A_TICK);
    }
}

uint64_t hosted_vm_time(const vm_t *vm)
{
    const hosted_vm_t *runtime = runtime_of(vm);

    if (runtime == NULL) {
        return host_clock();
    }
    if (runtime->virtual_time) {
        return runtime->processor != NULL ? runtime->processor->exit.ticks * NANOSECONDS_A_TICK : 0;
    }
    return runtime_clock(runtime);
}

int hosted_vm_set_budget(vm_t *vm, uint64_t instructions, uint64_t milliseconds)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime == NULL) {
        return -1;
    }
    runtime->budget = instructions;
    runtime->milliseconds = milliseconds;
    if (runtime->processor != NULL) {
        runtime->class->set_budget(runtime->processor->engine, instructions);
    }
    return 0;
}

void hosted_vm_request_stop(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime != NULL) {
        atomic_store(&runtime->stop, true);
        ticker_urge(&runtime->ticker);
    }
}

int hosted_vm_set_poll(vm_t *vm, hosted_vm_poll_fn poll, void *cookie, unsigned milliseconds)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime == NULL || (poll != NULL && milliseconds == 0)) {
        return -1;
    }
    runtime->poll = poll;
    runtime->poll_cookie = cookie;
    runtime->poll_interval = milliseconds;
    return 0;
}

int vm_register_unhandled_mem_fault_callback(vm_t *vm,
                                             unhandled_mem_fault_callback_fn fault_handler,
                                             void *cookie)
{
    if (vm == NULL || fault_handler == NULL) {
        ZF_LOGE("vm_register_unhandled_mem_fault_callback: an argument is NULL");
        return -1;
    }
    vm->mem.unhandled_mem_fault_handler = fault_handler;
    vm->mem.unhandled_mem_fault_cookie = cookie;
    return 0;
}

int vm_register_notification_callback(vm_t *vm, notification_callback_fn notification_callback,
                                      void *cookie)
{
    if (vm == NULL || notification_callback == NULL) {
        ZF_LOGE("vm_register_notification_callback: an argument is NULL");
        return -1;
    }
    vm->run.notification_callback = notification_callback;
    vm->run.notification_callback_cookie = cookie;
    return 0;
}

int vm_register_smc_handler_callback(vm_t *vm, smc_handler_callback_fn vm_smc_handler)
{
    if (vm == NULL || vm_smc_handler == NULL) {
        ZF_LOGE("vm_register_smc_handler_callback: an argument is NULL");
        return -1;
    }
    vm->arch.vm_smc_handler = vm_smc_handler;
    return 0;
}

void report_end(vm_t *vm, hosted_vm_reason_t reason, uintptr_t pc, const char *format, ...)
{
    hosted_vm_report_t *report = &runtime_of(vm)->report;
    va_list arguments;
    int used;

    *report = (hosted_vm_report_t){.reason = reason, .pc = pc};
    used = snprintf(report->text, sizeof(report->text), "VM %.32s, pc 0x%" PRIxPTR ": ",
                    vm->vm_name, pc);
    va_start(arguments, format);
    vsnprintf(report->text + used, sizeof(report->text) - (size_t)used, format, arguments);
    va_end(arguments);
}

static void find_reservation(vm_t *vm, hosted_vm_report_t *report)
{
    guestmem_reservation_info_t info;
    vm_memory_reservation_t *reservation = guestmem_find_reservation(vm, report->address);

    if (reservation == NULL || guestmem_reservation_info(vm, reservation, &info) != 0) {
        return;
    }
    report->has_reservation = true;
    report->reservation_base = info.base;
    report->reservation_last = info.last;
    snprintf(report->reservation_name, sizeof(report->reservation_name), "%s", info.name);
}

void report_access(vm_vcpu_t *vcpu, const char *problem)
{
    const fault_t *fault = vcpu->vcpu_arch.fault;
    const engine_fault_t *access = &fault->exit.fault;
    hosted_vm_report_t report = {
        .reason = HOSTED_VM_FAULT,
        .pc = fault->exit.pc,
        .has_access = true,
        .address = access->address,
        .width = access->width,
        .is_read = !access->write,
        .is_fetch = access->fetch,
    };
    char where[96] = "in no reservation";
    char what[48];

    find_reservation(vcpu->vm, &report);
    if (report.has_reservation) {
        snprintf(where, sizeof(where), "in reservation 0x%" PRIxPTR "..0x%" PRIxPTR "%s%s",
                 report.reservation_base, report.reservation_last,
                 report.reservation_name[0] != '\0' ? " " : "", report.reservation_name);
    }
    const char *direction = access->fetch ? "fetch" : access->write ? "write" : "read";
    if (report.width > 0) {
        snprintf(what, sizeof(what), "%zu-byte %s", report.width, direction);
    } else {
        snprintf(what, sizeof(what), "%s of unknown width", direction);
    }
    report_end(vcpu->vm, HOSTED_VM_FAULT, report.pc, "%s at 0x%" PRIxPTR " %s: %s", what,
               report.address, where, problem);
    memcpy(report.text, runtime_of(vcpu->vm)->report.text, sizeof(report.text));
    runtime_of(vcpu->vm)->report = report;
}
