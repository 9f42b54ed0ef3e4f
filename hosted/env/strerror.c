/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The kernel's errors and faults by name. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sel4/sel4.h>
#include <sel4utils/strerror.h>
#include <utils/arith.h>

#define NAME(value) [value] = #value

const char *sel4_strerror(int errcode)
{
    static const char *const names[] = {
        NAME(seL4_NoError),          NAME(seL4_InvalidArgument),  NAME(seL4_InvalidCapability),
        NAME(seL4_IllegalOperation), NAME(seL4_RangeError),       NAME(seL4_AlignmentError),
        NAME(seL4_FailedLookup),     NAME(seL4_TruncatedMessage), NAME(seL4_DeleteFirst),
        NAME(seL4_RevokeFirst),      NAME(seL4_NotEnoughMemory),
    };
    return errcode >= 0 && (size_t)errcode < ARRAY_SIZE(names) ? names[errcode] : "no seL4 error";
}

const char *sel4_strfault(int errcode)
{
    static const char *const names[] = {
        NAME(seL4_Fault_NullFault),      NAME(seL4_Fault_CapFault),
        NAME(seL4_Fault_UnknownSyscall), NAME(seL4_Fault_UserException),
        NAME(seL4_Fault_VMFault),        NAME(seL4_Fault_VGICMaintenance),
        NAME(seL4_Fault_VCPUFault),      NAME(seL4_Fault_VPPIEvent),
    };
    bool known = errcode >= 0 && (size_t)errcode < ARRAY_SIZE(names) && names[errcode] != NULL;
    return known ? names[errcode] : "Unknown Fault";
}

void __sel4_error(int error, const char *file, const char *function, int line, char *text)
{
    fprintf(stderr, "seL4 Error: %s, function %s, file %s, line %d: %s\n", sel4_strerror(error),
            function, file, line, text);
    abort();
}
