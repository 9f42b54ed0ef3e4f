/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * One failure point: a call in a fresh scene, with one or two operations made to fail.
 */

#include "row.h"

/** Which operations fail. */
typedef struct plan {
    unsigned operations; /* HOSTED_OPERATION_ bits */
    uint64_t k;          /* which of them; 0: none */
    bool lasting;        /* and all of them behind it */
    unsigned then_operations;
    uint64_t then_k; /* which one behind the first failure; 0: none */
} plan_t;

/** What came of it. */
typedef struct outcome {
    bool fired;       /* there was a k-th operation */
    bool fired_twice; /* and a then_k-th behind it */
    bool failed;      /* the call did; otherwise it found another way */
    bool unclean;     /* a promise was broken: printed to stderr */
} outcome_t;

/**
 * Run a point. An unclean one leaves the system of the scene to be closed.
 *
 * @param success  what point_success() says after the call when nothing fails
 */
outcome_t point_run(scene_t *scene, scene_kind_t kind, const row_t *row, const plan_t *plan,
                    const char *success);

/** The state after the call when nothing fails. @return to be freed with free() */
char *point_success(scene_t *scene, scene_kind_t kind, const row_t *row);
