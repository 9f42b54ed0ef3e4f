/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What the run loop has to do with a debugger. All of it is nothing where the VM has none.
 */

#include <stdbool.h>
#include "runtime.h"

/**
 * Before the guest goes on: stop it for the debugger if there is a reason to, and return when it
 * may go on, or somebody wants the run to stop.
 *
 * @param ticked  some time has passed: look at what the debugger has sent
 * @return false if the debugger ends the run
 */
bool gdb_attend(vm_vcpu_t *vcpu, bool ticked);

/** The run is over, as the VM's report has it. */
void gdb_run_ended(vm_vcpu_t *vcpu);

void gdb_destroy(hosted_vm_t *runtime);
