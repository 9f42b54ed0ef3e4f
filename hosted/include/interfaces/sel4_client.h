/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Kernel invocations. The first parameter is the capability that is invoked; meaning, errors and
 * their details in the message registers are the seL4 manual's. Without a current system (see
 * hosted_system_enter()) every one returns seL4_InvalidCapability.
 */

#include <sel4/types.h>

/* Untyped memory. */

/**
 * Make `num_objects` objects of `type` out of untyped memory, at its watermark aligned up.
 *
 * @param service      the untyped
 * @param type         seL4_UntypedObject ... seL4_ARM_VCPUObject
 * @param size_bits    log2 bytes of an untyped, log2 slots of a CNode; ignored for other types
 * @param root         CNode capability from which the destination CNode is looked up
 * @param node_index   capability address of the destination CNode below `root`
 * @param node_depth   bits of `node_index`; 0 means `root` itself
 * @param node_offset  first of the consecutive empty slots that receive the capabilities
 * @param num_objects  1 to CONFIG_RETYPE_FAN_OUT_LIMIT
 */
seL4_Error seL4_Untyped_Retype(seL4_Untyped service, seL4_Word type, seL4_Word size_bits,
                               seL4_CNode root, seL4_Word node_index, seL4_Word node_depth,
                               seL4_Word node_offset, seL4_Word num_objects);

/* Capability spaces. */

/** Copy a capability with rights no more than its own; the copy has no mapping. */
seL4_Error seL4_CNode_Copy(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                           seL4_CapRights_t rights);

/** Copy with a badge (endpoint, notification) or with a guard (CNode; seL4_CNode_CapData_t). */
seL4_Error seL4_CNode_Mint(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                           seL4_CapRights_t rights, seL4_Word badge);

/** Move a capability; its mapping and its position in the derivation tree go with it. */
seL4_Error seL4_CNode_Move(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth);

/** Move a capability and give it a badge or guard. */
seL4_Error seL4_CNode_Mutate(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                             seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                             seL4_Word badge);

/** Delete a capability; the object too if it was the last one. An empty slot is no error. */
seL4_Error seL4_CNode_Delete(seL4_CNode service, seL4_Word index, seL4_Uint8 depth);

/** Delete all capabilities that were derived from this one. */
seL4_Error seL4_CNode_Revoke(seL4_CNode service, seL4_Word index, seL4_Uint8 depth);

/** Wake those who wait to send with the capability's badge. It has all rights to an endpoint. */
seL4_Error seL4_CNode_CancelBadgedSends(seL4_CNode service, seL4_Word index, seL4_Uint8 depth);

/** Move the pivot to the destination and the source to where the pivot was; each can get a guard.
 */
seL4_Error seL4_CNode_Rotate(seL4_CNode service, seL4_Word dest_index, seL4_Uint8 dest_depth,
                             seL4_Word dest_badge, seL4_CNode pivot_root, seL4_Word pivot_index,
                             seL4_Uint8 pivot_depth, seL4_Word pivot_badge, seL4_CNode src_root,
                             seL4_Word src_index, seL4_Uint8 src_depth);

/** Move the capability to reply to who called last into a slot, if there is one. */
seL4_Error seL4_CNode_SaveCaller(seL4_CNode service, seL4_Word index, seL4_Uint8 depth);

/* Frames. */

/** Map a frame; at the address where it is mapped already, change its rights and attributes. */
seL4_Error seL4_ARM_Page_Map(seL4_ARM_Page service, seL4_CPtr vspace, seL4_Word vaddr,
                             seL4_CapRights_t rights, seL4_ARM_VMAttributes attr);

/** Undo the mapping of this capability, if it has one. */
seL4_Error seL4_ARM_Page_Unmap(seL4_ARM_Page service);

typedef struct seL4_ARM_Page_GetAddress {
    int error;
    seL4_Word paddr;
} seL4_ARM_Page_GetAddress_t;

/** The physical address of a frame. */
seL4_ARM_Page_GetAddress_t seL4_ARM_Page_GetAddress(seL4_ARM_Page service);

/** Cache maintenance on bytes [start_offset, end_offset) of a mapped frame. */
seL4_Error seL4_ARM_Page_Clean_Data(seL4_ARM_Page service, seL4_Word start_offset,
                                    seL4_Word end_offset);
