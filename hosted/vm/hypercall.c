/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Hypercalls. They go to the VCPU's callback, then to the VM's SMC handler, and without one to the
 * PSCI below (Arm Power State Coordination Interface, DEN 0022), which knows one CPU: it can be
 * switched off and reset, and no other can be switched on.
 */

#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/arch/processor.h>
#include <sel4vm/guest_vm_exits.h>
#include "trace.h"

#define CLASS_HVC 0x16u
#define CLASS_SMC 0x17u

#define PSCI_BASE      0x84000000u /* fast call of the standard service, 32-bit convention */
#define PSCI_64        0x40000000u
#define PSCI_FUNCTIONS 0x1fu
#define PSCI_1_0       0x10000

/* Function numbers. */
enum {
    PSCI_VERSION = 0,
    PSCI_CPU_OFF = 2,
    PSCI_CPU_ON = 3,
    PSCI_AFFINITY_INFO = 4,
    PSCI_MIGRATE_INFO_TYPE = 6,
    PSCI_SYSTEM_OFF = 8,
    PSCI_SYSTEM_RESET = 9,
    PSCI_FEATURES = 10,
};

/* Results. */
enum {
    PSCI_SUCCESS = 0,
    PSCI_NOT_SUPPORTED = -1,
    PSCI_INVALID_PARAMETERS = -2,
    PSCI_DENIED = -3,
    PSCI_ALREADY_ON = -4,
};
#define PSCI_NO_MIGRATION   2
#define PSCI_AFFINITY_ON    0
#define PSCI_AFFINITY_LEVEL 0xff00ffffffull /* Aff3, Aff2, Aff1 and Aff0 of an MPIDR */

/* The function's number; -1 if the call is none of PSCI's. */
static int psci_function(seL4_Word id)
{
    uint32_t call = (uint32_t)id & ~PSCI_64;
    return (call & ~PSCI_FUNCTIONS) == PSCI_BASE ? (int)(call & PSCI_FUNCTIONS) : -1;
}

static int psci_features(seL4_Word id)
{
    switch (psci_function(id)) {
    case PSCI_VERSION:
    case PSCI_CPU_OFF:
    case PSCI_CPU_ON:
    case PSCI_AFFINITY_INFO:
    case PSCI_MIGRATE_INFO_TYPE:
    case PSCI_SYSTEM_OFF:
    case PSCI_SYSTEM_RESET:
    case PSCI_FEATURES:
        return PSCI_SUCCESS;
    default:
        return PSCI_NOT_SUPPORTED;
    }
}

int psci_call(vm_vcpu_t *vcpu, seL4_UserContext *regs)
{
    uintptr_t pc = vcpu->vcpu_arch.fault->exit.pc;
    int result = PSCI_NOT_SUPPORTED;

    switch (psci_function(regs->x0)) {
    case PSCI_VERSION:
        result = PSCI_1_0;
        break;
    case PSCI_CPU_OFF:
        result = PSCI_DENIED; /* it is the last one that is on */
        break;
    case PSCI_CPU_ON:
        result = (regs->x1 & PSCI_AFFINITY_LEVEL) == 0 ? PSCI_ALREADY_ON : PSCI_INVALID_PARAMETERS;
        break;
    case PSCI_AFFINITY_INFO:
        result = (regs->x1 & PSCI_AFFINITY_LEVEL) == 0 ? PSCI_AFFINITY_ON : PSCI_INVALID_PARAMETERS;
        break;
    case PSCI_MIGRATE_INFO_TYPE:
        result = PSCI_NO_MIGRATION;
        break;
    case PSCI_FEATURES:
        result = psci_features(regs->x1);
        break;
    case PSCI_SYSTEM_OFF:
        report_end(vcpu->vm, HOSTED_VM_POWEROFF, pc, "the guest powered off");
        return 1;
    case PSCI_SYSTEM_RESET:
        report_end(vcpu->vm, HOSTED_VM_RESET, pc, "the guest reset itself");
        return 1;
    default:
        break;
    }
    regs->x0 = (seL4_Word)(int64_t)result;
    return 0;
}

/* Call the VM's handler or PSCI, then let the VCPU go on. */
static int make_call(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;
    seL4_UserContext regs = *fault->regs;
    smc_handler_callback_fn handler = vcpu->vm->arch.vm_smc_handler;
    int result = handler != NULL ? handler(vcpu, &regs) : psci_call(vcpu, &regs);

    if (handler != NULL && result != 0) {
        report_end(vcpu->vm, HOSTED_VM_ERROR, fault->exit.pc,
                   "the handler of hypercalls failed at function 0x%lx",
                   (unsigned long)fault->regs->x0);
        return -1;
    }
    if (!fault->active) {
        return result; /* the handler let it go on itself */
    }
    *fault->regs = regs;
    if (fault->exit.reason == ENGINE_SMC) {
        fault_skip(vcpu);
    }
    fault->active = false;
    return result;
}

static int answer(vm_vcpu_t *vcpu)
{
    fault_t *fault = vcpu->vcpu_arch.fault;
    struct vm_vcpu_arch *arch = &vcpu->vcpu_arch;
    bool hvc = fault->exit.reason == ENGINE_HVC;
    uint32_t syndrome = (hvc ? CLASS_HVC : CLASS_SMC) << HSR_EXCEPTION_CLASS_SHIFT | HSR_IL_MASK |
                        (fault->exit.syndrome & 0xffff);

    runtime_of(vcpu->vm)->counters.hypercalls++;
    vcpu->vm->run.exit_reason = VM_GUEST_UNKNOWN_EXIT;
    if (hvc) {
        /* As the architecture has it: HVC returns after itself, SMC that is trapped to itself. */
        fault->regs->pc = fault->exit.pc + 4;
    }
    if (arch->unhandled_vcpu_callback != NULL &&
        arch->unhandled_vcpu_callback(vcpu, syndrome, arch->unhandled_vcpu_callback_cookie) == 0) {
        if (fault->active) {
            report_end(vcpu->vm, HOSTED_VM_ERROR, fault->exit.pc,
                       "the VCPU fault callback neither advanced nor restarted the VCPU");
            return -1;
        }
        return 0;
    }
    return make_call(vcpu);
}

int handle_hypercall(vm_vcpu_t *vcpu)
{
    uint64_t function = vcpu->vcpu_arch.fault->regs->x0;
    int result = answer(vcpu);

    if (traces(runtime_of(vcpu->vm), HOSTED_EVENT_HYPERCALL)) {
        trace_hypercall(vcpu, function);
    }
    return result;
}
