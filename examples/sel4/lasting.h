/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Memory that comes and goes for long, and a call that the allocator cannot serve. */

#include <sel4vm/guest_vm.h>

/** Reserve, map and free 16 MiB 1,000 times. @return how many steps failed */
int lasting_repeat(vm_t *vm);

/**
 * Ask for more RAM than there is, and see that nothing is left of it.
 *
 * @return how many things were not as they must be; each has been printed
 */
int lasting_exhaust(vm_t *vm);
