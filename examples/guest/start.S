/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The guest's first instructions. The VM starts at EL1 with the MMU off and x0 = the device tree's
 * address; C wants a stack and zeroed variables. Nothing here depends on where the image is loaded.
 */
    .section .text.start, "ax"
    .global _start
    .cfi_sections .debug_frame
_start:
    .cfi_startproc
    .cfi_undefined x30 /* nobody called this: a debugger's backtrace ends here */
    adr     x1, stack_top
    mov     sp, x1
    adr     x1, bss_start
    adr     x2, bss_end
1:  cmp     x1, x2
    b.hs    2f
    str     xzr, [x1], #8
    b       1b
2:  bl      guest_main
    /* PSCI SYSTEM_OFF (0x84000008), through the call that the device tree names. */
    movz    w0, #0x8400, lsl #16
    movk    w0, #0x0008
    smc     #0
3:  wfi
    b       3b
    .cfi_endproc
