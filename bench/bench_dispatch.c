/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Faults: random addresses, each in some reservation, with a callback that counts and returns a
 * result from its count, so that the result waits for what was loaded. The baseline does the same
 * over the red-black tree: look up, check the access, call back. "One after another" makes each
 * address depend on the result before, so that no two overlap in the processor.
 */

#include <bsd/sys/tree.h>
#include <stdlib.h>
#include "bench.h"
#include "world.h"

#define BASE   ((uintptr_t)0x100000000)
#define SIZE   ((uintptr_t)0x1000)
#define FAULTS 20000 /* a round at least */
#define ROUNDS 21

typedef struct record {
    RB_ENTRY(record) entry;
    uintptr_t base, last;
    memory_fault_callback_fn callback;
    void *cookie;
} record_t;

static int compare(const record_t *a, const record_t *b)
{
    return a->base > b->last ? 1 : a->last < b->base ? -1 : 0;
}

RB_HEAD(records, record);
RB_GENERATE(records, record, entry, compare)

/* What is measured at one size. */
typedef struct setting {
    size_t n;
    uintptr_t stride; /* from one reservation to the next */
    struct records tree;
    record_t *records;
    world_t world;
    uint64_t calls;
} setting_t;

static memory_fault_result_t on_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                      void *cookie)
{
    (void)vm;
    (void)vcpu;
    (void)addr;
    (void)length;
    uint64_t calls = ++*(uint64_t *)cookie;
    return FAULT_HANDLED + (calls >> 63);
}

static __attribute__((noinline)) memory_fault_result_t
tree_handle_fault(struct records *tree, vm_t *vm, uintptr_t addr, size_t size)
{
    record_t key = {.base = addr, .last = addr};
    record_t *record = RB_FIND(records, tree, &key);
    if (record == NULL) {
        return FAULT_UNHANDLED;
    }
    if (size > 0 && size - 1 > record->last - addr) {
        return FAULT_ERROR;
    }
    return record->callback(vm, NULL, addr, size, record->cookie);
}

/* So many faults a round that the caches hold what they can, whatever was measured before. */
static int faults_for(size_t n)
{
    return n < FAULTS / 2 ? FAULTS : n < 200000 ? 2 * (int)n : 400000;
}

/* `wait` is 0, or all ones for addresses that wait for the result before. */
static double time_library(setting_t *setting, uint64_t seed, uint64_t wait)
{
    uint64_t result = 0;
    int faults = faults_for(setting->n);
    uint64_t start = measure_now();
    for (int i = 0; i < faults; i++) {
        seed += result & wait;
        uintptr_t at = BASE + measure_below(&seed, setting->n) * setting->stride + (seed & 0xff8);
        result = vm_memory_handle_fault(&setting->world.vm, NULL, at, 4) - FAULT_HANDLED;
    }
    measure_use(result);
    return (double)(measure_now() - start) / faults;
}

static double time_tree(setting_t *setting, uint64_t seed, uint64_t wait)
{
    uint64_t result = 0;
    int faults = faults_for(setting->n);
    uint64_t start = measure_now();
    for (int i = 0; i < faults; i++) {
        seed += result & wait;
        uintptr_t at = BASE + measure_below(&seed, setting->n) * setting->stride + (seed & 0xff8);
        result = tree_handle_fault(&setting->tree, &setting->world.vm, at, 4) - FAULT_HANDLED;
    }
    measure_use(result);
    return (double)(measure_now() - start) / faults;
}

static void begin_regular(setting_t *setting, size_t n)
{
    *setting = (setting_t){.n = n, .stride = 2 * SIZE};
    uint32_t *order = measure_permutation(n, 11);
    world_begin(&setting->world, 1);
    RB_INIT(&setting->tree);
    setting->records = calloc(n, sizeof(*setting->records));
    for (size_t i = 0; i < n; i++) {
        uintptr_t base = BASE + order[i] * setting->stride;
        if (setting->records == NULL || vm_reserve_memory_at(&setting->world.vm, base, SIZE,
                                                             on_fault, &setting->calls) == NULL) {
            world_fail("reserving");
        }
        setting->records[i] = (record_t){.base = base,
                                         .last = base + (SIZE - 1),
                                         .callback = on_fault,
                                         .cookie = &setting->calls};
        RB_INSERT(records, &setting->tree, &setting->records[i]);
    }
    free(order);
}

