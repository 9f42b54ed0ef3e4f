/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the guest runs, with its MMU off: it looks at each kind of memory and leaves what it found in
 * the mailbox. Position independent; copied to the start of the guest's RAM. The instructions are
 * those that AArch64 and AArch32 share, but for the registers' names: X is a whole register, W its
 * 32 bits.
 */

#include "layout.h"

#ifdef __aarch64__
#define X(number) x##number
#define W(number) w##number
.macro address register, value
    movz    \register, #((\value) & 0xffff)
    movk    \register, #(((\value) >> 16) & 0xffff), lsl #16
.endm
#else
.arm
#define X(number) r##number
#define W(number) r##number
.macro address register, value
    movw    \register, #((\value) & 0xffff)
    movt    \register, #(((\value) >> 16) & 0xffff)
.endm
#endif

.section .rodata.guest_code, "a"
.balign 8
.global guest_code
guest_code:
    address X(10), MAILBOX

    /* What the VMM wrote to the read-only page; a store there does not arrive. */
    address X(1), READ_ONLY_PAGE
    str     W(1), [X(1)]
    ldr     W(2), [X(1)]
    str     X(2), [X(10), #(8 * FOUND_READ_ONLY)]

    /* What the VMM's callback returns. */
    address X(1), EMULATED_PAGE
    ldr     W(2), [X(1)]
    str     X(2), [X(10), #(8 * FOUND_EMULATED)]

    /* Registers of two of the board's own devices. */
    address X(1), DEVICE_PAGE
    ldr     W(2), [X(1), #0xfe0]
    str     X(2), [X(10), #(8 * FOUND_DEVICE)]
    address X(1), PASSED_DEVICE
    ldr     W(2), [X(1), #0xfe0]
    str     X(2), [X(10), #(8 * FOUND_PASSED)]

    /* All other memory: what is stored into one block is still there after stores into the rest. */
    address X(1), CHOSEN_BASE
    address X(2), FREE_BASE
    address X(3), ANY_BASE
    str     X(1), [X(1)]
    str     X(2), [X(2)]
    str     X(3), [X(3)]
    ldr     X(4), [X(1)]
    str     X(4), [X(10), #(8 * FOUND_CHOSEN)]

    /* RAM holds what was stored, at its other end as well; and it came zeroed. */
    address X(1), (RAM_BASE + RAM_SIZE - 16)
    ldr     X(2), [X(1)]
    str     X(1), [X(1)]
    ldr     X(3), [X(1)]
    add     X(2), X(2), X(3)
    str     X(2), [X(10), #(8 * FOUND_RAM)]

    /* A word for the VMM to read through its own pointer. */
    address X(1), SHARED_PAGE
    address X(2), PAGE_VALUE
    str     W(2), [X(1)]

    address X(1), EMULATED_PAGE
    mov     X(2), #STORES
1:  str     W(2), [X(1)]
    subs    X(2), X(2), #1
    bne     1b

    address X(1), END_PAGE
    str     W(2), [X(1)]
2:  b       2b
.global guest_code_end
guest_code_end:
