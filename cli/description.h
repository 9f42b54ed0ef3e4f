/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * VM descriptions: what a device tree with `guestmem,...` properties says of a VM, or of several,
 * as a plain model. The binding is documented in docs/vm-description.md.
 *
 * Pure: no seL4 types, no files, no output. Any bytes may be given to vm_system_parse().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

/** How a range is backed: the value of `guestmem,backing`. */
typedef enum vm_backing {
    VM_BACKING_RAM,             /* "ram": vm_ram_register_at() with free memory */
    VM_BACKING_RAM_UNTYPED,     /* "ram-untyped": vm_ram_register_at() with memory 1:1 */
    VM_BACKING_FRAMES,          /* "frames": map_frame_alloc_reservation() */
    VM_BACKING_UNTYPED,         /* "untyped": map_ut_alloc_reservation() */
    VM_BACKING_UNTYPED_AT,      /* "untyped-at": map_ut_alloc_reservation_with_base_paddr() */
    VM_BACKING_MAYBE_DEVICE,    /* "maybe-device": map_maybe_device_reservation() */
    VM_BACKING_ALLOCATED_FRAME, /* "allocated-frame": create_allocated_reservation_frame() */
    VM_BACKING_DEVICE_FRAME,    /* "device-frame": create_device_reservation_frame() */
    VM_BACKING_EMULATED,        /* "emulated": a reservation and a device's callback */
    VM_BACKING_ANONYMOUS,       /* "anonymous": vm_memory_make_anon() */
    VM_BACKING_SHARED,          /* "shared": memory of the system's, by guestmem_share() */
    VM_NUM_BACKINGS
} vm_backing_t;

/** What the guest may do with a single frame or shared memory: the value of `guestmem,rights`. */
typedef enum vm_rights {
    VM_RIGHTS_READ_WRITE, /* "rw", the default */
    VM_RIGHTS_READ_ONLY,  /* "ro" */
    VM_RIGHTS_NONE        /* "none" */
} vm_rights_t;

/** One entry of a node's `reg`. Strings live as long as the description. */
typedef struct vm_range {
    uint64_t base; /* first GPA; 0 where `placed_by_library` */
    uint64_t size; /* bytes, at least 1; base + size - 1 does not wrap */
    vm_backing_t backing;
    vm_rights_t rights;
    uint64_t paddr;         /* with VM_BACKING_UNTYPED_AT */
    size_t shared;          /* with VM_BACKING_SHARED: index of the memory */
    bool on_fault;          /* mapped a frame at a time, at first access */
    bool placed_by_library; /* `guestmem,size` instead of `reg`: at an anonymous region's address */
    char *name;             /* the node's name; entries after the first have "[1]", "[2]", ... */
    char *path;             /* the node's path */
    const char *device;     /* `guestmem,device`, or NULL */
    const char *file;       /* `guestmem,file`: what the device works on, or NULL */
    bool read_only;         /* `guestmem,read-only`: the device does not write it */
    int node;               /* the node's offset in `dtb`, and which entry of `reg` this is */
    unsigned entry;
} vm_range_t;

/** What is in a range's memory before the guest starts. */
typedef enum vm_content_kind {
    VM_CONTENT_FILE,   /* `guestmem,load` */
    VM_CONTENT_TREE,   /* `guestmem,device-tree` */
    VM_CONTENT_INITRD, /* `guestmem,initrd` */
    VM_NUM_CONTENT_KINDS
} vm_content_kind_t;

/** A file or tree of a range. Its name lives as long as the description. */
typedef struct vm_content {
    const char *file; /* of VM_CONTENT_TREE: "self" for the guest's view of the description */
    size_t range;     /* index of the range */
    uint64_t offset;  /* in the range, and less than its size */
    vm_content_kind_t kind;
    bool has_offset; /* false for an initrd that is placed where there is room */
} vm_content_t;

#define VM_MAX_ENTRY_REGISTERS 4

/** Memory that VMs share: a node below the root with `guestmem,shared`. */
typedef struct vm_shared {
    char *name;     /* the node's */
    uint64_t size;  /* `guestmem,size`: bytes, a multiple of 4 KiB */
    uint64_t paddr; /* `guestmem,paddr`, if it has one: a multiple of 4 KiB */
    bool has_paddr;
    uint32_t phandle; /* 0: no VM refers to it */
} vm_shared_t;

typedef struct vm_description {
    char *file; /* as given to vm_system_parse(), for messages */
    char *name; /* the VM's node, where the file has several VMs; else NULL */
    void *dtb;  /* a copy of the tree: the VM's own, which begins with its node as the root */
    size_t dtb_size;
    const char *model;                  /* root `model`, or NULL */
    const char *board;                  /* `guestmem,board`, or NULL; several VMs have the file's */
    const char *engine;                 /* `guestmem,engine`, or NULL */
    uint64_t entry;                     /* `guestmem,entry`: first program counter */
    uint64_t x[VM_MAX_ENTRY_REGISTERS]; /* `guestmem,x0` ...: first register values */
    bool has_entry;                     /* there is `guestmem,entry` */
    bool has_x0;                        /* there is `guestmem,x0` */
    vm_range_t *ranges;                 /* in the order of the tree */
    size_t num_ranges;
    vm_content_t *contents; /* in the order of the tree */
    size_t num_contents;
    const vm_content_t *initrd; /* of `contents`, or NULL */
} vm_description_t;

/** All VMs of a file, and what they share. */
typedef struct vm_system {
    vm_description_t **vms; /* in the order of the tree */
    size_t num_vms;         /* at least 1 */
    vm_shared_t *shared;    /* each with a VM that has it */
    size_t num_shared;
    void *dtb; /* the whole tree */
} vm_system_t;

/** Largest tree that is accepted. */
#define VM_DESCRIPTION_MAX_SIZE (4u << 20)

/**
 * Whether all of a flattened device tree can be read.
 *
 * @param size  bytes of it; a tree that claims more is refused as truncated
 * @param file  name for messages
 * @return 0; -1 with an error
 */
int vm_tree_check(const void *dtb, size_t size, const char *file, cli_error_t *error);

/**
 * Read a description from a flattened device tree.
 *
 * @param dtb    the tree; only read during the call
 * @param size   bytes of it; a tree that claims more is refused as truncated
 * @param file   name for messages
 * @param error  receives one line on failure
 * @return to be freed with vm_system_free(); NULL if the tree is damaged, a property has a wrong
 *         type or value, or memory is exhausted
 */
vm_system_t *vm_system_parse(const void *dtb, size_t size, const char *file, cli_error_t *error);

/** Free all VMs and what they share. NULL is allowed. */
void vm_system_free(vm_system_t *system);

/** The property that names a content's file, and the one that says where it is in its range. */
const char *vm_content_property(vm_content_kind_t kind);
const char *vm_content_offset_property(vm_content_kind_t kind);

/** A backing's name in `guestmem,backing`. */
const char *vm_backing_name(vm_backing_t backing);

/**
 * Describe what is wrong with a range: `file: node: property [first, last]: reason`.
 *
 * @param property  the property to look at, e.g. "reg"
 * @return -1
 */
int vm_range_error(const vm_description_t *description, const vm_range_t *range,
                   const char *property, cli_error_t *error, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
