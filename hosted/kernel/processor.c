/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Running VCPUs. A host thread that waits runs the VCPU of a thread that can run, until something
 * becomes a message. Here is also what the board's hardware does beside the processor: the
 * registers of devices, the virtual CPU interface's interrupts, and the virtual timer's event.
 */

#include "kernel.h"

#include <string.h>
#include <time.h>
#include <utils/zf_log.h>

/* How long nobody looks around who waits for what may never come: nanoseconds. */
enum { SECOND = 1000000000, NAP = 1000000, TIMER = 27 };

/* Exception entry: the vector's offset by where it comes from, and what the state becomes. */
enum { VECTOR_IRQ = 0x80, FROM_EL1T = 0x000, FROM_EL1H = 0x200, FROM_EL0 = 0x400 };
enum { STATE_MODE = 0x1f, STATE_EL0 = 0, STATE_EL1H = 5, STATE_IRQ_MASK = 0x80 };
#define STATE_MASKS 0x3c0ul
#define STATE_FLAGS 0xf0000000ul

void hosted_system_use_processors(hosted_system_t *system, const hosted_processor_class_t *class,
                                  const void *engine)
{
    kernel_t *kernel = hosted_system_kernel(system);
    kernel->processors = class;
    kernel->engine = engine;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

void vcpu_fetch(kernel_t *kernel, vcpu_object_t *vcpu)
{
    processor_stop(kernel, vcpu);
    if (vcpu->processor && vcpu->ran) {
        vcpu->class->fetch(vcpu->processor, vcpu->registers);
        vcpu->ran = false;
    }
}

void processor_stop(kernel_t *kernel, vcpu_object_t *vcpu)
{
    pthread_mutex_lock(&kernel->run_lock);
    while (vcpu->runs) {
        vcpu->class->kick(vcpu->processor);
        pthread_cond_wait(&kernel->stopped, &kernel->run_lock);
    }
    pthread_mutex_unlock(&kernel->run_lock);
}

void processor_kick(vcpu_object_t *vcpu)
{
    vcpu->idle_until = 0;
    if (vcpu->runner) {
        vcpu->class->kick(vcpu->processor);
    }
}

void processor_detach(kernel_t *kernel, vcpu_object_t *vcpu)
{
    if (vcpu->processor) {
        vcpu_fetch(kernel, vcpu);
        stage2_unwatch(&vcpu->watcher);
        vcpu->class->destroy(vcpu->processor);
        vcpu->processor = NULL;
    }
}

void processor_forget_space(kernel_t *kernel, vspace_object_t *vspace)
{
    while (vspace->watchers) {
        stage2_watcher_t *watcher = vspace->watchers;
        stage2_unwatch(watcher);
        if (watcher != &vspace->listener) {
            processor_detach(kernel,
                             (vcpu_object_t *)((char *)watcher - offsetof(vcpu_object_t, watcher)));
        }
    }
}

void processor_unify(kernel_t *kernel, const vspace_object_t *vspace, uint64_t vaddr, uint64_t size)
{
    for (vcpu_object_t *vcpu = kernel->vcpus; vcpu; vcpu = vcpu->next) {
        if (vcpu->processor && vcpu->watcher.vspace == vspace) {
            processor_stop(kernel, vcpu);
            vcpu->class->unify(vcpu->processor, vaddr, size);
        }
    }
}

/* A mapping that has devices in it is seen page by page, those of devices without rights. */
static void for_each_part(vcpu_object_t *vcpu, const hosted_stage2_mapping_t *mapping,
                          void (*notify)(void *, const hosted_stage2_mapping_t *))
{
    kernel_t *kernel = vcpu->watcher.vspace->kernel;
    processor_stop(kernel, vcpu);
    uint64_t size = 1ul << mapping->size_bits;
    if (!device_covers(kernel, mapping->paddr, mapping->paddr + size - 1)) {
        notify(vcpu->processor, mapping);
        return;
    }
    for (uint64_t offset = 0; offset < size; offset += 1ul << seL4_PageBits) {
        hosted_stage2_mapping_t page = *mapping;
        page.size_bits = seL4_PageBits;
        page.gpa += offset;
        page.paddr += offset;
        page.offset += offset;
        if (device_covers(kernel, page.paddr, page.paddr)) {
            page.read = page.write = page.execute = false;
        }
        notify(vcpu->processor, &page);
    }
}

static void on_mapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    for_each_part(cookie, mapping, ((vcpu_object_t *)cookie)->class->mapped);
}

static void on_unmapped(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    for_each_part(cookie, mapping, ((vcpu_object_t *)cookie)->class->unmapped);
}

static bool on_visit(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    on_mapped(cookie, mapping);
    return true;
}

