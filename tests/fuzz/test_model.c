/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Pseudo-random sequences of operations against the model. Each runs in a child process, so that a
 * crash is a result as well. A sequence that fails is shortened as long as it still fails, and what
 * is left is printed as C.
 *
 *     test_model [--seed N] [--steps N] [--runs N]
 *
 * Without --seed, seeds from 1 on. A failure prints the --seed and --steps that show it again.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "model.h"

enum { DEFAULT_RUNS = 100, DEFAULT_STEPS = 400, MOST_STEPS = 1 << 20 };

/* splitmix64, so that a seed means the same everywhere. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill(uint8_t *bytes, size_t steps, uint64_t seed)
{
    uint64_t state = seed;
    for (size_t i = 0; i < steps; i++) {
        uint64_t word = random_next(&state);
        memcpy(bytes + i * OPERATION_BYTES, &word, OPERATION_BYTES);
    }
}

/* Silence a child whose message was seen already. */
static void be_quiet(void)
{
    if (freopen("/dev/null", "w", stderr) == NULL) {
        _exit(2);
    }
}

/* Run in a child. @return whether all was well */
static bool run(const uint8_t *bytes, size_t steps, bool quiet, FILE *trace)
{
    fflush(NULL);
    pid_t child = fork();
    must(child >= 0, "no process");
    if (child == 0) {
        machine_t machine;
        if (quiet) {
            be_quiet();
        }
        machine_begin(&machine);
        model_run(&machine, bytes, steps * OPERATION_BYTES, trace);
        machine_end(&machine);
        exit(0);
    }
    int status = 0;
    must(waitpid(child, &status, 0) == child, "a child is lost");
    return status == 0;
}

/* Leave out operations, in ever smaller pieces, while the rest still fails. */
static size_t shorten(uint8_t *bytes, size_t steps)
{
    uint8_t *shorter = malloc(steps * OPERATION_BYTES);
    must(shorter != NULL, "no memory");
    for (size_t piece = steps / 2; piece > 0; piece /= 2) {
        for (size_t at = 0; at + piece <= steps;) {
            size_t before = at * OPERATION_BYTES;
            size_t behind = (steps - at - piece) * OPERATION_BYTES;
            memcpy(shorter, bytes, before);
            memcpy(shorter + before, bytes + before + piece * OPERATION_BYTES, behind);
            if (run(shorter, steps - piece, true, NULL)) {
                at += piece;
            } else {
                steps -= piece;
                memcpy(bytes, shorter, steps * OPERATION_BYTES);
            }
        }
    }
    free(shorter);
    return steps;
}

static void report(uint8_t *bytes, size_t steps, uint64_t seed)
{
    printf("--seed %lu --steps %zu fails; shortening it\n", (unsigned long)seed, steps);
    size_t left = shorten(bytes, steps);
    printf("%zu operations are left (`callback` and `iterator` stand for the test's own):\n", left);
    run(bytes, left, false, stdout);
}

static int run_seeds(uint64_t first, uint64_t runs, size_t steps)
{
    uint8_t *bytes = malloc(steps * OPERATION_BYTES);
    must(bytes != NULL, "no memory");
    for (uint64_t seed = first; seed < first + runs; seed++) {
        fill(bytes, steps, seed);
        if (!run(bytes, steps, false, NULL)) {
            report(bytes, steps, seed);
            free(bytes);
            return 1;
        }
    }
    free(bytes);
    printf("seeds %lu to %lu, %zu operations each: all as the model says\n", (unsigned long)first,
           (unsigned long)(first + runs - 1), steps);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    uint64_t runs = DEFAULT_RUNS;
    size_t steps = DEFAULT_STEPS;
    bool runs_given = false;
    bool seed_given = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 0);
        if (strcmp(argv[i], "--seed") == 0) {
            seed = value;
            seed_given = true;
        } else if (strcmp(argv[i], "--runs") == 0) {
            runs = value;
            runs_given = true;
        } else if (strcmp(argv[i], "--steps") == 0 && value > 0 && value <= MOST_STEPS) {
            steps = value;
        } else {
            fprintf(stderr, "test_model: what is %s %s?\n", argv[i], argv[i + 1]);
            return 2;
        }
    }
    return run_seeds(seed, seed_given && !runs_given ? 1 : runs, steps);
}
