/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The Unicorn engine's state, shared by its files: unicorn_setup.c makes it, unicorn_memory.c keeps
 * it in step with stage 2, unicorn_exception.c enters the guest's exceptions, unicorn_timer.c is
 * its timer, unicorn_debug.c stops it for a debugger, and unicorn.c runs it.
 */

#include "engine.h"
#include "shadow.h"
#include "unicorn_registers.h"
#include <stdatomic.h>

#define UNICORN_BASE            ((uint64_t)1 << 43) /* physical addresses below are never memory */
#define UNICORN_LIMIT           ((uint64_t)1 << 44) /* what the Cortex-A57 can address */
#define UNICORN_STARTER         UNICORN_BASE
#define UNICORN_TABLES          (UNICORN_BASE + ((uint64_t)1 << 30))
#define UNICORN_PAGE_BYTES      4096
#define UNICORN_MAX_BANKS       256
#define UNICORN_MAX_COVERS      600
#define UNICORN_MAX_WATCHED     (2 * ENGINE_MAX_STOPS)
#define UNICORN_MAX_BREAKPOINTS (2 * ENGINE_MAX_STOPS)
#define UNICORN_MAX_STALE       1024                /* twice what a block can note */
#define UNICORN_TOP             ((uint64_t)1 << 56) /* virtual addresses have 8 bits above for a tag */

/* A value that no fault leaves in HPFAR_EL2: its low four bits are zero. */
#define UNICORN_HPFAR_NONE 1ull

/* Exceptions as Unicorn numbers them for its interrupt hook. */
enum {
    UNICORN_NONE = -1,
    UNICORN_UNDEFINED = 1,
    UNICORN_SUPERVISOR_CALL = 2,
    UNICORN_PREFETCH_ABORT = 3,
    UNICORN_DATA_ABORT = 4,
    UNICORN_BREAKPOINT = 7,
    UNICORN_HYPERVISOR_CALL = 11,
    UNICORN_HYPERVISOR_TRAP = 12,
    UNICORN_SECURE_CALL = 13,
};

/* A file of physical memory, as the guest's mappings name it, all of it mapped in the host. */
typedef struct bank {
    int fd;
    uint64_t paddr;  /* of its first byte */
    uint64_t target; /* Unicorn's address of it */
    size_t size;
    uint8_t *host;
    uint8_t *left; /* a bit for each page: code of it may be kept, though its mapping went */
} bank_t;

/* A region that is never accessed, see unicorn_cover(). */
typedef struct cover {
    uint64_t base;
    uint64_t last;
} cover_t;

/* An instruction that Unicorn reports before it executes it. */
typedef struct breakpoint {
    uint64_t address;
    uc_hook hook;
} breakpoint_t;

/* A page that the guest has fewer rights to while it runs, see unicorn_debug.c. */
typedef struct watched {
    uint64_t gpa;
    shadow_entry_t entry; /* what it has to be */
    const engine_stop_t *stop;
} watched_t;

/* One instruction that is executed alone. */
typedef enum unicorn_step {
    UNICORN_STEP_NONE,
    UNICORN_STEP_ARMED, /* the guest is in front of it */
    UNICORN_STEP_BEGUN, /* and stops at the next one */
    UNICORN_STEP_DONE,
} unicorn_step_t;

