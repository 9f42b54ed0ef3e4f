/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#ifndef GUESTS_H
#define GUESTS_H

/**
 * @file
 * The guests of these tests, for the C side and for guests.S: a flat image that begins with a table
 * of entry addresses, and where things lie in its world.
 */

#define GUEST_BASE       0x40000000 /* image and RAM */
#define GUEST_DEVICE     0x09000000 /* nothing is mapped here */
#define GUEST_DATA       0x40100000 /* a page of RAM that guests read and write */
#define GUEST_TABLES     0x40200000 /* room for page tables */
#define GUEST_STEPS      5000       /* pages that GUEST_TOUCH reads */
#define GUEST_TOUCH_BASE 0x100000000
#define GUEST_HIGH       0xffffff8000000000 /* where GUEST_MMU maps the device */

#define GUEST_WIDTHS     0
#define GUEST_LOADS      1
#define GUEST_MIDDLE     2
#define GUEST_WRITE_DATA 3
#define GUEST_UNALIGNED  4
#define GUEST_CROSSING   5
#define GUEST_PAIR       6
#define GUEST_EXCLUSIVE  7
#define GUEST_VECTOR     8
#define GUEST_BRANCH     9
#define GUEST_SPIN       10
#define GUEST_TOUCH      11
#define GUEST_CALLS      12
#define GUEST_MMU        13
#define GUEST_UNDEFINED  14
#define GUEST_OFF        15
#define GUEST_RESET      16
#define GUEST_PSCI       17
#define GUEST_WAIT       18
#define GUEST_SVC        19
#define GUEST_WRITE_BACK 20
#define GUEST_SCRIPT     21
#define GUEST_INTERRUPTS 22
#define GUEST_MODIFY     23
#define GUEST_EXCEPTIONS 24
#define GUEST_TIMER      25
#define GUEST_CLEAR      26
#define GUEST_RELOAD     27
#define GUEST_MANY       28
#define GUEST_CLEARED    29
#define GUEST_CLOCKS     30
#define GUEST_NARROW     31
#define GUEST_REGISTERS  32

#define GUEST_PAGES 24 /* of code, of GUEST_MANY */

/* GUEST_EXCEPTIONS: its stack pointers, and where EL0 sees what is at GUEST_BASE. */
#define GUEST_EL1_STACK 0x11110
#define GUEST_EL0_STACK 0x22220
#define GUEST_EL0_BASE  0x80000000

#endif
