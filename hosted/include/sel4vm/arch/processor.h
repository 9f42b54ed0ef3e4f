/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Fields of the exception syndrome that a trap comes with (Arm architecture reference manual,
 * ESR_EL2): class in bits 26 to 31, instruction length in bit 25, specifics below.
 */

#define HSR_MAX_EXCEPTION (0x3f)

#define HSR_EXCEPTION_CLASS_SHIFT (26)
#define HSR_EXCEPTION_CLASS_MASK  ((unsigned int)HSR_MAX_EXCEPTION << HSR_EXCEPTION_CLASS_SHIFT)
#define HSR_EXCEPTION_CLASS(hsr)  (((hsr)&HSR_EXCEPTION_CLASS_MASK) >> HSR_EXCEPTION_CLASS_SHIFT)

#define HSR_IL_SHIFT (25)
#define HSR_IL_MASK  (1 << HSR_IL_SHIFT)
#define HSR_IL(hsr)  (((hsr)&HSR_IL_MASK) >> HSR_IL_SHIFT)

#define HSR_ISS_MASK (HSR_IL_MASK - 1)
