/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A program of the guest: guest-physical memory through /dev/mem.
 *
 *   memory check GPA BYTES    write a pattern and read it back
 *   memory print GPA          the text there
 *   memory put GPA TEXT       let text be there
 *   memory read GPA           a word
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096

static void *map(uintptr_t gpa, size_t size)
{
    int memory = open("/dev/mem", O_RDWR | O_SYNC);
    uintptr_t first = gpa & ~(uintptr_t)(PAGE_BYTES - 1);
    char *mapped = memory < 0 ? MAP_FAILED
                              : mmap(NULL, size + (gpa - first), PROT_READ | PROT_WRITE, MAP_SHARED,
                                     memory, (off_t)first);
    if (mapped == MAP_FAILED) {
        perror("memory");
        exit(EXIT_FAILURE);
    }
    return mapped + (gpa - first);
}

static int check(volatile uint32_t *words, size_t count)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        words[i] = (uint32_t)i * 2654435761u;
    }
    for (size_t i = 0; i < count; i++) {
        wrong += words[i] != (uint32_t)i * 2654435761u;
    }
    if (wrong > 0) {
        printf("FAILED: %zu of %zu words are not what was written\n", wrong, count);
        return EXIT_FAILURE;
    }
    printf("written and read\n");
    return EXIT_SUCCESS;
}

static void put(volatile char *to, const char *text)
{
    for (size_t i = 0; i <= strlen(text); i++) {
        to[i] = text[i]; /* the page may be a device's: no string functions */
    }
}

static void print(const volatile char *text)
{
    for (size_t i = 0; i < PAGE_BYTES && text[i] != '\0'; i++) {
        putchar(text[i]);
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    uintptr_t gpa = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
    size_t number = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
    if (strcmp(what, "check") == 0) {
        return check(map(gpa, number), number / sizeof(uint32_t));
    }
    if (strcmp(what, "print") == 0) {
        print(map(gpa, PAGE_BYTES - gpa % PAGE_BYTES));
    } else if (strcmp(what, "put") == 0 && argc > 3) {
        put(map(gpa, PAGE_BYTES - gpa % PAGE_BYTES), argv[3]);
    } else if (strcmp(what, "read") == 0) {
        printf("0x%08x\n", *(volatile uint32_t *)map(gpa, sizeof(uint32_t)));
    } else {
        fputs("usage: memory check|print|put|read GPA [BYTES|TEXT]\n", stderr);
        return 2;
    }
    return EXIT_SUCCESS;
}
