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
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <hosted/stage2.h>
#include <hosted/system.h>

/**
 * Let guests of the system run while a thread waits. To be called before the first of them is
 * resumed.
 *
 * @param engine  see hosted_engine_name() in <hosted/vm.h>; NULL: the default
 * @return 0; -1 if this build has no such engine
 */
int hosted_system_run_guests(hosted_system_t *system, const char *engine);

/* The rest is for those who implement a processor. */

/** A fault message. */
typedef struct hosted_fault {
    seL4_Word label; /* seL4_Fault_NullFault: nothing happened */
    unsigned length;
    seL4_Word words[seL4_UnknownSyscall_Length];
} hosted_fault_t;

/** A thread with a VCPU, as a processor sees it. */
typedef struct hosted_guest {
    hosted_system_t *system;
    void *space; /* its address space, for the functions below */
    seL4_UserContext *registers;
    seL4_Word *system_registers; /* seL4_VCPUReg_Num */
    uint64_t *list_registers;    /* four, as GICv2 has them */
    uint32_t *cpu_interface;     /* four more words of the processor's own, zero at first */
} hosted_guest_t;

typedef struct hosted_processor {
    /**
     * Make a processor for the guests of an address space.
     *
     * @param engine  as it was given to hosted_system_use_processor()
     * @return NULL with one line in `error` on failure
     */
    void *(*create)(const void *engine, const hosted_guest_t *guest, char *error,
                    size_t error_size);
    /** Run until the guest faults, or kick() was called. No lock of the system is held. */
    void (*run)(void *processor, const hosted_guest_t *guest, hosted_fault_t *fault);
    /** Let run() return soon. From any thread. */
    void (*kick)(void *processor);
    void (*destroy)(void *processor);
} hosted_processor_t;

/** Use that processor for the guests of the system. Both must live as long as the system. */
void hosted_system_use_processor(hosted_system_t *system, const hosted_processor_t *processor,
                                 const void *engine);

/**
 * As the functions of <hosted/stage2.h> whose names end so, for an address space by `space`. Where
 * nothing is mapped, `mapping->size_bits` is the size of the entry that is missing.
 */
bool hosted_space_translate(hosted_system_t *system, void *space, seL4_Word gpa,
                            hosted_stage2_mapping_t *mapping);
void hosted_space_for_each(hosted_system_t *system, void *space,
                           bool (*visit)(void *cookie, const hosted_stage2_mapping_t *mapping),
                           void *cookie);
void hosted_space_listen(hosted_system_t *system, void *space,
                         const hosted_stage2_listener_t *listener);
