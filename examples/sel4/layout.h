/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The guest's physical addresses, for the VMM and for the guest's own code. */

#define RAM_BASE       0x80000000 /* 64 MiB of free memory; the code is at its start */
#define RAM_SIZE       0x04000000
#define MAILBOX        0x80100000 /* in RAM: what the guest found */
#define FREE_BASE      0x90000000 /* free frames */
#define ANY_BASE       0x90200000 /* frames of any memory */
#define CHOSEN_BASE    0x90400000 /* frames at a physical address that the VMM chooses */
#define BLOCK_SIZE     0x00200000 /* of each of the three */
#define SHARED_PAGE    0x0c000000 /* an allocated frame, read and written by both */
#define READ_ONLY_PAGE 0x0c001000 /* an allocated frame that only the VMM writes */
#define DEVICE_PAGE    0x09010000 /* the board's PL031, by create_device_reservation_frame() */
#define PASSED_DEVICE  0x09030000 /* the board's PL061, by map_ut_alloc_reservation() */
#define EMULATED_PAGE  0x0b000000 /* loads return EMULATED_VALUE, stores are counted */
#define END_PAGE       0x0b001000 /* a store here stops the run */
#define FREE_MEMORY    0x90000000 /* memory of the board, far from where a task is loaded */
#define SCRATCH_MEMORY 0x48000000 /* memory of the board that the kernel has as a device's */
#define PAGE_BYTES     0x1000

#define EMULATED_VALUE 0x5e14
#define PAGE_VALUE     0x1234567
#define DEVICE_VALUE   0x31 /* offset 0xfe0 of a PL031: the lowest byte of its part number */
#define PASSED_VALUE   0x61 /* and of a PL061 */
#define STORES         1000 /* to the emulated page */

/* Words of 64 bits in the mailbox. */
#define FOUND_READ_ONLY 0
#define FOUND_EMULATED  1
#define FOUND_DEVICE    2
#define FOUND_PASSED    3
#define FOUND_CHOSEN    4
#define FOUND_RAM       5
#define FOUND_WORDS     6
