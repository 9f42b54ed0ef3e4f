/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See programs.h. Results are in registers from x10 on. */

#include "programs.h"

    .arch armv8-a
    .text
table:
    .quad rewrite_own - table, rewrite_next - table, mmu - table, call - table, user - table
    .quad walk_virtual - table, vectors - table, exclusive - table, zero_block - table
    .quad writes - table

    .macro switch_off
    movz w0, #0x8400, lsl #16
    movk w0, #8
    hvc #0
    b .
    .endm

/* Make what was stored at \address visible to instruction fetches. */
    .macro synchronise address
    dc cvau, \address
    dsb ish
    ic ivau, \address
    dsb ish
    isb
    .endm

rewrite_own: /* overwrite an instruction that comes next, in the same block */
    mov x10, #0
    mov x5, #100
1:  adr x2, 2f
    ldr w3, new_add
    str w3, [x2]
    synchronise x2
2:  add x10, x10, #1
    subs x5, x5, #1
    b.ne 1b
    switch_off
new_add:
    add x10, x10, #16

rewrite_next: /* x11 grows by 1, 2, .. 16 in turns: the function's immediate changes */
    mov x11, #0
    mov x5, #1
1:  adr x2, victim
    ldr w3, add_nothing
    add w3, w3, w5, lsl #10
    str w3, [x2]
    synchronise x2
    bl victim
    add x5, x5, #1
    cmp x5, #17
    b.ne 1b
    switch_off
add_nothing:
    add x11, x11, #0
    .balign 4096
victim:
    add x11, x11, #0
    ret

mmu:
    bl start_mmu
    ldr x10, [x2]
    switch_off

start_mmu:
    msr ttbr0_el1, x0
    msr ttbr1_el1, x0
    mov x4, #0xff
    msr mair_el1, x4
    msr tcr_el1, x1
    isb
    mrs x4, sctlr_el1
    orr x4, x4, #1
    msr sctlr_el1, x4
    isb
    ret

call:
    mov x5, x0
    mov x6, x1
    mov x7, x2
    hvc #0
    mov x10, x0
    mov x0, x5
    mov x1, x6
    mov x2, x7
    smc #0
    mov x11, x0
    mov x0, x5
    mov x1, x6
    mov x2, x7
    hvc #0xffff
    smc #0xabcd
    switch_off

user:
    msr elr_el1, x0
    msr spsr_el1, x1
    eret

walk_virtual:
    bl start_mmu
    mov x10, #0
1:  ldr x4, [x2]
    add x2, x2, #4096
    add x10, x10, #1
    subs x3, x3, #1
    b.ne 1b
    switch_off

vectors: /* at an address that cannot be fetched from */
    msr vbar_el1, x0
    isb
    svc #0
    switch_off

exclusive:
    mov x10, #0
1:  ldaxr x2, [x0]
    add x2, x2, #1
    stlxr w3, x2, [x0]
    cbnz w3, 1b
    add x10, x10, #1
    cmp x10, x1
    b.ne 1b
    switch_off

zero_block:
    dc zva, x0
    add x0, x0, #64
    subs x1, x1, #1
    b.ne zero_block
    switch_off

writes: /* an exclusive store first; the device's VMM may take the right to write again */
    mov x10, #0
1:  add x4, x0, #256
2:  ldaxr x5, [x4]
    add x5, x5, #1
    stlxr w3, x5, [x4]
    cbnz w3, 2b
    str x10, [x2]
    stp x10, x5, [x0]
    strb w10, [x0, #4095]
    str x10, [x2]
    add x4, x0, #128
    dc zva, x4
    str x10, [x2]
    str x10, [x0, #512]
    add x0, x0, #4096
    add x10, x10, #1
    cmp x10, x1
    b.ne 1b
    switch_off
