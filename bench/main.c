/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#include <stdio.h>
#include <string.h>
#include "bench.h"

static int usage(void)
{
    fprintf(stderr, "usage: guestmem-bench [--json FILE] [--svg FILE]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static report_t report;
    const char *json = NULL;
    const char *svg = NULL;
    for (int i = 1; i < argc; i += 2) {
        const char **file = strcmp(argv[i], "--json") == 0  ? &json
                            : strcmp(argv[i], "--svg") == 0 ? &svg
                                                            : NULL;
        if (file == NULL || i + 1 == argc) {
            return usage();
        }
        *file = argv[i + 1];
    }
    printf("processor: %d\n", measure_pin());
    measure_keep_heap();
    bench_reserve(&report); /* first, while the heap is as a VMM has it at its start */
    bench_maps(&report);
    bench_dispatch(&report);
    bench_ram(&report);
    bench_registration(&report);
    bench_change(&report);
    bench_disk(&report);
    size_t missed = report_print_verdicts(&report, stdout);
    if ((json != NULL && report_write_json(&report, json) != 0) ||
        (svg != NULL && report_write_svg(&report, svg) != 0)) {
        fprintf(stderr, "bench: cannot write %s or %s\n", json != NULL ? json : "(no JSON)",
                svg != NULL ? svg : "(no SVG)");
        return 1;
    }
    return missed == 0 ? 0 : 1;
}
