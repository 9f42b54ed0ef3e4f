/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Messages: endpoints, notifications, replies, and the faults of guests.
 *
 * A thread of the process that waits here runs guests meanwhile, without the lock. A guest that
 * faults waits at its fault endpoint until its message is received, then for the reply; the
 * capability to reply is in the receiver's caller slot, from where seL4_CNode_SaveCaller() moves
 * it. `changed` is signalled whenever something happened that a waiting thread may be waiting for.
 */

#include "kernel.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <utils/zf_log.h>

/* A message between threads of the process. */
struct letter {
    struct letter *next;
    kernel_object_t *endpoint;
    seL4_Word badge;
    seL4_MessageInfo_t info;
    bool received;
    seL4_Word words[seL4_MsgMaxLength];
};

/* A thread of the process that waits at an endpoint, in the list `receivers`. */
struct receiver {
    struct receiver *next;
    kernel_object_t *endpoint;
    struct letter *letter; /* what it was sent */
};

/* The root task's thread. */
static tcb_object_t *own_thread(const kernel_t *kernel)
{
    const cap_t *cap = &kernel->root->slots[seL4_CapInitThreadTCB].cap;
    return cap->type == CAP_TCB ? (tcb_object_t *)cap->object : NULL;
}

/* Something happened: wake those who wait, and stop the guests that they run. */
static void announce(kernel_t *kernel)
{
    pthread_cond_broadcast(&kernel->changed);
    for (vcpu_object_t *vcpu = kernel->vcpus; vcpu; vcpu = vcpu->next) {
        if (vcpu->tcb && vcpu->tcb->kick) {
            vcpu->tcb->kick(vcpu->tcb->processor);
        }
    }
}

void message_signal(kernel_t *kernel, notification_object_t *notification, uint64_t badge)
{
    notification->word |= badge;
    notification->active = true;
    announce(kernel);
}

static uint64_t take_word(notification_object_t *notification)
{
    uint64_t word = notification->word;
    notification->word = 0;
    notification->active = false;
    return word;
}

/* Delete the capability to reply to a thread, wherever it is. There is at most one. */
static void delete_reply(kernel_t *kernel, const tcb_object_t *tcb)
{
    for (slot_t *slot = kernel->caps.next; slot != &kernel->caps; slot = slot->next) {
        if (slot->cap.type == CAP_REPLY && slot->cap.object == &tcb->object) {
            derivation_delete(kernel, slot);
            return;
        }
    }
}

void message_cancel(kernel_t *kernel, tcb_object_t *tcb)
{
    if (tcb->waiting == WAITS_FOR_REPLY) {
        delete_reply(kernel, tcb);
    }
    tcb->waiting = WAITS_FOR_NOTHING;
    tcb->waits_at = NULL;
}

void message_cancel_all(kernel_t *kernel, const kernel_object_t *endpoint)
{
    for (vcpu_object_t *vcpu = kernel->vcpus; vcpu; vcpu = vcpu->next) {
        if (vcpu->tcb && vcpu->tcb->waits_at == endpoint) {
            message_cancel(kernel, vcpu->tcb);
        }
    }
}

/* The registers that a reply to an unknown system call sets, in the order of its message; where the
   call would have returned to is none. */
static void copy_reply(tcb_object_t *tcb, const seL4_Word *words, unsigned length)
{
    seL4_UserContext *regs = &tcb->registers;
    seL4_Word *const registers[] = {
        &regs->x0, &regs->x1, &regs->x2, &regs->x3, &regs->x4, &regs->x5,
        &regs->x6, &regs->x7, &regs->pc, &regs->sp, NULL,      &regs->spsr,
    };
    for (unsigned i = 0; i < length && i < sizeof(registers) / sizeof(registers[0]); i++) {
        if (registers[i]) {
            *registers[i] = words[i];
        }
    }
    regs->spsr = tcb_allowed_spsr(tcb, regs->spsr);
}

/* Reply to the thread of the capability in `slot`, and delete that. */
static void reply(kernel_t *kernel, slot_t *slot, seL4_MessageInfo_t info)
{
    tcb_object_t *tcb = (tcb_object_t *)slot->cap.object;
    const seL4_Word *words = seL4_GetIPCBuffer()->msg;

    derivation_delete(kernel, slot);
    tcb->waiting = WAITS_FOR_NOTHING;
    if (tcb->fault.label == seL4_Fault_UnknownSyscall) {
        copy_reply(tcb, words, (unsigned)seL4_MessageInfo_get_length(info));
    }
    if (tcb->fault.label == seL4_Fault_UnknownSyscall ||
        tcb->fault.label == seL4_Fault_UserException) {
        tcb->running = seL4_MessageInfo_get_label(info) == 0;
    }
    announce(kernel);
}