seL4_Error seL4_ARM_Page_Invalidate_Data(seL4_ARM_Page service, seL4_Word start_offset,
                                         seL4_Word end_offset);
seL4_Error seL4_ARM_Page_CleanInvalidate_Data(seL4_ARM_Page service, seL4_Word start_offset,
                                              seL4_Word end_offset);
seL4_Error seL4_ARM_Page_Unify_Instruction(seL4_ARM_Page service, seL4_Word start_offset,
                                           seL4_Word end_offset);

/* Page tables and address space identifiers. */

/** Put a page table at the first level that `vaddr` has none of. */
seL4_Error seL4_ARM_PageTable_Map(seL4_ARM_PageTable service, seL4_CPtr vspace, seL4_Word vaddr,
                                  seL4_ARM_VMAttributes attr);

/** Take a page table out of its address space, with all that is mapped below it. */
seL4_Error seL4_ARM_PageTable_Unmap(seL4_ARM_PageTable service);

/** Cache maintenance on addresses [start, end), which lie in one page of the space or in none. */
seL4_Error seL4_ARM_VSpace_Clean_Data(seL4_ARM_VSpace service, seL4_Word start, seL4_Word end);
seL4_Error seL4_ARM_VSpace_Invalidate_Data(seL4_ARM_VSpace service, seL4_Word start, seL4_Word end);
seL4_Error seL4_ARM_VSpace_CleanInvalidate_Data(seL4_ARM_VSpace service, seL4_Word start,
                                                seL4_Word end);
seL4_Error seL4_ARM_VSpace_Unify_Instruction(seL4_ARM_VSpace service, seL4_Word start,
                                             seL4_Word end);

/** Make a pool of identifiers out of an untyped of 4 KiB without children. */
seL4_Error seL4_ARM_ASIDControl_MakePool(seL4_ARM_ASIDControl service, seL4_Untyped untyped,
                                         seL4_CNode root, seL4_Word index, seL4_Uint8 depth);

/** Give an address space an identifier; before, nothing can be mapped in it. */
seL4_Error seL4_ARM_ASIDPool_Assign(seL4_ARM_ASIDPool service, seL4_CPtr vspace);

/* Threads. A hosted thread never runs by itself: an engine runs its VCPU. */

seL4_Error seL4_TCB_Configure(seL4_TCB service, seL4_Word fault_ep, seL4_CNode cspace_root,
                              seL4_Word cspace_root_data, seL4_CPtr vspace_root,
                              seL4_Word vspace_root_data, seL4_Word buffer, seL4_CPtr bufferFrame);
seL4_Error seL4_TCB_SetSpace(seL4_TCB service, seL4_Word fault_ep, seL4_CNode cspace_root,
                             seL4_Word cspace_root_data, seL4_CPtr vspace_root,
                             seL4_Word vspace_root_data);
seL4_Error seL4_TCB_SetIPCBuffer(seL4_TCB service, seL4_Word buffer, seL4_CPtr bufferFrame);
seL4_Error seL4_TCB_SetPriority(seL4_TCB service, seL4_TCB authority, seL4_Word priority);
seL4_Error seL4_TCB_SetMCPriority(seL4_TCB service, seL4_TCB authority, seL4_Word mcp);
seL4_Error seL4_TCB_SetSchedParams(seL4_TCB service, seL4_TCB authority, seL4_Word mcp,
                                   seL4_Word priority);
/** Set the node that the thread runs on, below CONFIG_MAX_NUM_NODES. */
seL4_Error seL4_TCB_SetAffinity(seL4_TCB service, seL4_Word affinity);
seL4_Error seL4_TCB_SetTLSBase(seL4_TCB service, seL4_Word tls_base);
/** Read the first `count` words of the registers. */
seL4_Error seL4_TCB_ReadRegisters(seL4_TCB service, seL4_Bool suspend_source, seL4_Uint8 arch_flags,
                                  seL4_Word count, seL4_UserContext *regs);
/** Write the first `count` words of the registers. */
seL4_Error seL4_TCB_WriteRegisters(seL4_TCB service, seL4_Bool resume_target, seL4_Uint8 arch_flags,
                                   seL4_Word count, seL4_UserContext *regs);
