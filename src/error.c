/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Failures: where something goes wrong, the cause is noted (blame); the public function that fails
 * for it reports once, with its own name and range. So there is one line a failure, and it knows
 * both what was asked and what went wrong.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utils/util.h>
#include "memory.h"

static const char *const error_names[] = {
    [GUESTMEM_OK] = "ok",
    [GUESTMEM_BAD_ARGUMENT] = "bad argument",
    [GUESTMEM_BAD_RANGE] = "bad range",
    [GUESTMEM_MISALIGNED] = "misaligned",
    [GUESTMEM_OVERLAP] = "overlap",
    [GUESTMEM_PAGE_SHARED] = "page shared",
    [GUESTMEM_ALREADY_MAPPED] = "already mapped",
    [GUESTMEM_NO_RESERVATION] = "no reservation",
    [GUESTMEM_BAD_FRAME] = "bad frame",
    [GUESTMEM_NOT_MAPPED] = "not mapped",
    [GUESTMEM_NOT_RAM] = "not RAM",
    [GUESTMEM_NO_HEAP] = "no heap",
    [GUESTMEM_NO_SLOT] = "no slot",
    [GUESTMEM_NO_FRAME] = "no frame",
    [GUESTMEM_NO_TABLE] = "no table",
    [GUESTMEM_NO_ADDRESS] = "no address",
    [GUESTMEM_KERNEL] = "kernel",
    [GUESTMEM_NOT_INITIALISED] = "not initialised",
};

static const guestmem_error_t not_initialised = {
    .code = GUESTMEM_NOT_INITIALISED,
    .function = "",
    .message = "the VM is NULL, or vm_memory_init() has not succeeded for it",
};

const char *guestmem_error_name(guestmem_error_code_t code)
{
    return (size_t)code < ARRAY_SIZE(error_names) ? error_names[code] : "unknown";
}

const guestmem_error_t *guestmem_last_error(const vm_t *vm)
{
    return vm != NULL && vm->mem.reservation_cookie != NULL ? &vm->mem.reservation_cookie->error
                                                            : &not_initialised;
}

vm_memory_t *memory_missing(const char *function)
{
    ZF_LOGE("%s: %s; call vm_init() first", function, not_initialised.message);
    return NULL;
}

static void set_failure(vm_memory_t *memory, guestmem_error_code_t code, seL4_Error kernel_error)
{
    memory->failure = (memory_failure_t){.code = code, .kernel_error = kernel_error};
}

int memory_blame(vm_memory_t *memory, guestmem_error_code_t code, const char *format, ...)
{
    va_list arguments;
    set_failure(memory, code, seL4_NoError);
    va_start(arguments, format);
    vsnprintf(memory->failure.text, sizeof(memory->failure.text), format, arguments);
    va_end(arguments);
    return -1;
}

int memory_blame_kernel(vm_memory_t *memory, seL4_Error error, const char *format, ...)
{
    va_list arguments;
    set_failure(memory, GUESTMEM_KERNEL, error);
    va_start(arguments, format);
    vsnprintf(memory->failure.text, sizeof(memory->failure.text), format, arguments);
    va_end(arguments);
    return -1;
}

int memory_blame_other(vm_memory_t *memory, guestmem_error_code_t code, uintptr_t base,
                       uintptr_t last, const char *name, const char *text, const char *advice)
{
    memory_blame(memory, code, "%s", text);
    memory->failure.other_base = base;
    memory->failure.other_last = last;
    memory->failure.other_name = name;
    memory->failure.advice = advice;
    return -1;
}

static const char *kernel_error_name(seL4_Error error)
{
    static const char *const names[] = {
        [seL4_NoError] = "NoError",
        [seL4_InvalidArgument] = "InvalidArgument",
        [seL4_InvalidCapability] = "InvalidCapability",
        [seL4_IllegalOperation] = "IllegalOperation",
        [seL4_RangeError] = "RangeError",
        [seL4_AlignmentError] = "AlignmentError",
        [seL4_FailedLookup] = "FailedLookup",
        [seL4_TruncatedMessage] = "TruncatedMessage",
        [seL4_DeleteFirst] = "DeleteFirst",
        [seL4_RevokeFirst] = "RevokeFirst",
        [seL4_NotEnoughMemory] = "NotEnoughMemory",
    };
    return (size_t)error < ARRAY_SIZE(names) ? names[error] : "an unknown error";
}

int memory_report(vm_memory_t *memory, const char *function, uintptr_t base, uintptr_t last)
{
    const memory_failure_t *failure = &memory->failure;
    guestmem_error_t *error = &memory->error;
    char other[96] = "";
    char kernel[48] = "";

    *error = (guestmem_error_t){
        .code = failure->code,
        .function = function,
        .base = base,
        .last = last,
        .other_base = failure->other_base,
        .other_last = failure->other_last,
        .kernel_error = failure->kernel_error,
    };
    if (failure->other_base != 0 || failure->other_last != 0) {
        if (failure->other_name != NULL) {
            snprintf(error->other_name, sizeof(error->other_name), "%s", failure->other_name);
        }
        snprintf(other, sizeof(other), " [0x%" PRIxPTR "..0x%" PRIxPTR "]%s%s", failure->other_base,
                 failure->other_last, error->other_name[0] ? " " : "", error->other_name);
    }
    if (failure->kernel_error != seL4_NoError) {
        snprintf(kernel, sizeof(kernel), " (the kernel answered %s)",
                 kernel_error_name(failure->kernel_error));
    }
    snprintf(error->message, sizeof(error->message),
             "%s [0x%" PRIxPTR "..0x%" PRIxPTR "]: %s%s%s%.80s%s", function, base, last,
             failure->text, other, failure->advice != NULL ? "; " : "",
             failure->advice != NULL ? failure->advice : "", kernel);
    ZF_LOGE("%s", error->message);
    return -1;
}

bool memory_check_reservation(vm_memory_t *memory, const vm_memory_reservation_t *reservation)
{
    if (!reservation_pool_holds(&memory->pool, reservation)) {
        memory_blame(memory, GUESTMEM_NO_RESERVATION,
                     "%p is no reservation of this VM (NULL, freed, or another VM's)",
                     (const void *)reservation);
        return false;
    }
    return true;
}

bool memory_check_range(vm_memory_t *memory, uintptr_t addr, size_t size, uintptr_t *last)
{
    if (size == 0) {
        memory_blame(memory, GUESTMEM_BAD_RANGE, "the size is 0; give at least one byte");
        return false;
    }
    *last = addr + (size - 1);
    if (*last < addr) {
        memory_blame(memory, GUESTMEM_BAD_RANGE,
                     "0x%zx bytes from there wrap at the top of the address space", size);
        *last = UINTPTR_MAX;
        return false;
    }
    return true;
}
