/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Deleting the last capability of a table uninstalls it, so there is no step for that. */

#include "table_object.h"
#include <vka/capops.h>
#include "memory.h"

int table_object_alloc(vm_memory_t *memory, const arch_table_t *kind, table_object_t *object)
{
    vka_t *vka = memory->vm->vka;
    cspacepath_t path;
    if (vka_cspace_alloc_path(vka, &path) != 0) {
        return memory_blame(memory, GUESTMEM_NO_SLOT,
                            "the allocator has no capability slot for a page table; give it a "
                            "larger CSpace");
    }
    memory->counts.object_allocations++;
    if (vka_utspace_alloc(vka, &path, kind->type, kind->bits, &object->cookie) != 0) {
        vka_cspace_free_path(vka, path);
        return memory_blame(memory, GUESTMEM_NO_TABLE,
                            "the allocator has no memory for a page table; give it more untyped "
                            "memory");
    }
    object->cap = path.capPtr;
    return 0;
}

void table_object_free(vm_memory_t *memory, const arch_table_t *kind, const table_object_t *object)
{
    vka_t *vka = memory->vm->vka;
    cspacepath_t path;
    vka_cspace_make_path(vka, object->cap, &path);
    memory->counts.cap_deletes++;
    if (vka_cnode_delete(&path) != seL4_NoError) {
        return; /* the slot is not free, and the table in use */
    }
    vka_cspace_free_path(vka, path);
    vka_utspace_free(vka, kind->type, kind->bits, object->cookie);
}
