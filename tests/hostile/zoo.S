/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Instructions that access memory in every way that there is, as records of 64 bytes for the tests:
 * the encoding, then its text. x0 is the address, x1 to x3 are data.
 */

    .arch armv8.1-a+simd+crc

    .macro zoo text:vararg
    .balign 64
    \text
    .asciz "\text"
    .endm

    .text
    /* one register, of every width and way */
    zoo ldrb w1, [x0]
    zoo ldrh w1, [x0]
    zoo ldr w1, [x0]
    zoo ldr x1, [x0]
    zoo ldrsb x1, [x0]
    zoo ldrsh w1, [x0]
    zoo ldrsw x1, [x0]
    zoo ldr xzr, [x0]
    zoo strb w1, [x0]
    zoo strh w1, [x0]
    zoo str w1, [x0]
    zoo str x1, [x0]
    zoo str xzr, [x0]
    zoo ldur x1, [x0, #-1]
    zoo stur x1, [x0, #-3]
    zoo sturh w1, [x0, #1]
    zoo ldtr x1, [x0]
    zoo sttr w1, [x0]
    zoo ldr x1, [x0, #32760]
    zoo str w1, [x0, w2, sxtw #2]
    zoo ldrb w1, [x0, x2]
    /* that change their base, or load it */
    zoo ldr x1, [x0], #8
    zoo ldr w1, [x0, #-256]!
    zoo str x1, [x0, #255]!
    zoo strb w1, [x0], #-1
    zoo ldr x0, [x0]
    zoo str x0, [x0]
    /* pairs */
    zoo ldp w1, w2, [x0]
    zoo ldp x1, x2, [x0]
    zoo ldpsw x1, x2, [x0]
    zoo stp w1, w2, [x0]
    zoo stp x1, x2, [x0]
    zoo stp x1, x2, [x0, #-16]!
    zoo ldp x1, x2, [x0], #504
    zoo ldnp x1, x2, [x0]
    zoo stnp x1, x2, [x0]
    zoo stp q1, q2, [x0]
    zoo ldp d1, d2, [x0]
    /* vectors */
    zoo ldr b1, [x0]
    zoo ldr s1, [x0]
    zoo str q1, [x0]
    zoo ldur q1, [x0, #-7]
    zoo ld1 {v1.16b}, [x0]
    zoo ld1 {v1.16b, v2.16b, v3.16b, v4.16b}, [x0]
    zoo ld4 {v1.4s, v2.4s, v3.4s, v4.4s}, [x0], #64
    zoo st3 {v1.8b, v2.8b, v3.8b}, [x0]
    zoo st1 {v1.d}[1], [x0]
    zoo ld1r {v1.4s}, [x0]
    zoo st4 {v1.h, v2.h, v3.h, v4.h}[3], [x0]
    /* ordered, exclusive, atomic */
    zoo ldar x1, [x0]
    zoo ldarb w1, [x0]
    zoo stlr x1, [x0]
    zoo stlrh w1, [x0]
    zoo ldxr x1, [x0]
    zoo ldaxrb w1, [x0]
    zoo stxr w3, x1, [x0]
    zoo stlxrh w3, w1, [x0]
    zoo ldxp x1, x2, [x0]
    zoo stxp w3, x1, x2, [x0]
    zoo ldxp w1, w2, [x0]
    zoo ldadd x1, x2, [x0]
    zoo swp w1, w2, [x0]
    zoo cas x1, x2, [x0]
    zoo ldaddab w1, w2, [x0]
    /* blocks and caches */
    zoo dc zva, x0
    zoo dc ivac, x0
    zoo dc cvac, x0
    zoo dc cvau, x0
    zoo dc civac, x0
    zoo dc isw, x0
    zoo dc csw, x0
    zoo ic ivau, x0
    zoo ic iallu
    zoo prfm pldl1keep, [x0]
    zoo prfm pstl3strm, [x0, #8]
    zoo prfum plil1keep, [x0, #-1]
    /* translation */
    zoo at s1e1r, x0
    zoo at s1e1w, x0
    zoo at s1e0r, x0
    zoo at s12e1r, x0
    zoo tlbi vaae1is, x0
    zoo tlbi vmalle1
    zoo tlbi alle1
    /* elsewhere than at x0 */
    zoo ldr x1, .
    zoo ldr x1, . - 8
    zoo ldrsw x1, . + 0xffffc
    zoo ldr q1, . + 4
    zoo prfm pldl1keep, . + 0xffffc
    /* control flow: instruction fetches */
    zoo br x0
    zoo blr x0
    zoo ret x0
    zoo cbz x0, . + 0xffffc
    zoo b . + 0x7fffffc
    zoo b . - 0x8000000
    .balign 64