/** Copy registers from another thread: its frame (pc to x30), its integers (all others). */
seL4_Error seL4_TCB_CopyRegisters(seL4_TCB service, seL4_TCB source, seL4_Bool suspend_source,
                                  seL4_Bool resume_target, seL4_Bool transfer_frame,
                                  seL4_Bool transfer_integer, seL4_Uint8 arch_flags);

typedef struct seL4_TCB_SetFlags {
    int error;
    seL4_Word flags;
} seL4_TCB_SetFlags_t;

/** Clear and set flags (seL4_TCBFlag). @return what they are now */
seL4_TCB_SetFlags_t seL4_TCB_SetFlags(seL4_TCB service, seL4_Word clear, seL4_Word set);
seL4_Error seL4_TCB_Resume(seL4_TCB service);
seL4_Error seL4_TCB_Suspend(seL4_TCB service);
seL4_Error seL4_TCB_BindNotification(seL4_TCB service, seL4_CPtr notification);
seL4_Error seL4_TCB_UnbindNotification(seL4_TCB service);

/* Domains. */

seL4_Error seL4_DomainSet_Set(seL4_DomainSet service, seL4_Uint8 domain, seL4_TCB thread);
seL4_Error seL4_DomainSet_ScheduleConfigure(seL4_DomainSet service, seL4_Word index,
                                            seL4_Uint8 domain, seL4_Time duration);
seL4_Error seL4_DomainSet_ScheduleSetStart(seL4_DomainSet service, seL4_Word index);

/* Interrupts. */

/** Put the handler of an interrupt line into an empty slot. There is one handler at a time. */
seL4_Error seL4_IRQControl_Get(seL4_IRQControl service, seL4_Word irq, seL4_CNode root,
                               seL4_Word index, seL4_Uint8 depth);
/** The same; `trigger` is 1 for a line that signals by its edge. Not for a processor's own lines.
 */
seL4_Error seL4_IRQControl_GetTrigger(seL4_IRQControl service, seL4_Word irq, seL4_Word trigger,
                                      seL4_CNode root, seL4_Word index, seL4_Uint8 depth);
/** The same, delivered to node `target`. */
seL4_Error seL4_IRQControl_GetTriggerCore(seL4_IRQControl service, seL4_Word irq, seL4_Word trigger,
                                          seL4_CNode root, seL4_Word index, seL4_Uint8 depth,
                                          seL4_Word target);
seL4_Error seL4_IRQHandler_Ack(seL4_IRQHandler service);
/** Signal the notification when the interrupt arrives. */
seL4_Error seL4_IRQHandler_SetNotification(seL4_IRQHandler service, seL4_CPtr notification);
seL4_Error seL4_IRQHandler_Clear(seL4_IRQHandler service);

/* Virtual processors. */

/** Bind a VCPU and a thread to each other, instead of whatever they were bound to. */
seL4_Error seL4_ARM_VCPU_SetTCB(seL4_ARM_VCPU service, seL4_TCB tcb);

typedef struct seL4_ARM_VCPU_ReadRegs {
    int error;
    seL4_Word value;
} seL4_ARM_VCPU_ReadRegs_t;

seL4_ARM_VCPU_ReadRegs_t seL4_ARM_VCPU_ReadRegs(seL4_ARM_VCPU service, seL4_VCPUReg field);
seL4_Error seL4_ARM_VCPU_WriteRegs(seL4_ARM_VCPU service, seL4_VCPUReg field, seL4_Word value);

/**
 * Put a virtual interrupt in list register `index`.
 *
 * @param group  0 or 1
 * @param index  which list register, below 4
 */
seL4_Error seL4_ARM_VCPU_InjectIRQ(seL4_ARM_VCPU service, seL4_Uint16 virq, seL4_Uint8 priority,
                                   seL4_Uint8 group, seL4_Uint8 index);

/** Unmask the virtual timer's interrupt (27) again after its fault was handled. */
seL4_Error seL4_ARM_VCPU_AckVPPI(seL4_ARM_VCPU service, seL4_Word irq);

/**
 * Call the firmware with `smc_args`, which answers in `smc_response`. A hosted system has no
 * firmware and no task has the capability.
 */
seL4_Error seL4_ARM_SMC_Call(seL4_ARM_SMC service, seL4_ARM_SMCContext *smc_args,
                             seL4_ARM_SMCContext *smc_response);
