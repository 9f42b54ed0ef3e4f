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

seL4_Word *engine_register(seL4_UserContext *regs, unsigned number)
{
    seL4_Word *const registers[] = {
        &regs->x0,  &regs->x1,  &regs->x2,  &regs->x3,  &regs->x4,  &regs->x5,  &regs->x6,
        &regs->x7,  &regs->x8,  &regs->x9,  &regs->x10, &regs->x11, &regs->x12, &regs->x13,
        &regs->x14, &regs->x15, &regs->x16, &regs->x17, &regs->x18, &regs->x19, &regs->x20,
        &regs->x21, &regs->x22, &regs->x23, &regs->x24, &regs->x25, &regs->x26, &regs->x27,
        &regs->x28, &regs->x29, &regs->x30,
    };
    return number < ENGINE_ZERO_REGISTER ? registers[number] : NULL;
}
