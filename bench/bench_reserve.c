/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Reserving all in random order, then freeing all in another: the cost of one of each, with all the
 * growth and shrinking on the way. The baseline is a red-black tree of records that makes the same
 * checks: the range must not wrap, nothing may overlap its pages, and a handle must be of this
 * tree.
 */

#include <bsd/sys/tree.h>
#include <stdlib.h>
#include "bench.h"
#include "world.h"

#define BASE           ((uintptr_t)0x100000000)
#define SIZE           ((uintptr_t)0x1000)
#define AT_ONCE        20000 /* at least so many reservations a round */
#define ROUNDS         11
#define MOST_ANONYMOUS 10000 /* first fit walks along the reservations */

static memory_fault_result_t on_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                      void *cookie)
{
    (void)vm;
    (void)vcpu;
    (void)addr;
    (void)length;
    (void)cookie;
    return FAULT_HANDLED;
}

typedef struct orders {
    size_t n;
    uint32_t *in, *out;
    uint32_t *rank;                 /* of the i-th that is reserved, in the order of freeing */
    vm_memory_reservation_t **made; /* in the order of freeing, so that reading it costs nothing */
} orders_t;

static void regular(world_t *world, const orders_t *orders)
{
    for (size_t i = 0; i < orders->n; i++) {
        orders->made[orders->rank[i]] =
            vm_reserve_memory_at(&world->vm, BASE + orders->in[i] * 2 * SIZE, SIZE, on_fault, NULL);
    }
    for (size_t i = 0; i < orders->n; i++) {
        if (vm_free_reserved_memory(&world->vm, orders->made[i]) != 0) {
            world_fail("freeing a reservation");
        }
    }
}

/* Half is freed in random order and reserved again, so that the holes are everywhere. */
static void anonymous(world_t *world, const orders_t *orders)
{
    uintptr_t address;
    for (size_t i = 0; i < orders->n; i++) {
        orders->made[i] = vm_reserve_anon_memory(&world->vm, SIZE, SIZE, on_fault, NULL, &address);
    }
    for (size_t i = 0; i < orders->n / 2; i++) {
        (void)vm_free_reserved_memory(&world->vm, orders->made[orders->out[i]]);
    }
    for (size_t i = 0; i < orders->n / 2; i++) {
        orders->made[orders->out[i]] =
            vm_reserve_anon_memory(&world->vm, (1 + i % 2) * SIZE, SIZE, on_fault, NULL, &address);
    }
    for (size_t i = 0; i < orders->n; i++) {
        if (vm_free_reserved_memory(&world->vm, orders->made[orders->in[i]]) != 0) {
            world_fail("freeing an anonymous reservation");
        }
    }
}

/* A record of the baseline's, as large as the library's. */
typedef struct record {
    RB_ENTRY(record) entry;
    uintptr_t base, last;
    const void *owner;
    memory_fault_callback_fn callback;
    void *cookie;
} record_t;

static int compare(const record_t *a, const record_t *b)
{
    return a->base > b->last ? 1 : a->last < b->base ? -1 : 0;
}

RB_HEAD(reserved, record);
RB_GENERATE(reserved, record, entry, compare)

/* The baseline; one region, as the library has here. */
typedef struct baseline {
    struct reserved records;
    ps_malloc_ops_t *heap;
    uintptr_t region_base, region_last;
} baseline_t;

static record_t *tree_reserve(baseline_t *tree, uintptr_t base, size_t size,
                              memory_fault_callback_fn callback)
{
    uintptr_t last = base + (size - 1);
    record_t pages = {.base = base & ~(SIZE - 1), .last = last | (SIZE - 1)};
    void *record = NULL;
    if (size == 0 || last < base || callback == NULL ||
        RB_FIND(reserved, &tree->records, &pages) != NULL ||
        (base <= tree->region_last && last >= tree->region_base) ||
        ps_malloc(tree->heap, sizeof(record_t), &record) != 0) {
        return NULL;
    }
    *(record_t *)record =
        (record_t){.base = base, .last = last, .owner = tree, .callback = callback};
    RB_INSERT(reserved, &tree->records, record);
    return record;
}

static int tree_free(baseline_t *tree, record_t *record)
{
    if (record == NULL || record->owner != tree) {
        return -1;
    }
    RB_REMOVE(reserved, &tree->records, record);
    return ps_free(tree->heap, sizeof(*record), record);
}

static void tree(world_t *world, const orders_t *orders)
{
    baseline_t tree = {.heap = &world->vm.io_ops->malloc_ops,
                       .region_base = BASE << 8,
                       .region_last = (BASE << 8) + 4 * orders->n * SIZE - 1};
    record_t **made = (record_t **)orders->made;
    RB_INIT(&tree.records);
    for (size_t i = 0; i < orders->n; i++) {
        made[orders->rank[i]] =
            tree_reserve(&tree, BASE + orders->in[i] * 2 * SIZE, SIZE, on_fault);
    }
    for (size_t i = 0; i < orders->n; i++) {
        if (tree_free(&tree, made[i]) != 0) {
            world_fail("the baseline");
        }
    }
}

static void measure_size(size_t n, measure_t measures[3])
{
    world_t world;
    orders_t orders = {n, measure_permutation(n, 3), measure_permutation(n, 5),
                       measure_permutation(n, 5), calloc(n, sizeof(*orders.made))};
    uint32_t *rank = measure_permutation(n, 5);
    size_t repeats = n < AT_ONCE ? AT_ONCE / n : 1;
    world_begin(&world, 1);
    for (size_t i = 0; i < n; i++) {
        rank[orders.out[i]] = (uint32_t)i;
    }
    for (size_t i = 0; i < n; i++) {
        orders.rank[i] = rank[orders.in[i]];
    }
    free(rank);
    if (orders.made == NULL || vm_memory_make_anon(&world.vm, BASE << 8, 4 * n * SIZE) != 0) {
        world_fail("vm_memory_make_anon");
    }
    for (size_t round = 0; round <= ROUNDS; round++) {
        for (int who = 0; who < 3; who++) {
            uint64_t start = measure_now();
            for (size_t i = 0; i < repeats; i++) {
                if (who == 0) {
                    regular(&world, &orders);
                } else if (who == 1 && n <= MOST_ANONYMOUS) {
                    anonymous(&world, &orders);
                } else if (who == 2) {
                    tree(&world, &orders);
                }
            }
            double pairs = (double)(repeats * n) * (who == 1 ? 1.5 : 1);
            if (round > 0 && (who != 1 || n <= MOST_ANONYMOUS)) { /* the first warms up */
                measure_add(&measures[who], (double)(measure_now() - start) / pairs);
            }
        }
    }
    world_end(&world);
    free(orders.in);
    free(orders.out);
    free(orders.rank);
    free(orders.made);
}

void bench_reserve(report_t *report)
{
    static const size_t sizes[] = {10, 100, 1000, 10000, 100000};
    enum { NUM_SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    static measure_t measures[NUM_SIZES][3];
    static const char *const names[] = {"guestmem", "guestmem, anonymous", "red-black tree"};
    for (size_t i = 0; i < NUM_SIZES; i++) {
        measure_size(sizes[i], measures[i]);
    }
    for (int who = 0; who < 3; who++) {
        for (size_t i = 0; i < NUM_SIZES; i++) {
            if (measures[i][who].count > 0) {
                report_measure(report, "reserve and free", names[who], (double)sizes[i],
                               &measures[i][who]);
            }
        }
    }
    report_at_most(report, "reserve and free at 100,000: guestmem / red-black tree",
                   measure_ratio(&measures[4][0], &measures[4][2]), 1);
}
