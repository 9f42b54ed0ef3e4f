/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Threads that wait for each other: endpoints, notifications, replies, and faults as messages. The
 * threads are the host threads that have entered the system, and those with a VCPU, which send
 * faults only. A thread that waits runs VCPUs meanwhile (processor.c).
 */

#include "kernel.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <utils/zf_log.h>

static const seL4_MessageInfo_t no_message = {{0}};

static void enqueue(tcb_queue_t *queue, tcb_object_t *tcb, thread_state_t state)
{
    tcb_object_t **link = &queue->first;
    while (*link) {
        link = &(*link)->next_waiting;
    }
    *link = tcb;
    tcb->next_waiting = NULL;
    tcb->queue = queue;
    tcb->state = state;
}

static void dequeue(tcb_object_t *tcb)
{
    tcb_object_t **link = &tcb->queue->first;
    while (*link != tcb) {
        link = &(*link)->next_waiting;
    }
    *link = tcb->next_waiting;
    tcb->queue = NULL;
}

/* It runs from now on: if it is a host thread, it may be running a VCPU. */
static void wake(kernel_t *kernel, tcb_object_t *tcb)
{
    tcb->state = THREAD_RUNNING;
    if (tcb->running) {
        processor_kick(tcb->running);
    }
    pthread_cond_broadcast(&kernel->changed);
}

static void cancel(kernel_t *kernel, tcb_object_t *tcb)
{
    if (tcb->queue) {
        dequeue(tcb);
    }
    if (tcb->reply) {
        derivation_delete(kernel, tcb->reply);
    }
    tcb->fault.label = 0;
}

void thread_resume(kernel_t *kernel, tcb_object_t *tcb)
{
    if (tcb->state != THREAD_RUNNING) {
        cancel(kernel, tcb);
        wake(kernel, tcb);
    }
}

void thread_suspend(kernel_t *kernel, tcb_object_t *tcb)
{
    cancel(kernel, tcb);
    tcb->state = THREAD_INACTIVE;
    if (tcb->vcpu) {
        processor_kick(tcb->vcpu);
    }
}

void thread_finalise(kernel_t *kernel, tcb_object_t *tcb)
{
    thread_suspend(kernel, tcb);
    if (tcb->player) {
        tcb->player->plays = NULL;
    }
    if (tcb == kernel->root_thread) {
        kernel->root_thread = NULL;
    }
}

void message_cancel_all(kernel_t *kernel, tcb_queue_t *queue)
{
    while (queue->first) {
        thread_resume(kernel, queue->first);
    }
}

/* The host thread's own thread. NULL without memory. */
static tcb_object_t *self_of(kernel_t *kernel)
{
    static _Thread_local char identity;
    for (host_thread_t *host = kernel->host_threads; host; host = host->next) {
        if (host->identity == &identity) {
            return host->tcb;
        }
    }
    host_thread_t *host = calloc(1, sizeof(*host));
    tcb_object_t *tcb = (tcb_object_t *)object_allocate(CAP_TCB, sizeof(*tcb), 0);
    if (!host || !tcb) {
        free(host);
        free(tcb);
        return NULL;
    }
    tcb->state = THREAD_RUNNING;
    *host = (host_thread_t){&identity, tcb, kernel->host_threads};
    kernel->host_threads = host;
    return tcb;
}

void message_free(kernel_t *kernel)
{
    while (kernel->host_threads) {
        host_thread_t *host = kernel->host_threads;
        kernel->host_threads = host->next;
        free(host->tcb);
        free(host);
    }
}

