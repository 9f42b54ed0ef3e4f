/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Where guest memory lies in physical memory. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm vm_t;

/**
 * The physical address of guest memory, for devices that do not go through stage 2.
 *
 * @param ipa_base  guest-physical address
 * @param size      bytes
 * @return 0 if part of the range has no frame, or it is not contiguous in physical memory
 */
uintptr_t vm_arm_ipa_to_pa(vm_t *vm, uintptr_t ipa_base, size_t size);

#ifdef __cplusplus
}
#endif
