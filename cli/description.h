/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A VM description: what a device tree with `guestmem,...` properties says, as a plain model. The
 * binding is documented in docs/vm-description.md.
 *
 * Pure: no seL4 types, no files, no output. Any bytes may be given to vm_description_parse().
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
    VM_NUM_BACKINGS
} vm_backing_t;

/** What the guest may do with a single-frame backing: the value of `guestmem,rights`. */
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

typedef struct vm_description {
    char *file; /* as given to vm_description_parse(), for messages */
    void *dtb;  /* a copy of the tree */
    size_t dtb_size;
    const char *model;                  /* root `model`, or NULL */
    const char *board;                  /* `guestmem,board`, or NULL */
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

/** Largest tree that is accepted. */
#define VM_DESCRIPTION_MAX_SIZE (4u << 20)

/**
 * Read a description from a flattened device tree.
 *
 * @param dtb    the tree; only read during the call
 * @param size   bytes of it; a tree that claims more is refused as truncated
 * @param file   name for messages
 * @param error  receives one line on failure
 * @return the description, to be freed with vm_description_free(); NULL if the tree is damaged, a
 *         property has a wrong type or value, or memory is exhausted
 */
vm_description_t *vm_description_parse(const void *dtb, size_t size, const char *file,
                                       cli_error_t *error);

/** Free a description. NULL is allowed. */
void vm_description_free(vm_description_t *description);

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
