/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Kernel objects for a check, and short names for what checks do with them. All come from one
 * untyped of 8 MiB, which the fixture revokes and gives back, so a check frees nothing. An object
 * that cannot be made is an unmet expectation, and seL4_CapNull.
 */

#include "suite.h"

#define OBJECTS_BITS 23

/** An empty slot. */
seL4_CPtr new_slot(suite_t *suite);
/** An object of a kernel type. */
seL4_CPtr new_object(suite_t *suite, seL4_Word type, seL4_Word size_bits);
/** A frame of 12 or 21 bits. */
seL4_CPtr new_frame(suite_t *suite, unsigned size_bits);
seL4_CPtr new_table(suite_t *suite);
seL4_CPtr new_untyped(suite_t *suite, unsigned size_bits);
/** An address space with an ASID. */
seL4_CPtr new_space(suite_t *suite);
/** Tables for `vaddr`, so that a page of 2^bits bytes can be mapped there. */
void make_tables(suite_t *suite, seL4_CPtr space, seL4_Word vaddr, unsigned bits);

/** Revoke and give back everything. */
void objects_close(suite_t *suite);

/* Invocations on slots of the allocator. */
cspacepath_t path_of(suite_t *suite, seL4_CPtr slot);
seL4_Error map(seL4_CPtr frame, seL4_CPtr space, seL4_Word vaddr);
seL4_Error map_table(seL4_CPtr table, seL4_CPtr space, seL4_Word vaddr);
seL4_Error copy_cap(suite_t *suite, seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights);
seL4_Error mint_cap(suite_t *suite, seL4_CPtr dest, seL4_CPtr src, seL4_Word badge);
seL4_Error move_cap(suite_t *suite, seL4_CPtr dest, seL4_CPtr src);
seL4_Error delete_cap(suite_t *suite, seL4_CPtr slot);
seL4_Error revoke_cap(suite_t *suite, seL4_CPtr slot);
/** Retype one object into a slot. */
seL4_Error retype(suite_t *suite, seL4_CPtr untyped, seL4_Word type, seL4_Word size_bits,
                  seL4_CPtr slot);

/** Physical address of a frame. */
seL4_Word frame_paddr(suite_t *suite, seL4_CPtr frame);

/**
 * Whether a page of 2 MiB is mapped at `vaddr`, as the kernel knows it: a table cannot be put where
 * a page is. The table above must be there.
 */
bool large_page_at(suite_t *suite, seL4_CPtr space, seL4_Word vaddr);

/**
 * Map a frame of 4 KiB in the caller's own address space; NULL if that fails. When it is hidden
 * again, what was written is cleaned, so that a guest whose caches are off sees it.
 */
unsigned char *show_frame(suite_t *suite, seL4_CPtr frame);
void hide_frame(suite_t *suite, unsigned char *page);