/* Where a thread's faults go; NULL if nowhere. */
static slot_t *fault_endpoint(tcb_object_t *tcb)
{
    enum { GRANT = RIGHT_GRANT | RIGHT_GRANT_REPLY };
    slot_t *slot;
    seL4_Error error = cspace_lookup(&tcb->slots[TCB_CSPACE].cap, tcb->fault_endpoint,
                                     seL4_WordBits, false, &slot);
    return !error && slot->cap.type == CAP_ENDPOINT && slot->cap.rights & RIGHT_WRITE &&
                   slot->cap.rights & GRANT
               ? slot
               : NULL;
}

static void send_fault(kernel_t *kernel, tcb_object_t *tcb)
{
    const slot_t *slot = fault_endpoint(tcb);
    if (!slot) {
        ZF_LOGE("a guest at pc %#lx is stopped by fault %lu, and has no endpoint to send it to",
                tcb->registers.pc, tcb->fault.label);
        tcb->running = false;
        return;
    }
    tcb->waiting = WAITS_FOR_RECEIVER;
    tcb->waits_at = slot->cap.object;
    tcb->fault_badge = slot->cap.badge;
    tcb->waits_since = ++kernel->faults;
    pthread_cond_broadcast(&kernel->changed);
}

/* A guest that can run: one whose faults come to `endpoint`, or any if that is NULL. They take
   turns: the one after the last that ran comes first. */
static tcb_object_t *next_guest(kernel_t *kernel, const kernel_object_t *endpoint)
{
    tcb_object_t *best = NULL;
    for (vcpu_object_t *vcpu = kernel->vcpus; vcpu; vcpu = vcpu->next) {
        tcb_object_t *tcb = vcpu->tcb;
        if (!tcb || !tcb->running || tcb->waiting != WAITS_FOR_NOTHING || tcb->kick ||
            tcb->slots[TCB_VSPACE].cap.type != CAP_VSPACE || (best && best->ran <= tcb->ran)) {
            continue;
        }
        const slot_t *slot = endpoint ? fault_endpoint(tcb) : NULL;
        if (!endpoint || (slot && slot->cap.object == endpoint)) {
            best = tcb;
        }
    }
    return best;
}

static void run_guest(kernel_t *kernel, tcb_object_t *tcb)
{
    vspace_object_t *space = (vspace_object_t *)tcb->slots[TCB_VSPACE].cap.object;
    hosted_guest_t guest = {
        .system = kernel->system,
        .space = space,
        .registers = &tcb->registers,
        .system_registers = tcb->vcpu->registers,
        .list_registers = tcb->vcpu->list_registers,
        .cpu_interface = tcb->vcpu->cpu_interface,
    };
    char error[128];

    if (!space->processor) {
        space->processor_class = kernel->processor;
        space->processor = kernel->processor->create(kernel->engine, &guest, error, sizeof(error));
        if (!space->processor) {
            ZF_LOGE("a guest cannot run: %s", error);
            tcb->running = false;
            return;
        }
    }
    tcb->processor = space->processor;
    tcb->kick = kernel->processor->kick;
    tcb->ran = ++kernel->turns;
    memset(&tcb->fault, 0, sizeof(tcb->fault));
    pthread_mutex_unlock(&kernel->lock);
    kernel->processor->run(space->processor, &guest, &tcb->fault);
    pthread_mutex_lock(&kernel->lock);
    tcb->kick = NULL;
    if (tcb->fault.label != seL4_Fault_NullFault) {
        send_fault(kernel, tcb);
    }
}

/* The fault message that has waited longest at an endpoint. */
static tcb_object_t *first_fault(const kernel_t *kernel, const kernel_object_t *endpoint)
{
    tcb_object_t *first = NULL;
    for (vcpu_object_t *vcpu = kernel->vcpus; vcpu; vcpu = vcpu->next) {
        tcb_object_t *tcb = vcpu->tcb;
        if (tcb && tcb->waiting == WAITS_FOR_RECEIVER && tcb->waits_at == endpoint &&
            (!first || tcb->waits_since < first->waits_since)) {
            first = tcb;
        }
    }
    return first;
}

static struct letter *first_letter(kernel_t *kernel, const kernel_object_t *endpoint)
{
    for (struct letter **link = &kernel->letters; *link; link = &(*link)->next) {
        struct letter *letter = *link;
        if (letter->endpoint == endpoint) {
            *link = letter->next;
            return letter;
        }
    }
    return NULL;
}

/* What a receiver gets. */
typedef struct message {
    seL4_MessageInfo_t info;
    seL4_Word badge;
} message_t;