typedef struct unicorn_engine {
    engine_t engine;
    uint64_t instructions;   /* that have run, counted when their block begins */
    uint64_t block_end;      /* virtual address after that block */
    atomic_ullong attend_at; /* look at all below when so many have run; 0: before the next block */
    uint64_t budget_end;     /* stop when so many have run */
    atomic_bool kicked;
    bool interrupt_waits; /* stop where the guest does not mask it */
    bool may_narrow;      /* the next ERET may go to AArch32 */
    bool narrow;          /* it has */
    bool failed;          /* it cannot go on; see `failure` */
    bool own_code;        /* it runs the starter's, which nothing stops */
    uc_engine *uc;
    shadow_t *shadow;
    void *starter; /* a page of instructions, to begin with */
    bank_t banks[UNICORN_MAX_BANKS];
    size_t bank_count;
    uint64_t next_target;
    seL4_UserContext context;              /* as read or written last */
    seL4_Word registers[seL4_VCPUReg_Num]; /* as read or written last */
    bool stale_translations; /* a mapping went or changed: Unicorn's TLB may still know it */
    unsigned vmid;           /* changed to flush the TLB */
    int interrupt;           /* exception that stopped this run, or UNICORN_NONE */
    uint64_t page;           /* guest-physical, that its stage 2 refused; UINT64_MAX: none */
    cover_t covers[UNICORN_MAX_COVERS];
    size_t cover_count;
    uint64_t vector;       /* that took the guest's last exception */
    uint64_t out_of_reach; /* a virtual address that could not be covered; 0: none */
    char failure[96];
    /* Exceptions for the guest: see unicorn_exception.c. */
    uc_context *saved; /* to look into */
    size_t saved_size;
    size_t syndrome_at, address_at, flags_at; /* in it */
    uint32_t flags;                           /* of EL1, as noted last */
    uint32_t syndrome;                        /* of the last exception */
    uint64_t fault_address;                   /* and its address */
    uc_context *context_at_exception;         /* where the hook saves it to; NULL: nowhere */
    bool flags_changed;                       /* since they were noted */
    /* The page of the last DC ZVA: see unicorn_cache.c. */
    uint8_t *cleared_host; /* NULL: not known */
    uint64_t cleared_page; /* virtual */
    uint32_t cleared_mode; /* of the processor */
    /* Pages, GPAs, whose code is to be read again: see unicorn_cache.c. */
    uint64_t stale[UNICORN_MAX_STALE];
    size_t num_stale;
    uint64_t stale_pc; /* of the guest's last IC IVAU */
    uint64_t fresh;    /* the last page that was dropped in this run; UINT64_MAX: none */
    /* For a debugger: see unicorn_debug.c. */
    engine_stop_t stops[ENGINE_MAX_STOPS];
    size_t num_stops;
    const engine_stop_t *hit; /* what stopped this run, or NULL */
    breakpoint_t breakpoints[UNICORN_MAX_BREAKPOINTS];
    size_t num_breakpoints;
    watched_t watched[UNICORN_MAX_WATCHED];
    size_t num_watched;
    bool steps; /* set_step() */
    bool aside; /* the next instruction is executed alone, with all rights */
    unicorn_step_t step;
    uint64_t step_from;
    uc_hook step_hook;
    uint64_t stopped_before; /* a block, in this run; UINT64_MAX: none */
    /* The virtual timer: see unicorn_timer.c. */
    bool timer_armed;  /* fires in timer_remaining ticks */
    bool timer_line;   /* its interrupt */
    bool timer_masked; /* nobody is to be told */
    bool virtual_time;
    uint64_t timer_remaining; /* as of the last update */
    uint64_t alarm;           /* in virtual time: stop there */
    uint64_t slept;           /* ticks of virtual time without an instruction */
} unicorn_engine_t;

/** The clock in virtual time. */
static inline uint64_t unicorn_ticks(const unicorn_engine_t *self)
{
    return self->instructions + self->slept;
}

/** @see engine_class_t */
engine_t *unicorn_create(char *error, size_t error_size);
void unicorn_destroy(engine_t *engine);
void unicorn_mapped(engine_t *engine, const hosted_stage2_mapping_t *mapping);
void unicorn_unmapped(engine_t *engine, const hosted_stage2_mapping_t *mapping);
void unicorn_unify(engine_t *engine, uint64_t gpa, uint64_t size);

void unicorn_identify(char *text, size_t size);
size_t unicorn_state_size(void);
void unicorn_save(engine_t *engine, void *state);
bool unicorn_restore(engine_t *engine, const seL4_UserContext *thread,
                     const seL4_Word registers[seL4_VCPUReg_Num], const void *state,
                     engine_exit_t *exit);

/** Let EL1 run without stage 2, for code of the starter, and with it. */
void unicorn_stage2_off(unicorn_engine_t *self);
void unicorn_stage2_on(unicorn_engine_t *self);

/**
 * Make a region of free addresses that holds `address`, large enough that all of the address space
 * can be covered: guests go through it as they like.
 *
 * @return false if Unicorn refuses it
 */
bool unicorn_cover(unicorn_engine_t *self, uint64_t address);

/** The host memory of covers: none, and outside of what user memory can be, because Unicorn looks
 * its blocks up by host address too. */
void *unicorn_cover_pointer(void);

/** Let the next instruction see the mappings as they are now. */
void unicorn_synchronise(unicorn_engine_t *self);

/**
 * Find out what unicorn_enter_exception() needs to know of Unicorn. Before stage 2 is switched on.
 *
 * @return false with one line in `error` if this Unicorn does not show it
 */
