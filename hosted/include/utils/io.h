/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Plain accesses to device registers. */

#define RAW_READ8(a)      (*(volatile uint8_t *)(a))
#define RAW_READ16(a)     (*(volatile uint16_t *)(a))
#define RAW_READ32(a)     (*(volatile uint32_t *)(a))
#define RAW_WRITE8(v, a)  (*(volatile uint8_t *)(a) = (v))
#define RAW_WRITE16(v, a) (*(volatile uint16_t *)(a) = (v))
#define RAW_WRITE32(v, a) (*(volatile uint32_t *)(a) = (v))
