/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#ifndef PROGRAMS_H
#define PROGRAMS_H

/**
 * @file
 * The guests of test_programs.c, for the C side and for programs.S: position-independent code that
 * begins with a table of offsets of its entries.
 */

#define PROGRAM_REWRITE_OWN  0 /* instructions of the block that runs */
#define PROGRAM_REWRITE_NEXT 1 /* a function, called before and behind */
#define PROGRAM_MMU          2 /* switch on with x0 as both tables, x1 as TCR; load from x2 */
#define PROGRAM_CALL         3 /* hvc and smc, by x0 to x3 */
#define PROGRAM_USER         4 /* go to EL0 at x0 with x1 as processor state */
#define PROGRAM_WALK_VIRTUAL 5 /* switch on as above, then load from x3 pages from x2 */
#define PROGRAM_VECTORS      6 /* exception vectors that fault themselves, and an svc */
#define PROGRAM_EXCLUSIVE    7 /* take a lock at x0 in RAM by exclusives, x1 times */
#define PROGRAM_ZERO_BLOCK   8 /* DC ZVA from x0, x1 times */
#define PROGRAM_WRITES       9 /* write x1 pages from x0 in many ways, and a device at x2 */
#define PROGRAM_COUNT        10

#endif
