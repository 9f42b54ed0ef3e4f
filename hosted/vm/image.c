/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Files in guest RAM. What a file is, its first bytes say. */

#include <errno.h>
#include <inttypes.h>
#include <sel4vm/guest_ram.h>
#include <sel4vmmplatsupport/guest_image.h>
#include <stdio.h>
#include <string.h>
#include <utils/util.h>

#define HEADER_BYTES   64
#define ZIMAGE_DEFAULT 0x8000 /* above the start of RAM */

/* Offsets in a zImage's header. */
enum { ZIMAGE_MAGIC = 36, ZIMAGE_START = 40 };

static uint32_t word_at(const unsigned char *header, size_t offset)
{
    uint32_t word;
    memcpy(&word, header + offset, sizeof(word));
    return word; /* little-endian, as the host */
}

static enum img_type type_of(const unsigned char *header)
{
    switch (word_at(header, 0)) {
    case 0x464c457f: /* "\177ELF" */
        return IMG_ELF;
    case 0x56190527: /* 0x27051956, big-endian */
        return IMG_UIMAGE;
    case 0xedfe0dd0: /* 0xd00dfeed, big-endian */
        return IMG_DTB;
    default:
        break;
    }
    if (word_at(header, ZIMAGE_MAGIC) == 0x016f2818) {
        return IMG_ZIMAGE;
    }
    return header[0] == 0x1f && header[1] == 0x8b ? IMG_INITRD_GZ : IMG_BIN;
}

static int read_bytes(vm_t *vm, uintptr_t addr, void *vaddr, size_t size, size_t offset,
                      void *cookie)
{
    (void)vm, (void)addr, (void)offset;
    return fread(vaddr, 1, size, cookie) == size ? 0 : -1;
}

/* Load the open file to `addr`. @return its size; 0 with a line in the log */
static size_t load(vm_t *vm, FILE *file, const char *name, uintptr_t addr)
{
    long end = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    size_t size = end > 0 ? (size_t)end : 0;
    if (size == 0 || fseek(file, 0, SEEK_SET) != 0) {
        ZF_LOGE("%s: not a file whose size is known", name);
        return 0;
    }
    if (vm_ram_touch(vm, addr, size, read_bytes, file) != 0) {
        ZF_LOGE("%s: its %zu bytes cannot be loaded to 0x%" PRIxPTR
                ": is there RAM, and enough of it?",
                name, size, addr);
        return 0;
    }
    vm_ram_mark_allocated(vm, addr, ROUND_UP(size, PAGE_SIZE_4K));
    return size;
}

/* Where a kernel goes. @return false if it is none */
static bool place_kernel(const vm_t *vm, const unsigned char *header, uintptr_t *addr)
{
    uintptr_t start = word_at(header, ZIMAGE_START);
    switch (type_of(header)) {
    case IMG_BIN:
        *addr = vm->entry;
        return true;
    case IMG_ZIMAGE:
        *addr = start != 0 ? start : *addr + ZIMAGE_DEFAULT;
        return true;
    default:
        return false;
    }
}

static bool is_module(const unsigned char *header)
{
    enum img_type type = type_of(header);
    return type == IMG_DTB || type == IMG_INITRD_GZ;
}

/* Load a kernel or a module to or near `addr`. @return 0; -1 with a line in the log */
static int load_file(vm_t *vm, const char *name, bool kernel, uintptr_t addr, guest_image_t *image)
{
    unsigned char header[HEADER_BYTES] = {0};
    FILE *file = fopen(name, "rb");
    if (file == NULL) {
        ZF_LOGE("%s: %s", name, strerror(errno));
        return -1;
    }
    *image = (guest_image_t){0};
    if (fread(header, 1, HEADER_BYTES, file) == 0) {
        ZF_LOGE("%s: empty, or not a file", name);
    } else if (kernel ? !place_kernel(vm, header, &addr) : !is_module(header)) {
        ZF_LOGE("%s: %s", name,
                kernel ? "not a kernel that can be loaded; give a flat binary, an Image or a zImage"
                       : "neither a device tree (.dtb) nor an initrd that gzip has compressed");
    } else {
        image->load_paddr = addr;
        image->size = load(vm, file, name, addr);
    }
    fclose(file);
    return image->size > 0 ? 0 : -1;
}

int vm_load_guest_kernel(vm_t *vm, const char *kernel_name, uintptr_t load_address,
                         size_t alignment, guest_kernel_image_t *guest_kernel_image)
{
    (void)alignment;
    if (vm == NULL || kernel_name == NULL || guest_kernel_image == NULL) {
        ZF_LOGE("vm_load_guest_kernel: an argument is NULL");
        return -1;
    }
    return load_file(vm, kernel_name, true, load_address, &guest_kernel_image->kernel_image);
}

int vm_load_guest_module(vm_t *vm, const char *module_name, uintptr_t load_address,
                         size_t alignment, guest_image_t *guest_image)
{
    (void)alignment;
    if (vm == NULL || module_name == NULL || guest_image == NULL) {
        ZF_LOGE("vm_load_guest_module: an argument is NULL");
        return -1;
    }
    return load_file(vm, module_name, false, load_address, guest_image);
}
