/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The guest: see guest_program.h. It runs in EL1 with its MMU off, and needs no stack. */

#include "guest_program.h"

    .arch armv8-a
    .section .rodata
    .balign 8
    .global conformance_guest, conformance_guest_end
conformance_guest:
next:
    ldr x2, [x0, #GUEST_OP_KIND]
    ldr x3, [x0, #GUEST_OP_WIDTH]
    ldr x4, [x0, #GUEST_OP_ADDRESS]
    ldr x5, [x0, #GUEST_OP_VALUE]
    cbz x2, finish
    cmp x2, #GUEST_OP_STORE
    b.eq store

    cmp x3, #1
    b.eq load_1
    cmp x3, #2
    b.eq load_2
    cmp x3, #4
    b.eq load_4
    ldr x5, [x4]
    b loaded
load_1:
    ldrb w5, [x4]
    b loaded
load_2:
    ldrh w5, [x4]
    b loaded
load_4:
    ldr w5, [x4]
loaded:
    str x5, [x0, #GUEST_OP_VALUE]
    b done

store:
    cmp x3, #1
    b.eq store_1
    cmp x3, #2
    b.eq store_2
    cmp x3, #4
    b.eq store_4
    str x5, [x4]
    b done
store_1:
    strb w5, [x4]
    b done
store_2:
    strh w5, [x4]
    b done
store_4:
    str w5, [x4]
done:
    add x0, x0, #GUEST_OP_SIZE
    b next

finish:
    dsb sy
    str w2, [x1]
hang:
    b hang
conformance_guest_end:
