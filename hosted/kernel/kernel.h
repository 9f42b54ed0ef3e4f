/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The state of the kernel model, and what its files offer each other.
 *
 * Invariants:
 * - All capabilities of a system are in one doubly linked list, `caps`: a capability is followed by
 *   those derived from it. Whether one derives from another is decided from the capabilities
 *   themselves (derivation.c), so the list is all that the derivation tree needs.
 * - A frame has no object: its capability and page table entries hold its physical address, and its
 *   bytes are in a bank's file. A guest's memory therefore costs nothing until it is touched.
 * - Page tables are real: an entry holds a physical address, not a capability. What a capability
 *   remembers of its mapping can be out of date, as on the kernel.
 * - Every invocation checks everything first; what changes state afterwards cannot fail.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <hosted/counters.h>
#include <hosted/inject.h>
#include <hosted/device.h>
#include <hosted/processor.h>
#include <hosted/stage2.h>
#include "error.h"
#include "gicv.h"

typedef enum cap_type {
    CAP_NULL,
    CAP_UNTYPED,
    CAP_FRAME,
    CAP_PAGE_TABLE,
    CAP_VSPACE,
    CAP_CNODE,
    CAP_TCB,
    CAP_VCPU,
    CAP_ENDPOINT,
    CAP_NOTIFICATION,
    CAP_ASID_POOL,
    CAP_ASID_CONTROL,
    CAP_IRQ_CONTROL,
    CAP_IRQ_HANDLER,
    CAP_DOMAIN,
    CAP_REPLY, /* to a thread that waits for a reply; one at a time */
    CAP_ZOMBIE /* what is left of a CNode or a thread while its slots are emptied */
} cap_type_t;

enum {
    CAP_DEVICE = 1,      /* untyped, frame: memory that the kernel does not clear */
    CAP_REVOCABLE = 2,   /* capabilities can derive from it */
    CAP_FIRST_BADGED = 4 /* first with its badge: no child of another with the same badge */
};

enum { RIGHT_WRITE = 1, RIGHT_READ = 2, RIGHT_GRANT = 4, RIGHT_GRANT_REPLY = 8, RIGHTS_ALL = 15 };

/** What is common to kernel objects. Freed at the end of the invocation that deleted it. */
typedef struct object {
    uint64_t paddr;
    struct object *next_dead;
    cap_type_t type;
} kernel_object_t;

typedef struct cap {
    uint8_t type;        /* cap_type_t */
    uint8_t rights;      /* RIGHT_ bits; of frames read, read-write or nothing */
    uint8_t bits;        /* log2 bytes of untypeds and frames, log2 slots of CNodes */
    uint8_t flags;       /* CAP_ bits */
    uint16_t asid;       /* frame, page table, VSpace: where it is mapped; 0 if not */
    uint16_t guard_bits; /* CNode */
    union {
        uint64_t paddr; /* untyped, frame */
        uint64_t irq;   /* interrupt handler */
        kernel_object_t *object;
    };
    union {
        uint64_t vaddr; /* frame, page table: where it is mapped */
        uint64_t used;  /* untyped: bytes below the watermark */
        uint64_t badge; /* endpoint, notification */
        uint64_t guard; /* CNode */
        uint64_t left;  /* zombie: slots that may not be empty yet, the first ones of its object */
    };
} cap_t;

typedef struct slot {
    cap_t cap;
    struct slot *previous, *next; /* in the list of all capabilities; NULL while empty */
} slot_t;

typedef struct cnode {
    kernel_object_t object;
    struct cnode *next_cnode; /* all CNodes, to name slots in the census */
    unsigned radix;
    slot_t *slots;
} cnode_t;

/* Page table entries: a physical address or a pointer to the next table, and these bits. */
enum {
    PTE_VALID = 1,
    PTE_TABLE = 2,
    PTE_READ = 4,
    PTE_WRITE = 8,
    PTE_CACHEABLE = 16,
    PTE_NEVER_EXECUTE = 32,
    PTE_FLAGS = 63
};

typedef struct page_table {
    kernel_object_t object;
    bool reachable; /* from an address space: its pages count as mapped */
    uint64_t entries[512] __attribute__((aligned(64)));
} __attribute__((aligned(64))) page_table_t;

/** Who is notified of changes of an address space. */
typedef struct stage2_watcher {
    hosted_stage2_listener_t listener;
    struct vspace_object *vspace; /* NULL: none */
    struct stage2_watcher *next;
} stage2_watcher_t;

/** An address space: the root table and who is notified of changes. */
typedef struct vspace_object {
    kernel_object_t object;
    struct kernel *kernel;
    uint16_t asid;
    bool host; /* the VMM's own: mappings are the process's, tables come and go by themselves ... */
    bool tables_stay; /* ... or stay where they once were, see hosted_vmm_keep_tables() */
    size_t num_entries;
    uint64_t *entries; /* 1 GiB each */
    stage2_watcher_t *watchers;
    stage2_watcher_t listener; /* of hosted_stage2_listen() */
} vspace_object_t;

enum { TCB_CSPACE, TCB_VSPACE, TCB_REPLY, TCB_CALLER, TCB_BUFFER, TCB_NUM_SLOTS };

typedef struct vcpu_object vcpu_object_t;

enum { SPSR_USER = 0x140 }; /* user mode; FIQ and SError masked */

typedef enum thread_state {
    THREAD_INACTIVE,
    THREAD_RUNNING,
    THREAD_SENDING,   /* in an endpoint's queue, with a message or a fault */
    THREAD_RECEIVING, /* in an endpoint's queue */
    THREAD_WAITING,   /* in a notification's queue */
    THREAD_REPLY      /* its message was received; waits for the reply */
} thread_state_t;

typedef struct tcb_object {
    kernel_object_t object;
    slot_t slots[TCB_NUM_SLOTS];
    seL4_UserContext registers;
    seL4_Word fault_endpoint, buffer, flags;
    uint16_t priority, max_priority, affinity;
    thread_state_t state;
    vcpu_object_t *vcpu;
    struct notification_object *notification;
    hosted_fault_t fault; /* label 0: none */
    /* While it is in a queue, or waits: */
    struct tcb_object *next_waiting;
    struct tcb_queue *queue;
    seL4_Word badge; /* what it sends with, or has received */
    bool wants_reply, may_grant;
    seL4_MessageInfo_t tag;
    seL4_IPCBuffer *message; /* the host thread's */
    slot_t *reply;           /* where the capability to reply to it is */
    /* A host thread has one of its own, without a capability. The first to receive plays the root
     * task's. */
    struct tcb_object *plays, *player;
    vcpu_object_t *running; /* what the host thread runs */
} tcb_object_t;

/** Threads that wait for the same thing, first come, first served. */
typedef struct tcb_queue {
    tcb_object_t *first;
} tcb_queue_t;

typedef struct endpoint_object {
    kernel_object_t object;
    tcb_queue_t queue; /* all send, or all receive */
} endpoint_object_t;

enum { VCPU_LIST_REGISTERS = GICV_LIST_REGISTERS };

struct vcpu_object {
    kernel_object_t object;
    tcb_object_t *tcb;
    seL4_Word registers[seL4_VCPUReg_Num];
    uint64_t list_registers[VCPU_LIST_REGISTERS];
    gicv_t gicv;
    bool holds;          /* no interrupt comes to it, see hosted_vcpu_hold_interrupts() */
    bool timer_masked;   /* the virtual timer's event was sent, and is not acknowledged */
    vcpu_object_t *next; /* of all */
    /* See processor.c: */
    const hosted_processor_class_t *class;
    void *processor;
    stage2_watcher_t watcher; /* of the address space that the processor sees */
    tcb_object_t *runner;     /* the host thread that runs it now */
    bool runs;                /* without the kernel's lock; under `run_lock` */
    bool ran;                 /* the processor knows the registers better than `registers` */
    uint64_t idle_until;      /* waits for an interrupt, until then: nanoseconds; 0: does not */
};

typedef struct notification_object {
    kernel_object_t object;
    uint64_t word;
    bool active;
    tcb_object_t *tcb;
    tcb_queue_t queue;
} notification_object_t;

/** Physical pages with a device's registers behind them. */
typedef struct device {
    uint64_t base, last;
    hosted_device_t registers;
    struct device *next;
} device_t;

/** A host thread that has received, called, or waited. */
typedef struct host_thread {
    const void *identity; /* an address that only this thread has */
    tcb_object_t *tcb;
    struct host_thread *next;
} host_thread_t;

/** A piece of physical memory, or of what lies around it. */
typedef struct bank {
    uint64_t base, last;
    int fd;          /* -1 until a frame of it is made */
    uint8_t *memory; /* all of it, or NULL */
    /* In an incoherent system, see cache.c: */
    int cache_fd;
    uint8_t *cache, *cache_base;
    uint8_t *cached; /* by page: whether the VMM ever had a cached mapping of it */
} bank_t;

enum {
    ASID_POOL_SIZE = 1 << seL4_ASIDPoolIndexBits,
    NUM_ASID_POOLS = 1 << seL4_NumASIDPoolsBits,
    LAST_IRQ = 159 /* of the platform */
};

typedef struct asid_pool {
    kernel_object_t object;
    uint16_t base; /* its first ASID */
    vspace_object_t *spaces[ASID_POOL_SIZE];
} asid_pool_t;

/** An interrupt line: who has its handler capability, and what it signals. */
typedef struct irq_line {
    bool active; /* there is a handler, or the kernel keeps the line for itself */
    bool high;   /* a device asks for the interrupt */
    bool masked; /* it came, and was not acknowledged */
    slot_t notification;
} irq_line_t;

typedef struct kernel_counts {
    size_t caps, objects, untypeds, frames[3], page_tables;
    size_t guest_mappings, vmm_mappings;
    uint64_t guest_bytes;
} kernel_counts_t;

typedef struct kernel {
    pthread_mutex_t lock; /* recursive: the environment holds it around calls of its own */
    struct hosted_system *system;
    slot_t caps;           /* head of the list of all capabilities */
    cnode_t *root;         /* the root task's capability space ... */
    vspace_object_t *host; /* ... and address space, which live as long as the system */
    cnode_t *cnodes;
    tcb_object_t *root_thread;
    host_thread_t *host_threads;
    pthread_cond_t changed;   /* a thread can go on, or a VCPU can */
    pthread_mutex_t run_lock; /* taken after `lock`: which VCPUs run */
    pthread_cond_t stopped;   /* one of them does no longer */
    vcpu_object_t *vcpus;
    const hosted_processor_class_t *processors; /* hosted_system_run_guests() */
    const void *engine;
    device_t *devices;
    uint64_t gicv_base; /* the page of the virtual CPU interface; 0: the board has none */
    asid_pool_t *asid_pools[NUM_ASID_POOLS];
    irq_line_t irqs[LAST_IRQ + 1];
    seL4_Time domain_time; /* of the one entry that the domain schedule has; 0 ends it */
    bank_t *banks;         /* ascending */
    size_t num_banks;
    bool incoherent;     /* hosted_system_incoherent() */
    bool refuses_remaps; /* hosted_system_refuse_remaps() */
    kernel_object_t *dead;
    kernel_counts_t counts;
    uint64_t invocations[HOSTED_NUM_INVOCATIONS], failures[HOSTED_NUM_INVOCATIONS];
    hosted_invocation_fn observer; /* of each invocation; NULL: none */
    void *observer_cookie;
    struct {
        unsigned operations, then_operations;
        uint64_t k, seen, then_k, then_seen;
        bool lasting; /* the k-th and all that follow */
        bool fired, then_fired;
    } inject;
    uint64_t host_arena, host_arena_size; /* where the VMM has its single pages, see host_map.c */
    size_t host_edges, host_edge_limit;   /* between the host's mappings of small pages */
    bool (*host_range_is_ours)(struct kernel *kernel, uint64_t vaddr, uint64_t size);
} kernel_t;

/** The kernel of a system (hosted/env). */
kernel_t *hosted_system_kernel(struct hosted_system *system);

/* boot.c: start with the capabilities of a root task, destroy everything. */
int kernel_boot(kernel_t *kernel);
/** Delete every capability, and so every object and mapping. */
void kernel_delete_all(kernel_t *kernel);
void kernel_shut_down(kernel_t *kernel);
/** Put an untyped of the board into a slot of the root CNode. */
void kernel_boot_untyped(kernel_t *kernel, seL4_CPtr slot, uint64_t paddr, unsigned bits,
                         bool device);
/** Make the root task's endpoint in a slot of the root CNode. @return 0, or -1 without memory */
int kernel_boot_endpoint(kernel_t *kernel, seL4_CPtr slot);

/* invocation.c: the way in and out of the kernel. */
void kernel_enter(kernel_t *kernel);
kernel_t *kernel_current(void);
/** Lock and count; NULL with `*error` set if there is no system, or the operation is to fail. */
kernel_t *invocation_begin(hosted_invocation_t kind, hosted_operation_t operation,
                           seL4_Error *error);
/** Count a failure, free what was deleted, unlock. @return `error` */
seL4_Error invocation_end(kernel_t *kernel, hosted_invocation_t kind, seL4_Error error);
/**
 * The slot of the invoked capability, if that is of `type`. A notification or an endpoint takes any
 * invocation for a message: then the work is done.
 *
 * @param error  what the invocation returns if this returns NULL
 */
slot_t *invocation_target(kernel_t *kernel, seL4_CPtr service, cap_type_t type, seL4_Error *error);
/** What an invocation of a capability does that takes no labels. */
seL4_Error invocation_message(kernel_t *kernel, const cap_t *cap);
/** Whether this operation is the one to fail; counts it. */
bool inject_fails(kernel_t *kernel, hosted_operation_t operation);

/* cspace.c: from addresses to slots. */
/** The slot at an address below the CNode capability `root`; never NULL. */
slot_t *cspace_slot(const cap_t *root, seL4_CPtr cptr);
/** The slot that the caller invokes or hands over; never NULL: an empty one if there is none. */
slot_t *cspace_caller_slot(kernel_t *kernel, seL4_CPtr cptr);
/** The slot at `index` of `depth` bits below the CNode capability `root`. */
seL4_Error cspace_lookup(const cap_t *root, seL4_Word index, seL4_Word depth, bool source,
                         slot_t **slot);
/** cspace_lookup() of a slot for a new capability. */
seL4_Error cspace_lookup_empty(const cap_t *root, seL4_Word index, seL4_Word depth, slot_t **slot);
slot_t *cspace_allocate_slots(unsigned radix);
void cspace_free_slots(slot_t *slots, unsigned radix);

/* derivation.c: the capability derivation tree. */
bool derivation_is_parent(const slot_t *parent, const slot_t *child);
bool derivation_has_children(const kernel_t *kernel, const slot_t *slot);
bool derivation_is_final(const kernel_t *kernel, const slot_t *slot);
/** What a copy of the capability would be. */
seL4_Error derivation_derive(const kernel_t *kernel, const slot_t *slot, const cap_t *cap,
                             cap_t *derived);
/** Put a new object's capability into `slot`, as a child of `parent` (NULL: at the end of the
 * list). */
void derivation_add(kernel_t *kernel, slot_t *parent, slot_t *slot, const cap_t *cap);
/** Put a capability derived from `source` into `slot`. */
void derivation_insert(kernel_t *kernel, slot_t *source, slot_t *slot, const cap_t *cap);
void derivation_move(slot_t *source, slot_t *slot, const cap_t *cap);
/** Exchange two slots: `a` becomes `new_a`, which was in `b`, and the other way round. */
void derivation_swap(slot_t *a, const cap_t *new_a, slot_t *b, const cap_t *new_b);
void derivation_delete(kernel_t *kernel, slot_t *slot);
void derivation_revoke(kernel_t *kernel, slot_t *slot);
/** Whether deleting the slot's capability takes more than one step, and so can be interrupted. */
bool derivation_deletes_slots(const kernel_t *kernel, const slot_t *slot);
bool derivation_same_object(const cap_t *a, const cap_t *b);
/** Limit rights. */
cap_t cap_mask_rights(cap_t cap, seL4_Word rights);
/** Set badge or guard; a null capability if it cannot be. */
cap_t cap_update_data(cap_t cap, seL4_Word data, bool preserve);

/* object.c: life and death of objects. */
kernel_object_t *object_allocate(cap_type_t type, size_t size, uint64_t paddr);
/** Log2 bytes of an object; `size_bits` matters for untypeds and CNodes. */
unsigned object_bits(seL4_Word type, seL4_Word size_bits);
/** Make an object. @return false if the host is out of memory */
bool object_create(kernel_t *kernel, seL4_Word type, seL4_Word size_bits, uint64_t paddr,
                   bool device, cap_t *cap);
/**
 * The last capability of an object goes, or any of a frame.
 *
 * @return what takes its place: a zombie if the object has slots, which must be empty before
 *         object_free(); nothing for others
 */
cap_t object_finalise(kernel_t *kernel, const cap_t *cap, bool final);
/** The first slot of a zombie's object. */
slot_t *object_slots(const cap_t *zombie);
/** A zombie's slots are empty. */
void object_free(kernel_t *kernel, const cap_t *zombie);
/** Physical base and log2 size of what a capability stands for; false if it has none. */
bool object_region(const cap_t *cap, uint64_t *base, uint64_t *last);
void object_bury(kernel_t *kernel, kernel_object_t *object);
void object_free_dead(kernel_t *kernel);

/* asid.c: address space identifiers. */
/** The space that has the identifier, or NULL. */
vspace_object_t *asid_find(const kernel_t *kernel, uint16_t asid);
void asid_delete(kernel_t *kernel, const cap_t *vspace);
void asid_delete_pool(kernel_t *kernel, asid_pool_t *pool);

/* thread.c, vcpu.c: */
/** The processor state word that a thread gets which asks for `spsr`. */
uint64_t tcb_allowed_spsr(const tcb_object_t *tcb, uint64_t spsr);
/** Bind the two to each other, and nothing else to either; NULL unbinds. */
void vcpu_bind(kernel_t *kernel, vcpu_object_t *vcpu, tcb_object_t *tcb);

/** Bring vcpu->registers up to date from the processor that has them. */
void vcpu_fetch(kernel_t *kernel, vcpu_object_t *vcpu);
/** Let the VCPU stand still until the lock is given back: its state is about to be used. */
void processor_stop(kernel_t *kernel, vcpu_object_t *vcpu);

/* message.c: threads that wait for each other. */
/** Let the thread run, whatever it waited for. */
void thread_resume(kernel_t *kernel, tcb_object_t *tcb);
void thread_suspend(kernel_t *kernel, tcb_object_t *tcb);
/** The thread is deleted. */
void thread_finalise(kernel_t *kernel, tcb_object_t *tcb);
/** All that wait go on, as the object is deleted. */
void message_cancel_all(kernel_t *kernel, tcb_queue_t *queue);
void notification_signal(kernel_t *kernel, notification_object_t *notification, uint64_t badge);
/** Let `tcb` send its fault to its handler. @return false if it has none */
bool message_send_fault(kernel_t *kernel, tcb_object_t *tcb);
/** Put the capability to reply to who called last into an empty slot, if there is one. */
void message_save_caller(kernel_t *kernel, slot_t *slot);
/** The endpoint that gets the thread's faults; NULL if it has none. */
endpoint_object_t *thread_fault_endpoint(const tcb_object_t *tcb);
void message_free(kernel_t *kernel);

/* processor.c: running VCPUs. */
/**
 * Run a VCPU for a while, for a host thread that waits, or wait for a change.
 *
 * @param only  no other VCPU than this; NULL: any
 */
void processor_work(kernel_t *kernel, tcb_object_t *self, vcpu_object_t *only);
/** The VCPU is not to run on, or has an interrupt: let its processor return. */
void processor_kick(vcpu_object_t *vcpu);
/** Guests that see the address space execute what is at those addresses now. */
void processor_unify(kernel_t *kernel, const vspace_object_t *vspace, uint64_t vaddr,
                     uint64_t size);
/** The VCPU goes, or its thread or address space does. */
void processor_detach(kernel_t *kernel, vcpu_object_t *vcpu);
/** No VCPU sees the address space any longer. */
void processor_forget_space(kernel_t *kernel, vspace_object_t *vspace);

/* device.c: device registers. */
/** Make an access of a VCPU. @return false if there is no device's register */
bool device_register_access(kernel_t *kernel, vcpu_object_t *vcpu, uint64_t paddr,
                            hosted_access_t *access, int *maintenance);
/** Whether some page of a mapping has registers behind it. */
bool device_covers(const kernel_t *kernel, uint64_t base, uint64_t last);
void device_free(kernel_t *kernel);

/* stage2.c */
void stage2_watch(vspace_object_t *vspace, stage2_watcher_t *watcher);
void stage2_unwatch(stage2_watcher_t *watcher);
void stage2_visit(kernel_t *kernel, vspace_object_t *space,
                  bool (*visit)(void *cookie, const hosted_stage2_mapping_t *mapping),
                  void *cookie);

/* interrupt.c: interrupt lines and their handlers. */
/** The last handler of the line is deleted. */
void irq_deactivate(kernel_t *kernel, uint64_t irq);
/** The level of a device's interrupt; while it is high the handler's notification is signalled. */
void irq_set_line(kernel_t *kernel, uint64_t irq, bool high);

/* mapping.c: page tables. */
typedef struct pte_slot {
    uint64_t *entry;
    unsigned bits; /* log2 of what the entry spans */
} pte_slot_t;
pte_slot_t mapping_lookup(vspace_object_t *vspace, uint64_t vaddr);
void mapping_set_page(kernel_t *kernel, vspace_object_t *vspace, pte_slot_t at, uint64_t vaddr,
                      uint64_t entry);
void mapping_unmap_page(kernel_t *kernel, const cap_t *frame);
void mapping_unmap_table(kernel_t *kernel, const cap_t *table);
void mapping_drop_all(kernel_t *kernel, vspace_object_t *vspace);
void mapping_describe(const kernel_t *kernel, uint64_t vaddr, unsigned bits, uint64_t entry,
                      hosted_stage2_mapping_t *mapping);

/* host_map.c: the VMM's own address space is the process's. */
void host_map_init(kernel_t *kernel);
int host_map_page(kernel_t *kernel, uint64_t vaddr, unsigned bits, uint64_t entry);
void host_unmap_page(kernel_t *kernel, uint64_t vaddr, unsigned bits, uint64_t entry);
/** Make the tables for a page of the VMM. @return false if the host is out of memory */
bool host_make_tables(vspace_object_t *vspace, uint64_t vaddr, unsigned bits);
void host_free_tables(vspace_object_t *vspace);
/** Whether a page of the VMM is mapped in [vaddr, vaddr + size). */
bool host_range_has_pages(kernel_t *kernel, uint64_t vaddr, uint64_t size);

/* physical.c: banks. They are disjoint, and added in ascending order. */
int physical_add(kernel_t *kernel, uint64_t base, uint64_t last);
/** Get host memory for the bank that holds `paddr`. @return it; NULL if there is none, or no memory
 */
bank_t *physical_open(kernel_t *kernel, uint64_t paddr);
void physical_free(kernel_t *kernel);
/** The open bank that holds `paddr`, or NULL. */
const bank_t *physical_find(const kernel_t *kernel, uint64_t paddr);
/** Let [paddr, paddr + size) read as zeros. */
void physical_clear(kernel_t *kernel, uint64_t paddr, uint64_t size);

/** Let a part of a file and of what is mapped of it read as zeros. */
void physical_punch(int fd, uint8_t *memory, uint64_t offset, uint64_t size);

/* cache.c: the data cache of an incoherent system; nothing happens in another. */
typedef enum cache_operation { CACHE_CLEAN, CACHE_INVALIDATE, CACHE_UNIFY } cache_operation_t;
/** A cache operation on [paddr, paddr + size), which lies in one frame. */
void cache_operate(const kernel_t *kernel, cache_operation_t operation, uint64_t paddr,
                   uint64_t size);
/** The VMM is about to map these pages of the bank cached. */
void cache_page_mapped(const bank_t *bank, uint64_t paddr, uint64_t size);
/** The pages were cleared, in memory: so they are in the cache. */
void cache_forget(const bank_t *bank, uint64_t offset, uint64_t size);
/** Get the memory that an open bank needs for its cache. @return 0; -1: to be freed all the same */
int cache_add(bank_t *bank);
void cache_free(bank_t *bank);

/* fingerprint.c: a hash of the derivation tree and of all that capabilities say. */
uint64_t kernel_fingerprint(const kernel_t *kernel);