static void transfer(const tcb_object_t *sender, tcb_object_t *receiver)
{
    const hosted_fault_t *fault = &sender->fault;
    receiver->badge = sender->badge;
    if (fault->label) {
        receiver->tag = seL4_MessageInfo_new(fault->label, 0, 0, fault->length);
        memcpy(receiver->message->msg, fault->words, fault->length * sizeof(seL4_Word));
        return;
    }
    seL4_Word length = seL4_MessageInfo_get_length(sender->tag);
    length = length < seL4_MsgMaxLength ? length : seL4_MsgMaxLength;
    receiver->tag = seL4_MessageInfo_new(seL4_MessageInfo_get_label(sender->tag), 0, 0, length);
    if (sender->message != receiver->message) {
        memcpy(receiver->message->msg, sender->message->msg, length * sizeof(seL4_Word));
    }
}

/* The two have met: the receiver has the message, and the sender goes on or waits for a reply. */
static void deliver(kernel_t *kernel, tcb_object_t *sender, tcb_object_t *receiver)
{
    transfer(sender, receiver);
    if (!sender->wants_reply) {
        wake(kernel, sender);
    } else if (sender->may_grant) {
        const cap_t reply = {.type = CAP_REPLY, .object = &sender->object};
        sender->state = THREAD_REPLY;
        sender->reply = &receiver->slots[TCB_CALLER];
        derivation_add(kernel, NULL, sender->reply, &reply);
    } else {
        sender->fault.label = 0;
        sender->state = THREAD_INACTIVE;
    }
}

static void send(kernel_t *kernel, tcb_object_t *sender, endpoint_object_t *endpoint, bool waits)
{
    tcb_object_t *receiver = endpoint->queue.first;
    if (receiver && receiver->state == THREAD_RECEIVING) {
        /* Of those that wait, who runs the VCPU takes its fault. */
        for (tcb_object_t *other = receiver; other && sender->vcpu; other = other->next_waiting) {
            receiver = other == sender->vcpu->runner ? other : receiver;
        }
        dequeue(receiver);
        wake(kernel, receiver);
        deliver(kernel, sender, receiver);
    } else if (waits) {
        enqueue(&endpoint->queue, sender, THREAD_SENDING);
    }
}

static bool take_word(notification_object_t *notification, tcb_object_t *tcb)
{
    if (!notification || !notification->active) {
        return false;
    }
    tcb->badge = notification->word;
    notification->word = 0;
    notification->active = false;
    return true;
}

static void receive(kernel_t *kernel, tcb_object_t *self, endpoint_object_t *endpoint, bool waits)
{
    tcb_object_t *sender = endpoint->queue.first;
    if (kernel->root_thread && !kernel->root_thread->player) {
        self->plays = kernel->root_thread;
        self->plays->player = self;
    }
    self->badge = 0;
    derivation_delete(kernel, &self->slots[TCB_CALLER]);
    if (self->plays && take_word(self->plays->notification, self)) {
        return;
    }
    if (sender && sender->state == THREAD_SENDING) {
        dequeue(sender);
        deliver(kernel, sender, self);
    } else if (waits) {
        enqueue(&endpoint->queue, self, THREAD_RECEIVING);
    }
}

void notification_signal(kernel_t *kernel, notification_object_t *notification, uint64_t badge)
{
    tcb_object_t *bound = notification->tcb ? notification->tcb->player : NULL;
    tcb_object_t *receiver =
        bound && bound->state == THREAD_RECEIVING ? bound : notification->queue.first;
    if (receiver) {
        dequeue(receiver);
        receiver->badge = badge;
        wake(kernel, receiver);
    } else {
        notification->word |= badge;
        notification->active = true;
    }
}

/* Words of a reply that go into registers of the thread, by their place in the message. */
static void take_registers(tcb_object_t *tcb, seL4_Word *const places[], seL4_Word count,
                           const seL4_Word *words)
{
    for (seL4_Word i = 0; i < count; i++) {
        if (places[i]) {
            *places[i] = words[i];
        }
    }
    tcb->registers.spsr = tcb_allowed_spsr(tcb, tcb->registers.spsr);
}

