/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the initial content of ranges: files and device trees, written through the library's access
 * to guest memory.
 */

#include "machine_internal.h"

#include "dtb_file.h"
#include "dtb_strip.h"
#include "file.h"
#include "kernel_image.h"

#include <guestmem/error.h>
#include <guestmem/memory.h>
#include <inttypes.h>
#include <sel4vm/guest_ram.h>
#include <stdlib.h>
#include <string.h>

/** Memory that content takes: a file, what its header says it will clear after it, a tree. */
typedef struct area {
    const vm_content_t *content;
    bool is_bss;
    uint64_t first;
    uint64_t last;
} area_t;

typedef struct loader {
    machine_t *machine;
    vm_description_t *description;
    area_t *areas; /* room for two of each content */
    size_t num_areas;
    const area_t *kernel; /* the first Image's last area, or NULL */
    cli_error_t *error;
} loader_t;

static const vm_range_t *range_of(const loader_t *loader, const vm_content_t *content)
{
    return &loader->description->ranges[content->range];
}

static bool is_self(const vm_content_t *content)
{
    return content->kind == VM_CONTENT_TREE && strcmp(content->file, "self") == 0;
}

static int load_error(const loader_t *loader, const vm_content_t *content, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int load_error(const loader_t *loader, const vm_content_t *content, const char *format, ...)
{
    char reason[sizeof(loader->error->line)];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    return vm_range_error(loader->description, range_of(loader, content),
                          vm_content_property(content->kind), loader->error, "%s", reason);
}

/** An area in the words of an error line: what it is, and where. */
static const char *describe(const area_t *area, char *text, size_t size)
{
    const vm_content_t *content = area->content;
    const char *what = area->is_bss                         ? "the BSS of "
                       : content->kind == VM_CONTENT_TREE   ? "the device tree "
                       : content->kind == VM_CONTENT_INITRD ? "the initrd "
                                                            : "";

    if (is_self(content)) {
        snprintf(text, size, "the device tree at [0x%" PRIx64 ", 0x%" PRIx64 "]", area->first,
                 area->last);
    } else {
        snprintf(text, size, "%s\"%s\" at [0x%" PRIx64 ", 0x%" PRIx64 "]", what, content->file,
                 area->first, area->last);
    }
    return text;
}

/** Keep `[first, first + size)` for content. */
static int claim(loader_t *loader, const vm_content_t *content, bool is_bss, uint64_t first,
                 uint64_t size)
{
    const area_t area = {content, is_bss, first, first + size - 1};
    char text[2][sizeof(loader->error->line)];

    for (size_t i = 0; i < loader->num_areas; i++) {
        const area_t *other = &loader->areas[i];
        if (other->first <= area.last && area.first <= other->last) {
            return load_error(loader, content, "%s overlaps %s",
                              describe(&area, text[0], sizeof(text[0])),
                              describe(other, text[1], sizeof(text[1])));
        }
    }
    loader->areas[loader->num_areas++] = area;
    return 0;
}

/**
 * Keep memory for content of `size` bytes at the start of `memory`.
 *
 * @param memory  at least `size`
 */
static int claim_all(loader_t *loader, const vm_content_t *content, uint64_t first, uint64_t size,
                     uint64_t memory)
{
    const vm_range_t *range = range_of(loader, content);
    uint64_t offset = first - range->base;
    uint64_t room = offset < range->size ? range->size - offset : 0;

    if (memory > room) {
        return load_error(loader, content,
                          "%" PRIu64 " bytes%s do not fit: the range has room for %" PRIu64
                          " from offset 0x%" PRIx64 " on",
                          memory, memory > size ? ", with BSS," : "", room, offset);
    }
    if (size > 0 && claim(loader, content, false, first, size) != 0) {
        return -1;
    }
    return memory > size ? claim(loader, content, true, first + size, memory - size) : 0;
}

/** The first page above the kernel, if it is in the range, that has `size` bytes free. */
static uint64_t find_room(const loader_t *loader, const vm_content_t *content, uint64_t size)
{
    const vm_range_t *range = range_of(loader, content);
    uint64_t first = range->base;
    size_t i = 0;

    if (loader->kernel != NULL && loader->kernel->content->range == content->range) {
        first = loader->kernel->last + 1;
    }
    first = (first + 4095) & ~UINT64_C(4095);
    while (i < loader->num_areas) {
        const area_t *area = &loader->areas[i++];
        if (size > 0 && area->first <= first + size - 1 && first <= area->last) {
            first = (area->last + 4096) & ~UINT64_C(4095);
            i = 0;
        }
    }
    return first;
}

static int write_guest(loader_t *loader, const vm_content_t *content, uint64_t first, void *bytes,
                       size_t size)
{
    machine_t *machine = loader->machine;
    const vm_range_t *range = range_of(loader, content);
    machine_range_t *made = &machine->ranges[content->range];
    int result;

    if (size == 0) {
        return 0;
    }
    if (made->frame != NULL) {
        memcpy((char *)made->frame + (first - range->base), bytes, size);
        return 0;
    }
    if (range->backing == VM_BACKING_RAM || range->backing == VM_BACKING_RAM_UNTYPED) {
        result = vm_ram_touch(machine->vm, first, size, vm_guest_ram_write_callback, bytes);
    } else {
        result = guestmem_access(machine->vm, first, size, vm_guest_ram_write_callback, bytes);
    }
    return result == 0
               ? 0
               : load_error(loader, content, "%s", guestmem_last_error(machine->vm)->message);
}

static void *read_content(loader_t *loader, const vm_content_t *content, size_t *size)
{
    static void *(*const loaders[])(const char *path, size_t *size, cli_error_t *error) = {
        [VM_CONTENT_FILE] = kernel_image_load,
        [VM_CONTENT_TREE] = dtb_file_load,
        [VM_CONTENT_INITRD] = file_read,
    };
    char *path = file_relative_to(loader->description->file, content->file);
    cli_error_t reason = {"out of memory"};
    void *bytes = path != NULL ? loaders[content->kind](path, size, &reason) : NULL;

    if (bytes != NULL && content->kind == VM_CONTENT_TREE &&
        vm_tree_check(bytes, *size, path, &reason) != 0) {
        free(bytes);
        bytes = NULL;
    }
    if (bytes == NULL) {
        load_error(loader, content, "%s", reason.line);
    }
    free(path);
    return bytes;
}

/** Where the guest starts, and with what: unless the description says it, as Linux wants it. */
static void set_entry(loader_t *loader, const vm_content_t *content, uint64_t first,
                      uint64_t image_memory)
{
    vm_description_t *description = loader->description;

    if (content->kind == VM_CONTENT_TREE && !description->has_x0) {
        description->x[0] = first;
        description->has_x0 = true;
    }
    if (image_memory == 0 || loader->kernel != NULL) {
        return;
    }
    loader->kernel = &loader->areas[loader->num_areas - 1];
    if (!description->has_entry) {
        description->entry = first;
        description->has_entry = true;
    }
}

static int load_content(loader_t *loader, const vm_content_t *content, dtb_chosen_t *chosen)
{
    uint64_t first = range_of(loader, content)->base + content->offset;
    uint64_t image_memory = 0;
    size_t size = 0;
    void *bytes = is_self(content) ? dtb_strip(loader->description, chosen, &size, loader->error)
                                   : read_content(loader, content, &size);
    int result;

    if (bytes == NULL) {
        return -1;
    }
    if (content->kind == VM_CONTENT_FILE) {
        image_memory = kernel_image_memory(bytes, size);
    }
    if (content->kind == VM_CONTENT_INITRD) {
        first = content->has_offset ? first : find_room(loader, content, size);
        chosen->initrd = first;
        chosen->initrd_size = size;
    }
    result = claim_all(loader, content, first, size, image_memory > size ? image_memory : size);
    if (result == 0) {
        set_entry(loader, content, first, image_memory);
        result = write_guest(loader, content, first, bytes, size);
    }
    free(bytes);
    return result;
}

/** Write the guest's tree once more, now that it is known where the initrd is. */
static int update_tree(loader_t *loader, const vm_content_t *content, const dtb_chosen_t *chosen)
{
    uint64_t first = range_of(loader, content)->base + content->offset;
    size_t size;
    void *tree = dtb_strip(loader->description, chosen, &size, loader->error);
    int result = tree != NULL ? write_guest(loader, content, first, tree, size) : -1;

    free(tree);
    return result;
}

static int load_all(loader_t *loader)
{
    const vm_description_t *description = loader->description;
    dtb_chosen_t chosen = {.append = loader->machine->options.append};
    bool has_self = false;

    /* The initrd last: where it may be depends on the others. */
    for (unsigned kind = 0; kind < VM_NUM_CONTENT_KINDS; kind++) {
        for (size_t i = 0; i < description->num_contents; i++) {
            const vm_content_t *content = &description->contents[i];
            if (content->kind == kind && load_content(loader, content, &chosen) != 0) {
                return -1;
            }
        }
    }
    for (size_t i = 0; i < description->num_contents; i++) {
        const vm_content_t *content = &description->contents[i];
        has_self |= is_self(content);
        if (is_self(content) && description->initrd != NULL &&
            update_tree(loader, content, &chosen) != 0) {
            return -1;
        }
    }
    if (chosen.append != NULL && !has_self) {
        return cli_error_set(loader->error,
                             "%s: --append has no effect without guestmem,device-tree = \"self\"",
                             description->file);
    }
    return 0;
}

int machine_load(machine_t *machine, cli_error_t *error)
{
    vm_description_t *description = machine->description;
    loader_t loader = {
        .machine = machine,
        .description = description,
        .areas = calloc(2 * description->num_contents + 1, sizeof(*loader.areas)),
        .error = error,
    };
    int result;

    if (loader.areas == NULL) {
        return cli_error_set(error, "%s: out of memory", description->file);
    }
    result = load_all(&loader);
    free(loader.areas);
    return result;
}