static message_t receive_fault(kernel_t *kernel, tcb_object_t *tcb)
{
    tcb_object_t *self = own_thread(kernel);
    tcb->waiting = WAITS_FOR_REPLY;
    tcb->waits_at = NULL;
    if (self) {
        const cap_t cap = {.type = CAP_REPLY, .object = &tcb->object};
        derivation_add(kernel, NULL, &self->slots[TCB_CALLER], &cap);
    }
    memcpy(seL4_GetIPCBuffer()->msg, tcb->fault.words, sizeof(tcb->fault.words));
    return (message_t){seL4_MessageInfo_new(tcb->fault.label, 0, 0, tcb->fault.length),
                       tcb->fault_badge};
}

static message_t receive_letter(kernel_t *kernel, struct letter *letter)
{
    message_t message = {letter->info, letter->badge};
    memcpy(seL4_GetIPCBuffer()->msg, letter->words, sizeof(letter->words));
    letter->received = true;
    pthread_cond_broadcast(&kernel->changed);
    return message;
}

/* What is there now for a receiver. @return false if nothing is */
static bool receive_now(kernel_t *kernel, const cap_t *source, struct receiver *receiver,
                        message_t *message)
{
    tcb_object_t *self = own_thread(kernel);
    struct letter *letter = receiver->letter;
    *message = (message_t){seL4_MessageInfo_new(0, 0, 0, 0), 0};
    if (source->type == CAP_NOTIFICATION) {
        notification_object_t *notification = (notification_object_t *)source->object;
        bool active = notification->active;
        message->badge = active ? take_word(notification) : 0;
        return active;
    }
    if (letter) {
        *message = receive_letter(kernel, letter);
        free(letter);
        return true;
    }
    if (self && self->notification && self->notification->active) {
        message->badge = take_word(self->notification);
        return true;
    }
    tcb_object_t *tcb = first_fault(kernel, source->object);
    if (tcb) {
        *message = receive_fault(kernel, tcb);
        return true;
    }
    letter = first_letter(kernel, source->object);
    if (letter) {
        *message = receive_letter(kernel, letter);
    }
    return letter != NULL;
}

static void join(kernel_t *kernel, struct receiver *receiver)
{
    receiver->next = kernel->receivers;
    kernel->receivers = receiver;
}

static void leave(kernel_t *kernel, const struct receiver *receiver)
{
    struct receiver **link = &kernel->receivers;
    while (*link != receiver) {
        link = &(*link)->next;
    }
    *link = receiver->next;
}

static message_t receive(kernel_t *kernel, const cap_t source, bool wait)
{
    kernel_object_t *endpoint = source.type == CAP_ENDPOINT ? source.object : NULL;
    struct receiver receiver = {.endpoint = endpoint};
    tcb_object_t *self = own_thread(kernel);
    message_t message;

    if (self && source.type == CAP_ENDPOINT) {
        derivation_delete(kernel, &self->slots[TCB_CALLER]); /* who was not replied to stays so */
    }
    join(kernel, &receiver);
    while (!receive_now(kernel, &source, &receiver, &message) && wait) {
        tcb_object_t *tcb = kernel->processor ? next_guest(kernel, endpoint) : NULL;
        if (tcb) {
            run_guest(kernel, tcb);
        } else {
            pthread_cond_wait(&kernel->changed, &kernel->lock);
        }
    }
    leave(kernel, &receiver);
    return message;
}

/* The system and the capability of a call; NULL if there is no system. */
static kernel_t *begin(seL4_CPtr cptr, cap_t *cap)
{
    kernel_t *kernel = kernel_current();
    if (kernel) {
        pthread_mutex_lock(&kernel->lock);
        *cap = cspace_caller_slot(kernel, cptr)->cap;
    }
    return kernel;
}

static void end(kernel_t *kernel)
{
    object_free_dead(kernel);
    pthread_mutex_unlock(&kernel->lock);
}

static seL4_MessageInfo_t recv(seL4_CPtr src, seL4_Word *sender, bool wait)
{
    cap_t cap;
    kernel_t *kernel = begin(src, &cap);
    message_t message = {seL4_MessageInfo_new(0, 0, 0, 0), 0};
    if (kernel) {
        if ((cap.type == CAP_ENDPOINT || cap.type == CAP_NOTIFICATION) && cap.rights & RIGHT_READ) {
            message = receive(kernel, cap, wait);
        } else if (wait) {
            /* On the kernel the caller has faulted, and waits for its own fault handler. */
            ZF_LOGF("capability %#lx is none to receive from", src);
        }
        end(kernel);
    }
    if (sender) {
        *sender = message.badge;
    }
    return message.info;
}

seL4_MessageInfo_t seL4_Recv(seL4_CPtr src, seL4_Word *sender)
{
    return recv(src, sender, true);
}

seL4_MessageInfo_t seL4_NBRecv(seL4_CPtr src, seL4_Word *sender)
{
    return recv(src, sender, false);
}

