/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Which engines this build has. */

#include "engine.h"
#include <string.h>

#ifdef GUESTMEM_HAVE_UNICORN
extern const engine_class_t engine_unicorn;
#endif

static const engine_class_t *const engines[] = {
#ifdef GUESTMEM_HAVE_UNICORN
    &engine_unicorn,
#endif
    NULL,
};

const engine_class_t *engine_find(const char *name)
{
    for (size_t i = 0; engines[i] != NULL; i++) {
        if (name == NULL || strcmp(engines[i]->name, name) == 0) {
            return engines[i];
        }
    }
    return NULL;
}

const char *engine_name(size_t index)
{
    size_t count = sizeof(engines) / sizeof(engines[0]);
    return index < count && engines[index] != NULL ? engines[index]->name : NULL;
}