/* @return whether the thread goes on */
static bool reply_to_fault(tcb_object_t *tcb, seL4_MessageInfo_t info, const seL4_Word *words)
{
    seL4_UserContext *regs = &tcb->registers;
    /* Not where the call would have returned to, which the message tells as well. */
    seL4_Word *const syscall[] = {&regs->x0, &regs->x1, &regs->x2, &regs->x3,
                                  &regs->x4, &regs->x5, &regs->x6, &regs->x7,
                                  &regs->pc, &regs->sp, NULL,      &regs->spsr};
    seL4_Word *const exception[] = {&regs->pc, &regs->sp, &regs->spsr};
    seL4_Word length = seL4_MessageInfo_get_length(info);

    switch (tcb->fault.label) {
    case seL4_Fault_UnknownSyscall:
        take_registers(tcb, syscall, length < 12 ? length : 12, words);
        return seL4_MessageInfo_get_label(info) == 0;
    case seL4_Fault_UserException:
        take_registers(tcb, exception, length < 3 ? length : 3, words);
        return seL4_MessageInfo_get_label(info) == 0;
    default:
        return true;
    }
}

/* `slot` holds the capability to reply; it is gone afterwards. */
static void reply(kernel_t *kernel, slot_t *slot, seL4_MessageInfo_t info)
{
    tcb_object_t *caller = (tcb_object_t *)slot->cap.object;
    derivation_delete(kernel, slot);
    if (caller->fault.label) {
        bool goes_on = reply_to_fault(caller, info, seL4_GetIPCBuffer()->msg);
        caller->fault.label = 0;
        caller->state = THREAD_INACTIVE;
        if (goes_on) {
            wake(kernel, caller);
        }
        return;
    }
    const tcb_object_t answer = {.tag = info, .message = seL4_GetIPCBuffer()};
    transfer(&answer, caller);
    wake(kernel, caller);
}

/* Where the thread's faults go, and as whose; NULL if it has no such capability. */
static const cap_t *fault_handler(const tcb_object_t *tcb)
{
    const cap_t *cap = &cspace_slot(&tcb->slots[TCB_CSPACE].cap, tcb->fault_endpoint)->cap;
    bool usable = cap->type == CAP_ENDPOINT && cap->rights & RIGHT_WRITE &&
                  cap->rights & (RIGHT_GRANT | RIGHT_GRANT_REPLY);
    return usable ? cap : NULL;
}

endpoint_object_t *thread_fault_endpoint(const tcb_object_t *tcb)
{
    const cap_t *cap = fault_handler(tcb);
    return cap ? (endpoint_object_t *)cap->object : NULL;
}

bool message_send_fault(kernel_t *kernel, tcb_object_t *tcb)
{
    const cap_t *handler = fault_handler(tcb);
    if (!handler) {
        tcb->fault.label = 0;
        tcb->state = THREAD_INACTIVE;
        return false;
    }
    tcb->badge = handler->badge;
    tcb->wants_reply = tcb->may_grant = true;
    send(kernel, tcb, (endpoint_object_t *)handler->object, true);
    return true;
}

void message_save_caller(kernel_t *kernel, slot_t *slot)
{
    tcb_object_t *self = self_of(kernel);
    if (self && self->slots[TCB_CALLER].cap.type == CAP_REPLY) {
        const cap_t cap = self->slots[TCB_CALLER].cap;
        derivation_move(&self->slots[TCB_CALLER], slot, &cap);
    }
}

/* The way in: lock, and the calling thread. NULL without a system. */
static kernel_t *enter(tcb_object_t **self)
{
    kernel_t *kernel = kernel_current();
    if (!kernel) {
        return NULL;
    }
    pthread_mutex_lock(&kernel->lock);
    *self = self_of(kernel);
    if (!*self) {
        pthread_mutex_unlock(&kernel->lock);
        return NULL;
    }
    (*self)->message = seL4_GetIPCBuffer();
    (*self)->tag = no_message;
    return kernel;
}

