/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Reserving all in random order, then freeing all in another: the cost of one of each, with all the
 * growth and shrinking on the way. The baseline allocates, inserts, removes and frees in the
 * red-black tree, and checks nothing.
 */

#include <stdlib.h>
#include "bench.h"
#include "candidates/candidate.h"
#include "world.h"

#define BASE    ((uintptr_t)0x100000000)
#define SIZE    ((uintptr_t)0x1000)
#define AT_ONCE 20000 /* at least so many reservations a round */
#define ROUNDS  11

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
    uint32_t *place;                /* of the i-th that is reserved, in the order of freeing */
    vm_memory_reservation_t **made; /* in the order of freeing, so that reading it costs nothing */
} orders_t;

static void regular(world_t *world, const orders_t *orders)
{
    for (size_t i = 0; i < orders->n; i++) {
        orders->made[orders->place[i]] =
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

static void tree(void *map, const orders_t *orders)
{
    for (size_t i = 0; i < orders->n; i++) {
        uintptr_t base = BASE + orders->in[i] * 2 * SIZE;
        candidate_red_black.insert(map, base, base + (SIZE - 1), map);
    }
    for (size_t i = 0; i < orders->n; i++) {
        candidate_red_black.remove(map, BASE + orders->out[i] * 2 * SIZE);
    }
}

static void measure_size(size_t n, measure_t measures[3])
{
    world_t world;
    void *map = candidate_red_black.create();
    orders_t orders = {n, measure_permutation(n, 3), measure_permutation(n, 5),
                       measure_permutation(n, 5), calloc(n, sizeof(*orders.made))};
    uint32_t *rank = measure_permutation(n, 5);
    size_t repeats = n < AT_ONCE ? AT_ONCE / n : 1;
    world_begin(&world, 1);
    for (size_t i = 0; i < n; i++) {
        rank[orders.out[i]] = (uint32_t)i;
    }
    for (size_t i = 0; i < n; i++) {
        orders.place[i] = rank[orders.in[i]];
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
                } else if (who == 1) {
                    anonymous(&world, &orders);
                } else {
                    tree(map, &orders);
                }
            }
            double pairs = (double)(repeats * n) * (who == 1 ? 1.5 : 1);
            if (round > 0) { /* the first warms up */
                measure_add(&measures[who], (double)(measure_now() - start) / pairs);
            }
        }
    }
    world_end(&world);
    candidate_red_black.destroy(map);
    free(orders.in);
    free(orders.out);
    free(orders.place);
    free(orders.made);
}

void bench_reserve(report_t *report)
{
    static const size_t sizes[] = {100, 1000, 10000, 100000};
    enum { NUM_SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    static measure_t measures[NUM_SIZES][3];
    static const char *const names[] = {"guestmem", "guestmem, anonymous", "red-black tree"};
    for (size_t i = 0; i < NUM_SIZES; i++) {
        measure_size(sizes[i], measures[i]);
    }
    for (int who = 0; who < 3; who++) {
        for (size_t i = 0; i < NUM_SIZES; i++) {
            report_measure(report, "reserve and free", names[who], (double)sizes[i],
                           &measures[i][who]);
        }
    }
    report_at_most(report, "reserve and free: at 100,000 / at 100",
                   measure_ratio(&measures[3][0], &measures[0][0]), 3);
}
