/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The ticker: sleeps for a period, or until it is urged, then sets its flag and kicks the engine. A
 * kick stays with the engine until it has stopped for it, so none is lost.
 */

#define _GNU_SOURCE
#include "ticker.h"
#include <time.h>

static struct timespec after(unsigned milliseconds)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += milliseconds / 1000;
    time.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}

static void *tick(void *cookie)
{
    ticker_t *ticker = cookie;

    pthread_mutex_lock(&ticker->lock);
    while (ticker->running) {
        struct timespec until = after(ticker->period);
        int status = 0;
        while (ticker->running && !ticker->urgent && status == 0) {
            status = pthread_cond_timedwait(&ticker->wake, &ticker->lock, &until);
        }
        ticker->urgent = false;
        if (ticker->running) {
            atomic_store(&ticker->due, true);
            ticker->engine->class->kick(ticker->engine);
        }
    }
    pthread_mutex_unlock(&ticker->lock);
    return NULL;
}

int ticker_init(ticker_t *ticker)
{
    pthread_condattr_t attributes;
    int error = pthread_mutex_init(&ticker->lock, NULL);

    if (error != 0) {
        return error;
    }
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(&ticker->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (error != 0) {
        pthread_mutex_destroy(&ticker->lock);
    }
    return error;
}

void ticker_destroy(ticker_t *ticker)
{
    pthread_cond_destroy(&ticker->wake);
    pthread_mutex_destroy(&ticker->lock);
}

int ticker_start(ticker_t *ticker, engine_t *engine, unsigned period)
{
    ticker->engine = engine;
    ticker->period = period;
    ticker->running = true;
    ticker->urgent = false;
    atomic_store(&ticker->due, false);
    int error = pthread_create(&ticker->thread, NULL, tick, ticker);
    if (error != 0) {
        ticker->running = false;
    }
    return error;
}

void ticker_stop(ticker_t *ticker)
{
    pthread_mutex_lock(&ticker->lock);
    ticker->running = false;
    pthread_cond_signal(&ticker->wake);
    pthread_mutex_unlock(&ticker->lock);
    pthread_join(ticker->thread, NULL);
}

void ticker_urge(ticker_t *ticker)
{
    pthread_mutex_lock(&ticker->lock);
    ticker->urgent = true;
    pthread_cond_signal(&ticker->wake);
    pthread_mutex_unlock(&ticker->lock);
}
