/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The guests: each a few instructions that end with the `hvc` at `finish`, their results in
 * registers from x10 on. x0 and x1 are set by the test; x0 is the address that most of them access.
 */

#include "guests.h"

    .arch armv8-a
    .text
    .quad widths, loads, middle, write_data, unaligned, crossing, pair, exclusive
    .quad vector, branch, spin, touch, calls, mmu, undefined, off
    .quad reset, psci, wait, svc_, write_back, script, interrupts
    .quad modify, exceptions, timer, clear, reload, reload_many, reload_cleared, clocks, narrow
    .quad registers

    .macro constant register, value
    movz \register, #((\value) & 0xffff)
    movk \register, #((\value) >> 16 & 0xffff), lsl #16
    movk \register, #((\value) >> 32 & 0xffff), lsl #32
    movk \register, #((\value) >> 48 & 0xffff), lsl #48
    .endm

widths: /* store x1 in each width, then load it back */
    strb w1, [x0]
    strb w1, [x0, #1]
    strh w1, [x0, #2]
    str w1, [x0, #4]
    str x1, [x0, #8]
    ldrb w10, [x0]
    ldrb w11, [x0, #1]
    ldrh w12, [x0, #2]
    ldr w13, [x0, #4]
    ldr x14, [x0, #8]
    str xzr, [x0, #8]
    ldr xzr, [x0, #8]
    b finish

loads: /* extension: registers are all ones before */
    mov x10, #-1
    mov x11, #-1
    mov x12, #-1
    mov x13, #-1
    mov x14, #-1
    mov x15, #-1
    mov x16, #-1
    ldrb w10, [x0]
    ldrsb w11, [x0]
    ldrsb x12, [x0]
    ldrsh w13, [x0]
    ldrsh x14, [x0]
    ldr w15, [x0]
    ldrsw x16, [x0]
    b finish

middle: /* an access in the middle of a block, with changes on both sides of it */
    mov x10, #1
    add x10, x10, #1
    add x10, x10, #1
    str w1, [x0]
    add x10, x10, #0x10
    add x10, x10, #0x10
    ldr w11, [x0]
    add x10, x10, #0x100
    b finish

write_data: /* store x1, load it back */
    str x1, [x0]
    ldr x10, [x0]
    b finish

unaligned:
    ldr w10, [x0, #1]
    b finish

crossing: /* eight bytes across the end of the page at x0 */
    add x2, x0, #0xffc
    str x1, [x2]
    ldr x10, [x2]
    b finish

pair:
    stp x1, x0, [x0]
    ldp x10, x11, [x0]
    b finish

exclusive:
    ldxr w10, [x0]
    stxr w11, w1, [x0]
    b finish

vector:
    mov x2, #(3 << 20)
    msr cpacr_el1, x2
    isb
    fmov d0, x1
    str d0, [x0]
    ldr x10, [x0]
    b finish

branch: /* go where x0 points */
    br x0

spin:
    add x10, x10, #1
    b spin

touch: /* read a word of each of many pages that are not neighbours */
    constant x2, GUEST_TOUCH_BASE
    constant x3, GUEST_STEPS
    mov x10, #0
1:  ldr x4, [x2]
    add x10, x10, x4
    add x2, x2, #0x2000
    subs x3, x3, #1
    b.ne 1b
    b finish

calls:
    hvc #7
    smc #9
    wfi
    mov x10, #42
    b finish

mmu: /* map the image 1:1 and the device's gigabyte at GUEST_HIGH, and go there */
    constant x2, GUEST_TABLES
    constant x3, 0x40000701 /* block of 1 GiB, accessed, inner shareable */
    str x3, [x2, #8]
    constant x4, (GUEST_TABLES + 0x1000)
    constant x3, 0x00000701
    str x3, [x4]
    msr ttbr0_el1, x2
    msr ttbr1_el1, x4
    constant x3, 0xff
    msr mair_el1, x3
    constant x3, (25 | 25 << 16 | 2 << 30 | 2 << 32)
    msr tcr_el1, x3
    isb
    mrs x3, sctlr_el1
    orr x3, x3, #1
    msr sctlr_el1, x3
    isb
    constant x5, (GUEST_HIGH + GUEST_DEVICE)
    str w1, [x5, #0x24]
    ldr w10, [x5, #0x28]
    b finish

undefined:
    .inst 0x00000000
    b finish

finish: /* PSCI SYSTEM_OFF, with x10 and up kept */
off:
    constant x0, 0x84000008
    hvc #0
    b .

reset:
    constant x0, 0x84000009
    smc #0
    b .

/* Version, features of a known and of an unknown function, CPU_ON, an unknown function, and what
 * Linux asks besides: CPU_ON and AFFINITY_INFO, MIGRATE_INFO_TYPE, features of SMCCC_VERSION, and
 * SMCCC_ARCH_FEATURES. */
psci:
    constant x0, 0x84000000
    hvc #0
    mov x10, x0
    constant x0, 0x8400000a
    constant x1, 0xc4000003
    smc #0
    mov x11, x0
    constant x0, 0x8400000a
    constant x1, 0x8400001e
    hvc #0
    mov x12, x0
    constant x0, 0xc4000003
    mov x1, #1
    hvc #0
    mov x13, x0
    constant x0, 0xc2000001
    hvc #0
    mov x14, x0
    constant x0, 0xc4000003
    mov x1, #0
    smc #0
    mov x15, x0
    constant x0, 0xc4000004
    smc #0
    mov x16, x0
    constant x0, 0xc4000004
    mov x1, #0x100
    hvc #0
    mov x17, x0
    constant x0, 0x84000006
    hvc #0
    mov x18, x0
    constant x0, 0x8400000a
    constant x1, 0x80000000
    smc #0
    mov x19, x0
    constant x0, 0x80000001
    hvc #0
    mov x20, x0
    b off

wait:
    wfi
    b wait

svc_:
    svc #3
    b finish

/* Loads and stores that change their base register; the changes end up in x12 and x13. */
write_back:
    mov x2, x0
    mov w10, #0
    ldr w10, [x2], #4
    sub x12, x2, x0
    str w10, [x2, #8]!
    sub x13, x2, x0
    b finish

/* Do the accesses of the script_t at x0, up to the one without an address. */
script:
    ldp x1, x2, [x0]
    ldr x3, [x0, #16]
    cbz x1, finish
    tbnz x2, #0, 1f
    tbnz x2, #1, 2f
    str w3, [x1]
    b 4f
1:  ldr w3, [x1]
    b 3f
2:  tbnz x2, #2, 5f
    strb w3, [x1]
    b 4f
5:  ldrb w3, [x1]
3:  str x3, [x0, #16]
4:  add x0, x0, #24
    b script

/* Write a function at x0, call it, change its first instruction, call it, make it longer, call it. */
modify:
    constant x2, 0xd2800029 /* mov x9, #1 */
    constant x3, 0xd65f03c0 /* ret */
    str w2, [x0]
    str w3, [x0, #4]
    isb
    blr x0
    mov x10, x9
    constant x2, 0xd2800049 /* mov x9, #2 */
    str w2, [x0]
    isb
    blr x0
    mov x11, x9
    constant x2, 0xd2800069 /* mov x9, #3 */
    str w3, [x0, #8]
    str w2, [x0, #4]
    isb
    blr x0
    mov x12, x9
    b finish

interrupts: /* switch the CPU interface at x0 on, and wait in a loop for one to be taken */
    adr x2, vectors
    msr vbar_el1, x2
    mov w3, #0xf0
    str w3, [x0, #4]
    mov w3, #1
    str w3, [x0]
    mov x10, #0
    msr daifclr, #2
1:  cbz x10, 1b
    mrs x11, daif
    b finish

    .balign 0x800
vectors:
    .space 0x280
    ldr w10, [x0, #0xc]
    mrs x12, daif
    str w10, [x0, #0x10]
    eret

/* Raise exceptions, from each level and stack pointer, and go on after each. `note` keeps at x0 on,
 * for each: vector, ESR, FAR, ELR, SPSR, SP. */
exceptions:
    mov x28, x0
    adr x2, noting
    msr vbar_el1, x2
    constant x2, GUEST_EL1_STACK
    mov sp, x2
    svc #5
    brk #7
    .inst 0
    msr spsel, #0
    constant x2, GUEST_EL0_STACK
    mov sp, x2
    svc #6
    msr spsel, #1
    /* GUEST_BASE 1:1 for EL1, and at GUEST_EL0_BASE for EL0; nothing else. */
    constant x2, (GUEST_DATA + 0x10000)
    constant x3, 0x40000701
    str x3, [x2, #8]
    constant x3, 0x40000741
    str x3, [x2, #16]
    msr ttbr0_el1, x2
    mov x3, #0xff
    msr mair_el1, x3
    constant x3, (25 | 1 << 23 | 2 << 32)
    msr tcr_el1, x3
    isb
    mrs x3, sctlr_el1
    orr x3, x3, #1
    orr x3, x3, #(1 << 14) /* EL0 may use DC ZVA */
    msr sctlr_el1, x3
    isb
    constant x2, 0x123008
    ldr x3, [x2]
    constant x2, 0xc0000010
    strb w3, [x2]
    constant x2, 0xc0001000
    blr x2
    constant x2, 0x200000000000
    ldr x3, [x2]
    /* Clear in a page that then is mapped no longer; and in one that EL0 then tries to clear. */
    constant x2, (GUEST_DATA + 0x10000)
    constant x3, 0x40000701
    str x3, [x2, #32]
    dsb ish
    constant x21, (0xc0000000 + GUEST_DATA + 0x8000)
    dc zva, x21
    add x21, x21, #64
    dc zva, x21
    str xzr, [x2, #32]
    dsb ish
    tlbi vmalle1
    dsb ish
    isb
    add x21, x21, #64
    dc zva, x21
    constant x20, (GUEST_DATA + 0x8000)
    dc zva, x20
    add x20, x20, #64
    dc zva, x20
    adr x2, 1f
    constant x3, (GUEST_EL0_BASE - GUEST_BASE)
    add x2, x2, x3
    msr elr_el1, x2
    mov x3, #0x3c0
    msr spsr_el1, x3
    eret
1:  add x20, x20, #64
    dc zva, x20
    svc #9
    brk #10
    .inst 0
    hvc #1
    smc #1
    mrs x3, sctlr_el1
    ldr x3, [x28] /* which only EL1 may */
    str x3, [x28]
    wfe
    yield
    mov x10, sp
    svc #0xff

note:
    str x27, [x28]
    mrs x26, esr_el1
    str x26, [x28, #8]
    mrs x26, far_el1
    str x26, [x28, #16]
    mrs x26, elr_el1
    str x26, [x28, #24]
    mrs x26, spsr_el1
    str x26, [x28, #32]
    mov x26, sp
    str x26, [x28, #40]
    add x28, x28, #48
    mrs x26, esr_el1
    constant x25, 0x560000ff
    cmp x26, x25
    b.eq finish
    lsr x26, x26, #26
    cmp x26, #0x15
    b.eq 2f
    mrs x25, elr_el1
    add x25, x25, #4
    bic x26, x26, #1
    cmp x26, #0x20 /* what could not be fetched was called */
    csel x25, x30, x25, eq
    msr elr_el1, x25
2:  eret

    .balign 0x800
noting:
    .set offset, 0
    .rept 16
    .balign 0x80
    mov x27, #offset
    b note
    .set offset, offset + 0x80
    .endr

/* Wait for the virtual timer, x0 ticks from now: asleep, or at EL0 if x1 is odd; its interrupt takes
 * x1 / 2 rounds of a loop, and branches to an address with a tag, which is not in the program counter
 * then (x17). Then x10: the time, x11: the interrupt's number, x12: CNTV_CTL, x13: CNTV_CVAL, x14: SPSR.
 * x15: CNTV_CTL of a masked timer that is due, and x16: not 0 if it has interrupted. */
timer:
    constant x20, 0x8000000
    constant x21, 0x8010000
    lsr x22, x1, #1
    and x1, x1, #1
    mov x2, #1 << 37 /* TCR_EL1.TBI0 */
    msr tcr_el1, x2
    isb
    adr x2, timer_vectors
    msr vbar_el1, x2
    mov w3, #1
    str w3, [x20]
    mov w3, #(1 << 27)
    str w3, [x20, #0x100]
    mov w3, #0xf0
    str w3, [x21, #4]
    mov w3, #1
    str w3, [x21]
    mov x10, #0
    msr cntv_tval_el0, xzr /* first a timer that has fired, and is masked */
    mov x3, #3
    msr cntv_ctl_el0, x3
    msr daifclr, #2
    isb
    mrs x15, cntv_ctl_el0
    msr daifset, #2
    mov x16, x10
    msr cntv_ctl_el0, xzr
    msr cntv_tval_el0, x0
    mrs x13, cntv_cval_el0
    mov x3, #1
    msr cntv_ctl_el0, x3
    cbnz x1, 2f
    msr daifclr, #2
1:  wfi
    cbz x10, 1b
    b finish
2:  adr x2, 3f
    msr elr_el1, x2
    mov x3, #0x340
    msr spsr_el1, x3
    eret
3:  cbz x10, 3b
    svc #1

timer_interrupt:
    mrs x10, cntvct_el0
    ldr w11, [x21, #0xc]
    adr x2, 3f
    movk x2, #0x5a00, lsl #48
    br x2
3:  adr x17, 3b
1:  cbz x22, 2f
    sub x22, x22, #1
    b 1b
2:  mrs x12, cntv_ctl_el0
    msr cntv_ctl_el0, xzr
    mrs x14, spsr_el1
    str w11, [x21, #0x10]
    eret

    .balign 0x800
timer_vectors:
    .space 0x280
    b timer_interrupt
    .space 0x400 - 0x284
    b finish
    .space 0x480 - 0x404
    b timer_interrupt

clear: /* clear the page at x0 but its first block, by any address within each */
    add x2, x0, #100
    add x3, x0, #0x1000
1:  dc zva, x2
    add x2, x2, #64
    cmp x2, x3
    b.lo 1b
    b finish

reload: /* call x0, let the VMM write other code there by a store at x1, call it again */
    blr x0
    mov x10, x9
    str w0, [x1]
    ic ivau, x0
    dsb ish
    isb
    blr x0
    mov x11, x9
    b finish

reload_many: /* as reload, with a function in each of GUEST_PAGES pages from x0 on, whose lines are
              * invalidated without a branch between. x10 and x11: the sums of what they return */
    mov x12, x0
    mov x13, #GUEST_PAGES
    mov x10, #0
1:  blr x12
    add x10, x10, x9
    add x12, x12, #0x1000
    subs x13, x13, #1
    b.ne 1b
    str w0, [x1]
    mov x12, x0
    .rept GUEST_PAGES
    ic ivau, x12
    add x12, x12, #0x1000
    .endr
    dsb ish
    isb
    mov x12, x0
    mov x13, #GUEST_PAGES
    mov x11, #0
2:  blr x12
    add x11, x11, x9
    add x12, x12, #0x1000
    subs x13, x13, #1
    b.ne 2b
    b finish

reload_cleared: /* call the end of the page at x0, clear the page, call it again: undefined */
    mov x12, x0
    add x13, x0, #0xfc0
    ic ivau, x12
    dsb ish
    isb
    blr x13
    mov x10, x9
    mov x14, #64
1:  dc zva, x12
    add x12, x12, #64
    subs x14, x14, #1
    b.ne 1b
    ic ivau, x0
    dsb ish
    isb
    mov x9, #0
    blr x13
    mov x11, #1
    b finish

clocks: /* set the physical timer, x0 ticks from now, and at EL0 the virtual one, with x1 as
         * CNTKCTL. x10, x11: CNTP_CVAL, CNTP_TVAL; x12: the time; x13, x14: CNTV_CVAL and the time,
         * if EL0 may; x15: the syndrome that ended it */
    msr cntkctl_el1, x1
    msr cntp_tval_el0, x0
    mrs x10, cntp_cval_el0
    mrs x11, cntp_tval_el0
    mrs x12, cntpct_el0
    mov x13, #0
    adr x2, clocks_vectors
    msr vbar_el1, x2
    adr x2, 1f
    msr elr_el1, x2
    mov x3, #0x3c0
    msr spsr_el1, x3
    eret
1:  msr cntv_tval_el0, x0
    mrs x13, cntv_cval_el0
    mrs x14, cntvct_el0
    svc #1

    .balign 0x800
clocks_vectors:
    .space 0x400
    mrs x15, esr_el1
    b finish

narrow: /* to AArch32 at x0, after an instruction's time in which it could think better of it */
    adr x2, narrow_vectors
    msr vbar_el1, x2
    mov x10, #1
    mov x3, #0x1d0
    msr spsr_el1, x3
    svc #1
    msr elr_el1, x0
    msr spsr_el1, x3
    b 1f
1:  eret

    .balign 0x800
narrow_vectors:
    .space 0x200
    add x10, x10, #1
    eret

    /* Each register that holds any value and does nothing with it here. */
    .macro each_register do
    .irp reg, dbgbvr0_el1, dbgbvr1_el1, dbgbvr2_el1, dbgbvr3_el1, dbgbvr4_el1, dbgbvr5_el1, \
        dbgbcr0_el1, dbgbcr1_el1, dbgbcr2_el1, dbgbcr3_el1, dbgbcr4_el1, dbgbcr5_el1, dbgwvr0_el1, \
        dbgwvr1_el1, dbgwvr2_el1, dbgwvr3_el1, dbgwcr0_el1, dbgwcr1_el1, dbgwcr2_el1, dbgwcr3_el1, \
        csselr_el1, pmselr_el0, pmuserenr_el0, pmevcntr0_el0, pmevcntr1_el0, pmevcntr2_el0, \
        pmevcntr3_el0, pmevtyper0_el0, pmevtyper1_el0, pmevtyper2_el0, pmevtyper3_el0, \
        pmccfiltr_el0, pmcntenset_el0, pmintenset_el1, pmovsset_el0, tpidr_el0, tpidrro_el0, \
        tpidr_el1, contextidr_el1, ttbr0_el1, ttbr1_el1, tcr_el1, mair_el1, par_el1, esr_el1, \
        far_el1, vbar_el1, elr_el1, cntkctl_el1, sp_el0
    \do \reg
    .endr
    .endm

    .macro set reg
    add x2, x2, x4
    msr \reg, x2
    .endm

    .macro keep reg
    mrs x2, \reg
    str x2, [x0], #8
    .endm

registers: /* give all registers a value, sleep, and write them to x0 and on; x1: the bytes */
    constant x2, 0x1122334455667788
    constant x4, 0x0101010101010102
    mov x3, #3 << 20
    msr cpacr_el1, x3
    isb
    msr oslar_el1, xzr
    each_register set
    mov x3, #0xe5 /* a breakpoint: it is never enabled */
    msr dbgbcr0_el1, x3
    mov x3, #1 << 12
    msr mdscr_el1, x3
    mov x3, #0x28
    msr pmcr_el0, x3
    mov x3, #0x3c5
    msr spsr_el1, x3
    constant x3, 0x123456
    msr cntp_tval_el0, x3
    mov x3, #3 << 22
    msr fpcr, x3
    mov x3, #0x1f
    msr fpsr, x3
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, \
        25, 26, 27, 28, 29, 30, 31
    add x2, x2, x4
    ins v\n\().d[0], x2
    add x2, x2, x4
    ins v\n\().d[1], x2
    .endr
    .irp n, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, \
        29, 30
    add x2, x2, x4
    mov x\n, x2
    .endr
    mov sp, x5
    mov x3, #0xa0000000
    msr nzcv, x3
    wfi
    mov x1, x0
    keep nzcv
    each_register keep
    .irp reg, oslsr_el1, mdscr_el1, pmcr_el0, spsr_el1, cntp_cval_el0, fpcr, fpsr, daif, cpacr_el1, \
        currentel
    keep \reg
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, \
        25, 26, 27, 28, 29, 30, 31
    str q\n, [x0], #16
    .endr
    .irp n, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, \
        29, 30
    str x\n, [x0], #8
    .endr
    mov x2, sp
    str x2, [x0], #8
    sub x1, x0, x1
    b finish
