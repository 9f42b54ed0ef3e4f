/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The access that a VCPU is stopped at, for fault callbacks.
 *
 * Data travels in *byte lanes* of an aligned 32-bit word, as devices of that width see it: data of
 * an access of 1, 2 or 4 bytes stands at bit `(address & 3) * 8`, and the mask says which bits
 * those are. Only get_vcpu_fault_data() of a write differs: it is the register's value, unshifted;
 * emulate_vcpu_fault() puts it into the lanes. An access of 8 bytes has all bits, unshifted.
 *
 * A callback that returns FAULT_HANDLED has called advance_vcpu_fault() or restart_vcpu_fault().
 */

#include <stdbool.h>
#include <stddef.h>
#include <sel4/sel4.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Guest-physical address of the access. */
seL4_Word get_vcpu_fault_address(vm_vcpu_t *vcpu);

/** Address of the instruction that made the access, as the guest sees it. */
seL4_Word get_vcpu_fault_ip(vm_vcpu_t *vcpu);

/**
 * The data of the access: for a write all of the source register, whatever the access's width, and
 * not shifted into its lanes; for a read what set_vcpu_fault_data() has set, else 0.
 */
seL4_Word get_vcpu_fault_data(vm_vcpu_t *vcpu);

/** The bits of the word around the address that the access covers; 0 if its width is not known. */
seL4_Word get_vcpu_fault_data_mask(vm_vcpu_t *vcpu);

/** Width of the access in bytes: 1, 2, 4 or 8; 0 if it is not known. */
size_t get_vcpu_fault_size(vm_vcpu_t *vcpu);

/** Whether the guest reads. */
bool is_vcpu_read_fault(vm_vcpu_t *vcpu);

/**
 * Say what a read finds.
 *
 * @param data  the data in its lanes: shifted left by `(address & 3) * 8`, but for 8 bytes
 * @return 0; -1 if the VCPU is not stopped at a data access
 */
int set_vcpu_fault_data(vm_vcpu_t *vcpu, seL4_Word data);

/**
 * Merge the access with a word.
 *
 * @param data  for a write, what the device's word around the address holds; for a read, what the
 *              destination register holds
 * @return for a write, the word after it; for a read, the register after it, the data shifted down
 *         from its lanes
 */
seL4_Word emulate_vcpu_fault(vm_vcpu_t *vcpu, seL4_Word data);

/**
 * Complete the instruction: a read's destination register receives the data, extended as the
 * instruction says, and the VCPU goes on after it. For a trapped instruction without data only the
 * program counter moves on. (After HVC it stands after the instruction already, as the
 * architecture has it; complete that with restart_vcpu_fault().)
 *
 * An access whose syndrome is not valid (pairs, vectors, exclusives, write-back, unaligned) cannot
 * be completed: the VM stops with a report.
 */
void advance_vcpu_fault(vm_vcpu_t *vcpu);

/** Let the VCPU run the instruction again. */
void restart_vcpu_fault(vm_vcpu_t *vcpu);

#ifdef __cplusplus
}
#endif
