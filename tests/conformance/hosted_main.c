/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The conformance suite on a hosted system, with "incoherent" as argument on one whose VMM has a
 * data cache that matters. Exits 0 only if no check failed.
 */

#include "conformance.h"
#include <hosted/log.h>
#include <hosted/system.h>
#include <hosted/vm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_line(const char *line)
{
    puts(line);
}

/* Most checks provoke errors, and the suite looks at the reason that is left, not at the log. */
static void drop_line(void *cookie, int level, const char *line)
{
    (void)cookie, (void)level, (void)line;
}

static const char *why_no_guest(void)
{
    if (hosted_engine_name(0) == NULL) {
        return "this build has no engine that runs guests (see GUESTMEM_UNICORN)";
    }
#ifdef CONFORMANCE_NO_GUEST
    return "there was no compiler for guests when this was built (aarch64-linux-gnu-gcc)";
#else
    return NULL;
#endif
}

int main(int argc, char **argv)
{
    char error[256] = "";
    hosted_system_t *system = hosted_system_create_from_file(BOARD_DTB, error, sizeof(error));
    if (system == NULL) {
        fprintf(stderr, "conformance: %s\n", error);
        return EXIT_FAILURE;
    }
    if (argc > 1 && (strcmp(argv[1], "incoherent") != 0 || hosted_system_incoherent(system) != 0)) {
        fprintf(stderr, "conformance: %s is not possible\n", argv[1]);
        hosted_system_destroy(system);
        return EXIT_FAILURE;
    }
    hosted_log_to(drop_line, NULL);
    hosted_vmm_keep_tables(system);
    const conformance_env_t env = {
        .vka = hosted_vka(system),
        .simple = hosted_simple(system),
        .vspace = hosted_vmm_vspace(system),
        .io_ops = hosted_io_ops(system),
        .endpoint = hosted_host_endpoint(system),
        .guest_priority = 100,
        .device_paddr = 0x9010000,          /* the board's clock, a PL031 */
        .scratch_device_paddr = 0x48000000, /* memory that the board keeps from the kernel */
        .print = print_line,
        .no_guest = why_no_guest(),
        .end_vm = vm_destroy,
    };
    int failed = conformance_run(&env);
    hosted_log_to(NULL, NULL);
    hosted_system_destroy(system);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
