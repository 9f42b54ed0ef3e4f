/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* All operations on several VMs, in any order, against the model. */

#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
const char *__lsan_default_options(void);

/* The system lives on, and its page tables hide pointers; the census counts what is left. */
const char *__lsan_default_options(void)
{
    return "detect_leaks=0";
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static machine_t machine;
    if (machine.system == NULL) {
        machine_begin(&machine);
    }
    model_run(&machine, bytes, size, NULL);
    return 0;
}
