/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A description of VMs of any bytes: it is understood, or refused with one line. What is understood
 * keeps the promises of its header, and the guest's tree can be made of it.
 */

#include "description.h"
#include "dtb_strip.h"
#include "machine.h"
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

/* A message is one line, and not empty. */
static void check_message(const cli_error_t *error)
{
    must(error->line[0] != '\0', "a failure without a message");
    for (const char *c = error->line; *c != '\0'; c++) {
        must((unsigned char)*c >= ' ', "a control character in: %s", error->line);
    }
}

static void check_range(const vm_range_t *range)
{
    must(range->size >= 1, "%s has no bytes", range->path);
    must(range->placed_by_library || range->base + (range->size - 1) >= range->base, "%s wraps",
         range->path);
    must((unsigned)range->backing < VM_NUM_BACKINGS, "%s has no backing", range->path);
    must(vm_backing_name(range->backing) != NULL, "%s: a backing without a name", range->path);
    must(range->name != NULL && range->path != NULL, "a range without a name");
    must(range->rights <= VM_RIGHTS_NONE, "%s: no such rights", range->path);
    must(strlen(range->name) + strlen(range->path) < VM_DESCRIPTION_MAX_SIZE, "endless names");
}

static void check_guest_tree(const vm_description_t *description)
{
    cli_error_t error = {{0}};
    const dtb_chosen_t chosen = {.append = "added", .initrd = 0x42000000, .initrd_size = 0x1000};
    size_t size = 0;
    void *tree = dtb_strip(description, &chosen, &size, &error);
    if (tree == NULL) {
        check_message(&error);
        return;
    }
    must(fdt_check_full(tree, size) == 0, "the guest's tree is damaged");
    free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_vm(const vm_system_t *file, const vm_description_t *description)
{
    for (size_t i = 0; i < description->num_ranges; i++) {
        const vm_range_t *range = &description->ranges[i];
        check_range(range);
        must(range->backing != VM_BACKING_SHARED ||
                 (range->shared < file->num_shared &&
                  range->size == file->shared[range->shared].size),
             "%s shares nothing", range->path);
    }
    for (size_t i = 0; i < description->num_contents; i++) {
        const vm_content_t *content = &description->contents[i];
        must(content->range < description->num_ranges, "%s is in no range", content->file);
        must(content->offset < description->ranges[content->range].size, "%s is outside its range",
             content->file);
    }
    must(fdt_check_full(description->dtb, description->dtb_size) == 0, "a VM's tree is damaged");
    check_guest_tree(description);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    cli_error_t error = {{0}};
    vm_system_t *file = vm_system_parse(bytes, size, "fuzz", &error);
    if (file == NULL) {
        check_message(&error);
        return 0;
    }
    must(file->num_vms > 0, "no VM");
    for (size_t i = 0; i < file->num_vms; i++) {
        check_vm(file, file->vms[i]);
    }
    vm_system_free(file);
    return 0;
}
