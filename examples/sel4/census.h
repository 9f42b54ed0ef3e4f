/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file What is in use: capability slots and kernel objects of a vka, heap of an allocator. */

#include <platsupport/io.h>
#include <stddef.h>
#include <vka/vka.h>

typedef struct census {
    size_t slots, object_bytes, heap_bytes;
} census_t;

/** What was taken by way of the two handles below and not given back. */
extern census_t census;

/** Let `vka` count from now on. Once. */
void census_watch_vka(vka_t *vka);

/** Let `heap` count from now on. Once. */
void census_watch_heap(ps_malloc_ops_t *heap);
