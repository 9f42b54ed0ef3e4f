/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A hosted system for each test, and short names for what tests do with it. The fixture checks at
 * the end that nothing but the test's own objects was left, by ending the system under a sanitizer.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <hosted/census.h>
#include <hosted/counters.h>
#include <hosted/inject.h>
#include <hosted/log.h>
#include <hosted/stage2.h>
#include <hosted/system.h>
#include <sel4/sel4_arch/mapping.h>
#include <vka/capops.h>

#define DEFAULT_ATTRIBUTES seL4_ARM_Default_VMAttributes

extern hosted_system_t *world; /* the test's system */
extern vka_t *vka;
extern vspace_t *vmm;

int world_setup(void **state);
int world_teardown(void **state);

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

/** Run a group of tests, with the log lines of expected errors left out. */
#define WORLD_MAIN(...)                                                                            \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }

/** An empty slot. */
seL4_CPtr new_slot(void);
/** An object of that type in a slot of its own; the test fails if there is none. */
vka_object_t new_object(seL4_Word type, seL4_Word size_bits);
/** An address space with an ASID. */
seL4_CPtr new_space(void);
seL4_CPtr new_frame(unsigned size_bits);
seL4_CPtr new_table(void);
seL4_CPtr new_untyped(unsigned size_bits);

/* Invocations on slots of the root CNode. */
seL4_Error copy(seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights);
seL4_Error mint(seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights, seL4_Word badge);
seL4_Error move(seL4_CPtr dest, seL4_CPtr src);
seL4_Error delete_cap(seL4_CPtr slot);
seL4_Error revoke(seL4_CPtr slot);
seL4_Error map(seL4_CPtr frame, seL4_CPtr space, seL4_Word vaddr);
seL4_Error map_table(seL4_CPtr table, seL4_CPtr space, seL4_Word vaddr);
/** Retype into consecutive slots from `slot` on. */
seL4_Error retype(seL4_CPtr untyped, seL4_Word type, seL4_Word size_bits, seL4_CPtr slot,
                  seL4_Word count);

/** Tables down to the level of `bits` for `vaddr`. */
void make_tables(seL4_CPtr space, seL4_Word vaddr, unsigned bits);

/** What is mapped there; false if nothing is. */
bool mapped_at(seL4_CPtr space, seL4_Word gpa, hosted_stage2_mapping_t *mapping);

seL4_Word frame_address(seL4_CPtr frame);

#define assert_error(call, error) assert_int_equal((call), (error))
#define assert_error_0(call, error, mr0)                                                           \
    do {                                                                                           \
        assert_int_equal((call), (error));                                                         \
        assert_int_equal(seL4_GetMR(0), (mr0));                                                    \
    } while (0)
#define assert_range_error(call, min, max)                                                         \
    do {                                                                                           \
        assert_int_equal((call), seL4_RangeError);                                                 \
        assert_int_equal(seL4_GetMR(0), (min));                                                    \
        assert_int_equal(seL4_GetMR(1), (max));                                                    \
    } while (0)
#define assert_failed_lookup(call, level)                                                          \
    do {                                                                                           \
        assert_int_equal((call), seL4_FailedLookup);                                               \
        assert_int_equal(seL4_GetMR(0), 0);                                                        \
        assert_int_equal(seL4_GetMR(1), seL4_MissingCapability);                                   \
        assert_int_equal(seL4_MappingFailedLookupLevel(), (level));                                \
    } while (0)

/** Take a census, or compare with one and print what differs. */
hosted_census_t census(void);
void assert_census(const hosted_census_t *before);
