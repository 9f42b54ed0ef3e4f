/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The state of the processor, kept and brought back. Unicorn's context has its registers, those
 * that no number reads as well; what stands beside it is what this engine knows better.
 */

#include "unicorn.h"
#include <stdlib.h>

typedef struct saved {
    uc_context *context;
    uint64_t counter;
    unicorn_engine_t engine; /* as it was; what belongs to the guest is taken from it */
} saved_t;

void *unicorn_save(engine_t *engine)
{
    unicorn_engine_t *self = (unicorn_engine_t *)engine;
    saved_t *saved = malloc(sizeof(*saved));

    if (saved == NULL || uc_context_alloc(self->uc, &saved->context) != UC_ERR_OK) {
        free(saved);
        return NULL;
    }
    uc_context_save(self->uc, saved->context);
    saved->counter = unicorn_counter(self);
    saved->engine = *self;
    return saved;
}

void unicorn_restore(engine_t *engine, const void *cookie)
{
    const saved_t *saved = cookie;
    const unicorn_engine_t *from = &saved->engine;
    unicorn_engine_t *self = (unicorn_engine_t *)engine;

    uc_context_restore(self->uc, saved->context);
    /* The number that flushes the TLB is in there too: it must not become that by itself. */
    unicorn_write_system(self->uc, unicorn_vttbr_el2, UNICORN_TABLES | (uint64_t)self->vmid << 48);
    self->stale_translations = true;
    unicorn_forget_page(self);
    if (self->budget_end != UINT64_MAX) { /* what is left of it is what is left */
        self->budget_end += from->instructions - self->instructions;
    }
    self->instructions = from->instructions;
    self->slept = from->slept;
    self->may_narrow = from->may_narrow;
    self->narrow = from->narrow;
    self->context = from->context;
    for (int i = 0; i < seL4_VCPUReg_Num; i++) {
        self->registers[i] = from->registers[i];
    }
    self->vector = from->vector;
    self->flags = from->flags;
    self->flags_changed = from->flags_changed;
    self->syndrome = from->syndrome;
    self->fault_address = from->fault_address;
    unicorn_set_counter(self, saved->counter);
}

void unicorn_free_saved(void *cookie)
{
    saved_t *saved = cookie;

    if (saved != NULL) {
        uc_context_free(saved->context);
        free(saved);
    }
}
