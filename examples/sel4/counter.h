/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The processor's counter, where the kernel lets user code read it (KernelArmExportVCNTUser).
 */

#include <stdint.h>

/** Ticks since some time; always 0 where the counter cannot be read. */
uint64_t counter_now(void);

/** Ticks as nanoseconds. Under QEMU's `-icount shift=0` a nanosecond is an instruction. */
uint64_t counter_nanoseconds(uint64_t ticks);