seL4_MessageInfo_t seL4_Poll(seL4_CPtr src, seL4_Word *sender)
{
    return recv(src, sender, false);
}

static struct receiver *find_receiver(const kernel_t *kernel, const kernel_object_t *endpoint)
{
    struct receiver *receiver = kernel->receivers;
    while (receiver && (receiver->endpoint != endpoint || receiver->letter)) {
        receiver = receiver->next;
    }
    return receiver;
}

static void post(kernel_t *kernel, const cap_t *cap, seL4_MessageInfo_t info, bool wait)
{
    struct receiver *receiver = find_receiver(kernel, cap->object);
    if (!receiver && !wait) {
        return;
    }
    struct letter *letter = calloc(1, sizeof(*letter));
    if (!letter) {
        ZF_LOGF("the host is out of memory");
    }
    letter->endpoint = cap->object;
    letter->badge = cap->badge;
    letter->info = info;
    memcpy(letter->words, seL4_GetIPCBuffer()->msg, sizeof(letter->words));
    if (receiver) {
        receiver->letter = letter; /* its receiver frees it */
        announce(kernel);
        return;
    }
    struct letter **last = &kernel->letters;
    while (*last) {
        last = &(*last)->next;
    }
    *last = letter;
    announce(kernel);
    while (!letter->received) {
        pthread_cond_wait(&kernel->changed, &kernel->lock);
    }
    free(letter);
}

static void send(seL4_CPtr dest, seL4_MessageInfo_t info, bool wait)
{
    cap_t cap;
    kernel_t *kernel = begin(dest, &cap);
    if (!kernel) {
        return;
    }
    if (cap.type == CAP_REPLY) {
        reply(kernel, cspace_caller_slot(kernel, dest), info);
    } else if (cap.rights & RIGHT_WRITE && cap.type == CAP_NOTIFICATION) {
        message_signal(kernel, (notification_object_t *)cap.object, cap.badge);
    } else if (cap.rights & RIGHT_WRITE && cap.type == CAP_ENDPOINT) {
        post(kernel, &cap, info, wait);
    }
    end(kernel);
}

void seL4_Send(seL4_CPtr dest, seL4_MessageInfo_t msgInfo)
{
    send(dest, msgInfo, true);
}

void seL4_NBSend(seL4_CPtr dest, seL4_MessageInfo_t msgInfo)
{
    send(dest, msgInfo, false);
}

void seL4_Signal(seL4_CPtr dest)
{
    cap_t cap;
    kernel_t *kernel = begin(dest, &cap);
    if (!kernel) {
        return;
    }
    if (cap.type == CAP_NOTIFICATION && cap.rights & RIGHT_WRITE) {
        message_signal(kernel, (notification_object_t *)cap.object, cap.badge);
    }
    end(kernel);
}

void seL4_Reply(seL4_MessageInfo_t msgInfo)
{
    cap_t cap;
    kernel_t *kernel = begin(seL4_CapNull, &cap);
    if (!kernel) {
        return;
    }
    tcb_object_t *self = own_thread(kernel);
    if (self && self->slots[TCB_CALLER].cap.type == CAP_REPLY) {
        reply(kernel, &self->slots[TCB_CALLER], msgInfo);
    }
    end(kernel);
}

seL4_MessageInfo_t seL4_ReplyRecv(seL4_CPtr dest, seL4_MessageInfo_t msgInfo, seL4_Word *sender)
{
    seL4_Reply(msgInfo);
    return seL4_Recv(dest, sender);
}

void seL4_Yield(void)
{
    sched_yield();
}

void hosted_guest_runs(hosted_system_t *system, seL4_CPtr tcb, void (*kick)(void *cookie),
                       void *cookie)
{
    kernel_t *kernel = hosted_system_kernel(system);
    pthread_mutex_lock(&kernel->lock);
    const cap_t *cap = &cspace_caller_slot(kernel, tcb)->cap;
    if (cap->type == CAP_TCB) {
        ((tcb_object_t *)cap->object)->kick = kick;
        ((tcb_object_t *)cap->object)->processor = cookie;
    }
    pthread_mutex_unlock(&kernel->lock);
}

void message_save_caller(kernel_t *kernel, slot_t *slot)
{
    tcb_object_t *self = own_thread(kernel);
    if (self && self->slots[TCB_CALLER].cap.type == CAP_REPLY) {
        const cap_t cap = self->slots[TCB_CALLER].cap;
        derivation_move(&self->slots[TCB_CALLER], slot, &cap);
    }
}

void hosted_system_use_processor(hosted_system_t *system, const hosted_processor_t *processor,
                                 const void *engine)
{
    kernel_t *kernel = hosted_system_kernel(system);
    kernel->processor = processor;
    kernel->engine = engine;
}
