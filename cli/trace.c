/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the lines of a trace. Times are microseconds since it began.
 */

#include "trace.h"

#include "report.h"

#include <errno.h>
#include <hosted/trace.h>
#include <hosted/vm.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct trace {
    machine_t *machine;
    char *name;
    FILE *file;
    uint64_t start;
};

static const struct {
    const char *list; /* in the option's value */
    unsigned kind;
} kinds_of[] = {{"faults", HOSTED_EVENT_FAULT},
                {"irqs", HOSTED_EVENT_IRQ},
                {"hypercalls", HOSTED_EVENT_HYPERCALL},
                {"invocations", HOSTED_EVENT_INVOCATION}};

int trace_parse_kinds(const char *list, unsigned *kinds)
{
    *kinds = 0;
    for (const char *word = list; *word != '\0';) {
        size_t length = strcspn(word, ",");
        unsigned kind = 0;
        for (size_t i = 0; i < sizeof(kinds_of) / sizeof(kinds_of[0]); i++) {
            if (strlen(kinds_of[i].list) == length && memcmp(kinds_of[i].list, word, length) == 0) {
                kind = kinds_of[i].kind;
            }
        }
        if (kind == 0) {
            break;
        }
        *kinds |= kind;
        word += length;
        if (*word == '\0') {
            return 0;
        }
        word++;
    }
    fprintf(stderr,
            "guestmem run: --trace-events %s: must be some of faults, irqs, hypercalls and "
            "invocations, with commas between them\n",
            list);
    return -1;
}

static const char *result_name(memory_fault_result_t result)
{
    switch (result) {
    case FAULT_HANDLED:
        return "handled";
    case FAULT_UNHANDLED:
        return "unhandled";
    case FAULT_RESTART:
        return "restart";
    case FAULT_IGNORE:
        return "ignore";
    default:
        return "error";
    }
}

static void print_fault(FILE *out, const hosted_event_t *event)
{
    fprintf(out,
            "\"fault\", \"pc\": \"0x%" PRIxPTR "\", \"gpa\": \"0x%" PRIxPTR "\", \"access\": "
            "\"%s\", \"width\": %u, \"value\": ",
            event->pc, event->gpa,
            event->fetch   ? "fetch"
            : event->write ? "write"
                           : "read",
            event->width);
    if (event->has_value) {
        fprintf(out, "\"0x%" PRIx64 "\"", event->value);
    } else {
        fputs("null", out);
    }
    fputs(", \"range\": ", out);
    report_json_string(out, event->name);
    fprintf(out, ", \"result\": \"%s\", \"invocations\": %" PRIu64, result_name(event->result),
            event->invocations);
}

static void on_event(void *cookie, const hosted_event_t *event)
{
    trace_t *trace = cookie;
    FILE *out = trace->file;

    fprintf(out, "{\"us\": %" PRIu64 ", \"event\": ", (event->time - trace->start) / 1000);
    switch (event->kind) {
    case HOSTED_EVENT_FAULT:
        print_fault(out, event);
        break;
    case HOSTED_EVENT_IRQ:
        fprintf(out, "\"irq\", \"irq\": %d, \"name\": ", event->irq);
        report_json_string(out, machine_interrupt_name(trace->machine, event->irq));
        fprintf(out, ", \"what\": \"%s\"", event->ended ? "ended" : "delivered");
        break;
    case HOSTED_EVENT_HYPERCALL:
        fprintf(out,
                "\"hypercall\", \"pc\": \"0x%" PRIxPTR "\", \"function\": \"0x%" PRIx64
                "\", \"result\": \"0x%" PRIx64 "\"",
                event->pc, event->function, event->value);
        break;
    default:
        fprintf(out, "\"invocation\", \"name\": \"%s\", \"error\": %d", event->name,
                (int)event->error);
    }
    fputs("}\n", out);
}

trace_t *trace_begin(machine_t *machine, const char *file, unsigned kinds)
{
    trace_t *trace = calloc(1, sizeof(*trace));

    if (trace == NULL || (trace->name = strdup(file)) == NULL) {
        fprintf(stderr, "guestmem: %s: out of memory\n", file);
        free(trace);
        return NULL;
    }
    trace->machine = machine;
    trace->file = fopen(file, "w");
    if (trace->file == NULL) {
        fprintf(stderr, "guestmem: %s: %s\n", file, strerror(errno));
        free(trace->name);
        free(trace);
        return NULL;
    }
    trace->start = hosted_vm_time(machine_vm(machine));
    hosted_vm_trace(machine_vm(machine), kinds, on_event, trace);
    return trace;
}

int trace_end(trace_t *trace)
{
    bool failed;

    if (trace == NULL) {
        return 0;
    }
    hosted_vm_trace(machine_vm(trace->machine), 0, NULL, NULL);
    failed = ferror(trace->file) != 0;
    failed |= fclose(trace->file) != 0;
    if (failed) {
        fprintf(stderr, "guestmem: %s: cannot be written\n", trace->name);
    }
    free(trace->name);
    free(trace);
    return failed ? -1 : 0;
}
