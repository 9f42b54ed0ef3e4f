/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What a hosted VM has beyond the calls of <sel4vm/guest_vm.h> and <sel4vm/boot.h>: destroying
 * it, which engine runs it, where it starts, how long it may run, and why it stopped.
 *
 * One thread drives a VM; only hosted_vm_request_stop() may be called from others. One VCPU of a VM
 * runs: the one that vcpu_start() was called for first.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Destroy a VM: VCPUs, memory, address space, everything that vm_init() and later calls allocated.
 * Nothing happens where vm_init() has not succeeded, or for NULL. The memory of `vm` is the
 * caller's. Not to be called inside vm_run(). @see vm_init
 */
void vm_destroy(vm_t *vm);

/** Why vm_run() came back. */
typedef enum hosted_vm_reason {
    HOSTED_VM_NOT_RUN,   /**< vm_run() was not called yet */
    HOSTED_VM_POWEROFF,  /**< the guest powered off (PSCI SYSTEM_OFF) */
    HOSTED_VM_RESET,     /**< the guest reset itself (PSCI SYSTEM_RESET) */
    HOSTED_VM_STOPPED,   /**< hosted_vm_request_stop(), or the poll or notification callback */
    HOSTED_VM_FAULT,     /**< an access that nobody handled, or that cannot be emulated */
    HOSTED_VM_UNDEFINED, /**< an instruction that the processor does not know */
    HOSTED_VM_EXCEPTION, /**< an exception of the guest that it has no vector for */
    HOSTED_VM_BUDGET,    /**< the instruction budget or the deadline was reached */
    HOSTED_VM_ERROR,     /**< anything else, see the text */
} hosted_vm_reason_t;

/** A reason's name, e.g. "poweroff". */
const char *hosted_vm_reason_name(hosted_vm_reason_t reason);

/** Why a VM stopped. */
typedef struct hosted_vm_report {
    hosted_vm_reason_t reason;
    uintptr_t pc;               /**< virtual address of the instruction that it stopped at */
    bool has_access;            /**< whether the members below are about an access */
    uintptr_t address;          /**< guest-physical */
    size_t width;               /**< bytes; 0 if not known */
    bool is_read;               /**< loads and instruction fetches */
    bool is_fetch;              /**< instruction fetches */
    bool has_reservation;       /**< whether a reservation holds `address` */
    uintptr_t reservation_base; /**< its first GPA */
    uintptr_t reservation_last; /**< and last (inclusive) */
    char reservation_name[32];  /**< its name, or "" */
    char text[320];             /**< all of it in one line, with what was wrong */
} hosted_vm_report_t;

/** Why the last vm_run() returned. @return owned by the VM; NULL if `vm` is not initialised */
const hosted_vm_report_t *hosted_vm_get_report(const vm_t *vm);

/** What a VM has done so far. */
typedef struct hosted_vm_counters {
    uint64_t exits;        /**< times that the engine stopped, for any reason */
    uint64_t read_faults;  /**< loads that stage 2 did not allow */
    uint64_t write_faults; /**< stores */
    uint64_t fetch_faults; /**< instruction fetches */
    uint64_t restarts;     /**< faults after which the instruction ran again */
    uint64_t hypercalls;   /**< HVC and SMC */
    uint64_t polls;        /**< calls of the poll function */
} hosted_vm_counters_t;

/** @return 0; -1 if an argument is NULL or the VM is not initialised */
int hosted_vm_get_counters(const vm_t *vm, hosted_vm_counters_t *counters);

/** Whether the guest waits for an interrupt (WFI), as far as is known. */
bool hosted_vm_sleeps(const vm_t *vm);

/**
 * Choose what runs the VM's VCPU.
 *
 * @param name  see hosted_engine_name(); NULL: the default
 * @return 0; -1 if this build has no such engine, or the VM has run already
 */
int hosted_vm_set_engine(vm_t *vm, const char *name);

/** The engines of this build, the default first; NULL after the last. */
const char *hosted_engine_name(size_t index);

/**
 * Set where a VCPU starts: in EL1 with its own stack pointer, interrupts masked, MMU off.
 *
 * @param vcpu  the VCPU
 * @param pc    guest-physical address of the first instruction
 * @param x0    first registers; the others are zero. Where an operating system is booted, x0 is the
 *              address of the device tree
 * @param x1    see x0
 * @param x2    see x0
 * @param x3    see x0
 * @return 0; -1 if the VCPU is NULL or the kernel refuses
 */
int hosted_vm_set_entry(vm_vcpu_t *vcpu, seL4_Word pc, seL4_Word x0, seL4_Word x1, seL4_Word x2,
                        seL4_Word x3);

/**
 * Bound the next vm_run() calls. vm_run() returns with HOSTED_VM_BUDGET when one is reached.
 *
 * @param instructions  about how many instructions may run in all, counted by basic blocks, which
 *                      makes the guest slower; 0: any number
 * @param milliseconds  how long each vm_run() may take; 0: any time
 * @return 0; -1 if the VM is not initialised
 */
int hosted_vm_set_budget(vm_t *vm, uint64_t instructions, uint64_t milliseconds);

