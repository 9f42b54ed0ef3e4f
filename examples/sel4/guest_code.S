/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the guest runs, with its MMU off: it looks at each kind of memory and leaves what it found in
 * the mailbox. Position independent; copied to the start of the guest's RAM.
 */

#include "layout.h"

.macro address register, value
    movz    \register, #((\value) & 0xffff)
    movk    \register, #(((\value) >> 16) & 0xffff), lsl #16
.endm

.section .rodata.guest_code, "a"
.balign 8
.global guest_code
guest_code:
    address x10, MAILBOX

    /* What the VMM wrote to the read-only page; a store there does not arrive. */
    address x1, READ_ONLY_PAGE
    str     w1, [x1]
    ldr     w2, [x1]
    str     x2, [x10, #(8 * FOUND_READ_ONLY)]

    /* What the VMM's callback returns. */
    address x1, EMULATED_PAGE
    ldr     w2, [x1]
    str     x2, [x10, #(8 * FOUND_EMULATED)]

    /* Registers of two of the board's own devices. */
    address x1, DEVICE_PAGE
    ldr     w2, [x1, #0xfe0]
    str     x2, [x10, #(8 * FOUND_DEVICE)]
    address x1, PASSED_DEVICE
    ldr     w2, [x1, #0xfe0]
    str     x2, [x10, #(8 * FOUND_PASSED)]

    /* All other memory: what is stored into one block is still there after stores into the rest. */
    address x1, CHOSEN_BASE
    address x2, FREE_BASE
    address x3, ANY_BASE
    str     x1, [x1]
    str     x2, [x2]
    str     x3, [x3]
    ldr     x4, [x1]
    str     x4, [x10, #(8 * FOUND_CHOSEN)]

    /* RAM holds what was stored, at its other end as well; and it came zeroed. */
    address x1, (RAM_BASE + RAM_SIZE - 16)
    ldr     x2, [x1]
    str     x1, [x1]
    ldr     x3, [x1]
    add     x2, x2, x3
    str     x2, [x10, #(8 * FOUND_RAM)]

    /* A word for the VMM to read through its own pointer. */
    address x1, SHARED_PAGE
    address x2, PAGE_VALUE
    str     w2, [x1]

    address x1, EMULATED_PAGE
    mov     x2, #STORES
1:  str     w2, [x1]
    subs    x2, x2, #1
    b.ne    1b

    address x1, END_PAGE
    str     w2, [x1]
2:  b       2b
.global guest_code_end
guest_code_end:
