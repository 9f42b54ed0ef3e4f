/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A guest that prompts, sleeps, and echoes its serial port's input, one byte for each interrupt that
 * it takes. At q it powers off. Runs at any address that is a multiple of 2 KiB.
 */
    .equ DISTRIBUTOR, 0x08000000
    .equ CPU_INTERFACE, 0x08010000
    .equ SERIAL, 0x09000000
    .equ SERIAL_INTERRUPT, 33

    .text
    .global _start
_start:
    adr     x0, vectors
    msr     vbar_el1, x0
    ldr     x10, =DISTRIBUTOR
    ldr     x11, =CPU_INTERFACE
    ldr     x12, =SERIAL
    mov     w0, #0xff
    str     w0, [x11, #0x04]        /* priorities: all */
    mov     w0, #1
    str     w0, [x11]
    str     w0, [x10]
    mov     w0, #1 << (SERIAL_INTERRUPT % 32)
    str     w0, [x10, #0x104]
    mov     w0, #0x70               /* data ready bits, one stop bit, FIFOs */
    str     w0, [x12, #0x2c]
    mov     w0, #0x50               /* receive, and receive timeout */
    str     w0, [x12, #0x38]
    mov     w0, #'>'
    str     w0, [x12]
    msr     daifclr, #2
sleep:
    wfi
    b       sleep

    .balign 0x800
vectors:
    .space  0x280
    ldr     w0, [x11, #0x0c]        /* interrupts of this level: which? */
    ldr     w1, [x12]               /* one byte */
    str     w1, [x12]
    cmp     w1, #'q'
    b.eq    off
    cmp     w1, #'\n'
    b.ne    1f
    mov     w1, #'>'
    str     w1, [x12]
1:  str     w0, [x11, #0x10]        /* end */
    eret
off:
    movz    w0, #0x8400, lsl #16
    movk    w0, #0x0008
    hvc     #0
    .ltorg
    .balign 0x800
