/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A guest that touches every kind of backing that guestmem has, and says on its serial port what it
 * saw. Where things are it learns from the device tree: a range's node is named after its backing.
 */

#include "fdt.h"
#include "io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LARGE_PAGE UINT64_C(0x200000)

/** Any number that depends on all bits of an address: neighbouring words differ. */
static uint64_t pattern(uint64_t address)
{
    return (address ^ 0x5bd1e995) * UINT64_C(0x9e3779b97f4a7c15);
}

static void fail(const char *name, const char *what, uint64_t address, uint64_t found)
{
    print(name);
    print(": FAILED: ");
    print(what);
    print(" at ");
    print_hex(address);
    print(" is ");
    print_hex(found);
    print("\n");
}

static bool find(const void *tree, const char *name, fdt_range_t *range)
{
    if (!fdt_find(tree, name, range)) {
        return false; /* a VM need not have every kind */
    }
    print(name);
    print(" ");
    print_hex(range->base);
    print(" ");
    print_decimal(range->size);
    print(" bytes");
    return true;
}

/** Check that `[base, end)` reads as zeros, then that every word keeps what is written. */
static bool check_words(const char *name, uint64_t base, uint64_t end, bool zeroed)
{
    for (uint64_t at = base; at < end && zeroed; at += 8) {
        if (read64(at) != 0) {
            fail(name, "what should be zero", at, read64(at));
            return false;
        }
    }
    for (uint64_t at = base; at < end; at += 8) {
        write64(at, pattern(at));
    }
    for (uint64_t at = base; at < end; at += 8) {
        if (read64(at) != pattern(at)) {
            fail(name, "what was written", at, read64(at));
            return false;
        }
    }
    return true;
}

/** The first 2 MiB that neither this image nor its stack has a part of. */
static uint64_t above_image(void)
{
    extern const char stack_top[];
    return ((uint64_t)stack_top + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);
}

/** Memory of its own: zeroed at first, then plain memory, from `from` on if that lies in it. */
static void check_memory(const void *tree, const char *name, uint64_t from)
{
    fdt_range_t range;

    if (find(tree, name, &range) &&
        check_words(name, from > range.base ? from : range.base, range.base + range.size, true)) {
        print(": zeroed, keeps what is written\n");
    }
}

/** Memory of a device: what it holds at first is the device's business. */
static void check_device_memory(const void *tree, const char *name)
{
    fdt_range_t range;

    if (find(tree, name, &range) && check_words(name, range.base, range.base + range.size, false)) {
        print(": keeps what is written\n");
    }
}

/** Print the text that the VMM has left at an address. */
static void print_left_text(uint64_t address)
{
    print(" \"");
    for (unsigned i = 0; i < 64 && read8(address + i) >= ' '; i++) {
        char text[2] = {(char)read8(address + i), '\0'};
        print(text);
    }
    print("\"");
}

/** A page that the VMM sees as well: read its text, leave a reply in the second half. */
static void check_shared(const void *tree, const char *name)
{
    static const char reply[] = "the guest was here";
    fdt_range_t range;

    if (!find(tree, name, &range)) {
        return;
    }
    print(": the VMM says");
    print_left_text(range.base);
    for (unsigned i = 0; i < sizeof(reply); i++) {
        write8(range.base + 2048 + i, (uint8_t)reply[i]);
    }
    print(", replied\n");
}

/** A page without write right: reads are plain, writes trap and change nothing. */
static void check_read_only(const void *tree, const char *name)
{
    fdt_range_t range;
    uint64_t before;

    if (!find(tree, name, &range)) {
        return;
    }
    before = read64(range.base);
    write8(range.base + 1, 0xa1);
    write16(range.base + 2, 0xa2a2);
    write32(range.base + 4, 0xa4a4a4a4);
    write64(range.base, UINT64_C(0xa8a8a8a8a8a8a8a8));
    if (read64(range.base) != before) {
        fail(name, "after writes, what should not change", range.base, read64(range.base));
        return;
    }
    print(": the VMM says");
    print_left_text(range.base);
    print(", unchanged by 4 writes\n");
}

