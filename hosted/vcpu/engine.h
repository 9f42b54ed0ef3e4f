/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A processor that runs one VCPU on the mappings of its stage 2: the interface between processor.c
 * and one file for each engine.
 *
 * An engine is used by one thread, but for engine_kick(). It runs until something happens that the
 * run loop must see; then the registers are those of the instruction that it happened at, and
 * nothing of that instruction was done.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sel4/sel4.h>
#include <hosted/stage2.h>
#include "decode.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct engine engine_t;

typedef enum engine_reason {
    ENGINE_KICKED,    /* engine_kick() was called, or an interrupt is due */
    ENGINE_FAULT,     /* an access that stage 2 does not allow */
    ENGINE_HVC,       /* hypercall; `pc` is the instruction */
    ENGINE_SMC,       /* the same */
    ENGINE_WFI,       /* wait for interrupt */
    ENGINE_UNDEFINED, /* an instruction that the processor does not know */
    ENGINE_EXCEPTION, /* an exception for the guest itself, which has no vector for it */
    ENGINE_BUDGET,    /* the instruction budget is used up */
    ENGINE_DEBUG,     /* one of the debugger's stops, or its step is done; see `stop` */
    ENGINE_ERROR,     /* the engine failed; see `text` */
} engine_reason_t;

/** What an access that faulted was. */
typedef struct engine_fault {
    uint64_t address;    /* GPA of the first byte that is not allowed */
    unsigned width;      /* bytes of the access from there to the end of its page; 0: not known */
    bool write;          /* direction */
    bool fetch;          /* an instruction fetch */
    bool table_walk;     /* made by the walk of the guest's own tables */
    bool decoded;        /* `access` is known */
    bool aligned;        /* to its width */
    bool crosses_page;   /* the whole access lies in two pages */
    a64_access_t access; /* what the instruction does */
} engine_fault_t;

/** What a debugger wants to see, before it happens. */
typedef enum engine_stop_kind {
    ENGINE_STOP_EXECUTE, /* the instruction at `address` */
    ENGINE_STOP_WRITE,   /* a store to one of `size` bytes there */
    ENGINE_STOP_READ,    /* a load from one of them */
    ENGINE_STOP_ACCESS,  /* either */
} engine_stop_kind_t;

typedef struct engine_stop {
    engine_stop_kind_t kind;
    uint64_t address; /* virtual */
    uint64_t size;    /* bytes, at least 1; nothing to ENGINE_STOP_EXECUTE */
} engine_stop_t;

#define ENGINE_MAX_STOPS ((size_t)64)

typedef struct engine_exit {
    engine_reason_t reason;
    uint64_t pc;          /* virtual address of the instruction that it happened at */
    uint32_t instruction; /* its encoding; 0 if it cannot be read */
    unsigned syndrome;    /* of a hypercall: its immediate */
    engine_fault_t fault; /* for ENGINE_FAULT */
    engine_stop_t stop;   /* for ENGINE_DEBUG: which; of a step, its size is 0 */
    bool timer;           /* the virtual timer's interrupt is high */
    uint64_t rest;        /* nanoseconds until it will be; UINT64_MAX: it will not */
    uint64_t ticks;       /* the clock, in virtual time: instructions */
    char text[128];       /* for ENGINE_EXCEPTION and ENGINE_ERROR: what happened */
} engine_exit_t;

/** What engines differ in. All but `create` get an engine that it made. */
typedef struct engine_class {
    const char *name;
    /** @return NULL with one line in `error` on failure */
    engine_t *(*create)(char *error, size_t error_size);
    void (*destroy)(engine_t *engine);
    /** Stage 2 changed while the guest stands still. Takes effect at the next run. */
    void (*mapped)(engine_t *engine, const hosted_stage2_mapping_t *mapping);
    void (*unmapped)(engine_t *engine, const hosted_stage2_mapping_t *mapping);
    /** Instructions of that range may have been written, while the guest stands still. */
    void (*unify)(engine_t *engine, uint64_t gpa, uint64_t size);
    /** Copy registers out, and take over those that changed since. */
    void (*get_registers)(engine_t *engine, seL4_UserContext *context);
    int (*set_registers)(engine_t *engine, const seL4_UserContext *context);
    void (*get_system_registers)(engine_t *engine, seL4_Word registers[seL4_VCPUReg_Num]);
    void (*set_system_registers)(engine_t *engine, const seL4_Word registers[seL4_VCPUReg_Num]);
    /** Name and version, for who keeps a state. */
    void (*identify)(char *text, size_t size);
    /** Bytes of a state, which is good in other processes too. */
    size_t (*state_size)(void);
    /** Copy all that a guest could find out about its processor, but for those registers, memory
     * and stage 2. */
    void (*save)(engine_t *engine, void *state);
    /**
     * Make it what it was, or what another engine of the class was. The guest's virtual time goes
     * on from there as well. Nothing that `state` or the registers hold can do harm.
     *
     * @param exit  receives that it was kicked there
     * @return false if there can be no such state: then it may not be able to run any more
     */
    bool (*restore)(engine_t *engine, const seL4_UserContext *thread,
                    const seL4_Word registers[seL4_VCPUReg_Num], const void *state,
                    engine_exit_t *exit);
    /** Stop before more than that many instructions have run, counted by basic blocks; 0: do not.
     */
    void (*set_budget)(engine_t *engine, uint64_t instructions);
    /**
     * Stop as if kicked when one `waits` and the guest lets interrupts in; and when the virtual
     * timer's is high, unless that is masked.
     */
    void (*set_interrupts)(engine_t *engine, bool waits, bool timer_masked);
    /**
     * Let the guest's clock count instructions, and stop as if kicked when it reaches `alarm`.
     * A guest that waits for an interrupt sleeps up to its timer or the alarm in no time. To be
     * called first before the first run. @return false if the engine cannot do it
     */
    bool (*set_virtual_time)(engine_t *engine, uint64_t alarm);
    /**
     * Stop with ENGINE_DEBUG before what is one of `stops`, up to ENGINE_MAX_STOPS of them, which
     * replace those before. A range of memory is what it is translated to when the engine starts to
     * run.
     */
    void (*set_stops)(engine_t *engine, const engine_stop_t *stops, size_t count);
    /**
     * Let the next runs stop with ENGINE_DEBUG when one instruction has been executed, or an
     * exception was taken instead; stops of ENGINE_STOP_EXECUTE do not matter meanwhile. When the
     * run loop has to emulate the instruction, that is for it to notice.
     */
    void (*set_step)(engine_t *engine, bool step);
    /** Somebody else than the guest has written the page of that GPA, perhaps instructions. */
    void (*written)(engine_t *engine, uint64_t gpa);
    void (*run)(engine_t *engine, engine_exit_t *exit);
    /** Let run() return soon, or at once when it is called next. From any thread. */
    void (*kick)(engine_t *engine);
} engine_class_t;

/** What every engine starts with. */
struct engine {
    const engine_class_t *class;
};

/** The engine of that name; NULL if this build has none such. NULL as name: the default one. */
const engine_class_t *engine_find(const char *name);

/** The names of this build's engines, the default first; NULL after the last. */
const char *engine_name(size_t index);

#ifdef __cplusplus
}
#endif
