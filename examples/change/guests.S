/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The guests of these examples, a few instructions each, and which one is built. x0 is the device of
 * the example, by which a guest talks to its VMM.
 */

    .macro power_off
    mov w0, #0x0008 /* PSCI SYSTEM_OFF */
    movk w0, #0x8400, lsl #16
    hvc #0
    .endm

    .text
#if defined(BALLOON)
    /* Give back 32 MiB, 2 MiB at a time; then read the first word of each. */
    mov x1, #0x42000000
    mov x2, #0x44000000
1:  str x1, [x0]
    add x1, x1, #0x200000
    cmp x1, x2
    b.lo 1b
    str xzr, [x0, #8]
    mov x1, #0x42000000
2:  ldr x3, [x1]
    add x1, x1, #0x200000
    cmp x1, x2
    b.lo 2b
    str xzr, [x0, #8]
    power_off
#elif defined(PRODUCER)
    /* Put the numbers from 1 to 10 into the ring, which begins with how many there are. */
    mov x1, #0x50000000
    mov x2, #0
1:  add x2, x2, #1
    str x2, [x1, x2, lsl #3]
    dmb ish
    str x2, [x1]
    cmp x2, #10
    b.lo 1b
    power_off
#elif defined(CONSUMER)
    /* Add them up, and try to change one. */
    mov x1, #0x60000000
    ldr x2, [x1]
    mov x3, #0
1:  ldr x4, [x1, x2, lsl #3]
    add x3, x3, x4
    subs x2, x2, #1
    b.ne 1b
    str x3, [x0]
    str xzr, [x1]
    power_off
#elif defined(RESTART)
    /* "Boot", which is to fill 4 MiB; say that it is done; and then spoil some of it. */
    mov x1, #0x40400000
    mov x2, #0x40800000
1:  str x1, [x1], #8
    cmp x1, x2
    b.lo 1b
    str xzr, [x0]
    mov x1, #0x40400000
    ldr x3, [x1]
    str x3, [x0, #8]
    mov x4, #100
2:  str xzr, [x1]
    add x1, x1, #0x1000
    subs x4, x4, #1
    b.ne 2b
    power_off
#endif
