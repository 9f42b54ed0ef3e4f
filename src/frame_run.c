/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* A run is one heap block. It is made with room for all frames that are expected to follow. */

#include "frame_run.h"

size_t frame_run_bytes(size_t capacity)
{
    return sizeof(frame_run_t) + capacity * sizeof(guest_frame_t);
}

frame_run_t *frame_run_create(heap_t *heap, const frame_t *frame, size_t capacity)
{
    frame_run_t *run = heap_alloc(heap, frame_run_bytes(capacity));
    if (run == NULL) {
        return NULL;
    }
    run->base = frame->base;
    run->count = 1;
    run->capacity = capacity;
    run->rights = frame->rights;
    run->size_bits = (uint8_t)frame->size_bits;
    run->cacheable = frame->cacheable;
    run->origin = frame->origin;
    run->frames[0] = frame->guest;
    return run;
}

void frame_run_destroy(heap_t *heap, frame_run_t *run)
{
    heap_free(heap, run, frame_run_bytes(run->capacity));
}

static bool same_rights(seL4_CapRights_t a, seL4_CapRights_t b)
{
    return seL4_CapRights_get_capAllowRead(a) == seL4_CapRights_get_capAllowRead(b) &&
           seL4_CapRights_get_capAllowWrite(a) == seL4_CapRights_get_capAllowWrite(b);
}

bool frame_run_append(frame_run_t *run, const frame_t *frame)
{
    if (run->count == run->capacity || frame->base != frame_run_last(run) + 1 ||
        frame->size_bits != run->size_bits || frame->origin != run->origin ||
        frame->cacheable != run->cacheable || !same_rights(frame->rights, run->rights)) {
        return false;
    }
    run->frames[run->count++] = frame->guest;
    return true;
}
