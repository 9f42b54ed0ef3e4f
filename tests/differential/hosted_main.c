/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The hosted kernel against what seL4 answered.
 *
 *     differential               compare with hashes.txt: line n is the hash of seed n
 *     differential FIRST COUNT   print the hashes of other seeds
 *     differential SEED          print a transcript
 */

#include "differential.h"
#include <hosted/system.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DEVICE_PAGE 0x9010000 /* the board's clock */

enum { MAX_TRANSCRIPTS = 3 };

static void print_line(const char *line)
{
    puts(line);
}

static int compare(const differential_env_t *env)
{
    FILE *file = fopen(HASHES, "r");
    uint64_t seed = 0, different = 0, expected;
    while (file && fscanf(file, "%" SCNx64, &expected) == 1) {
        if (differential_run(env, ++seed, DIFFERENTIAL_QUIET) == expected) {
            continue;
        }
        if (++different <= MAX_TRANSCRIPTS) {
            printf("== seed %" PRIu64 " differs; here:\n", seed);
            differential_run(env, seed, DIFFERENTIAL_PRINT);
        }
    }
    if (file) {
        fclose(file);
    }
    printf("%" PRIu64 " sequences of %d steps, %" PRIu64 " differ from the kernel's\n", seed,
           DIFFERENTIAL_STEPS, different);
    return seed > 0 && different == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    differential_env_t env;
    char why[256] = "";
    hosted_system_t *system = hosted_system_create_from_file(BOARD_DTB, why, sizeof(why));
    if (!system || differential_start(&env, hosted_vka(system), hosted_bootinfo(system)->empty.end,
                                      DEVICE_PAGE, print_line)) {
        fprintf(stderr, "differential: %s\n", system ? "no untyped memory" : why);
        return EXIT_FAILURE;
    }
    int status = EXIT_SUCCESS;
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
    if (argc == 1) {
        status = compare(&env);
    } else if (argc == 2) {
        differential_run(&env, first, DIFFERENTIAL_PRINT);
    }
    for (uint64_t i = 0; i < count; i++) {
        printf("%016" PRIx64 "\n", differential_run(&env, first + i, DIFFERENTIAL_QUIET));
    }
    hosted_system_destroy(system);
    return status;
}