static vspace_object_t *space_of(const vcpu_object_t *vcpu)
{
    const cap_t *cap = vcpu->tcb ? &vcpu->tcb->slots[TCB_VSPACE].cap : NULL;
    return cap && cap->type == CAP_VSPACE ? (vspace_object_t *)cap->object : NULL;
}

static bool attach(kernel_t *kernel, vcpu_object_t *vcpu, const hosted_processor_class_t *class,
                   void *processor)
{
    vspace_object_t *space = space_of(vcpu);
    if (vcpu->processor || !space) {
        return false;
    }
    vcpu->class = class;
    vcpu->processor = processor;
    vcpu->watcher.listener = (hosted_stage2_listener_t){on_mapped, on_unmapped, vcpu};
    stage2_watch(space, &vcpu->watcher);
    stage2_visit(kernel, space, on_visit, vcpu);
    return true;
}

/* Have a processor that sees the thread's address space. */
static bool prepare(kernel_t *kernel, vcpu_object_t *vcpu)
{
    const hosted_processor_class_t *class = kernel->processors;
    char error[128] = "hosted_system_run_guests() was not called";
    if (vcpu->processor && vcpu->watcher.vspace != space_of(vcpu)) {
        processor_detach(kernel, vcpu);
    }
    if (vcpu->processor) {
        return true;
    }
    void *processor =
        class && space_of(vcpu) ? class->create(kernel->engine, error, sizeof(error)) : NULL;
    if (processor && attach(kernel, vcpu, class, processor)) {
        return true;
    }
    ZF_LOGE("a VCPU cannot run: %s", space_of(vcpu) ? error : "it has no address space");
    return false;
}

static vcpu_object_t *find(hosted_system_t *system, seL4_CPtr cptr)
{
    const cap_t *cap = &cspace_caller_slot(hosted_system_kernel(system), cptr)->cap;
    return cap->type == CAP_VCPU ? (vcpu_object_t *)cap->object : NULL;
}

int hosted_vcpu_attach(hosted_system_t *system, seL4_CPtr cptr,
                       const hosted_processor_class_t *class, void *processor)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    vcpu_object_t *vcpu = find(system, cptr);
    if (vcpu && vcpu->processor) { /* it has run on another, for a thread that received by itself */
        processor_stop(kernel, vcpu);
        processor_detach(kernel, vcpu);
    }
    bool attached = vcpu && attach(kernel, vcpu, class, processor);
    pthread_mutex_unlock(&kernel->lock);
    return attached ? 0 : -1;
}

void hosted_vcpu_resume(hosted_system_t *system, seL4_CPtr cptr)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    vcpu_object_t *vcpu = find(system, cptr);
    if (vcpu && vcpu->tcb) {
        thread_resume(kernel, vcpu->tcb);
    }
    pthread_mutex_unlock(&kernel->lock);
}

_Static_assert(sizeof(((hosted_vcpu_state_t *)NULL)->list_registers) ==
                   VCPU_LIST_REGISTERS * sizeof(uint64_t),
               "list registers of a state");

void *hosted_vcpu_save(hosted_system_t *system, seL4_CPtr cptr)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    vcpu_object_t *vcpu = find(system, cptr);
    hosted_vcpu_state_t *state = vcpu && vcpu->tcb ? calloc(1, sizeof(*state)) : NULL;
    if (state) {
        vcpu_fetch(kernel, vcpu);
        state->thread = vcpu->tcb->registers;
        memcpy(state->registers, vcpu->registers, sizeof(state->registers));
        memcpy(state->list_registers, vcpu->list_registers, sizeof(state->list_registers));
        state->control = vcpu->gicv.control;
        state->priority_mask = vcpu->gicv.priority_mask;
        state->binary_point = vcpu->gicv.binary_point;
        state->active = vcpu->gicv.active;
        state->timer_masked = vcpu->timer_masked;
    }
    pthread_mutex_unlock(&kernel->lock);
    return state;
}

void hosted_vcpu_restore(hosted_system_t *system, seL4_CPtr cptr, const void *saved)
{
    kernel_t *kernel = hosted_system_kernel(system);
    const hosted_vcpu_state_t *state = saved;
    pthread_mutex_lock(&kernel->lock);
    vcpu_object_t *vcpu = find(system, cptr);
    if (vcpu && vcpu->tcb) {
        processor_stop(kernel, vcpu);
        vcpu->ran = false;
        vcpu->idle_until = 0;
        vcpu->tcb->registers = state->thread;
        memcpy(vcpu->registers, state->registers, sizeof(state->registers));
        memcpy(vcpu->list_registers, state->list_registers, sizeof(state->list_registers));
        vcpu->gicv.control = (uint32_t)state->control;
        vcpu->gicv.priority_mask = (uint32_t)state->priority_mask;
        vcpu->gicv.binary_point = (uint32_t)state->binary_point;
        vcpu->gicv.active = (uint32_t)state->active;
        vcpu->timer_masked = state->timer_masked != 0;
        thread_resume(kernel, vcpu->tcb);
    }
    pthread_mutex_unlock(&kernel->lock);
}

