/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the reading of a description's file: that the tree is whole, which VMs it has, and what they
 * share. Where nodes below the root have `guestmem,vm`, each is a VM, whose tree has that node as
 * its root; else the whole tree is one VM's.
 */

#include "description.h"
#include "description_internal.h"

#include <inttypes.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

/* Of the format of flattened device trees; dtc writes 17. */
#define OLDEST_VERSION 16

enum { PAGE = 0x1000 };

/**
 * Whether the value of each property lies inside the tree: fdt_check_full() of libfdt 1.6.1 takes a
 * length of nearly 2^32 for a small negative one.
 */
static bool properties_fit(const void *dtb)
{
    int size = (int)(fdt_totalsize(dtb) - fdt_off_dt_struct(dtb)); /* version 16 has no other */
    int next = 0;

    for (;;) {
        int offset = next;
        uint32_t tag = fdt_next_tag(dtb, offset, &next);
        if (tag == FDT_END) {
            return next > offset; /* otherwise `next` is an error */
        }
        if (tag == FDT_PROP) {
            int length;
            if (fdt_get_property_by_offset(dtb, offset, &length) == NULL || length < 0 ||
                length > size - offset) {
                return false;
            }
        }
        if (next <= offset) {
            return false;
        }
    }
}

int vm_tree_check(const void *dtb, size_t size, const char *file, cli_error_t *error)
{
    int result;

    if (size < sizeof(struct fdt_header)) {
        return cli_error_set(error,
                             "%s: truncated: %zu bytes are less than a device tree's header of %zu",
                             file, size, sizeof(struct fdt_header));
    }
    if (fdt_magic(dtb) != FDT_MAGIC) {
        return cli_error_set(error, "%s: not a flattened device tree (it starts with 0x%08x)", file,
                             fdt_magic(dtb));
    }
    if (fdt_totalsize(dtb) > size) {
        return cli_error_set(error,
                             "%s: truncated: the device tree says %u bytes, the file has %zu", file,
                             fdt_totalsize(dtb), size);
    }
    if (fdt_totalsize(dtb) > VM_DESCRIPTION_MAX_SIZE) {
        return cli_error_set(error, "%s: the device tree has %u bytes, %u are allowed", file,
                             fdt_totalsize(dtb), VM_DESCRIPTION_MAX_SIZE);
    }
    /* In older trees nodes have their whole path as name, and libfdt 1.6.1 takes that for granted.
     */
    if (fdt_version(dtb) < OLDEST_VERSION) {
        return cli_error_set(error, "%s: the device tree has version %u, %d and later are read",
                             file, fdt_version(dtb), OLDEST_VERSION);
    }
    result = fdt_check_full(dtb, size);
    if (result != 0) {
        return cli_error_set(error, "%s: the device tree is damaged: %s", file,
                             fdt_strerror(result));
    }
    if (!properties_fit(dtb)) {
        return cli_error_set(error, "%s: the device tree is damaged: a property is larger than it",
                             file);
    }
    return 0;
}

static bool has(const void *dtb, int node, const char *property)
{
    return fdt_getprop(dtb, node, property, NULL) != NULL;
}

/**
 * The tree of which a node is the root: what is between the node's name and its end, with the
 * strings of the whole tree.
 *
 * @return to be freed with free(); NULL if memory is exhausted
 */
static void *tree_below(const void *dtb, int node)
{
    static const fdt32_t root[2] = {0}; /* FDT_BEGIN_NODE is put in below; the name is empty */
    int begin;
    int next;
    int depth = 1;

    fdt_next_tag(dtb, node, &begin);
    for (next = begin; depth > 0;) {
        uint32_t tag = fdt_next_tag(dtb, next, &next);
        depth += tag == FDT_BEGIN_NODE ? 1 : tag == FDT_END_NODE ? -1 : 0;
    }
    size_t inside = (size_t)(next - begin);
    size_t reserved = sizeof(struct fdt_reserve_entry); /* none, which one of zeroes says */
    size_t structure = sizeof(struct fdt_header) + reserved;
    size_t strings = structure + sizeof(root) + inside + sizeof(fdt32_t);
    size_t size = strings + fdt_size_dt_strings(dtb);
    char *tree = calloc(1, size);
    if (tree == NULL) {
        return NULL;
    }
    fdt_set_magic(tree, FDT_MAGIC);
    fdt_set_totalsize(tree, (uint32_t)size);
    fdt_set_off_mem_rsvmap(tree, sizeof(struct fdt_header));
    fdt_set_off_dt_struct(tree, (uint32_t)structure);
    fdt_set_size_dt_struct(tree, (uint32_t)(strings - structure));
    fdt_set_off_dt_strings(tree, (uint32_t)strings);
    fdt_set_size_dt_strings(tree, fdt_size_dt_strings(dtb));
    fdt_set_version(tree, 17);
    fdt_set_last_comp_version(tree, 16);
    fdt32_st(tree + structure, FDT_BEGIN_NODE);
    memcpy(tree + structure + sizeof(root), (const char *)dtb + fdt_off_dt_struct(dtb) + begin,
           inside);
    fdt32_st(tree + strings - sizeof(fdt32_t), FDT_END);
    memcpy(tree + strings, (const char *)dtb + fdt_off_dt_strings(dtb), fdt_size_dt_strings(dtb));
    return tree;
}