/** Where vm_create_default_irq_controller() puts the registers that a guest sees, a page each. */
#define HOSTED_GIC_DISTRIBUTOR   0x8000000ul
#define HOSTED_GIC_CPU_INTERFACE 0x8010000ul

/** A page that guest-physical accesses have faulted at, and how often. */
typedef struct hosted_vm_page {
    uintptr_t address;
    uint64_t faults;
} hosted_vm_page_t;

/**
 * The pages with the most faults, most first. Where thousands of pages have faulted, those with few
 * faults may be missing, and counts may be a little low.
 *
 * @return how many there are, up to `count`
 */
size_t hosted_vm_faulting_pages(const vm_t *vm, hosted_vm_page_t *pages, size_t count);

/** How often an interrupt was handed to the guest's CPU interface, of all VCPUs; 0 for no such. */
uint64_t hosted_vm_interrupt_count(const vm_t *vm, int irq);

/**
 * Let the guest's time pass by the instructions that it executes, 16 ns each, and by what it sleeps
 * until its virtual timer, which takes no time. Polls come by that time too. So a guest that gets
 * the same input at the same polls does the same each time, to the last byte.
 *
 * @return 0; -1 if the VM is not initialised, or has run already
 */
int hosted_vm_use_virtual_time(vm_t *vm);

/** Nanoseconds of the VM's clock: the host's monotonic one, but for what the guest stood still for
 * a debugger (<hosted/gdb.h>), or the guest's in virtual time. */
uint64_t hosted_vm_time(const vm_t *vm);

/**
 * Save a VM that has run, to start it again from where it stands: its RAM as guestmem_save() does,
 * its VCPU, the interrupt controller that vm_create_default_irq_controller() made, and the time as
 * the guest's clock has it. Devices, and memory that is no RAM, are the caller's. A VM has one
 * saved state at a time, which goes with the VM.
 *
 * Not to be called inside vm_run().
 *
 * @return 0; -1 with nothing changed if the VM has not run, guestmem_save() refuses, or memory is
 *         exhausted. @see hosted_vm_free_saved
 */
int hosted_vm_save(vm_t *vm);

/**
 * Make a VM what it was when it was saved; the next vm_run() goes on from there. As often as one
 * likes.
 *
 * @return 0; -1 if nothing is saved, or as guestmem_restore() does: the VCPU is as before then
 */
int hosted_vm_restore(vm_t *vm);

/** Free what hosted_vm_save() has kept, if anything. */
void hosted_vm_free_saved(vm_t *vm);

/** Take bytes that are written. @return 0; anything else ends the writing */
typedef int (*hosted_vm_write_fn)(void *cookie, const void *bytes, size_t size);

/** Give the bytes that come next. @return 0; anything else: there are not that many */
typedef int (*hosted_vm_read_fn)(void *cookie, void *bytes, size_t size);

/**
 * Write the state of a VM that has run, for hosted_vm_read_saved(): what hosted_vm_save() saves,
 * and the content of all its memory that is cached. Pages of zeroes are not written. The VM stays
 * as it is, saved or not.
 *
 * Not to be called inside vm_run().
 *
 * @param write   called again and again; not NULL
 * @param cookie  passed on to it; stays the caller's
 * @return 0; -1 if `write` did not return 0; or, with a line in the log, if the VM has not run,
 *         memory is exhausted or cannot be read
 */
int hosted_vm_write_saved(vm_t *vm, hosted_vm_write_fn write, void *cookie);

/**
 * Make a VM what another one was, perhaps of another process: the next vm_run() goes on from there.
 * The VM must be made as that one was, with its memory, its interrupt controller, and a VCPU that
 * was started, and its memory be zeroed. It must not have run. What is read is checked: it may be
 * of anybody, and can do no more than a guest can. It is only known at its end whether all of it
 * was sound, so a VM for which this fails is good for vm_destroy() alone.
 *
 * @param read        called again and again; not NULL
 * @param cookie      passed on to it; stays the caller's
 * @param error       receives one line on failure; "" if it was `read` that failed
 * @param error_size  bytes of it
 * @return 0 or -1
 */
int hosted_vm_read_saved(vm_t *vm, hosted_vm_read_fn read, void *cookie, char *error,
                         size_t error_size);

/**
 * Let vm_run() return 0 soon, with HOSTED_VM_STOPPED. May be called from any thread, and inside
 * callbacks. After a request made while the VM does not run, the next vm_run() returns at once.
 */
void hosted_vm_request_stop(vm_t *vm);

/**
 * Called on the thread of vm_run(), while the guest stands still.
 *
 * @return 0 to go on; anything else is a stop request
 */
typedef int (*hosted_vm_poll_fn)(vm_t *vm, void *cookie);

/**
 * Let `poll` be called about every `milliseconds` of the VM's clock while the guest runs, for input
 * and timers. @see hosted_vm_time
 *
 * @param poll    replaces the one before; NULL: none
 * @param cookie  passed on to it; stays the caller's
 * @return 0; -1 if the VM is not initialised, or `milliseconds` is 0 with a poll function
 */
int hosted_vm_set_poll(vm_t *vm, hosted_vm_poll_fn poll, void *cookie, unsigned milliseconds);

#ifdef __cplusplus
}
#endif