void hosted_vcpu_hold_interrupts(hosted_system_t *system, seL4_CPtr cptr, bool hold)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    vcpu_object_t *vcpu = find(system, cptr);
    if (vcpu) {
        vcpu->holds = hold;
    }
    pthread_mutex_unlock(&kernel->lock);
}

static void fault(kernel_t *kernel, tcb_object_t *tcb, const hosted_fault_t *fault)
{
    tcb->fault = *fault;
    if (!message_send_fault(kernel, tcb)) {
        ZF_LOGE("a thread has a fault %lu at %#lx and no fault endpoint to send it to, and stops",
                fault->label, tcb->registers.pc);
    }
}

static void fault_word(kernel_t *kernel, tcb_object_t *tcb, seL4_Word label, seL4_Word word)
{
    fault(kernel, tcb, &(hosted_fault_t){.label = label, .length = 1, .words = {word}});
}

/* The virtual CPU interface asks for an exception, and the guest lets it in. */
static void enter_interrupt(kernel_t *kernel, vcpu_object_t *vcpu)
{
    seL4_UserContext *regs = &vcpu->tcb->registers;
    vcpu_fetch(kernel, vcpu);
    vcpu->registers[seL4_VCPUReg_SPSR_EL1] = regs->spsr;
    vcpu->registers[seL4_VCPUReg_ELR_EL1] = regs->pc;
    regs->pc = vcpu->registers[seL4_VCPUReg_VBAR] + VECTOR_IRQ +
               ((regs->spsr & STATE_MODE) == STATE_EL0    ? FROM_EL0
                : (regs->spsr & STATE_MODE) == STATE_EL1H ? FROM_EL1H
                                                          : FROM_EL1T);
    regs->spsr = (regs->spsr & STATE_FLAGS) | STATE_MASKS | STATE_EL1H;
}

/* The status of a fault in its syndrome: a translation or a permission is missing, and at which
   level of the tables of stage 2. */
static seL4_Word fault_status(const pte_slot_t *at)
{
    enum { TRANSLATION = 0x04, PERMISSION = 0x0c, LAST_LEVEL = 3 };
    return (*at->entry & PTE_VALID ? PERMISSION : TRANSLATION) |
           (LAST_LEVEL - (at->bits - seL4_PageBits) / seL4_PageTableIndexBits);
}

/* Stage 2 refused an access: it may be one that a device's registers take. */
static bool try_device(kernel_t *kernel, vcpu_object_t *vcpu, hosted_run_t *run)
{
    vspace_object_t *space = vcpu->watcher.vspace;
    hosted_access_t *access = &run->access;
    int ended = -1;
    if (access->gpa >> seL4_HugePageBits >= space->num_entries) {
        return false;
    }
    pte_slot_t at = mapping_lookup(space, access->gpa);
    run->fault.words[seL4_VMFault_FSR] |= fault_status(&at);
    if (!(*at.entry & PTE_VALID)) {
        return false;
    }
    uint64_t offset = access->gpa & ((1ul << at.bits) - 1);
    if (!access->possible || !(*at.entry & (access->write ? PTE_WRITE : PTE_READ)) ||
        !device_register_access(kernel, vcpu, (*at.entry & ~(uint64_t)PTE_FLAGS) + offset, access,
                                &ended)) {
        return false;
    }
    vcpu->class->complete(vcpu->processor, run->registers, access->data);
    if (ended >= 0) {
        fault_word(kernel, vcpu->tcb, seL4_Fault_VGICMaintenance, (seL4_Word)ended);
    }
    return true;
}

static void take_stop(kernel_t *kernel, vcpu_object_t *vcpu, hosted_run_t *run)
{
    tcb_object_t *tcb = vcpu->tcb;
    switch (run->stop) {
    case HOSTED_STOP_IDLE:
        run->registers->pc += 4;
        /* Without a timer it wakes for no reason, as it may: its guest may wait for the VMM. */
        vcpu->idle_until = gicv_pending(&vcpu->gicv) || (run->timer && !vcpu->timer_masked)
                               ? 0
                               : now() + (run->rest == UINT64_MAX ? NAP : run->rest);
        break;
    case HOSTED_STOP_FAULT:
        if (run->fault.label != seL4_Fault_VMFault || !try_device(kernel, vcpu, run)) {
            fault(kernel, tcb, &run->fault);
        }
        break;
    case HOSTED_STOP_FAILED:
        tcb->state = THREAD_INACTIVE;
        if (run->text) {
            ZF_LOGE("a VCPU stops: %s", run->text);
        }
        break;
    default:
        if (run->timer && !vcpu->timer_masked) {
            vcpu->timer_masked = true;
            fault_word(kernel, tcb, seL4_Fault_VPPIEvent, TIMER);
        }
        break;
    }
}

