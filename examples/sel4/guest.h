/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Running the guest of guest_code.S, and looking at what it left. */

#include "root_task.h"
#include "six_functions.h"

/**
 * Make a VM's only VCPU. libsel4vm numbers the VCPUs of all VMs of a task together, and only the
 * first can run.
 *
 * @return NULL if that fails
 */
vm_vcpu_t *guest_vcpu_make(vm_t *vm);

/**
 * Run the guest on memory of guest_memory_make() until it stores to END_PAGE.
 *
 * @return how many things were not as they must be; each has been printed
 */
int guest_run(root_task_t *task, vm_t *vm, vm_vcpu_t *vcpu, guest_memory_t *memory);
