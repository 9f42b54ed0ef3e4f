/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem run`: build the machine, print its map, connect the guest's console with standard
 * input and output, and say why it stopped.
 */

#include "commands.h"

#include "activity.h"
#include "console.h"
#include "machine.h"
#include "report.h"
#include "report_run.h"
#include "restarts.h"
#include "saved_file.h"
#include "trace.h"

#include <errno.h>
#include <guestmem/inspect.h>
#include <hosted/gdb.h>
#include <hosted/trace.h>
#include <hosted/vm.h>
#include <inttypes.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/boot.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help[] =
    "Usage: guestmem run [options] VM.dts|VM.dtb\n"
    "\n"
    "Build the virtual machine that a device tree describes, on a hosted seL4 system,\n"
    "print its memory map, and run its guest. The guest's first PL011, or else its first\n"
    "virtio console, is standard input and output; on a terminal, Ctrl-A x leaves and\n"
    "Ctrl-A Ctrl-A sends Ctrl-A. Piped input is sent line by line as the guest waits for\n"
    "it; two seconds after its end the run stops, if the guest still only waits for more\n"
    "at a prompt.\n"
    "\n"
    "  --vm NAME              the virtual machine to run, where the description has several\n"
    "  --board BOARD          a board's name or device tree, instead of the description's\n"
    "  --overlay FILE         an overlay for the board's tree; can be given again\n"
    "  --engine ENGINE        what runs the guest's instructions, instead of the description's\n"
    "  --virtual-time         let the guest's time pass by its instructions: the same input gives\n"
    "                         the same run, to the last byte\n"
    "  --append TEXT          more arguments for the kernel (bootargs of the guest's tree)\n"
    "  --gdb WHERE            let GDB connect to [HOST]:PORT, or to the Unix socket of a path with "
    "a\n"
    "                         slash, and start when it has\n"
    "  --quiet                print the guest's console only\n"
    "  --progress             say what the guest does while it works without output\n"
    "  --trace FILE           write what the guest does to a file, a JSON object a line\n"
    "  --trace-events LIST    which of faults, irqs, hypercalls and invocations, instead of the\n"
    "                         first three\n"
    "  --svg FILE             draw what the guest touched, and where it faulted, over the map\n"
    "  --restarts N           save the guest when it first waits for input at a prompt, send all "
    "of\n"
    "                         the piped input, and when the guest waits again, or has ended, "
    "start\n"
    "                         it again from what was saved: N times, and say how long that took.\n"
    "                         RAM, processor and devices are saved, and no other memory\n"
    "  --save FILE            send all of the piped input, and when the guest waits for more at a\n"
    "                         prompt, save it in a file and end. Processor, devices and memory "
    "are\n"
    "                         saved, but for devices of the board\n"
    "  --restore FILE         go on with a guest that was saved, of the same description, instead "
    "of\n"
    "                         loading and starting one; no file of the description is loaded\n"
    "  --max-seconds N        stop the run after N seconds; with --restarts, each of them\n"
    "  --max-instructions N   stop the run after about N instructions; the same\n"
    "  --help                 print this\n"
    "\n"
    "Exit status: 0 if the guest powers off, resets or is saved, or the user leaves; 1 if the\n"
    "description is wrong, the guest fails, or time is up; 2 for wrong usage.\n";

/** How long the guest is silent before a line says what it does. */
static const double silence = 2.0;

typedef struct run {
    const char *file;
    const char *picture; /* file for one of the run, or NULL */
    FILE *picture_out;
    const char *trace_file; /* for a trace, or NULL */
    unsigned trace_kinds;   /* 0: as nobody has said */
    trace_t *trace;
    activity_t *activity; /* what was in memory before the run, for the picture */
    const char *gdb;      /* where a debugger connects, or NULL */
    const char *save;     /* file to save the guest in, or NULL */
    const char *restore;  /* and one that it comes from, or NULL */
    double save_seconds;  /* that it took, */
    double restore_seconds;
    bool quiet;
    bool progress;
    bool lost;          /* output could not be written */
    bool spoke;         /* output has come since the last look */
    double start;       /* of the run, and */
    double quiet_since; /* of the guest's silence: seconds */
    machine_options_t options;
    machine_until_t until;
    restarts_t restarts;
    console_t *console;
} run_t;

static void on_output(void *cookie, const char *bytes, size_t size)
{
    run_t *run = cookie;

    run->spoke = true;
    if (run->console != NULL && !console_write(run->console, bytes, size)) {
        run->lost = true;
    }
}

static void on_note(void *cookie, const char *line)
{
    (void)cookie;
    fprintf(stderr, "guestmem: %s\n", line);
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/** A line every few seconds while the guest works in silence. */
static void show_progress(run_t *run, machine_t *machine)
{
    vm_t *vm = machine_vm(machine);
    double now = seconds_now();
    guestmem_statistics_t statistics = {0};
    hosted_vm_counters_t counters = {0};
    seL4_UserContext registers = {0};

    if (run->spoke || hosted_vm_sleeps(vm)) {
        run->spoke = false;
        run->quiet_since = now;
    }
    if (now - run->quiet_since < silence) {
        return;
    }
    run->quiet_since = now;
    guestmem_get_statistics(vm, &statistics);
    hosted_vm_get_counters(vm, &counters);
    vm_get_thread_context(vm->vcpus[BOOT_VCPU], &registers);
    fprintf(stderr,
            "guestmem: after %.0f s: %" PRIu64 " stops of the guest, %" PRIu64
            " faults, pc 0x%lx\n",
            now - run->start, counters.exits, statistics.faults, (unsigned long)registers.pc);
}

static void on_poll(void *cookie, machine_t *machine)
{
    run_t *run = cookie;

    console_poll(run->console, machine);
    if (run->progress) {
        show_progress(run, machine);
    }
}

static void print_start(const run_t *run, machine_t *machine)
{
    memory_map_t map;

    if (run->quiet || machine_memory_map(machine, &map) != 0) {
        return;
    }
    report_text(stdout, &map, 1);
    memory_map_release(&map);
    printf("--- guest console%s%s ---\n",
           console_is_interactive(run->console) ? " (Ctrl-A x leaves)" : "",
           run->restore != NULL ? ": the guest waits at its prompt" : "");
    fflush(stdout);
}

/** Say why the run stopped. @return the exit status */
static int print_end(run_t *run, machine_t *machine, machine_end_t end, double seconds)
{
    bool good = end == MACHINE_POWERED_OFF || end == MACHINE_RESET || end == MACHINE_STOPPED;
    const char *reason = machine_reason(machine);

    if (end == MACHINE_STOPPED && console_why_stopped(run->console) != NULL) {
        reason = console_why_stopped(run->console);
    }
    if (!run->quiet) {
        printf("\n--- guest stopped: %s ---\n", reason);
        report_run(stdout, machine, seconds);
        restarts_print(stdout, &run->restarts);
        if (run->restore != NULL) {
            printf("restored: %s, in %.3f s\n", run->restore, run->restore_seconds);
        }
        if (run->save_seconds > 0) {
            printf("saved: %s, in %.3f s\n", run->save, run->save_seconds);
        }
        fflush(stdout);
    }
    if (!good) {
        fprintf(stderr, "guestmem: %s: %s\n", run->file, reason);
    }
    return good ? STATUS_OK : STATUS_FAILED;
}

/** Make the file and look at the memory before the run, so that nothing is missing after it. */
static int start_picture(run_t *run, machine_t *machine)
{
    if (run->picture == NULL) {
        return 0;
    }
    run->picture_out = fopen(run->picture, "w");
    if (run->picture_out == NULL) {
        fprintf(stderr, "guestmem: %s: %s\n", run->picture, strerror(errno));
        return -1;
    }
    run->activity = activity_start(machine);
    if (run->activity == NULL) {
        fprintf(stderr, "guestmem: %s: out of memory\n", run->file);
        return -1;
    }
    return 0;
}

/** @return 0; -1 with a message */
static int draw_picture(run_t *run, machine_t *machine)
{
    memory_map_t map;

    if (run->picture == NULL) {
        return 0;
    }
    if (activity_end(run->activity, machine, &map) != 0) {
        fprintf(stderr, "guestmem: %s: out of memory\n", run->file);
        return -1;
    }
    report_svg(run->picture_out, &map, 1);
    memory_map_release(&map);
    if (fflush(run->picture_out) != 0 || ferror(run->picture_out)) {
        fprintf(stderr, "guestmem: %s: cannot be written\n", run->picture);
        return -1;
    }
    return 0;
}

static void end_picture(run_t *run)
{
    activity_free(run->activity);
    if (run->picture_out != NULL) {
        fclose(run->picture_out);
    }
}

static void ask_which(const machine_t *machine)
{
    const vm_system_t *file = machine_file(machine);

    fprintf(stderr, "guestmem: %s: which VM? --vm one of:", file->vms[0]->file);
    for (size_t i = 0; i < file->num_vms; i++) {
        fprintf(stderr, " %s", file->vms[i]->name);
    }
    fputc('\n', stderr);
}

/** What is recorded of a run: its picture, its trace. */
static int start_records(run_t *run, machine_t *machine)
{
    const unsigned usual = HOSTED_EVENT_FAULT | HOSTED_EVENT_IRQ | HOSTED_EVENT_HYPERCALL;

    if (start_picture(run, machine) != 0) {
        return -1;
    }
    if (run->trace_file != NULL) {
        run->trace =
            trace_begin(machine, run->trace_file, run->trace_kinds != 0 ? run->trace_kinds : usual);
    }
    return run->trace_file == NULL || run->trace != NULL ? 0 : -1;
}

/** @return 0; -1 with a message if the trace could not be written */
static int end_records(run_t *run)
{
    end_picture(run);
    return trace_end(run->trace);
}

/** @return 0; -1 with a message */
static int await_debugger(const run_t *run, machine_t *machine)
{
    char error[160];

    if (run->gdb == NULL) {
        return 0;
    }
    if (hosted_gdb_listen(machine_vm(machine), run->gdb, error, sizeof(error)) != 0) {
        fprintf(stderr, "guestmem: --gdb %s\n", error);
        return -1;
    }
    fprintf(stderr, "guestmem: the guest waits for GDB: target remote %s\n",
            hosted_gdb_address(machine_vm(machine)));
    return 0;
}

/** Let the machine become the guest that was saved, if there is one; and know before it runs that
 * it can be saved, if it is to be. @return 0; -1 with a message */
static int restore_guest(run_t *run, machine_t *machine)
{
    cli_error_t error = {0};
    double start = seconds_now();
    saved_file_t *file;
    int result;

    if ((run->save != NULL || run->restarts.wanted > 0) &&
        machine_check_saved(machine, &error) != 0) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return -1;
    }
    if (run->restore == NULL) {
        return 0;
    }
    file = saved_file_open(run->restore, &error);
    if (file == NULL) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return -1;
    }
    result = machine_read_saved(machine, saved_file_read, file, &error);
    if (result == 0 && saved_file_end(file) != 0) {
        result = -1;
    }
    if (result != 0) {
        fprintf(stderr, "guestmem: %s: %s\n", run->restore,
                error.line[0] != '\0' ? error.line : saved_file_reason(file));
    }
    saved_file_close(file);
    run->restore_seconds = seconds_now() - start;
    return result;
}

/** Save the guest that waits at its prompt, if that is wanted. @return 0; -1 with a message */
static int save_guest(run_t *run, machine_t *machine)
{
    cli_error_t error = {0};
    double start = seconds_now();
    saved_file_t *file;

    if (run->save == NULL) {
        return 0;
    }
    if (!console_guest_waits(run->console)) {
        fprintf(stderr,
                "guestmem: %s: not written: the guest of %s did not come to wait for input "
                "at a prompt\n",
                run->save, run->file);
        return -1;
    }
    file = saved_file_create(run->save, &error);
    if (file == NULL) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return -1;
    }
    if (machine_write_saved(machine, saved_file_write, file, &error) != 0) {
        if (saved_file_reason(file)[0] != '\0') {
            cli_error_set(&error, "%s: %s", run->save, saved_file_reason(file));
        }
        saved_file_close(file);
        fprintf(stderr, "guestmem: %s\n", error.line);
        return -1;
    }
    if (saved_file_commit(file, &error) != 0) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return -1;
    }
    run->save_seconds = seconds_now() - start;
    return 0;
}

/** Take the input of a run that does more than to send it. @return 0; -1 with a message */
static int hold_input(run_t *run)
{
    console_t *console = run->console;

    if (run->save != NULL) {
        console_leave_terminal(console);
    }
    if ((run->save != NULL || run->restarts.wanted > 0) && console_hold(console) != 0) {
        return -1;
    }
    if (run->save != NULL) {
        console_send(console);
    }
    if (run->restore != NULL) {
        console_stand_at_prompt(console);
    }
    return 0;
}

static int run_machine(run_t *run)
{
    cli_error_t error = {0};
    machine_t *machine;
    machine_end_t end;
    double seconds;
    int failed;
    int status;

    run->options.output = on_output;
    run->options.note = on_note;
    run->options.poll = on_poll;
    run->options.cookie = run;
    run->options.unloaded = run->restore != NULL;
    if (run->save != NULL && saved_file_check(run->save, &error) != 0) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return STATUS_FAILED;
    }
    machine = machine_create(run->file, &run->options, &error);
    if (machine == NULL) {
        fprintf(stderr, "guestmem: %s\n", error.line);
        return STATUS_FAILED;
    }
    if (run->options.vm == NULL && machine_file(machine)->num_vms > 1) {
        ask_which(machine);
        machine_destroy(machine);
        return STATUS_FAILED;
    }
    if (restore_guest(run, machine) != 0) {
        machine_destroy(machine);
        return STATUS_FAILED;
    }
    run->console = console_open(run->until.max_seconds);
    if (run->console == NULL) {
        fprintf(stderr, "guestmem: %s: out of memory\n", run->file);
        machine_destroy(machine);
        return STATUS_FAILED;
    }
    if (start_records(run, machine) != 0 || await_debugger(run, machine) != 0 ||
        hold_input(run) != 0) {
        end_records(run);
        console_close(run->console);
        machine_destroy(machine);
        return STATUS_FAILED;
    }
    print_start(run, machine);
    run->start = run->quiet_since = seconds_now();
    end = run->restore == NULL || run->restarts.wanted == 0 ? machine_run(machine, &run->until)
                                                            : MACHINE_STOPPED;
    failed = restarts_make(&run->restarts, machine, run->console, &run->until, &end);
    seconds = seconds_now() - run->start;
    failed |= draw_picture(run, machine); /* what follows reads all of the memory */
    failed |= save_guest(run, machine);
    status = print_end(run, machine, end, seconds);
    status = failed == 0 ? status : STATUS_FAILED;
    if (status == STATUS_OK && run->lost) {
        fprintf(stderr, "guestmem: standard output cannot be written\n");
        status = STATUS_FAILED;
    }
    if (end_records(run) != 0) {
        status = STATUS_FAILED;
    }
    restarts_free(&run->restarts);
    console_close(run->console);
    run->console = NULL;
    return machine_destroy(machine) == 0 ? status : STATUS_FAILED;
}

static int parse_seconds(const char *text, double *seconds)
{
    char *end;

    *seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(*seconds) || *seconds <= 0) {
        fprintf(stderr, "guestmem run: --max-seconds %s: must be a number above 0\n", text);
        return -1;
    }
    return 0;
}

static int parse_count(const char *option, const char *text, uint64_t *count)
{
    char *end;

    errno = 0;
    *count = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0 || *count == 0 || text[0] == '-') {
        fprintf(stderr, "guestmem run: --%s %s: must be a whole number above 0\n", option, text);
        return -1;
    }
    return 0;
}

enum {
    VM,
    BOARD,
    OVERLAY,
    ENGINE,
    VIRTUAL_TIME,
    APPEND,
    GDB,
    QUIET,
    PROGRESS,
    TRACE,
    TRACE_EVENTS,
    SVG,
    RESTARTS,
    SAVE,
    RESTORE,
    MAX_SECONDS,
    MAX_INSTRUCTIONS,
    HELP
};

static const struct option options[] = {
    {"vm", required_argument, NULL, VM},
    {"board", required_argument, NULL, BOARD},
    {"overlay", required_argument, NULL, OVERLAY},
    {"engine", required_argument, NULL, ENGINE},
    {"virtual-time", no_argument, NULL, VIRTUAL_TIME},
    {"append", required_argument, NULL, APPEND},
    {"gdb", required_argument, NULL, GDB},
    {"quiet", no_argument, NULL, QUIET},
    {"progress", no_argument, NULL, PROGRESS},
    {"trace", required_argument, NULL, TRACE},
    {"trace-events", required_argument, NULL, TRACE_EVENTS},
    {"svg", required_argument, NULL, SVG},
    {"restarts", required_argument, NULL, RESTARTS},
    {"save", required_argument, NULL, SAVE},
    {"restore", required_argument, NULL, RESTORE},
    {"max-seconds", required_argument, NULL, MAX_SECONDS},
    {"max-instructions", required_argument, NULL, MAX_INSTRUCTIONS},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/** Take an option other than help. @return 0; -1 with a message */
static int take_option(run_t *run, int option, const char *value)
{
    switch (option) {
    case VM:
        run->options.vm = value;
        return 0;
    case BOARD:
        run->options.board = value;
        return 0;
    case OVERLAY:
        return machine_add_overlay(&run->options, value);
    case ENGINE:
        run->options.engine = value;
        return 0;
    case VIRTUAL_TIME:
        run->options.virtual_time = true;
        return 0;
    case APPEND:
        run->options.append = value;
        return 0;
    case GDB:
        run->gdb = value;
        return 0;
    case QUIET:
    case 'q':
        run->quiet = true;
        return 0;
    case PROGRESS:
        run->progress = true;
        return 0;
    case TRACE:
        run->trace_file = value;
        return 0;
    case TRACE_EVENTS:
        return trace_parse_kinds(value, &run->trace_kinds);
    case SVG:
        run->picture = value;
        return 0;
    case SAVE:
        run->save = value;
        return 0;
    case RESTORE:
        run->restore = value;
        return 0;
    case MAX_SECONDS:
        return parse_seconds(value, &run->until.max_seconds);
    case MAX_INSTRUCTIONS:
        return parse_count("max-instructions", value, &run->until.max_instructions);
    case RESTARTS:
        return parse_count("restarts", value, &run->restarts.wanted);
    default:
        return -1; /* getopt has said what is wrong */
    }
}

int cmd_run(int argc, char **argv)
{
    run_t run = {0};
    int option;

    while ((option = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
        if (option == HELP || option == 'h') {
            fputs(help, stdout);
            return STATUS_OK;
        }
        if (take_option(&run, option, optarg) != 0) {
            return STATUS_USAGE;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "guestmem run: %s (see guestmem run --help)\n",
                optind == argc ? "which description?" : "only one description, please");
        return STATUS_USAGE;
    }
    if (run.trace_kinds != 0 && run.trace_file == NULL) {
        fprintf(stderr, "guestmem run: --trace-events has no effect without --trace FILE\n");
        return STATUS_USAGE;
    }
    if (run.save != NULL && run.restarts.wanted > 0) {
        fprintf(stderr, "guestmem run: --save and --restarts do not go together\n");
        return STATUS_USAGE;
    }
    if (run.restore != NULL && run.options.append != NULL) {
        fprintf(stderr, "guestmem run: --append has no effect on a guest that has started, as that "
                        "of --restore\n");
        return STATUS_USAGE;
    }
    run.file = argv[optind];
    return run_machine(&run);
}
