/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The first and only program of the Linux that the VMM of ../hosted-vmm runs: it uses each kind of
 * memory that the VM has beside its RAM, through /dev/mem, says so on the console, and powers off.
 * It is all of an initrd, so it has no C library.
 */

#include <stddef.h>
#include <stdint.h>

/* Numbers and flags of Linux on arm64. */
enum { MKNODAT = 33, OPENAT = 56, WRITE = 64, REBOOT = 142, MMAP = 222 };
enum { AT_CWD = -100, READ_WRITE_SYNC = 02 | 04010000, CHARACTER_DEVICE = 0020000, SHARED = 1 };
enum { PROT_READ = 1, PROT_WRITE = 2, MEM_DEVICE = 1 << 8 | 1 };

#define REPLY 2048 /* where the VMM looks for it in the shared page */

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

static void print(const char *text)
{
    size_t size = 0;
    while (text[size] != '\0') {
        size++;
    }
    call(WRITE, 1, (long)text, (long)size, 0, 0, 0);
}

static volatile uint32_t *map(long memory, uintptr_t gpa, size_t size, int rights)
{
    long mapped = call(MMAP, 0, (long)size, rights, SHARED, memory, (long)gpa);
    return mapped < 0 && mapped > -4096 ? NULL : (volatile uint32_t *)mapped;
}

/* Write a pattern to all of a range, and read it back. */
static void check(long memory, const char *name, uintptr_t gpa, size_t size)
{
    volatile uint32_t *words = map(memory, gpa, size, PROT_READ | PROT_WRITE);
    size_t wrong = words == NULL;
    for (size_t i = 0; words != NULL && i < size / 4; i++) {
        words[i] = (uint32_t)(i * 2654435761u);
    }
    for (size_t i = 0; words != NULL && i < size / 4; i++) {
        wrong += words[i] != (uint32_t)(i * 2654435761u);
    }
    print("init: ");
    print(name);
    print(wrong == 0 ? " written and read\n" : " FAILED\n");
}

static const char *page_text(long memory, uintptr_t gpa)
{
    const char *text = (const char *)(uintptr_t)map(memory, gpa, 4096, PROT_READ);
    return text != NULL ? text : "FAILED";
}

void _start(void)
{
    static const char reply[] = "the guest was here";
    call(MKNODAT, AT_CWD, (long)"/mem", CHARACTER_DEVICE | 0600, MEM_DEVICE, 0, 0);
    long memory = call(OPENAT, AT_CWD, (long)"/mem", READ_WRITE_SYNC, 0, 0, 0);
    check(memory, "frames@48000000", 0x48000000, 0x12000);
    check(memory, "maybe-device@4a000000", 0x4a000000, 0x10000);
    check(memory, "untyped@90000000", 0x90000000, 0x200000);
    check(memory, "untyped-at@50000000", 0x50000000, 0x200000);
    print("init: clock@9010000 ");
    print(map(memory, 0x9010000, 4096, PROT_READ) != NULL ? "mapped\n" : "FAILED\n");
    print("init: the VMM says: ");
    print(page_text(memory, 0xb000000));
    print(" and: ");
    print(page_text(memory, 0xb001000));
    print("\n");
    volatile char *shared = (volatile char *)map(memory, 0xb000000, 4096, PROT_READ | PROT_WRITE);
    for (size_t i = 0; shared != NULL && i < sizeof(reply); i++) {
        shared[REPLY + i] = reply[i];
    }
    call(REBOOT, (long)0xfee1dead, 672274793, 0x4321fedc, 0, 0, 0);
    for (;;) {
    }
}
