/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The guest: see guest_program.h. It runs in EL1 with its MMU off, and needs no stack. In AArch32 it
 * looks at the lower words of its list, and what it loads is left in them. */

#include "guest_program.h"

#ifdef __aarch64__
#define X(number) x##number
#define W(number) w##number
    .arch armv8-a
#else
#define X(number) r##number
#define W(number) r##number
    .arm
#endif
    .section .rodata
    .balign 8
    .global conformance_guest, conformance_guest_end
conformance_guest:
next:
    ldr X(2), [X(0), #GUEST_OP_KIND]
    ldr X(3), [X(0), #GUEST_OP_WIDTH]
    ldr X(4), [X(0), #GUEST_OP_ADDRESS]
    ldr X(5), [X(0), #GUEST_OP_VALUE]
    cmp X(2), #GUEST_OP_END
    beq finish
    cmp X(2), #GUEST_OP_STORE
    beq store

    cmp X(3), #1
    beq load_1
    cmp X(3), #2
    beq load_2
    cmp X(3), #4
    beq load_4
    ldr X(5), [X(4)]
    b loaded
load_1:
    ldrb W(5), [X(4)]
    b loaded
load_2:
    ldrh W(5), [X(4)]
    b loaded
load_4:
    ldr W(5), [X(4)]
loaded:
    str X(5), [X(0), #GUEST_OP_VALUE]
    b done

store:
    cmp X(3), #1
    beq store_1
    cmp X(3), #2
    beq store_2
    cmp X(3), #4
    beq store_4
    str X(5), [X(4)]
    b done
store_1:
    strb W(5), [X(4)]
    b done
store_2:
    strh W(5), [X(4)]
    b done
store_4:
    str W(5), [X(4)]
done:
    add X(0), X(0), #GUEST_OP_SIZE
    b next

finish:
    dsb sy
    str W(2), [X(1)]
hang:
    b hang
conformance_guest_end:
