/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The way in and out of the kernel model: which system the thread has entered, its message
 * registers, the lock, counters, and operations that are made to fail. Every invocation is between
 * invocation_begin() and invocation_end().
 */

#include "kernel.h"

#include <string.h>

static _Thread_local kernel_t *current;
static _Thread_local seL4_IPCBuffer own_buffer;
static _Thread_local seL4_IPCBuffer *other_buffer;

seL4_IPCBuffer *seL4_GetIPCBuffer(void)
{
    return other_buffer ? other_buffer : &own_buffer;
}

void seL4_SetIPCBuffer(seL4_IPCBuffer *buffer)
{
    other_buffer = buffer;
}

void kernel_enter(kernel_t *kernel)
{
    current = kernel;
}

kernel_t *kernel_current(void)
{
    return current;
}

bool inject_fails(kernel_t *kernel, hosted_operation_t operation)
{
    bool fails = false;
    bool fired_before = kernel->inject.fired;
    if (kernel->inject.operations & operation) {
        uint64_t seen = ++kernel->inject.seen;
        uint64_t k = kernel->inject.k;
        fails = seen == k || (kernel->inject.lasting && k != 0 && seen > k);
        kernel->inject.fired = fired_before || fails;
    }
    if (fired_before && !fails && kernel->inject.then_operations & operation) {
        fails = ++kernel->inject.then_seen == kernel->inject.then_k;
        kernel->inject.then_fired = kernel->inject.then_fired || fails;
    }
    return fails;
}

kernel_t *invocation_begin(hosted_invocation_t kind, hosted_operation_t operation,
                           seL4_Error *error)
{
    kernel_t *kernel = current;
    if (!kernel) {
        *error = error_capability(0);
        return NULL;
    }
    pthread_mutex_lock(&kernel->lock);
    kernel->invocations[kind]++;
    if (inject_fails(kernel, operation)) {
        *error = invocation_end(kernel, kind, error_memory(0));
        return NULL;
    }
    return kernel;
}

seL4_Error invocation_end(kernel_t *kernel, hosted_invocation_t kind, seL4_Error error)
{
    if (error != seL4_NoError) {
        kernel->failures[kind]++;
    }
    object_free_dead(kernel);
    hosted_invocation_fn observer = kernel->observer;
    void *cookie = kernel->observer_cookie;
    pthread_mutex_unlock(&kernel->lock);
    if (observer) {
        observer(cookie, kind, error);
    }
    return error;
}

void hosted_observe_invocations(hosted_system_t *system, hosted_invocation_fn observer,
                                void *cookie)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    kernel->observer = observer;
    kernel->observer_cookie = cookie;
    pthread_mutex_unlock(&kernel->lock);
}

seL4_Error invocation_message(kernel_t *kernel, const cap_t *cap)
{
    if (!(cap->rights & RIGHT_WRITE)) {
        return error_capability(0);
    }
    if (cap->type == CAP_NOTIFICATION) {
        notification_signal(kernel, (notification_object_t *)cap->object, cap->badge);
        return seL4_NoError;
    }
    return seL4_IllegalOperation; /* on the kernel the caller waits for a reply */
}

slot_t *invocation_target(kernel_t *kernel, seL4_CPtr service, cap_type_t type, seL4_Error *error)
{
    slot_t *slot = cspace_caller_slot(kernel, service);
    *error = seL4_NoError;
    switch (slot->cap.type) {
    case CAP_NULL:
    case CAP_ZOMBIE:
        *error = error_capability(0);
        return NULL;
    case CAP_ENDPOINT:
    case CAP_NOTIFICATION:
        *error = invocation_message(kernel, &slot->cap);
        return NULL;
    default:
        *error = slot->cap.type == type ? seL4_NoError : seL4_IllegalOperation;
        return *error ? NULL : slot;
    }
}

void hosted_inject_fail(hosted_system_t *system, unsigned operations, uint64_t k)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    memset(&kernel->inject, 0, sizeof(kernel->inject));
    kernel->inject.operations = operations;
    kernel->inject.k = k;
    pthread_mutex_unlock(&kernel->lock);
}

void hosted_inject_fail_from(hosted_system_t *system, unsigned operations, uint64_t k)
{
    hosted_inject_fail(system, operations, k);
    hosted_system_kernel(system)->inject.lasting = true;
}

void hosted_inject_then_fail(hosted_system_t *system, unsigned operations, uint64_t k)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    kernel->inject.then_operations = operations;
    kernel->inject.then_k = k;
    pthread_mutex_unlock(&kernel->lock);
}

uint64_t hosted_inject_stop(hosted_system_t *system)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    uint64_t seen = kernel->inject.seen;
    kernel->inject.operations = 0;
    kernel->inject.then_operations = 0;
    pthread_mutex_unlock(&kernel->lock);
    return seen;
}

bool hosted_inject_fired(hosted_system_t *system)
{
    return hosted_system_kernel(system)->inject.fired;
}

bool hosted_inject_fired_twice(hosted_system_t *system)
{
    return hosted_system_kernel(system)->inject.then_fired;
}

const char *hosted_invocation_name(hosted_invocation_t invocation)
{
    static const char *const names[HOSTED_NUM_INVOCATIONS] = {
        [HOSTED_UNTYPED_RETYPE] = "Untyped_Retype",
        [HOSTED_CNODE_COPY] = "CNode_Copy",
        [HOSTED_CNODE_MINT] = "CNode_Mint",
        [HOSTED_CNODE_MOVE] = "CNode_Move",
        [HOSTED_CNODE_DELETE] = "CNode_Delete",
        [HOSTED_CNODE_REVOKE] = "CNode_Revoke",
        [HOSTED_PAGE_MAP] = "ARM_Page_Map",
        [HOSTED_PAGE_UNMAP] = "ARM_Page_Unmap",
        [HOSTED_PAGE_GET_ADDRESS] = "ARM_Page_GetAddress",
        [HOSTED_PAGE_CACHE] = "ARM_Page_Clean_Data",
        [HOSTED_PAGE_TABLE_MAP] = "ARM_PageTable_Map",
        [HOSTED_PAGE_TABLE_UNMAP] = "ARM_PageTable_Unmap",
        [HOSTED_ASID_POOL_ASSIGN] = "ARM_ASIDPool_Assign",
        [HOSTED_TCB] = "TCB",
        [HOSTED_VCPU] = "ARM_VCPU",
        [HOSTED_ASID_CONTROL] = "ARM_ASIDControl_MakePool",
        [HOSTED_IRQ] = "IRQ",
        [HOSTED_DOMAIN] = "DomainSet",
    };
    return invocation < HOSTED_NUM_INVOCATIONS ? names[invocation] : "unknown";
}

uint64_t hosted_invocation_count(hosted_system_t *system, hosted_invocation_t invocation)
{
    return hosted_system_kernel(system)->invocations[invocation];
}

uint64_t hosted_invocation_total(hosted_system_t *system)
{
    uint64_t total = 0;
    for (int i = 0; i < HOSTED_NUM_INVOCATIONS; i++) {
        total += hosted_system_kernel(system)->invocations[i];
    }
    return total;
}

uint64_t hosted_invocation_failures(hosted_system_t *system, hosted_invocation_t invocation)
{
    return hosted_system_kernel(system)->failures[invocation];
}
