/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Why calls fail: what is noted where it is seen, and the one log line that is made of it. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utils/util.h>
#include "vm_memory.h"

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
    [GUESTMEM_IN_ITERATOR] = "in iterator",
    [GUESTMEM_NO_RIGHT] = "no right",
};

#define LOGGED_ALWAYS 8 /* errors of a kind that a guest causes */

static const guestmem_error_t not_initialised = {
    .code = GUESTMEM_NOT_INITIALISED,
    .function = "",
    .message = "the VM is NULL, or vm_memory_init() has not succeeded for it",
};

/*@ assigns \nothing;
 */
const char *guestmem_error_name(guestmem_error_code_t code)
{
    return (size_t)code < ARRAY_SIZE(error_names) ? error_names[code] : "unknown";
}

const guestmem_error_t *guestmem_last_error(const vm_t *vm)
{
    return vm != NULL && vm->mem.reservation_cookie != NULL ? &vm->mem.reservation_cookie->error
                                                            : &not_initialised;
}

static int fail(gm_memory_t *memory, gm_failure_t failure, const char *format, va_list arguments)
{
    memory->failure = failure;
    vsnprintf(memory->failure.text, sizeof(memory->failure.text), format, arguments);
    return -1;
}

int gm_fail(gm_memory_t *memory, guestmem_error_code_t code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(memory, (gm_failure_t){.code = code}, format, arguments);
    va_end(arguments);
    return -1;
}

int gm_fail_kernel(gm_memory_t *memory, seL4_Error error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(memory, (gm_failure_t){.code = GUESTMEM_KERNEL, .kernel_error = error}, format, arguments);
    va_end(arguments);
    return -1;
}

int gm_fail_range(gm_memory_t *memory, guestmem_error_code_t code, uintptr_t base, uintptr_t last,
                  const char *name, const char *text, const char *advice)
{
    gm_fail(memory, code, "%s", text);
    memory->failure.other_base = base;
    memory->failure.other_last = last;
    memory->failure.other_name = name;
    memory->failure.advice = advice;
    return -1;
}

/*@ assigns \nothing;
 */
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

int gm_note(gm_memory_t *memory, const char *function, uintptr_t base, uintptr_t last)
{
    const gm_failure_t *failure = &memory->failure;
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
        snprintf(kernel, sizeof(kernel), " (the kernel returned %s)",
                 kernel_error_name(failure->kernel_error));
    }
    snprintf(error->message, sizeof(error->message),
             "%s [0x%" PRIxPTR "..0x%" PRIxPTR "]: %s%s%s%.80s%s", function, base, last,
             failure->text, other, failure->advice != NULL ? "; " : "",
             failure->advice != NULL ? failure->advice : "", kernel);
    return -1;
}

int gm_report(gm_memory_t *memory, const char *function, uintptr_t base, uintptr_t last)
{
    gm_note(memory, function, base, last);
    ZF_LOGE("%s", memory->error.message);
    return -1;
}

/* There is no clock here. Of each kind of error the first few are logged, and then each one that
 * doubles their number: a million make 20 lines. */
int gm_report_guest(gm_memory_t *memory, const char *function, uintptr_t base, uintptr_t last)
{
    uint32_t *errors = &memory->guest_errors[memory->failure.code];
    *errors += *errors < UINT32_MAX;
    gm_note(memory, function, base, last);
    if (*errors < LOGGED_ALWAYS) {
        ZF_LOGE("%s", memory->error.message);
    } else if ((*errors & (*errors - 1)) == 0) {
        ZF_LOGE("%s (error %" PRIu32 " of this kind; the next that is logged is error %" PRIu64 ")",
                memory->error.message, *errors, (uint64_t)*errors * 2);
    } else {
        memory->counts.errors_not_logged++;
    }
    return -1;
}

gm_memory_t *gm_memory_refuse(const vm_t *vm, const char *function)
{
    gm_memory_t *memory = vm != NULL ? vm->mem.reservation_cookie : NULL;
    if (memory == NULL) {
        ZF_LOGE("%s: %s; call vm_init() first", function, not_initialised.message);
        return NULL;
    }
    gm_fail(memory, GUESTMEM_IN_ITERATOR,
            "a map iterator of this VM is running; it must not call the library for the same VM");
    gm_report(memory, function, 0, 0);
    return NULL;
}
