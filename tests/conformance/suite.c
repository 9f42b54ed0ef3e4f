/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See suite.h and conformance.h. */

#include "suite.h"
#include "guest.h"
#include "objects.h"
#include "vm_memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file's name without the folders that it was compiled in. */
static const char *base_name(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash != NULL ? slash + 1 : file;
}

bool suite_expect(suite_t *suite, bool condition, const char *text, const char *file, int line)
{
    if (!condition && !suite->broken) {
        suite->broken = true;
        snprintf(suite->message, sizeof(suite->message), "%s:%d: expected %s", base_name(file),
                 line, text);
    }
    return condition;
}

bool suite_expect_equal(suite_t *suite, uint64_t actual, uint64_t expected, const char *text,
                        const char *file, int line)
{
    if (actual != expected && !suite->broken) {
        suite->broken = true;
        snprintf(suite->message, sizeof(suite->message),
                 "%s:%d: expected %s to be 0x%llx, got 0x%llx", base_name(file), line, text,
                 (unsigned long long)expected, (unsigned long long)actual);
    }
    return actual == expected;
}

static const char *error_name(int error)
{
    static const char *const names[] = {
        "NoError",     "InvalidArgument", "InvalidCapability", "IllegalOperation",
        "RangeError",  "AlignmentError",  "FailedLookup",      "TruncatedMessage",
        "DeleteFirst", "RevokeFirst",     "NotEnoughMemory",
    };
    return error >= 0 && (size_t)error < sizeof(names) / sizeof(names[0]) ? names[error]
                                                                          : "unknown";
}

bool suite_expect_error(suite_t *suite, int actual, seL4_Error expected, const char *text,
                        const char *file, int line)
{
    if (actual != (int)expected && !suite->broken) {
        suite->broken = true;
        snprintf(suite->message, sizeof(suite->message), "%s:%d: expected %s of %s, got %s (%d)",
                 base_name(file), line, error_name((int)expected), text, error_name(actual),
                 actual);
    }
    return actual == (int)expected;
}

bool suite_expect_registers(suite_t *suite, bool met, const seL4_Word *expected, size_t count,
                            const char *text, const char *file, int line)
{
    char name[160];
    for (size_t i = 0; i < count && met; i++) {
        snprintf(name, sizeof(name), "MR%zu of %s", i, text);
        met = suite_expect_equal(suite, seL4_GetMR((int)i), expected[i], name, file, line);
    }
    return met;
}

void suite_skip(suite_t *suite, const char *why)
{
    suite->skip = true;
    snprintf(suite->message, sizeof(suite->message), "%s", why);
}

static void run_in_fixture(suite_t *suite)
{
    fixture_t fixture = suite->area->fixture;
    if (fixture == FIXTURE_GUEST) {
        guest_run_check(suite);
    } else if (fixture == FIXTURE_OBJECTS || memory_open(suite)) {
        suite->check->run(suite);
    }
    if (fixture == FIXTURE_MEMORY) {
        memory_close(suite);
    }
    objects_close(suite);
}

/* The function's name, with spaces: that is the promise. */
static void promise_of(const check_t *check, char *text, size_t size)
{
    snprintf(text, size, "%s", check->name);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '_' ? ' ' : *c;
    }
}

static void run_check(suite_t *suite, const check_t *check)
{
    char promise[128];
    char line[512];
    suite->check = check;
    suite->broken = suite->skip = false;
    run_in_fixture(suite);
    promise_of(check, promise, sizeof(promise));
    if (suite->broken) {
        suite->failed++;
        snprintf(line, sizeof(line), "FAIL %s: %s: %s", suite->area->name, promise, suite->message);
    } else if (suite->skip) {
        suite->skipped++;
        snprintf(line, sizeof(line), "skip %s: %s: %s", suite->area->name, promise, suite->message);
    } else {
        suite->passed++;
        snprintf(line, sizeof(line), "ok   %s: %s", suite->area->name, promise);
    }
    suite->env->print(line);
}

void suite_run_area(suite_t *suite, const area_t *area)
{
    suite->area = area;
    for (size_t i = 0; i < area->count; i++) {
        run_check(suite, &area->checks[i]);
    }
}

int conformance_run(const conformance_env_t *env)
{
    static const area_t *const areas[] = {
#ifdef CONFIG_ARCH_AARCH64
        &area_page_map,      &area_tables,       &area_capabilities, &area_untyped,
#endif
        &area_refusals,      &area_reservations, &area_mapping,      &area_ownership,
        &area_frames,        &area_failures,     &area_faults,       &area_ram,
        &area_changes,       &area_guest,        &area_guest_faults, &area_rights,
        &area_guest_changes, &area_guest_kernel, &area_guest_end,
    };
    char line[96];
    suite_t *suite = calloc(1, sizeof(*suite));
    if (suite == NULL) {
        env->print("FAIL suite: no heap for the suite itself");
        env->print("0 passed, 1 failed, 0 skipped");
        return 1;
    }
    suite->env = env;
    for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
        suite_run_area(suite, areas[i]);
    }
    guest_end(suite);
    int failed = suite->failed;
    snprintf(line, sizeof(line), "%d passed, %d failed, %d skipped", suite->passed, failed,
             suite->skipped);
    env->print(line);
    free(suite);
    return failed;
}