bool unicorn_explore(unicorn_engine_t *self, char *error, size_t error_size);

/** Note syndrome and address of an exception. For the hook: later they are gone. */
void unicorn_note_exception(unicorn_engine_t *self);

/** Note the translator's flags in EL1 after they changed; at the beginning of a block. */
void unicorn_note_flags(unicorn_engine_t *self);

/** Write the processor's state; a new mode takes the stack pointer with it. To EL1 only. */
void unicorn_write_state(unicorn_engine_t *self, uint32_t state);

/** Take the noted exception to EL1. @return the vector's address */
uint64_t unicorn_enter_exception(unicorn_engine_t *self, uint64_t return_address);

/** Find out whether the guest has gone to AArch32, when it fetches from an address. Its registers
 * are others there, and nothing here knows them. */
void unicorn_note_width(unicorn_engine_t *self, uint64_t address);

/** Choose when to look whether something stops the guest. Each change of such a thing wants it. */
void unicorn_plan(unicorn_engine_t *self);

/** Whether something stops the guest before its next block. */
bool unicorn_must_stop(unicorn_engine_t *self);

/** Bring the timer's condition and line up to date. */
void unicorn_update_timer(unicorn_engine_t *self);

uc_err unicorn_hook_timer(unicorn_engine_t *self);
uc_err unicorn_hook_cache(unicorn_engine_t *self);

/** The last page cleared may be elsewhere, or have other rights. */
void unicorn_forget_page(unicorn_engine_t *self);

/** Whether the guest is done with its IC IVAU when this block comes: then it must stop. */
bool unicorn_invalidated(const unicorn_engine_t *self, uint64_t address, uint32_t size);

/** Drop what was translated from stale pages. While the guest stands still. */
void unicorn_forget_code(unicorn_engine_t *self);

/** Drop what was translated from a page; its GPA must be executable. While the guest stands still.
 */
void unicorn_forget_pages(unicorn_engine_t *self, const uint64_t *gpas, size_t count);

/** @see engine_class_t */
void unicorn_set_stops(engine_t *engine, const engine_stop_t *stops, size_t count);
void unicorn_set_step(engine_t *engine, bool step);
void unicorn_written(engine_t *engine, uint64_t gpa);

/** Before Unicorn runs from `pc`: take away what is watched, and be ready for a step. */
void unicorn_debug_begin(unicorn_engine_t *self, uint64_t pc);

/** Undo unicorn_debug_begin(). */
void unicorn_debug_end(unicorn_engine_t *self);

/** The rest of the block, from `address` on, does not run now. */
void unicorn_uncount(unicorn_engine_t *self, uint64_t address);

/** Whether the instruction of a step was executed, and the next one comes now: then stop. */
bool unicorn_step_ends(unicorn_engine_t *self);

/** Whether an instruction was executed alone that is not watched: then the guest goes on. */
bool unicorn_stepped_aside(unicorn_engine_t *self);

/** Whether the run has ended for the debugger: then `exit` says so. */
bool unicorn_debug_stops(unicorn_engine_t *self, engine_exit_t *exit);

/**
 * Judge a fault: one that is watched becomes an exit for the debugger.
 *
 * @return true if it came from a page with a watchpoint that is not meant: then the guest goes on,
 *         first with that instruction alone
 */
bool unicorn_watches(unicorn_engine_t *self, engine_exit_t *exit);

bool unicorn_translate(unicorn_engine_t *self, uint64_t address, uint64_t *gpa);

/** Host memory of the page that a virtual address is translated to now, if stage 2 lets it be
 * written; its stage-1 rights are not looked at. NULL: none. */
uint8_t *unicorn_writable_page(unicorn_engine_t *self, uint64_t page);

/** The virtual counter, which the guest's clock is. */
uint64_t unicorn_counter(const unicorn_engine_t *self);

/** Let the virtual counter go on from a value. */
void unicorn_set_counter(unicorn_engine_t *self, uint64_t value);

/** Let time pass by instructions; before the first run. @return false if Unicorn refuses it */
bool unicorn_use_virtual_time(unicorn_engine_t *self);

/** Host memory at Unicorn's physical address; NULL if there is none. */
const void *unicorn_host(void *self, uint64_t target);

extern const engine_class_t engine_unicorn;
extern const unicorn_system_register_t unicorn_vttbr_el2;
extern const unicorn_system_register_t unicorn_hpfar_el2;
extern const unicorn_system_register_t unicorn_sctlr_el1;
