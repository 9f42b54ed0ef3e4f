/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The least that a fault can cost here: a look-up whose first guess is always right, in arrays that
 * never change. It reads one guess, one line of keys and one line of a record, and calls back. A
 * map that can change, and that does not know beforehand where its ranges lie, cannot cost less.
 */

#include <stdlib.h>
#include <sel4vm/guest_memory.h>
#include "bench.h"
#include "world.h"

#define LINE   64
#define KEYS   8 /* in a line */
#define BASE   ((uintptr_t)0x100000000)
#define SIZE   ((uintptr_t)0x1000)
#define STRIDE (2 * SIZE)
#define FAULTS 400000 /* so that the cache holds what it can */
#define ROUNDS 9

typedef struct record {
    uintptr_t last;
    memory_fault_callback_fn callback;
    void *cookie;
    uint64_t faults;
} __attribute__((aligned(LINE))) record_t;

typedef struct arrays {
    record_t *records;
    uintptr_t *keys;
    uint32_t *guesses; /* for each KEYS ranges, where their keys begin */
} arrays_t;

static memory_fault_result_t on_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                      void *cookie)
{
    (void)vm, (void)vcpu, (void)addr, (void)length;
    ++*(uint64_t *)cookie;
    return FAULT_HANDLED;
}

static __attribute__((noinline)) memory_fault_result_t handle_fault(const arrays_t *arrays,
                                                                    uintptr_t addr, size_t size)
{
    size_t at = arrays->guesses[(addr - BASE) / (STRIDE * KEYS)];
    const uintptr_t *keys = &arrays->keys[at];
    for (size_t i = 1; i < KEYS; i++) {
        at += keys[i] <= addr;
    }
    record_t *record = &arrays->records[at];
    if (record->last < addr) {
        return FAULT_UNHANDLED;
    }
    record->faults++;
    if (size > 0 && size - 1 > record->last - addr) {
        return FAULT_ERROR;
    }
    return record->callback(NULL, NULL, addr, size, record->cookie);
}

static double time_faults(const arrays_t *arrays, size_t n, uint64_t seed)
{
    uint64_t answer = 0;
    uint64_t start = measure_now();
    for (int i = 0; i < FAULTS; i++) {
        uintptr_t at = BASE + measure_below(&seed, n) * STRIDE + (seed & 0xff8);
        answer += handle_fault(arrays, at, 4) - FAULT_HANDLED;
    }
    measure_use(answer);
    return (double)(measure_now() - start) / FAULTS;
}

static void *aligned(size_t size)
{
    void *block = aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE);
    if (block == NULL) {
        world_fail("aligned_alloc");
    }
    return block;
}

static void begin(arrays_t *arrays, size_t n, uint64_t *calls)
{
    *arrays = (arrays_t){aligned(n * sizeof(record_t)), aligned((n + KEYS) * sizeof(uintptr_t)),
                         aligned((n / KEYS + 1) * sizeof(uint32_t))};
    for (size_t i = 0; i < n; i++) {
        uintptr_t base = BASE + i * STRIDE;
        arrays->keys[i] = base;
        arrays->records[i] = (record_t){base + (SIZE - 1), on_fault, calls, 0};
        arrays->guesses[i / KEYS] = (uint32_t)(i / KEYS * KEYS);
    }
    for (size_t i = n; i < n + KEYS; i++) {
        arrays->keys[i] = UINTPTR_MAX;
    }
}

void bench_least(report_t *report)
{
    static const size_t sizes[] = {1000, 10000, 100000, 1000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        arrays_t arrays;
        uint64_t calls = 0;
        measure_t least = {.count = 0};
        begin(&arrays, sizes[i], &calls);
        (void)time_faults(&arrays, sizes[i], 1);
        for (uint64_t round = 1; round <= ROUNDS; round++) {
            measure_add(&least, time_faults(&arrays, sizes[i], round + 1));
        }
        report_measure(report, "the least that a fault can cost", "a right guess", (double)sizes[i],
                       &least);
        free(arrays.records);
        free(arrays.keys);
        free(arrays.guesses);
    }
}
