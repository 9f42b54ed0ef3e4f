/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The frames of one reservation: made all at once or a frame at each first fault, and ended whole.
 */

#include <stdbool.h>
#include <stdint.h>
#include <guestmem/policy.h>
#include "frame_source.h"
#include "vmm_window.h"

struct vm_memory_reservation_cookie;

typedef struct guest_mapping {
    frame_source_t source;
    uintptr_t first; /* the pages of the reservation */
    uintptr_t last;
    bool on_fault; /* frames that are missing are mapped at the guest's first access */
    bool ram;      /* it is of RAM, which the list of RAM knows */
    vmm_window_t window;
    uint64_t access; /* the access that opened the window, see guest_access.c */
} guest_mapping_t;

/**
 * Make the mapping of pages `[first, last]`, which nothing else occupies.
 *
 * @return NULL with the cause blamed, and nothing has changed
 * @see guest_mapping_destroy
 */
guest_mapping_t *guest_mapping_create(struct vm_memory_reservation_cookie *memory, uintptr_t first,
                                      uintptr_t last, const frame_source_t *source,
                                      guestmem_map_time_t map_time);

/** End a mapping: its window, its frames, the record. Cannot fail. */
void guest_mapping_destroy(struct vm_memory_reservation_cookie *memory, guest_mapping_t *mapping);

/** What guest_mapping_fault() found. */
typedef enum guest_mapping_fault {
    GUEST_MAPPING_PRESENT, /* there is a frame, so its rights forbid the access */
    GUEST_MAPPING_MAPPED,  /* the frame was mapped now */
    GUEST_MAPPING_FAILED,  /* it could not be mapped; the cause is blamed, and it is not tried again
                            */
} guest_mapping_fault_t;

/** Map the frame for an access to `gpa`, if it is missing and the mapping is on fault. */
guest_mapping_fault_t guest_mapping_fault(struct vm_memory_reservation_cookie *memory,
                                          guest_mapping_t *mapping, uintptr_t gpa);
