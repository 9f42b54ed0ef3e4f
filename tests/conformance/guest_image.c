/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The guest's program inside a program of another architecture: CONFORMANCE_GUEST is the file that
   guest_program.S was assembled to. */

__asm__(".section .rodata\n"
        ".balign 8\n"
        ".global conformance_guest, conformance_guest_end\n"
        "conformance_guest:\n"
        ".incbin \"" CONFORMANCE_GUEST "\"\n"
        "conformance_guest_end:\n"
        ".byte 0\n"
        ".text\n");
