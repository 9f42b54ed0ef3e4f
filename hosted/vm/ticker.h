/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * A thread that interrupts an engine regularly, so that the run loop can look at what else there is
 * to do. It knows nothing but the engine and one flag.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "engine.h"

typedef struct ticker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running;    /* under `lock` */
    bool urgent;     /* under `lock`: tick now */
    unsigned period; /* milliseconds */
    engine_t *engine;
    atomic_bool due; /* set by each tick, cleared by the run loop */
} ticker_t;

/** Prepare a ticker that does not run. @return 0 or an errno */
int ticker_init(ticker_t *ticker);
void ticker_destroy(ticker_t *ticker);

/** Kick `engine` every `period` milliseconds. @return 0 or an errno */
int ticker_start(ticker_t *ticker, engine_t *engine, unsigned period);

/** Undo ticker_start(). */
void ticker_stop(ticker_t *ticker);

/** Tick now, if the ticker runs. From any thread. */
void ticker_urge(ticker_t *ticker);