static void leave(kernel_t *kernel)
{
    object_free_dead(kernel);
    pthread_mutex_unlock(&kernel->lock);
}

/* Wait until the thread runs again. @return false if `until` wants to return before */
static bool wait(kernel_t *kernel, tcb_object_t *self, vcpu_object_t *only,
                 bool (*until)(void *cookie), void *cookie)
{
    while (self->state != THREAD_RUNNING) {
        if (until) {
            pthread_mutex_unlock(&kernel->lock);
            bool returns = until(cookie);
            pthread_mutex_lock(&kernel->lock);
            if (returns && self->state != THREAD_RUNNING) {
                cancel(kernel, self);
                self->state = THREAD_RUNNING;
                return false;
            }
        }
        if (self->state != THREAD_RUNNING) {
            processor_work(kernel, self, only);
        }
        object_free_dead(kernel);
    }
    return true;
}

/* On the kernel the thread would fault and never run again. */
static void no_such_capability(const char *call, seL4_CPtr cptr)
{
    ZF_LOGE("%s: no endpoint or notification with the right is at %#lx; on the kernel this thread "
            "would stop here",
            call, cptr);
}

static void send_message(seL4_CPtr dest, seL4_MessageInfo_t info, bool waits)
{
    tcb_object_t *self;
    kernel_t *kernel = enter(&self);
    if (!kernel) {
        return;
    }
    slot_t *slot = cspace_caller_slot(kernel, dest);
    if (slot->cap.type == CAP_REPLY) {
        reply(kernel, slot, info);
    } else if (slot->cap.type == CAP_ENDPOINT && slot->cap.rights & RIGHT_WRITE) {
        self->tag = info;
        self->badge = slot->cap.badge;
        self->wants_reply = false;
        send(kernel, self, (endpoint_object_t *)slot->cap.object, waits);
        wait(kernel, self, NULL, NULL, NULL);
    } else if (slot->cap.type == CAP_NOTIFICATION) {
        invocation_message(kernel, &slot->cap);
    }
    leave(kernel);
}

void seL4_Send(seL4_CPtr dest, seL4_MessageInfo_t info)
{
    send_message(dest, info, true);
}

void seL4_NBSend(seL4_CPtr dest, seL4_MessageInfo_t info)
{
    send_message(dest, info, false);
}

void seL4_Signal(seL4_CPtr dest)
{
    kernel_t *kernel = kernel_current();
    if (!kernel) {
        return;
    }
    pthread_mutex_lock(&kernel->lock);
    const cap_t *cap = &cspace_caller_slot(kernel, dest)->cap;
    if (cap->type == CAP_NOTIFICATION) {
        invocation_message(kernel, cap);
    }
    pthread_mutex_unlock(&kernel->lock);
}

seL4_MessageInfo_t seL4_Call(seL4_CPtr dest, seL4_MessageInfo_t info)
{
    tcb_object_t *self;
    kernel_t *kernel = enter(&self);
    if (!kernel) {
        return no_message;
    }
    slot_t *slot = cspace_caller_slot(kernel, dest);
    if (slot->cap.type == CAP_ENDPOINT && slot->cap.rights & RIGHT_WRITE) {
        self->tag = info;
        self->badge = slot->cap.badge;
        self->wants_reply = true;
        self->may_grant = slot->cap.rights & (RIGHT_GRANT | RIGHT_GRANT_REPLY);
        send(kernel, self, (endpoint_object_t *)slot->cap.object, true);
        wait(kernel, self, NULL, NULL, NULL);
    } else {
        no_such_capability("seL4_Call", dest);
    }
    seL4_MessageInfo_t answer = self->tag;
    leave(kernel);
    return answer;
}

typedef struct waiting {
    const char *call;
    bool waits;
    vcpu_object_t *only;
    bool (*until)(void *cookie);
    void *cookie;
} waiting_t;

