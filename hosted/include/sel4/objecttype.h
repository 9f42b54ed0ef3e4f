/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Object types for seL4_Untyped_Retype(), numbered as the kernel of <sel4/config.h> does. */

#include <sel4/simple_types.h>

typedef enum api_object {
    seL4_UntypedObject,
    seL4_TCBObject,
    seL4_EndpointObject,
    seL4_NotificationObject,
    seL4_CapTableObject,
    seL4_NonArchObjectTypeCount
} seL4_ObjectType;

typedef enum _mode_object {
    seL4_ARM_HugePageObject = seL4_NonArchObjectTypeCount, /* 1 GiB */
    seL4_ARM_VSpaceObject,
    seL4_ModeObjectTypeCount
} seL4_ModeObjectType;

typedef enum _object {
    seL4_ARM_SmallPageObject = seL4_ModeObjectTypeCount, /* 4 KiB */
    seL4_ARM_LargePageObject,                            /* 2 MiB */
    seL4_ARM_PageTableObject,
    seL4_ARM_VCPUObject,
    seL4_ObjectTypeCount
} seL4_ArchObjectType;

/** Not present in this configuration. */
#define seL4_ARM_IOPageTableObject 0xffff

typedef seL4_Word api_object_t;
typedef seL4_Word object_t;