static void begin_anonymous(setting_t *setting, size_t n)
{
    *setting = (setting_t){.n = n, .stride = SIZE};
    world_begin(&setting->world, 1);
    uintptr_t address;
    int error = vm_memory_make_anon(&setting->world.vm, BASE, n * SIZE);
    for (size_t i = 0; i < n && error == 0; i++) {
        error = vm_reserve_anon_memory(&setting->world.vm, SIZE, SIZE, on_fault, &setting->calls,
                                       &address) == NULL;
    }
    if (error != 0) {
        world_fail("reserving in an anonymous region");
    }
}

static void destroy(setting_t *setting)
{
    world_end(&setting->world);
    free(setting->records);
}

static void measure_size(report_t *report, size_t n, measure_t *ours, measure_t *anonymous,
                         measure_t *tree, measure_t *waiting)
{
    setting_t *regular = malloc(sizeof(*regular));
    setting_t *region = malloc(sizeof(*region));
    if (regular == NULL || region == NULL) {
        world_fail("malloc");
    }
    begin_regular(regular, n);
    spread_t heap = report_exact((double)world_heap(&regular->world) / (double)n);
    begin_anonymous(region, n);
    for (uint64_t round = 0; round <= ROUNDS; round++) {
        measure_t none = {.count = 0};
        /* The first round warms up. */
        measure_add(round > 0 ? ours : &none, time_library(regular, round + 1, 0));
        measure_add(round > 0 ? tree : &none, time_tree(regular, round + 1, 0));
        measure_add(round > 0 ? anonymous : &none, time_library(region, round + 1, 0));
        measure_add(round > 0 ? &waiting[0] : &none, time_library(regular, round + 1, ~0ull));
        measure_add(round > 0 ? &waiting[1] : &none, time_tree(regular, round + 1, ~0ull));
    }
    if (n == 100000) {
        report_point(report, "heap a reservation", "random order", (double)n, "bytes", heap);
        report_at_most(report, "heap a reservation at 100,000, bytes", heap, 128);
    }
    destroy(regular);
    destroy(region);
    free(regular);
    free(region);
}

void bench_dispatch(report_t *report)
{
    static const size_t sizes[] = {10, 100, 1000, 10000, 100000};
    enum { NUM_SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    static measure_t ours[NUM_SIZES], anonymous[NUM_SIZES], tree[NUM_SIZES], waiting[NUM_SIZES][2];
    static const char *const figures[] = {"fault dispatch", "fault dispatch, one after another"};
    for (size_t i = 0; i < NUM_SIZES; i++) {
        measure_size(report, sizes[i], &ours[i], &anonymous[i], &tree[i], waiting[i]);
    }
    for (size_t i = 0; i < NUM_SIZES; i++) {
        double n = (double)sizes[i];
        report_measure(report, figures[0], "guestmem", n, &ours[i]);
        report_measure(report, figures[0], "guestmem, anonymous", n, &anonymous[i]);
        report_measure(report, figures[0], "red-black tree", n, &tree[i]);
    }
    for (size_t i = 0; i < NUM_SIZES; i++) {
        double n = (double)sizes[i];
        report_measure(report, figures[1], "guestmem", n, &waiting[i][0]);
        report_measure(report, figures[1], "red-black tree", n, &waiting[i][1]);
    }
    for (size_t i = 0; i < NUM_SIZES; i++) {
        static char texts[NUM_SIZES][64];
        snprintf(texts[i], sizeof(texts[i]), "dispatch at %zu: guestmem / red-black tree",
                 sizes[i]);
        report_at_most(report, texts[i], measure_ratio(&ours[i], &tree[i]), 0.8);
    }
    report_at_most(report, "dispatch at 100,000: anonymous / regular",
                   measure_ratio(&anonymous[4], &ours[4]), 1.3);
}