/* The whole tree. */

/** Refuse `guestmem,` properties of a node that is in no VM, but for those in a list. */
static int only(const vm_node_t *node, const char *const *known)
{
    const void *dtb = node->description->dtb;
    int property;

    fdt_for_each_property_offset(property, dtb, node->offset)
    {
        const char *name;
        const char *const *one = known;
        if (fdt_getprop_by_offset(dtb, property, &name, NULL) == NULL ||
            strncmp(name, "guestmem,", 9) != 0) {
            continue;
        }
        while (*one != NULL && strcmp(*one, name) != 0) {
            one++;
        }
        if (*one == NULL) {
            return vm_node_error(
                node, name, "has no effect there: put it in one of the nodes with guestmem,vm");
        }
    }
    return 0;
}

/** Refuse all that a node, which is in no VM, and what is below it say for guestmem. */
static int nothing_below(const vm_node_t *node, unsigned depth)
{
    static const char *const none[] = {NULL};
    const void *dtb = node->description->dtb;
    int child;

    if (depth > VM_DESCRIPTION_MAX_DEPTH) {
        return vm_node_error(node, "node", "nested deeper than %d nodes", VM_DESCRIPTION_MAX_DEPTH);
    }
    if (only(node, none) != 0) {
        return -1;
    }
    fdt_for_each_subnode(child, dtb, node->offset)
    {
        vm_node_t below = *node;
        below.parent = node;
        below.offset = child;
        below.name = fdt_get_name(dtb, child, NULL);
        if (nothing_below(&below, depth + 1) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_shared(const vm_node_t *node, vm_system_t *system)
{
    static const char *const known[] = {"guestmem,shared", "guestmem,size", "guestmem,paddr", NULL};
    const void *dtb = node->description->dtb;
    vm_shared_t *shared =
        realloc(system->shared, (system->num_shared + 1) * sizeof(*system->shared));
    bool has_size;

    if (shared == NULL) {
        return cli_error_set(node->error, "%s: out of memory", node->description->file);
    }
    system->shared = shared;
    shared += system->num_shared++;
    *shared =
        (vm_shared_t){.name = strdup(node->name), .phandle = fdt_get_phandle(dtb, node->offset)};
    if (shared->name == NULL) {
        return cli_error_set(node->error, "%s: out of memory", node->description->file);
    }
    if (only(node, known) != 0 ||
        vm_node_number(node, "guestmem,size", &shared->size, &has_size) != 0 ||
        vm_node_number(node, "guestmem,paddr", &shared->paddr, &shared->has_paddr) != 0) {
        return -1;
    }
    if (shared->size == 0 || shared->size % PAGE != 0) {
        return vm_node_error(node, "guestmem,size", "must be a multiple of 4 KiB, and more than 0");
    }
    if (shared->paddr % PAGE != 0 || shared->paddr > UINT64_MAX - (shared->size - 1)) {
        return vm_node_error(
            node, "guestmem,paddr",
            "0x%" PRIx64 " must be a multiple of 4 KiB, and not wrap with the size", shared->paddr);
    }
    return 0;
}

static int add_vm(vm_system_t *system, void *dtb, const char *file, const char *name,
                  cli_error_t *error)
{
    vm_description_t **vms = realloc(system->vms, (system->num_vms + 1) * sizeof(*system->vms));

    if (vms == NULL) {
        free(dtb);
        return cli_error_set(error, "%s: out of memory", file);
    }
    system->vms = vms;
    vms[system->num_vms] = vm_description_read(dtb, file, name, system, error);
    if (vms[system->num_vms] == NULL) {
        return -1;
    }
    system->num_vms++;
    return 0;
}

/** Whether a VM shares the memory. */
static bool has_user(const vm_system_t *system, size_t shared)
{
    for (size_t i = 0; i < system->num_vms; i++) {
        const vm_description_t *vm = system->vms[i];
        for (size_t j = 0; j < vm->num_ranges; j++) {
            if (vm->ranges[j].backing == VM_BACKING_SHARED && vm->ranges[j].shared == shared) {
                return true;
            }
        }
    }
    return false;
}

/** Which nodes of the root's children are read. */
typedef enum kind { SHARED, VM } kind_t;

/** Read the nodes of a kind; what is neither must say nothing. */
static int read_nodes(const vm_node_t *root, vm_system_t *system, kind_t kind)
{
    const char *file = root->description->file;
    const void *dtb = system->dtb;
    int child;

    fdt_for_each_subnode(child, dtb, 0)
    {
        vm_node_t node = *root;
        int result = 0;
        bool is_vm = has(dtb, child, "guestmem,vm");
        bool is_shared = !is_vm && has(dtb, child, "guestmem,shared");
        node.parent = root;
        node.offset = child;
        node.name = fdt_get_name(dtb, child, NULL);
        if (vm_node_is_off(dtb, child)) {
            continue;
        }
        if ((is_vm || is_shared) &&
            (vm_node_name(&node) != 0 ||
             vm_node_flag(&node, is_vm ? "guestmem,vm" : "guestmem,shared") != 0)) {
            return -1;
        }
        if (is_vm && kind == VM) {
            void *tree = tree_below(dtb, child);
            result = tree != NULL ? add_vm(system, tree, file, node.name, root->error)
                                  : cli_error_set(root->error, "%s: out of memory", file);
        } else if (is_shared && kind == SHARED) {
            result = read_shared(&node, system);
        } else if (!is_vm && !is_shared && kind == SHARED) {
            result = nothing_below(&node, 1);
        }
        if (result != 0) {
            return -1;
        }
    }
    return 0;
}

/** Read a tree whose nodes below the root are VMs. */
static int read_several(vm_system_t *system, const char *file, cli_error_t *error)
{
    static const char *const known[] = {"guestmem,board", NULL};
    vm_description_t whole = {.file = (char *)file, .dtb = system->dtb};
    vm_node_t root = {.description = &whole, .name = "", .error = error};
    const char *board;

    if (only(&root, known) != 0 || vm_node_string(&root, "guestmem,board", &board) != 0 ||
        read_nodes(&root, system, SHARED) != 0 || read_nodes(&root, system, VM) != 0) {
        return -1;
    }
    for (size_t i = 0; i < system->num_shared; i++) {
        if (!has_user(system, i)) {
            return cli_error_set(error, "%s: /%s: guestmem,shared: no VM has it", file,
                                 system->shared[i].name);
        }
    }
    for (size_t i = 0; i < system->num_vms; i++) {
        system->vms[i]->board = board;
    }
    return system->num_vms > 0
               ? 0
               : cli_error_set(error, "%s: all nodes with guestmem,vm are switched off", file);
}

static bool has_vm_nodes(const void *dtb)
{
    int child;

    fdt_for_each_subnode(child, dtb, 0)
    {
        if (has(dtb, child, "guestmem,vm")) {
            return true;
        }
    }
    return false;
}

static int read_system(vm_system_t *system, const void *dtb, size_t size, const char *file,
                       cli_error_t *error)
{
    void *tree;

    /* libfdt wants 8-byte alignment, which a caller's buffer may lack. */
    system->dtb = calloc(1, size + 1);
    if (system->dtb == NULL) {
        return cli_error_set(error, "%s: out of memory", file);
    }
    if (size > 0) {
        memcpy(system->dtb, dtb, size);
    }
    if (vm_tree_check(system->dtb, size, file, error) != 0) {
        return -1;
    }
    if (has_vm_nodes(system->dtb)) {
        return read_several(system, file, error);
    }
    tree = system->dtb;
    system->dtb = NULL;
    return add_vm(system, tree, file, NULL, error);
}

vm_system_t *vm_system_parse(const void *dtb, size_t size, const char *file, cli_error_t *error)
{
    vm_system_t *system = calloc(1, sizeof(*system));

    if (system == NULL) {
        cli_error_set(error, "%s: out of memory", file);
        return NULL;
    }
    if (read_system(system, dtb, size, file, error) != 0) {
        vm_system_free(system);
        return NULL;
    }
    return system;
}

void vm_system_free(vm_system_t *system)
{
    if (system == NULL) {
        return;
    }
    for (size_t i = 0; i < system->num_vms; i++) {
        vm_description_free(system->vms[i]);
    }
    for (size_t i = 0; i < system->num_shared; i++) {
        free(system->shared[i].name);
    }
    free(system->vms);
    free(system->shared);
    free(system->dtb);
    free(system);
}
