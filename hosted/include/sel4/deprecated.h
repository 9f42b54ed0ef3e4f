/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Names that are no longer part of the seL4 API, for sources that still use them. */

#include <sel4/functions.h>
#include <interfaces/sel4_client.h>
#include <sel4/types.h>

#define SEL4_PFIPC_LABEL             seL4_Fault_VMFault
#define SEL4_PFIPC_LENGTH            seL4_VMFault_Length
#define SEL4_PFIPC_FAULT_IP          seL4_VMFault_IP
#define SEL4_PFIPC_FAULT_ADDR        seL4_VMFault_Addr
#define SEL4_PFIPC_PREFETCH_FAULT    seL4_VMFault_PrefetchFault
#define SEL4_PFIPC_FSR               seL4_VMFault_FSR
#define SEL4_EXCEPT_IPC_LABEL        seL4_Fault_UnknownSyscall
#define SEL4_USER_EXCEPTION_LABEL    seL4_Fault_UserException
#define SEL4_USER_EXCEPTION_LENGTH   seL4_UserException_Length
#define SEL4_VGIC_MAINTENANCE_LABEL  seL4_Fault_VGICMaintenance
#define SEL4_VGIC_MAINTENANCE_LENGTH seL4_VGICMaintenance_Length
#define SEL4_VCPU_FAULT_LABEL        seL4_Fault_VCPUFault
#define SEL4_VCPU_FAULT_LENGTH       seL4_VCPUFault_Length

#define seL4_NoFault        seL4_Fault_NullFault
#define seL4_CapFault       seL4_Fault_CapFault
#define seL4_UnknownSyscall seL4_Fault_UnknownSyscall
#define seL4_UserException  seL4_Fault_UserException
#define seL4_VMFault        seL4_Fault_VMFault

typedef seL4_CapRights_t seL4_CapRights SEL4_DEPRECATED("use seL4_CapRights_t");
typedef seL4_Fault_tag_t seL4_FaultType SEL4_DEPRECATED("use seL4_Fault_tag_t");
typedef seL4_Word seL4_CapData_t SEL4_DEPRECATED("badges and guards are words");

SEL4_DEPRECATED("badges are words")
static inline seL4_Word seL4_CapData_Badge_new(seL4_Word badge)
{
    return badge;
}

SEL4_DEPRECATED("use seL4_CNode_CapData_new()")
static inline seL4_Word seL4_CapData_Guard_new(seL4_Word guard, seL4_Word bits)
{
    return seL4_CNode_CapData_new(guard, bits).words[0];
}

/* Page tables of all levels are of one type now; the root is a vspace, which spans two levels. */
#define seL4_PageDirBits                  seL4_PageTableBits
#define seL4_PageDirEntryBits             seL4_PageTableEntryBits
#define seL4_PageDirIndexBits             seL4_PageTableIndexBits
#define seL4_PUDBits                      seL4_VSpaceBits
#define seL4_PUDEntryBits                 seL4_VSpaceEntryBits
#define seL4_PUDIndexBits                 seL4_VSpaceIndexBits
#define seL4_PGDBits                      0
#define seL4_PGDEntryBits                 0
#define seL4_PGDIndexBits                 0
#define seL4_ARM_PageDirectoryObject      seL4_ARM_PageTableObject
#define seL4_ARM_PageUpperDirectoryObject seL4_ARM_VSpaceObject
#define seL4_ARM_PageUpperDirectory       seL4_ARM_VSpace
#define seL4_ARM_PageGlobalDirectory      seL4_CPtr
#define seL4_ARM_PageDirectory_Map        seL4_ARM_PageTable_Map
#define seL4_ARM_PageDirectory_Unmap      seL4_ARM_PageTable_Unmap
