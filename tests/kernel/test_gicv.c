/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The virtual CPU interface, on list registers as the kernel fills them. */

#include "world.h"
#include "gicv.h"
#include <string.h>

enum { CONTROL = 0, MASK = 4, ACKNOWLEDGE = 0xc, END = 0x10, RUNNING = 0x14, PENDING = 0x18 };
enum { NONE = 1023 };

static uint64_t list[GICV_LIST_REGISTERS];
static gicv_t gicv;

static int setup(void **state)
{
    memset(list, 0, sizeof(list));
    gicv = (gicv_t){.list = list};
    gicv_write(&gicv, CONTROL, 1);
    gicv_write(&gicv, MASK, 0xf8);
    return 0;
}

static void inject(unsigned index, uint64_t number, uint64_t priority, uint64_t group)
{
    list[index] = number | 1ul << 19 | priority << 23 | 1ul << 28 | group << 30;
}

static void most_urgent_is_taken_first_and_others_wait_for_its_end(void **state)
{
    inject(0, 40, 10, 0);
    inject(1, 41, 5, 0);
    assert_int_equal(gicv_read(&gicv, PENDING), 41);
    assert_int_equal(gicv_read(&gicv, ACKNOWLEDGE), 41);
    assert_int_equal(gicv_read(&gicv, RUNNING), 5 << 3);
    assert_int_equal(gicv_read(&gicv, ACKNOWLEDGE), NONE);
    inject(2, 42, 1, 0); /* more urgent than what runs */
    assert_int_equal(gicv_read(&gicv, ACKNOWLEDGE), 42);
    assert_int_equal(gicv_write(&gicv, END, 42), 2);
    assert_int_equal(gicv_read(&gicv, RUNNING), 5 << 3);
    assert_int_equal(gicv_write(&gicv, END, 41), 1);
    assert_int_equal(gicv_read(&gicv, ACKNOWLEDGE), 40);
    assert_int_equal(gicv_write(&gicv, END, 40), 0);
    assert_int_equal(gicv_read(&gicv, RUNNING), 0xff);
    assert_int_equal(gicv_read(&gicv, ACKNOWLEDGE), NONE);
}

static void masked_priorities_and_disabled_groups_stay_pending(void **state)
{
    inject(0, 40, 10, 0);
    inject(1, 41, 11, 1);
    gicv_write(&gicv, MASK, 10 << 3);
    assert_int_equal(gicv_read(&gicv, ACKNOWLEDGE), NONE);
    gicv_write(&gicv, MASK, 0xf8);
    gicv_write(&gicv, CONTROL, 2);
    assert_int_equal(gicv_read(&gicv, ACKNOWLEDGE), 41);
    gicv_write(&gicv, CONTROL, 0);
    assert_int_equal(gicv_read(&gicv, PENDING), NONE);
}

static void only_the_end_of_what_was_taken_wants_maintenance(void **state)
{
    inject(0, 40, 10, 0);
    assert_int_equal(gicv_write(&gicv, END, 40), -1); /* pending, not taken */
    assert_int_equal(gicv_read(&gicv, ACKNOWLEDGE), 40);
    assert_int_equal(gicv_write(&gicv, END, 99), -1);
    list[0] &= ~(1ul << 19);
    assert_int_equal(gicv_write(&gicv, END, 40), -1);
    assert_int_equal(list[0] >> 28 & 3, 0);
}

#define GICV_TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GICV_TEST(most_urgent_is_taken_first_and_others_wait_for_its_end),
        GICV_TEST(masked_priorities_and_disabled_groups_stay_pending),
        GICV_TEST(only_the_end_of_what_was_taken_wants_maintenance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
