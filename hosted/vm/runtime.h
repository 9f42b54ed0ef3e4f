/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The runtime's own state of a VM and of a VCPU's fault, shared by the files of this folder.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <hosted/system.h>
#include <hosted/trace.h>
#include <hosted/vm.h>
#include <sel4vm/guest_vm.h>
#include "engine.h"
#include "processor.h"
#include "ticker.h"

/** Where the board has the page of its virtual CPU interface (GICV). */
#define VIRTUAL_CPU_INTERFACE 0x8040000

/** Badge that a VCPU's faults come with. */
#define VCPU_BADGE(id) ((seL4_Word)(id) + 1)

/** What a VCPU is stopped at. */
struct fault {
    vm_vcpu_t *vcpu;
    bool active;            /* the VCPU is stopped, and nobody has let it go on */
    bool data_access;       /* a load or store; else a fetch or a trapped instruction */
    bool completable;       /* the syndrome is valid and the access aligned */
    bool refused;           /* a callback wanted to complete what cannot be completed */
    engine_exit_t exit;     /* what the engine reported */
    seL4_Word data;         /* what a read finds, in its lanes */
    seL4_UserContext *regs; /* the thread's registers, which the engine takes over */
};

/** Who wants events. */
typedef struct hosted_vm_trace {
    unsigned kinds; /* of hosted_event_kind_t */
    hosted_trace_fn function;
    void *cookie;
} hosted_vm_trace_t;

typedef struct gdb gdb_t;

/** The runtime's state of a VM. */
typedef struct hosted_vm {
    hosted_system_t *system;
    const engine_class_t *class; /* chosen engine; NULL: this build has none */
    processor_t *processor;      /* made by the first vm_run(), and the kernel's from then on */
    vm_vcpu_t *runs;             /* the VCPU that it is attached to */
    hosted_vm_report_t report;
    hosted_vm_counters_t counters;
    uint64_t budget;       /* instructions of all runs; 0: any number */
    uint64_t milliseconds; /* of each run; 0: any time */
    bool virtual_time;     /* the engine's clock counts instructions */
    hosted_vm_poll_fn poll;
    void *poll_cookie;
    unsigned poll_interval; /* milliseconds */
    atomic_bool stop;
    ticker_t ticker;
    bool warned_of_write_back;
    hosted_vm_trace_t trace;
    gdb_t *gdb;              /* debuggers, see gdb.c; NULL: none */
    uint64_t stopped;        /* nanoseconds for which the host's clock was not looked at */
    uint64_t stopped_from;   /* its time now; 0: it goes */
    struct gic *gic;         /* interrupt controller; NULL: none */
    struct saved_vm *saved;  /* see save.c; NULL: nothing is saved */
    hosted_vm_page_t *pages; /* faults by page, see pages.c */
    size_t num_pages;
} hosted_vm_t;

/** The state of an initialised VM, or NULL. */
hosted_vm_t *runtime_of(const vm_t *vm);

/** The VCPU that was started, or NULL. */
vm_vcpu_t *runtime_online_vcpu(const vm_t *vm);

/** Have its processor, of the chosen class. @return 0; -1 with a report */
int runtime_start_processor(vm_vcpu_t *vcpu);

/** Destroy all VCPUs of a VM: objects, slots, heap. */
void runtime_destroy_vcpus(vm_t *vm);

/** Nanoseconds of the host's monotonic clock, but for what the guest stood still for a debugger. */
uint64_t runtime_clock(const hosted_vm_t *runtime);

/** The VCPU stands still: stop that clock and the guest's own. */
void runtime_stop_clock(vm_vcpu_t *vcpu);

/** Undo runtime_stop_clock(). */
void runtime_start_clock(vm_vcpu_t *vcpu);

/** Begin a fault at what the engine reported. */
void fault_begin(vm_vcpu_t *vcpu, const engine_exit_t *exit);

/** The fault was not handled by a callback: go on after the instruction, whatever it was. */
void fault_skip(vm_vcpu_t *vcpu);

/** Handle an access that stage 2 did not allow. @return 0 to go on; -1 with a report */
int handle_memory_fault(vm_vcpu_t *vcpu);

/** Handle HVC or SMC. @return 0 to go on; 1 when the guest stopped itself; -1 with a report */
int handle_hypercall(vm_vcpu_t *vcpu);

/** The runtime's own PSCI: the result is in `regs`. @return as handle_hypercall() */
int psci_call(vm_vcpu_t *vcpu, seL4_UserContext *regs);

/** The guest has handled the interrupt in a list register. @return 0; -1 if there is none in it */
int gic_maintenance(vm_vcpu_t *vcpu, seL4_Word list_register);

/** Bytes of the interrupt controller's state, a multiple of 8; 0: there is none, and the next three
 * do nothing. */
size_t gic_state_size(const vm_t *vm);
void gic_save(const vm_t *vm, void *state);
/** Whether a controller can be restored to that, with a VCPU that has those list registers. */
bool gic_state_is_sound(const vm_vcpu_t *vcpu, const void *state, const uint64_t *list_registers);
void gic_restore(const vm_t *vm, const void *state);

/** Free the interrupt controller, if there is one. @see vm_create_default_irq_controller */
void gic_destroy(vm_t *vm);

/** Count a fault. */
void pages_count(hosted_vm_t *runtime, uintptr_t address);

/** Write the VM's report. */
void report_end(vm_t *vm, hosted_vm_reason_t reason, uintptr_t pc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** Write the VM's report about the access that the VCPU is stopped at. */
void report_access(vm_vcpu_t *vcpu, const char *problem);