static bool receive_from(kernel_t *kernel, tcb_object_t *self, seL4_CPtr src,
                         const waiting_t *waiting)
{
    const cap_t *cap = &cspace_caller_slot(kernel, src)->cap;
    if (!(cap->rights & RIGHT_READ) ||
        (cap->type != CAP_ENDPOINT && cap->type != CAP_NOTIFICATION)) {
        if (waiting->waits) {
            no_such_capability(waiting->call, src);
        }
        self->badge = 0;
        return true;
    }
    if (cap->type == CAP_ENDPOINT) {
        receive(kernel, self, (endpoint_object_t *)cap->object, waiting->waits);
    } else {
        notification_object_t *notification = (notification_object_t *)cap->object;
        self->badge = 0;
        if (!take_word(notification, self) && waiting->waits) {
            enqueue(&notification->queue, self, THREAD_WAITING);
        }
    }
    return wait(kernel, self, waiting->only, waiting->until, waiting->cookie);
}

static seL4_MessageInfo_t finish(kernel_t *kernel, const tcb_object_t *self, seL4_Word *sender)
{
    seL4_MessageInfo_t info = self->tag;
    if (sender) {
        *sender = self->badge;
    }
    leave(kernel);
    return info;
}

static seL4_MessageInfo_t receive_message(seL4_CPtr src, seL4_Word *sender,
                                          const waiting_t *waiting)
{
    tcb_object_t *self;
    kernel_t *kernel = enter(&self);
    if (!kernel) {
        if (sender) {
            *sender = 0;
        }
        return no_message;
    }
    receive_from(kernel, self, src, waiting);
    return finish(kernel, self, sender);
}

seL4_MessageInfo_t seL4_Recv(seL4_CPtr src, seL4_Word *sender)
{
    return receive_message(src, sender, &(waiting_t){.call = "seL4_Recv", .waits = true});
}

seL4_MessageInfo_t seL4_NBRecv(seL4_CPtr src, seL4_Word *sender)
{
    return receive_message(src, sender, &(waiting_t){.call = "seL4_NBRecv"});
}

void seL4_Wait(seL4_CPtr src, seL4_Word *sender)
{
    seL4_Recv(src, sender);
}

seL4_MessageInfo_t seL4_Poll(seL4_CPtr src, seL4_Word *sender)
{
    return seL4_NBRecv(src, sender);
}

bool hosted_receive(hosted_system_t *system, seL4_CPtr source, seL4_Word *sender,
                    seL4_MessageInfo_t *info, seL4_CPtr vcpu, bool (*until)(void *cookie),
                    void *cookie)
{
    tcb_object_t *self;
    kernel_t *before = kernel_current();
    kernel_enter(hosted_system_kernel(system));
    kernel_t *kernel = enter(&self);
    bool received = false;
    if (kernel) {
        const cap_t *cap = &cspace_caller_slot(kernel, vcpu)->cap;
        vcpu_object_t *only = cap->type == CAP_VCPU ? (vcpu_object_t *)cap->object : NULL;
        received = receive_from(kernel, self, source,
                                &(waiting_t){"hosted_receive", true, only, until, cookie});
        *info = finish(kernel, self, sender);
    }
    kernel_enter(before);
    return received;
}

void seL4_Reply(seL4_MessageInfo_t info)
{
    tcb_object_t *self;
    kernel_t *kernel = enter(&self);
    if (!kernel) {
        return;
    }
    if (self->slots[TCB_CALLER].cap.type == CAP_REPLY) {
        reply(kernel, &self->slots[TCB_CALLER], info);
    }
    leave(kernel);
}

seL4_MessageInfo_t seL4_ReplyRecv(seL4_CPtr src, seL4_MessageInfo_t info, seL4_Word *sender)
{
    seL4_Reply(info);
    return receive_message(src, sender, &(waiting_t){.call = "seL4_ReplyRecv", .waits = true});
}

void seL4_Yield(void)
{
    sched_yield();
}
