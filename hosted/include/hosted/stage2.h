/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What a processor sees of a guest's address space (stage 2): translate one address, go through all
 * mappings, and be notified of changes. An engine in hosted/vcpu is built on this; tests use it to
 * see what a guest can reach.
 */

#include <stdbool.h>
#include <stdint.h>
#include <hosted/system.h>

typedef struct hosted_stage2_mapping {
    seL4_Word gpa;      /* first guest-physical address, aligned to the size */
    unsigned size_bits; /* 12, 21 or 30 */
    seL4_Word paddr;    /* what it is mapped to */
    bool read;          /* what the guest may do: none, read, or read and write */
    bool write;
    bool cacheable;
    bool execute;
    int fd; /* the host memory of it: a file and the offset of `gpa` in it */
    uint64_t offset;
} hosted_stage2_mapping_t;

/** The mapping that holds `gpa` in the address space of that VSpace capability, if there is one. */
bool hosted_stage2_translate(hosted_system_t *system, seL4_CPtr vspace, seL4_Word gpa,
                             hosted_stage2_mapping_t *mapping);

/** Call `visit` for each mapping, by ascending address, until it returns false. */
void hosted_stage2_for_each(hosted_system_t *system, seL4_CPtr vspace,
                            bool (*visit)(void *cookie, const hosted_stage2_mapping_t *mapping),
                            void *cookie);

/**
 * What a listener is notified of, after the change. A replaced mapping is unmapped before the new
 * one is mapped; the same frame again, with other rights, is only mapped. It
 * is called inside the invocation that makes the change, and must make none itself.
 */
typedef struct hosted_stage2_listener {
    void (*mapped)(void *cookie, const hosted_stage2_mapping_t *mapping);
    void (*unmapped)(void *cookie, const hosted_stage2_mapping_t *mapping);
    void *cookie;
} hosted_stage2_listener_t;

/**
 * Notify `listener` of each change in that address space; NULL removes it. One listener a space.
 * The listener must live until it is removed, or until the address space object is deleted (then it
 * is notified first that all mappings are unmapped).
 *
 * @return 0, or -1 if `vspace` is no VSpace capability
 */
int hosted_stage2_listen(hosted_system_t *system, seL4_CPtr vspace,
                         const hosted_stage2_listener_t *listener);

/**
 * Who runs a VCPU says so: in an incoherent system (hosted_system_incoherent()) a guest whose
 * caches are on must see what is in the VMM's cache, and the VMM what the guest wrote.
 *
 * @param registers  as of hosted_vcpu_registers(), as they are now
 * @return whether the system is incoherent; if not, the registers need not be up to date
 */
bool hosted_guest_enters(hosted_system_t *system, const seL4_Word *registers);
void hosted_guest_stops(hosted_system_t *system);

/**
 * The registers of a TCB and of a VCPU object, by capability: what seL4_TCB_ReadRegisters and
 * seL4_ARM_VCPU_ReadRegs read, and where an engine keeps them while it does not run.
 *
 * @return NULL if the capability is no such object
 */
seL4_UserContext *hosted_tcb_registers(hosted_system_t *system, seL4_CPtr tcb);
seL4_Word *hosted_vcpu_registers(hosted_system_t *system, seL4_CPtr vcpu); /* seL4_VCPUReg_Num */
