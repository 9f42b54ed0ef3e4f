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

static FILE *open_file(const char *name, unsigned char header[HEADER_BYTES])
{
    FILE *file = fopen(name, "rb");
    if (file == NULL) {
        ZF_LOGE("%s: %s", name, strerror(errno));
        return NULL;
    }
    memset(header, 0, HEADER_BYTES);
    if (fread(header, 1, HEADER_BYTES, file) == 0) {
        ZF_LOGE("%s: empty, or not a file", name);
        fclose(file);
        return NULL;
    }
    return file;
}

int vm_load_guest_kernel(vm_t *vm, const char *kernel_name, uintptr_t load_address,
                         size_t alignment, guest_kernel_image_t *guest_kernel_image)
{
    (void)alignment;
    unsigned char header[HEADER_BYTES];
    if (vm == NULL || kernel_name == NULL || guest_kernel_image == NULL) {
        ZF_LOGE("vm_load_guest_kernel: an argument is NULL");
        return -1;
    }
    FILE *file = open_file(kernel_name, header);
    if (file == NULL) {
        return -1;
    }
    guest_image_t *image = &guest_kernel_image->kernel_image;
    enum img_type type = type_of(header);
    size_t size = 0;
    if (type == IMG_BIN || type == IMG_ZIMAGE) {
        uintptr_t start = word_at(header, ZIMAGE_START);
        image->load_paddr = type == IMG_BIN ? vm->entry
                            : start != 0    ? start
                                            : load_address + ZIMAGE_DEFAULT;
        size = load(vm, file, kernel_name, image->load_paddr);
    } else {
        ZF_LOGE("%s: not a kernel that can be loaded; give a flat binary, an Image or a zImage",
                kernel_name);
    }
    image->size = size;
    fclose(file);
    return size > 0 ? 0 : -1;
}

int vm_load_guest_module(vm_t *vm, const char *module_name, uintptr_t load_address,
                         size_t alignment, guest_image_t *guest_image)
{
    (void)alignment;
    unsigned char header[HEADER_BYTES];
    if (vm == NULL || module_name == NULL || guest_image == NULL) {
        ZF_LOGE("vm_load_guest_module: an argument is NULL");
        return -1;
    }
    FILE *file = open_file(module_name, header);
    if (file == NULL) {
        return -1;
    }
    enum img_type type = type_of(header);
    size_t size = 0;
    if (type == IMG_DTB || type == IMG_INITRD_GZ) {
        size = load(vm, file, module_name, load_address);
    } else {
        ZF_LOGE("%s: neither a device tree (.dtb) nor an initrd that gzip has compressed",
                module_name);
    }
    *guest_image = (guest_image_t){.load_paddr = load_address, .size = size};
    fclose(file);
    return size > 0 ? 0 : -1;
}
