/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The sizes of AArch64 are as gm_arch_ok of src/arch/arch.h says, which contracts require. */

#include "arch/arm/arch.c"

/*@ assigns \nothing;
    ensures gm_arch_ok;
 */
static void sizes_are_ok(void)
{
}