static bool exists(const kernel_t *kernel, const vcpu_object_t *vcpu)
{
    const vcpu_object_t *at = kernel->vcpus;
    while (at && at != vcpu) {
        at = at->next;
    }
    return at != NULL;
}

static void run_vcpu(kernel_t *kernel, tcb_object_t *self, vcpu_object_t *vcpu)
{
    tcb_object_t *tcb = vcpu->tcb;
    if (!prepare(kernel, vcpu)) {
        tcb->state = THREAD_INACTIVE;
        return;
    }
    bool line = !vcpu->holds && gicv_pending(&vcpu->gicv);
    if (line && !(tcb->registers.spsr & STATE_IRQ_MASK)) {
        enter_interrupt(kernel, vcpu);
    }
    hosted_run_t run = {
        .registers = &tcb->registers,
        .vcpu_registers = vcpu->registers,
        .interrupt = line,
        .timer_masked = vcpu->timer_masked,
    };
    bool incoherent = hosted_guest_enters(kernel->system, vcpu->registers);
    vcpu->runner = self;
    self->running = vcpu;
    vcpu->runs = vcpu->ran = true; /* nobody looks at it without the lock */
    pthread_mutex_unlock(&kernel->lock);
    vcpu->class->run(vcpu->processor, &run);
    pthread_mutex_lock(&kernel->run_lock);
    vcpu->runs = false;
    pthread_cond_broadcast(&kernel->stopped);
    pthread_mutex_unlock(&kernel->run_lock);
    pthread_mutex_lock(&kernel->lock);
    self->running = NULL; /* what wakes it now need not stop the processor */
    if (!exists(kernel, vcpu)) {
        return;
    }
    if (incoherent) {
        vcpu_fetch(kernel, vcpu);
        hosted_guest_stops(kernel->system);
    }
    /* Unless somebody else has stopped it meanwhile: then it happens again. */
    if (vcpu->tcb == tcb && tcb->state == THREAD_RUNNING) {
        take_stop(kernel, vcpu, &run);
    }
    vcpu->runner = NULL;
}

static bool can_run(const vcpu_object_t *vcpu, uint64_t time)
{
    return vcpu->tcb && vcpu->tcb->state == THREAD_RUNNING && !vcpu->runner &&
           vcpu->idle_until <= time;
}

/* One that can run: rather one whose faults the thread waits for. */
static vcpu_object_t *choose(kernel_t *kernel, const tcb_object_t *self, vcpu_object_t *only,
                             uint64_t time)
{
    vcpu_object_t *other = NULL;
    for (vcpu_object_t *vcpu = kernel->vcpus; vcpu; vcpu = vcpu->next) {
        if ((only && vcpu != only) || !can_run(vcpu, time)) {
            continue;
        }
        if (only) {
            return vcpu;
        }
        endpoint_object_t *endpoint = thread_fault_endpoint(vcpu->tcb);
        if (endpoint && self->queue == &endpoint->queue) {
            return vcpu;
        }
        other = vcpu;
    }
    return other;
}

/* When the first VCPU stops to wait for an interrupt, unless it has one before; 0: none waits. */
static uint64_t first_end(const kernel_t *kernel, const vcpu_object_t *only)
{
    uint64_t end = 0;
    for (const vcpu_object_t *vcpu = kernel->vcpus; vcpu; vcpu = vcpu->next) {
        if ((!only || vcpu == only) && vcpu->tcb && vcpu->tcb->state == THREAD_RUNNING &&
            (end == 0 || vcpu->idle_until < end)) {
            end = vcpu->idle_until;
        }
    }
    return end;
}

void processor_work(kernel_t *kernel, tcb_object_t *self, vcpu_object_t *only)
{
    uint64_t time = only && only->idle_until == 0 ? 0 : now();
    vcpu_object_t *vcpu = choose(kernel, self, only, time);
    if (vcpu) {
        run_vcpu(kernel, self, vcpu);
        return;
    }
    uint64_t wake = first_end(kernel, only);
    bool hopeless = wake == 0 && !only && !kernel->host_threads->next;
    uint64_t look = now() + (hopeless ? SECOND : NAP);
    look = wake != 0 && wake < look ? wake : look;
    struct timespec end = {.tv_sec = (time_t)(look / SECOND), .tv_nsec = (long)(look % SECOND)};
    if (pthread_cond_timedwait(&kernel->changed, &kernel->lock, &end) != 0 && hopeless) {
        ZF_LOGW("a thread waits, no VCPU can run, and no other thread has used this system yet");
        pthread_cond_wait(&kernel->changed, &kernel->lock);
    }
}
