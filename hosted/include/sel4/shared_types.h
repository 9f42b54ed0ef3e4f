/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Rights, message tags, faults and CNode data: the types that the kernel packs into words.
 */

#include <sel4/constants.h>
#include <sel4/simple_types.h>

/** Rights of a capability: bit 0 write, 1 read, 2 grant, 3 grant reply. */
typedef struct seL4_CapRights {
    seL4_Word words[1];
} seL4_CapRights_t;

static inline CONST seL4_CapRights_t seL4_CapRights_new(seL4_Word grant_reply, seL4_Word grant,
                                                        seL4_Word read, seL4_Word write)
{
    seL4_CapRights_t rights = {
        {(grant_reply & 1) << 3 | (grant & 1) << 2 | (read & 1) << 1 | (write & 1)}};
    return rights;
}

static inline CONST seL4_Word seL4_CapRights_get_capAllowGrantReply(seL4_CapRights_t rights)
{
    return rights.words[0] >> 3 & 1;
}

static inline CONST seL4_Word seL4_CapRights_get_capAllowGrant(seL4_CapRights_t rights)
{
    return rights.words[0] >> 2 & 1;
}

static inline CONST seL4_Word seL4_CapRights_get_capAllowRead(seL4_CapRights_t rights)
{
    return rights.words[0] >> 1 & 1;
}

static inline CONST seL4_Word seL4_CapRights_get_capAllowWrite(seL4_CapRights_t rights)
{
    return rights.words[0] & 1;
}

static inline CONST seL4_CapRights_t seL4_CapRights_set_capAllowGrantReply(seL4_CapRights_t rights,
                                                                           seL4_Word value)
{
    rights.words[0] = (rights.words[0] & ~8ul) | (value & 1) << 3;
    return rights;
}

static inline CONST seL4_CapRights_t seL4_CapRights_set_capAllowGrant(seL4_CapRights_t rights,
                                                                      seL4_Word value)
{
    rights.words[0] = (rights.words[0] & ~4ul) | (value & 1) << 2;
    return rights;
}

static inline CONST seL4_CapRights_t seL4_CapRights_set_capAllowRead(seL4_CapRights_t rights,
                                                                     seL4_Word value)
{
    rights.words[0] = (rights.words[0] & ~2ul) | (value & 1) << 1;
    return rights;
}

static inline CONST seL4_CapRights_t seL4_CapRights_set_capAllowWrite(seL4_CapRights_t rights,
                                                                      seL4_Word value)
{
    rights.words[0] = (rights.words[0] & ~1ul) | (value & 1);
    return rights;
}

#define seL4_ReadWrite     seL4_CapRights_new(0, 0, 1, 1)
#define seL4_AllRights     seL4_CapRights_new(1, 1, 1, 1)
#define seL4_CanRead       seL4_CapRights_new(0, 0, 1, 0)
#define seL4_CanWrite      seL4_CapRights_new(0, 0, 0, 1)
#define seL4_CanGrant      seL4_CapRights_new(0, 1, 0, 0)
#define seL4_CanGrantReply seL4_CapRights_new(1, 0, 0, 0)
#define seL4_NoWrite       seL4_CapRights_new(1, 1, 1, 0)
#define seL4_NoRead        seL4_CapRights_new(1, 1, 0, 1)
#define seL4_NoRights      seL4_CapRights_new(0, 0, 0, 0)

/** Tag of a message: label 52 bits, unwrapped caps 3, extra caps 2, length 7. */
typedef struct seL4_MessageInfo {
    seL4_Word words[1];
} seL4_MessageInfo_t;

static inline CONST seL4_MessageInfo_t seL4_MessageInfo_new(seL4_Word label, seL4_Word unwrapped,
                                                            seL4_Word extra_caps, seL4_Word length)
{
    seL4_MessageInfo_t info = {
        {label << 12 | (unwrapped & 7) << 9 | (extra_caps & 3) << 7 | (length & 0x7f)}};
    return info;
}

static inline CONST seL4_Word seL4_MessageInfo_get_label(seL4_MessageInfo_t info)
{
    return info.words[0] >> 12;
}

static inline CONST seL4_Word seL4_MessageInfo_get_capsUnwrapped(seL4_MessageInfo_t info)
{
    return info.words[0] >> 9 & 7;
}

static inline CONST seL4_Word seL4_MessageInfo_get_extraCaps(seL4_MessageInfo_t info)
{
    return info.words[0] >> 7 & 3;
}

static inline CONST seL4_Word seL4_MessageInfo_get_length(seL4_MessageInfo_t info)
{
    return info.words[0] & 0x7f;
}

/** Guard of a CNode capability, as the badge of a mint: guard 58 bits, its size 6 bits. */
typedef struct seL4_CNode_CapData {
    seL4_Word words[1];
} seL4_CNode_CapData_t;

static inline CONST seL4_CNode_CapData_t seL4_CNode_CapData_new(seL4_Word guard,
                                                                seL4_Word guard_size)
{
    seL4_CNode_CapData_t data = {{guard << 6 | (guard_size & 0x3f)}};
    return data;
}

static inline CONST seL4_Word seL4_CNode_CapData_get_guard(seL4_CNode_CapData_t data)
{
    return data.words[0] >> 6;
}

static inline CONST seL4_Word seL4_CNode_CapData_get_guardSize(seL4_CNode_CapData_t data)
{
    return data.words[0] & 0x3f;
}

/** Label of a fault message. */
typedef enum seL4_Fault_tag {
    seL4_Fault_NullFault = 0,
    seL4_Fault_CapFault = 1,
    seL4_Fault_UnknownSyscall = 2,
    seL4_Fault_UserException = 3,
    seL4_Fault_VMFault = 5,
    seL4_Fault_VGICMaintenance = 6,
    seL4_Fault_VCPUFault = 7,
    seL4_Fault_VPPIEvent = 8
} seL4_Fault_tag_t;

/** A thread's IPC buffer: the message registers and what goes with them. */
typedef struct seL4_IPCBuffer_ {
    seL4_MessageInfo_t tag;
    seL4_Word msg[seL4_MsgMaxLength];
    seL4_Word userData;
    seL4_Word caps_or_badges[seL4_MsgMaxExtraCaps];
    seL4_CPtr receiveCNode;
    seL4_CPtr receiveIndex;
    seL4_Word receiveDepth;
} seL4_IPCBuffer __attribute__((__aligned__(1024)));
