/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The same for pages of 1 GiB, where the board has an untyped of that size: a device's, preferably,
   since the kernel clears other memory. */

#include "objects.h"
#include <vka/object.h>

#define BASE ((seL4_Word)0x40000000)

/* A frame of 1 GiB at the start of an untyped. */
static bool frame_of_untyped(suite_t *suite, int n, bool from_device, vka_object_t *frame)
{
    size_t bits;
    uintptr_t paddr;
    bool device;
    return simple_get_nth_untyped(suite->env->simple, n, &bits, &paddr, &device) != seL4_CapNull &&
           bits >= seL4_HugePageBits && device == from_device &&
           (from_device ? vka_alloc_frame_at(suite->env->vka, seL4_HugePageBits, paddr, frame)
                        : vka_alloc_frame(suite->env->vka, seL4_HugePageBits, frame)) == 0;
}

/* Call `check` with a frame of 1 GiB, or skip. */
static void with_frame(suite_t *suite, void (*check)(suite_t *suite, seL4_CPtr frame))
{
    vka_object_t frame;
    int count = simple_get_untyped_count(suite->env->simple);
    for (int pass = 0; pass < 2; pass++) {
        for (int n = 0; n < count; n++) {
            if (frame_of_untyped(suite, n, pass == 0, &frame)) {
                check(suite, frame.cptr);
                vka_free_object(suite->env->vka, &frame);
                return;
            }
        }
    }
    suite_skip(suite, "the board has no free untyped of 1 GiB");
}

static void alone(suite_t *suite, seL4_CPtr frame)
{
    EXPECT_ERROR(map(frame, new_space(suite), BASE), seL4_NoError);
}

static void huge_page_without_tables_is_NoError(suite_t *suite)
{
    with_frame(suite, alone);
}

static void over_tables(suite_t *suite, seL4_CPtr frame)
{
    seL4_CPtr space = new_space(suite);
    make_tables(suite, space, BASE, 12);
    EXPECT_FAILED_LOOKUP(map(frame, space, BASE), 12);
}

static void huge_page_over_tables_is_FailedLookup_12(suite_t *suite)
{
    with_frame(suite, over_tables);
}

static void with_pages_inside(suite_t *suite, seL4_CPtr frame)
{
    seL4_CPtr space = new_space(suite);
    EXPECT_ERROR(map(frame, space, BASE), seL4_NoError);
    EXPECT_FAILED_LOOKUP(map(new_frame(suite, 12), space, BASE), 30);
    EXPECT_FAILED_LOOKUP(map(new_frame(suite, 21), space, BASE), 30);
    EXPECT_ERROR(map_table(new_table(suite), space, BASE), seL4_DeleteFirst);
}

static void pages_inside_a_huge_one_are_FailedLookup_30(suite_t *suite)
{
    with_frame(suite, with_pages_inside);
}

static void misaligned(suite_t *suite, seL4_CPtr frame)
{
    EXPECT_ERROR(map(frame, new_space(suite), BASE + GIGABYTE / 2), seL4_AlignmentError);
}

static void misaligned_huge_page_is_AlignmentError(suite_t *suite)
{
    with_frame(suite, misaligned);
}

static const check_t checks[] = {
    CHECK(huge_page_without_tables_is_NoError),
    CHECK(huge_page_over_tables_is_FailedLookup_12),
    CHECK(pages_inside_a_huge_one_are_FailedLookup_30),
    CHECK(misaligned_huge_page_is_AlignmentError),
};

const area_t area_huge_page = AREA("kernel Page_Map", FIXTURE_OBJECTS, checks);
