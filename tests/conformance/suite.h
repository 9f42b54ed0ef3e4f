/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * What a check is and how it tells what it found. A check runs in a fixture, which makes what the
 * check needs, ends it, and sees that nothing is left.
 */

#include "conformance.h"
#include "counting.h"
#include <stdbool.h>
#include <stddef.h>

#define PAGE     ((uintptr_t)0x1000)
#define MEGABYTE ((uintptr_t)0x100000)
#define GIGABYTE ((uintptr_t)0x40000000)

typedef struct suite suite_t;
typedef void (*check_fn)(suite_t *suite);

/** What is made around each check of an area. */
typedef enum fixture {
    FIXTURE_OBJECTS, /**< kernel objects, see objects.h */
    FIXTURE_MEMORY,  /**< the memory of a VM that does not run, `vm`, on counting interfaces */
    FIXTURE_GUEST,   /**< the running guest, `guest`, see guest.h */
} fixture_t;

typedef struct check {
    const char *name; /* the promise, with underscores for spaces */
    check_fn run;
} check_t;

#define CHECK(function)                                                                            \
    {                                                                                              \
#function, function                                                                        \
    }

typedef struct area {
    const char *name;
    fixture_t fixture;
    const check_t *checks;
    size_t count;
} area_t;

#define AREA(name, fixture, checks)                                                                \
    {                                                                                              \
        name, fixture, checks, sizeof(checks) / sizeof((checks)[0])                                \
    }

/** Kernel objects of one check: all from one untyped, in slots that are given back with it. */
typedef struct objects {
    bool open;
    vka_object_t untyped;
    seL4_CPtr slots[128];
    size_t num_slots;
} objects_t;

struct suite {
    const conformance_env_t *env;
    const area_t *area;
    const check_t *check;
    int passed, failed, skipped;
    bool broken; /* an expectation of this check was not met; the first one is in `message` */
    bool skip;   /* this check cannot be made here; `message` says why */
    char message[256];
    objects_t objects;
    counting_t counting;
    vm_t vm;
    struct guest *guest;
};

/** Run the checks of an area. */
void suite_run_area(suite_t *suite, const area_t *area);

/** Leave this check out. @param why  lives as long as the check */
void suite_skip(suite_t *suite, const char *why);

/* The areas, each in the file of its name. */
extern const area_t area_page_map, area_tables, area_capabilities, area_untyped;
extern const area_t area_refusals, area_reservations, area_mapping, area_ownership, area_frames;
extern const area_t area_failures, area_faults, area_ram, area_guest, area_guest_faults,
    area_rights, area_guest_kernel, area_guest_end, area_changes, area_guest_changes;

/* Expectations: each answers whether it was met. Only the first unmet one of a check is told. */

bool suite_expect(suite_t *suite, bool condition, const char *text, const char *file, int line);
bool suite_expect_equal(suite_t *suite, uint64_t actual, uint64_t expected, const char *text,
                        const char *file, int line);
bool suite_expect_error(suite_t *suite, int actual, seL4_Error expected, const char *text,
                        const char *file, int line);
bool suite_expect_registers(suite_t *suite, bool met, const seL4_Word *expected, size_t count,
                            const char *text, const char *file, int line);

#define EXPECT(condition) suite_expect(suite, (condition), #condition, __FILE__, __LINE__)
#define EXPECT_EQUAL(actual, expected)                                                             \
    suite_expect_equal(suite, (uint64_t)(actual), (uint64_t)(expected), #actual, __FILE__, __LINE__)
/** The kernel's answer. */
#define EXPECT_ERROR(call, error)                                                                  \
    suite_expect_error(suite, (int)(call), error, #call, __FILE__, __LINE__)

/** The kernel's answer, and the first message registers. */
#define EXPECT_ERROR_WITH(call, error, ...)                                                        \
    suite_expect_registers(suite, EXPECT_ERROR(call, error), (const seL4_Word[]){__VA_ARGS__},     \
                           sizeof((const seL4_Word[]){__VA_ARGS__}) / sizeof(seL4_Word), #call,    \
                           __FILE__, __LINE__)
#define EXPECT_ERROR_0(call, error, mr0) EXPECT_ERROR_WITH(call, error, mr0)

/** The kernel's answer is RangeError min..max. */
#define EXPECT_RANGE_ERROR(call, min, max) EXPECT_ERROR_WITH(call, seL4_RangeError, min, max)

/** The kernel's answer is FailedLookup of a missing capability at that level. */
#define EXPECT_FAILED_LOOKUP(call, level)                                                          \
    EXPECT_ERROR_WITH(call, seL4_FailedLookup, 0, seL4_MissingCapability, level)

/** End the check where going on has no sense. The fixture cleans up. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!EXPECT(condition)) {                                                                  \
            return;                                                                                \
        }                                                                                          \
    } while (0)
