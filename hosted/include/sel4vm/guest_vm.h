/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A VM and its VCPUs as the VMM holds them, and the loop that runs them.
 *
 * The structures have the fields, names and order that VMMs for seL4 know, so code written for it
 * compiles unchanged. Memory management uses only `mem`, `vka`, `simple` and `io_ops`.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <vka/vka.h>
#include <simple/simple.h>
#include <vspace/vspace.h>
#include <platsupport/io.h>
#include <sel4vm/arch/guest_vm_arch.h>
#include <sel4vm/guest_memory.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm vm_t;
typedef struct vm_vcpu vm_vcpu_t;
typedef struct vm_mem vm_mem_t;
typedef struct vm_ram_region vm_ram_region_t;
typedef struct vm_run vm_run_t;
typedef struct vm_arch vm_arch_t;

/**
 * Called for an access that no reservation's callback handled.
 *
 * It may reserve and map memory and return FAULT_RESTART.
 *
 * @param paddr   guest-physical address of the access
 * @param len     its width in bytes; 0 where the processor does not report it
 * @param cookie  as registered
 */
typedef memory_fault_result_t (*unhandled_mem_fault_callback_fn)(vm_t *vm, vm_vcpu_t *vcpu,
                                                                 uintptr_t paddr, size_t len,
                                                                 void *cookie);

/**
 * Called for an event that is no fault of this VM.
 *
 * @param badge   badge that the event came with
 * @param tag     message information of the event
 * @param cookie  as registered
 * @return 0 to go on; anything else makes vm_run() return with an error
 */
typedef int (*notification_callback_fn)(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag,
                                        void *cookie);

/** A range of guest RAM. */
struct vm_ram_region {
    uintptr_t start; /**< guest-physical address */
    size_t size;     /**< bytes */
    int allocated;   /**< whether it is in use */
};

/** A VM's memory. */
struct vm_mem {
    vspace_t vm_vspace;                                 /**< the guest's address space */
    vka_object_t vm_vspace_root;                        /**< its root object */
    vspace_t vmm_vspace;                                /**< the VMM's address space */
    int num_ram_regions;                                /**< entries of `ram_regions` */
    struct vm_ram_region *ram_regions;                  /**< all RAM, by ascending address */
    vm_memory_reservation_cookie_t *reservation_cookie; /**< state of the memory management */
    unhandled_mem_fault_callback_fn unhandled_mem_fault_handler;
    void *unhandled_mem_fault_cookie;
    int clean_cache;    /**< whether images are cleaned from the cache when loaded */
    int map_one_to_one; /**< whether the VMM wants memory mapped 1:1 */
};

/** The thread of a VCPU. */
struct vm_tcb {
    vka_object_t tcb;
    vka_object_t sc;         /**< scheduling context; unused without MCS */
    vka_object_t sched_ctrl; /**< unused without MCS */
    int priority;
};

/** A virtual processor. */
struct vm_vcpu {
    struct vm *vm;
    vka_object_t vcpu; /**< kernel object */
    struct vm_tcb tcb;
    unsigned int vcpu_id; /**< its index in `vm->vcpus` */
    int target_cpu;       /**< the guest's logical CPU that it plays; -1: none yet */
    bool vcpu_online;     /**< whether it was started */
    struct vm_vcpu_arch vcpu_arch;
};

/** The state of the run loop. */
struct vm_run {
    int exit_reason; /**< why the VCPU stopped last, see <sel4vm/guest_vm_exits.h> */
    notification_callback_fn notification_callback;
    void *notification_callback_cookie;
};

/** The capability space of the VM's threads. */
struct vm_cspace {
    vka_object_t cspace_obj;
    seL4_Word cspace_root_data; /**< guard of its root */
};

/** A virtual machine. */
struct vm {
    struct vm_arch arch;
    unsigned int num_vcpus;
    struct vm_vcpu *vcpus[CONFIG_MAX_NUM_NODES];
    struct vm_mem mem;
    struct vm_run run;
    struct vm_cspace cspace;
    seL4_CPtr host_endpoint; /**< where the VMM receives faults and events */
    vka_t *vka;
    ps_io_ops_t *io_ops;
    simple_t *simple;
    seL4_Word entry;    /**< address of the first instruction, for image loaders */
    char *vm_name;      /**< owned by the VM */
    unsigned int vm_id; /**< distinguishes VMs of one system in logs */
    bool vm_initialised;
};

/**
 * Run the guest until it stops.
 *
 * @return 0 when the guest powered off, was reset or was asked to stop; negative on an error, or
 *         on an access or event that nobody handled
 */
int vm_run(vm_t *vm);

/**
 * Let a VCPU run when vm_run() is called next.
 *
 * @return 0; -1 if it is NULL or the kernel refuses
 */
int vcpu_start(vm_vcpu_t *vcpu);

/**
 * Register who is asked about accesses that no reservation's callback handled.
 *
 * @param fault_handler  replaces the one before; not NULL
 * @param cookie         passed on to it; stays the caller's
 * @return 0; -1 if an argument is bad
 */
int vm_register_unhandled_mem_fault_callback(vm_t *vm,
                                             unhandled_mem_fault_callback_fn fault_handler,
                                             void *cookie);

/**
 * Register who is notified of events that are no faults of this VM. If it returns anything but 0,
 * vm_run() returns -1: the way for a callback of a fault, which suspends the VCPU and signals a
 * bound notification, to end the run.
 *
 * @param notification_callback  replaces the one before; not NULL
 * @param cookie                 passed on to it; stays the caller's
 * @return 0; -1 if an argument is bad
 */
int vm_register_notification_callback(vm_t *vm, notification_callback_fn notification_callback,
                                      void *cookie);

#ifdef __cplusplus
}
#endif
