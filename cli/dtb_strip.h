/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The device tree that the guest gets: the description without what is not for the guest. */

#include <stddef.h>
#include "description.h"

/** What /chosen says in the guest's tree beside what the description has there. */
typedef struct dtb_chosen {
    const char *append; /* comes after `bootargs`, with a blank between; or NULL */
    uint64_t initrd;    /* GPA of the description's initrd, if it has one */
    uint64_t initrd_size;
} dtb_chosen_t;

/**
 * Copy a description's tree without its `guestmem,...` properties and without the nodes that are
 * marked `guestmem,hidden` (and all below them). Nodes that got their address from an anonymous
 * region (`placed_by_library`) get a `reg` that says which, from the range's `base`. RAM right
 * below the root gets the `device_type` by which guests find their memory, if it has none.
 *
 * @param chosen  with a /chosen made if there is none; its values do not change the tree's size
 * @param size    receives the bytes
 * @param error   receives one line on failure
 * @return the flattened tree, to be freed; NULL if memory is exhausted or an address does not fit
 *         the parent's cells
 */
void *dtb_strip(const vm_description_t *description, const dtb_chosen_t *chosen, size_t *size,
                cli_error_t *error);
