/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Guests that run by themselves, as on the kernel: a thread with a VCPU that was resumed runs while
 * a thread of the process waits for a message (seL4_Recv(), seL4_Wait() and their like), and its
 * faults are messages at its fault endpoint. For VMMs that have a run loop of their own; vm_run()
 * of <sel4vm/guest_vm.h> needs none of this.
 *
 * The kernel's side calls a processor for that, and makes fault messages of what the processor
 * reports. hosted/vcpu has processors; the kernel knows this interface only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <hosted/stage2.h>
#include <hosted/system.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Let guests of the system run while a thread waits. To be called before the first of them is
 * resumed. Their WFI is trapped, as by a kernel that is not configured otherwise.
 *
 * @param engine  see hosted_engine_name() in <hosted/vm.h>; NULL: the default
 * @return 0; -1 if this build has no such engine
 */
int hosted_system_run_guests(hosted_system_t *system, const char *engine);

/* The rest is for those who implement a processor. */

/** A fault as its message: label and message registers of the kernel. */
typedef struct hosted_fault {
    seL4_Word label; /* seL4_Fault_tag_t; 0: none */
    seL4_Word length;
    seL4_Word words[seL4_UnknownSyscall_Length];
} hosted_fault_t;

/** A load or store of general registers that stage 2 did not allow. */
typedef struct hosted_access {
    bool possible; /* complete() can make it */
    seL4_Word gpa;
    unsigned width; /* bytes */
    bool write;
    uint64_t data; /* stored; or to be loaded */
} hosted_access_t;

typedef enum hosted_stop {
    HOSTED_STOP_KICKED, /* kick() was called, or an interrupt can be taken */
    HOSTED_STOP_FAULT,  /* see `fault`, and `access` if that is a VMFault */
    HOSTED_STOP_IDLE,   /* the instruction waits for an interrupt */
    HOSTED_STOP_FAILED, /* the processor cannot go on, see `text` */
} hosted_stop_t;

/** One run of a processor: in, what it starts with, and out, why it stopped. */
typedef struct hosted_run {
    seL4_UserContext *registers; /* in and out */
    seL4_Word *vcpu_registers;   /* in: seL4_VCPUReg_Num of them */
    bool interrupt;              /* in: stop when the guest lets interrupts in */
    bool timer_masked;           /* in: do not stop when the virtual timer's is high */
    hosted_stop_t stop;
    hosted_fault_t fault;
    hosted_access_t access;
    bool timer;    /* the virtual timer's interrupt is high */
    uint64_t rest; /* nanoseconds until it will be; UINT64_MAX: it will not */
    const char *text;
} hosted_run_t;

/** A kind of processor. All but `create` get one that it made. */
typedef struct hosted_processor_class {
    /**
     * @param engine  as given to hosted_system_use_processors()
     * @return NULL with one line in `error` on failure
     */
    void *(*create)(const void *engine, char *error, size_t error_size);
    void (*destroy)(void *processor);
    /** Stage 2 has changed. A page with a device behind it comes without rights. */
    void (*mapped)(void *processor, const hosted_stage2_mapping_t *mapping);
    void (*unmapped)(void *processor, const hosted_stage2_mapping_t *mapping);
    void (*run)(void *processor, hosted_run_t *run);
    /** Instructions of that range may have been written: what is kept of them is old. */
    void (*unify)(void *processor, uint64_t gpa, uint64_t size);
    /** Let run() return soon, or at once when it is called next. From any thread. */
    void (*kick)(void *processor);
    /** Bring the VCPU's registers up to date. */
    void (*fetch)(void *processor, seL4_Word vcpu_registers[seL4_VCPUReg_Num]);
    /** Finish the access that it stopped at, and go to the next instruction. */
    void (*complete)(void *processor, seL4_UserContext *registers, uint64_t data);
} hosted_processor_class_t;

/** Use those processors for the guests of the system. Both must live as long as the system. */
void hosted_system_use_processors(hosted_system_t *system, const hosted_processor_class_t *class,
                                  const void *engine);

/**
 * Give a VCPU its processor, instead of one that the kernel's side makes when the VCPU runs first.
 * Its thread must be bound and have an address space.
 *
 * @param processor  destroyed with the VCPU, its thread or its address space
 * @return 0; -1 if the VCPU has one, or cannot have one
 */
int hosted_vcpu_attach(hosted_system_t *system, seL4_CPtr vcpu,
                       const hosted_processor_class_t *class, void *processor);

/** Let the VCPU's thread run, whatever it waits for, as seL4_TCB_Resume() does. */
void hosted_vcpu_resume(hosted_system_t *system, seL4_CPtr vcpu);

/** Let no interrupt come to the VCPU, because a debugger steps it; or, with false, let them come
 * again. */
void hosted_vcpu_hold_interrupts(hosted_system_t *system, seL4_CPtr vcpu, bool hold);

/** The state of a VCPU: words, without anything of this process. */
typedef struct hosted_vcpu_state {
    seL4_UserContext thread;
    seL4_Word registers[seL4_VCPUReg_Num];
    uint64_t list_registers[4];
    uint64_t control, priority_mask, binary_point, active; /* of the virtual CPU interface */
    uint64_t timer_masked;                                 /* 0 or 1 */
} hosted_vcpu_state_t;

/**
 * Copy the state of a VCPU that has run, with its thread's registers and its interrupts. What its
 * processor has beside it is not in there.
 *
 * @return a hosted_vcpu_state_t, to be freed with free(); NULL without memory, or if the capability
 *         is no VCPU with a thread
 */
void *hosted_vcpu_save(hosted_system_t *system, seL4_CPtr vcpu);

/** Make the VCPU what it was, and let its thread run. @param state  of hosted_vcpu_save() */
void hosted_vcpu_restore(hosted_system_t *system, seL4_CPtr vcpu, const void *state);

/**
 * seL4_Recv() that can be interrupted, and runs one VCPU only.
 *
 * @param vcpu   no other one runs
 * @param until  asked before each run and after each stop that makes no message; without a lock
 * @return true with a message; false if `until` returned true
 */
bool hosted_receive(hosted_system_t *system, seL4_CPtr source, seL4_Word *sender,
                    seL4_MessageInfo_t *info, seL4_CPtr vcpu, bool (*until)(void *cookie),
                    void *cookie);

#ifdef __cplusplus
}
#endif
