/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Instructions and what the decoder must make of them, as records of 32 bytes for test_decode.c:
 * the encoding, then kind, flags, rt, width, bytes, base, index, and the offset. The kinds are those
 * of a64_kind_t; NONE is what the decoder must refuse.
 */

#define SINGLE     0
#define WRITE_BACK 1
#define PAIR       2
#define VECTOR     3
#define EXCLUSIVE  4
#define ATOMIC     5
#define ZERO_BLOCK 6
#define NONE       7

#define LOAD   0
#define STORE  1
#define SIGNED 2
#define WIDE   4 /* the register is Xt */

#define NO_INDEX 0xff
#define PC       0xfe
#define SP       31

    .macro expect kind, flags, rt, width, bytes, base, index, offset, text:vararg
    \text
    .byte \kind, \flags, \rt, \width, \bytes, \base, \index, 0
    .word 0
    .quad \offset
    .quad 0
    .endm

    .arch armv8.1-a
    .text
    /* unsigned offset */
    expect SINGLE, LOAD, 1, 1, 1, 2, NO_INDEX, 5, ldrb w1, [x2, #5]
    expect SINGLE, STORE, 30, 1, 1, SP, NO_INDEX, 0, strb w30, [sp]
    expect SINGLE, LOAD, 1, 2, 2, 2, NO_INDEX, 6, ldrh w1, [x2, #6]
    expect SINGLE, STORE, 31, 2, 2, 2, NO_INDEX, 8190, strh wzr, [x2, #8190]
    expect SINGLE, LOAD, 1, 4, 4, 2, NO_INDEX, 16380, ldr w1, [x2, #16380]
    expect SINGLE, STORE, 1, 4, 4, 2, NO_INDEX, 0, str w1, [x2]
    expect SINGLE, LOAD + WIDE, 1, 8, 8, 2, NO_INDEX, 32760, ldr x1, [x2, #32760]
    expect SINGLE, STORE + WIDE, 31, 8, 8, 2, NO_INDEX, 8, str xzr, [x2, #8]
    /* sign extension */
    expect SINGLE, LOAD + SIGNED, 3, 1, 1, 4, NO_INDEX, 1, ldrsb w3, [x4, #1]
    expect SINGLE, LOAD + SIGNED + WIDE, 3, 1, 1, 4, NO_INDEX, 1, ldrsb x3, [x4, #1]
    expect SINGLE, LOAD + SIGNED, 3, 2, 2, 4, NO_INDEX, 2, ldrsh w3, [x4, #2]
    expect SINGLE, LOAD + SIGNED + WIDE, 3, 2, 2, 4, NO_INDEX, 2, ldrsh x3, [x4, #2]
    expect SINGLE, LOAD + SIGNED + WIDE, 3, 4, 4, 4, NO_INDEX, 4, ldrsw x3, [x4, #4]
    /* unscaled, unprivileged */
    expect SINGLE, LOAD, 1, 4, 4, 2, NO_INDEX, -3, ldur w1, [x2, #-3]
    expect SINGLE, STORE + WIDE, 1, 8, 8, 2, NO_INDEX, 255, stur x1, [x2, #255]
    expect SINGLE, LOAD, 1, 1, 1, 2, NO_INDEX, -256, ldtrb w1, [x2, #-256]
    /* register offset */
    expect SINGLE, LOAD, 4, 1, 1, 1, 3, 0, ldrb w4, [x1, x3]
    expect SINGLE, LOAD + WIDE, 4, 8, 8, 1, 3, 0, ldr x4, [x1, x3, lsl #3]
    expect SINGLE, STORE, 4, 4, 4, 1, 3, 0, str w4, [x1, w3, sxtw #2]
    expect SINGLE, LOAD, 4, 2, 2, SP, 3, 0, ldrh w4, [sp, w3, uxtw #1]
    expect SINGLE, LOAD + SIGNED + WIDE, 4, 4, 4, 1, 3, 0, ldrsw x4, [x1, x3, sxtx]
    /* acquire and release */
    expect SINGLE, LOAD, 1, 4, 4, 2, NO_INDEX, 0, ldar w1, [x2]
    expect SINGLE, STORE + WIDE, 1, 8, 8, 2, NO_INDEX, 0, stlr x1, [x2]
    expect SINGLE, LOAD, 1, 1, 1, 2, NO_INDEX, 0, ldarb w1, [x2]
    expect SINGLE, STORE, 1, 2, 2, 2, NO_INDEX, 0, stllrh w1, [x2]
    /* literals */
    expect SINGLE, LOAD, 1, 4, 4, PC, NO_INDEX, 1024, ldr w1, . + 1024
    expect SINGLE, LOAD + WIDE, 1, 8, 8, PC, NO_INDEX, -4, ldr x1, . - 4
    expect SINGLE, LOAD + SIGNED + WIDE, 1, 4, 4, PC, NO_INDEX, 8, ldrsw x1, . + 8
    expect VECTOR, LOAD, 1, 16, 16, PC, NO_INDEX, 16, ldr q1, . + 16
    /* write-back */
    expect WRITE_BACK, LOAD, 1, 1, 1, 2, NO_INDEX, 0, ldrb w1, [x2], #1
    expect WRITE_BACK, STORE, 1, 4, 4, 2, NO_INDEX, -4, str w1, [x2, #-4]!
    expect WRITE_BACK, LOAD + SIGNED + WIDE, 1, 2, 2, 2, NO_INDEX, 0, ldrsh x1, [x2], #-2
    /* pairs */
    expect PAIR, STORE + WIDE, 1, 8, 16, SP, NO_INDEX, -16, stp x1, x2, [sp, #-16]!
    expect PAIR, LOAD + WIDE, 1, 8, 16, SP, NO_INDEX, 0, ldp x1, x2, [sp], #16
    expect PAIR, LOAD, 1, 4, 8, 3, NO_INDEX, 252, ldp w1, w2, [x3, #252]
    expect PAIR, LOAD + SIGNED + WIDE, 1, 4, 8, 3, NO_INDEX, -256, ldpsw x1, x2, [x3, #-256]
    expect PAIR, STORE, 1, 16, 32, 3, NO_INDEX, 32, stp q1, q2, [x3, #32]
    expect PAIR, LOAD, 1, 4, 8, 3, NO_INDEX, 0, ldnp s1, s2, [x3]
    /* vectors */
    expect VECTOR, LOAD, 1, 8, 8, 2, NO_INDEX, 8, ldr d1, [x2, #8]
    expect VECTOR, STORE, 1, 16, 16, 2, NO_INDEX, 16, str q1, [x2, #16]
    expect VECTOR, LOAD, 1, 1, 1, 2, 3, 0, ldr b1, [x2, x3]
    expect VECTOR, STORE, 1, 16, 16, 2, NO_INDEX, -1, stur q1, [x2, #-1]
    expect VECTOR, LOAD, 1, 16, 16, 2, NO_INDEX, 0, ld1 {v1.4s}, [x2]
    expect VECTOR, STORE, 1, 16, 64, 2, NO_INDEX, 0, st4 {v1.2d, v2.2d, v3.2d, v4.2d}, [x2]
    expect VECTOR, LOAD, 1, 8, 24, 2, NO_INDEX, 0, ld3 {v1.8b, v2.8b, v3.8b}, [x2], #24
    expect VECTOR, STORE, 1, 4, 4, 2, NO_INDEX, 0, st1 {v1.s}[2], [x2]
    expect VECTOR, LOAD, 1, 8, 16, 2, NO_INDEX, 0, ld2 {v1.d, v2.d}[1], [x2]
    expect VECTOR, LOAD, 1, 2, 2, 2, NO_INDEX, 0, ld1r {v1.8h}, [x2]
    /* exclusives */
    expect EXCLUSIVE, LOAD, 1, 4, 4, 2, NO_INDEX, 0, ldxr w1, [x2]
    expect EXCLUSIVE, STORE + WIDE, 1, 8, 8, 2, NO_INDEX, 0, stlxr w3, x1, [x2]
    expect EXCLUSIVE, LOAD + WIDE, 1, 8, 16, 2, NO_INDEX, 0, ldaxp x1, x4, [x2]
    expect EXCLUSIVE, STORE, 1, 4, 8, 2, NO_INDEX, 0, stxp w3, w1, w4, [x2]
    /* atomics */
    expect ATOMIC, STORE, 1, 4, 4, 2, NO_INDEX, 0, ldadd w3, w1, [x2]
    expect ATOMIC, STORE, 1, 1, 1, 2, NO_INDEX, 0, swpb w3, w1, [x2]
    expect ATOMIC, STORE + WIDE, 1, 8, 8, 2, NO_INDEX, 0, casal x3, x1, [x2]
    expect ATOMIC, STORE + WIDE, 2, 8, 16, 4, NO_INDEX, 0, casp x0, x1, x2, x3, [x4]
    /* blocks, and what accesses nothing */
    expect ZERO_BLOCK, STORE, 7, 64, 64, 7, NO_INDEX, 0, dc zva, x7
    expect NONE, 0, 0, 0, 0, 0, 0, 0, add x0, x1, x2
    expect NONE, 0, 0, 0, 0, 0, 0, 0, prfm pldl1keep, [x0]
    expect NONE, 0, 0, 0, 0, 0, 0, 0, prfm pldl1keep, [x0, x1]
    expect NONE, 0, 0, 0, 0, 0, 0, 0, prfm pldl1keep, . + 8
    expect NONE, 0, 0, 0, 0, 0, 0, 0, dc civac, x0
    expect NONE, 0, 0, 0, 0, 0, 0, 0, b .
    expect NONE, 0, 0, 0, 0, 0, 0, 0, hvc #0
    expect NONE, 0, 0, 0, 0, 0, 0, 0, .inst 0
    expect NONE, 0, 0, 0, 0, 0, 0, 0, mrs x0, midr_el1
    expect NONE, 0, 0, 0, 0, 0, 0, 0, fadd d0, d1, d2
