/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What memory costs: kernel invocations of the library by kind, and time. */

#include <sel4vm/guest_vm.h>

/**
 * Print a table of registering and touching RAM, and of reserving and freeing, on a VM without
 * reservations.
 *
 * @return how many steps failed
 */
int costs_print(vm_t *vm);

/** Add a row: what a guest's store to an emulated page takes until the next, in ticks of the
 * counter for so many. */
void costs_print_stores(uint64_t ticks, size_t stores);