/** What an emulated device returns at each width, and a byte with its sign. */
static void print_reads(const void *tree, const char *name)
{
    fdt_range_t range;

    if (!find(tree, name, &range)) {
        return;
    }
    print(": reads ");
    print_hex(read8(range.base + 1));
    print(" ");
    print_hex(read16(range.base + 2));
    print(" ");
    print_hex(read32(range.base + 4));
    print(" ");
    print_hex(read64(range.base + 8));
    print(" ");
    print_hex((uint64_t)read8_signed(range.base + 3));
    print("\n");
}

/** Accesses of each width to a device that logs them for the VMM's user. */
static void write_log(const void *tree, const char *name)
{
    fdt_range_t range;

    if (!find(tree, name, &range)) {
        return;
    }
    write8(range.base + 0x11, 0x11);
    write16(range.base + 0x22, 0x2222);
    write32(range.base + 0x44, 0x44444444);
    write64(range.base + 0x88, UINT64_C(0x8888888888888888));
    print(": wrote 1, 2, 4, 8 bytes, reads ");
    print_hex(read32(range.base + 0x44));
    print("\n");
}

/** Let the serial port interrupt, and take that from the interrupt controller, a GICv2. */
static void check_interrupt(const void *tree, const char *name, uint64_t serial)
{
    enum { NONE = 1023, INTERRUPT = 33, BITS = 0x3ff, TRIES = 1000000 };
    fdt_range_t range;

    if (!find(tree, name, &range)) {
        return;
    }
    uint64_t interface = range.base + 0x10000;
    write32(range.base, 1);                                                 /* forward interrupts */
    write32(range.base + 0x100 + INTERRUPT / 32 * 4, 1u << INTERRUPT % 32); /* this one too */
    write32(interface + 0x4, 0xff);                                         /* of any priority */
    write32(interface, 1);
    write32(serial + 0x38, 1 << 5); /* when there is room to transmit: now */
    uint32_t taken = NONE;
    for (int i = 0; i < TRIES && taken == NONE; i++) {
        taken = read32(interface + 0xc) & BITS;
    }
    if (taken != INTERRUPT) {
        fail(name, "the interrupt taken", interface + 0xc, taken);
        return;
    }
    write32(serial + 0x38, 0);
    write32(interface + 0x10, taken);
    print(": the serial port's interrupt was taken, then ");
    taken = read32(interface + 0xc) & BITS;
    print(taken == NONE ? "none\n" : "FAILED: another\n");
}

/** Called by start.S; the guest stops when this returns. */
void guest_main(const void *tree)
{
    fdt_range_t port;

    if (!fdt_find(tree, "pl011", &port)) {
        return;
    }
    serial_init(port.base);
    print("guestmem example guest\n");
    print(fdt_has_property_name(tree, "guestmem,") ? "tree: FAILED: it has guestmem properties\n"
                                                   : "tree: found, for the guest only\n");
    check_memory(tree, "memory", above_image()); /* the tree is at the start of this RAM */
    check_memory(tree, "ram-untyped", 0);
    check_memory(tree, "ram-anonymous", 0);
    check_memory(tree, "frames", 0);
    check_memory(tree, "frames-on-fault", 0);
    check_memory(tree, "frames-anonymous", 0);
    check_memory(tree, "untyped", 0);
    check_memory(tree, "untyped-at", 0);
    check_device_memory(tree, "maybe-device");
    check_device_memory(tree, "device-frame");
    check_shared(tree, "allocated-frame");
    check_read_only(tree, "read-only-frame");
    print_reads(tree, "no-access-frame");
    print_reads(tree, "ones");
    print_reads(tree, "zeros");
    write_log(tree, "log");
    check_interrupt(tree, "interrupt-controller", port.base);
    print("done\n");
}
