/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the running of a machine: the VCPU's start, what stops a run, and the console's transcript,
 * in which awaited text is looked for byte by byte as it comes.
 */

#include "machine_internal.h"

#include <hosted/log.h>
#include <hosted/vm.h>
#include <inttypes.h>
#include <math.h>
#include <sel4vm/boot.h>
#include <stdlib.h>
#include <string.h>

enum {
    POLL_MILLISECONDS = 5,
    TRANSCRIPT_SIZE = 4 << 20, /* then the older half is dropped */
    VCPU_PRIORITY = 100,
};

/** Make room for a byte and the NUL. @return 0; -1 if there is none: the byte is not kept */
static int grow_transcript(machine_t *machine)
{
    size_t room = machine->output_room == 0 ? 4096 : machine->output_room * 2;
    size_t dropped = machine->output_size / 2;
    char *larger;

    if (machine->output_size + 2 <= machine->output_room) {
        return 0;
    }
    if (room > TRANSCRIPT_SIZE) {
        machine->output_size -= dropped;
        memmove(machine->output, machine->output + dropped, machine->output_size);
        machine->awaited_from -= machine->awaited_from < dropped ? machine->awaited_from : dropped;
        return 0;
    }
    larger = realloc(machine->output, room);
    if (larger == NULL) {
        return -1;
    }
    machine->output = larger;
    machine->output_room = room;
    return 0;
}

/** Whether the transcript ends with the awaited text, none of which was awaited before. */
static bool ends_with_awaited(const machine_t *machine)
{
    size_t length = machine->awaited != NULL ? strlen(machine->awaited) : 0;

    return length > 0 && machine->output_size - machine->awaited_from >= length &&
           memcmp(machine->output + machine->output_size - length, machine->awaited, length) == 0;
}

void machine_take_output(machine_t *machine, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (grow_transcript(machine) != 0) {
            continue;
        }
        machine->output[machine->output_size++] = bytes[i];
        machine->output[machine->output_size] = '\0';
        if (ends_with_awaited(machine)) {
            machine->awaited = NULL;
            machine->awaited_from = machine->output_size;
            machine->saw_awaited = true;
            machine_stop(machine);
        }
    }
    if (machine->options.output != NULL) {
        machine->options.output(machine->options.cookie, bytes, size);
    }
}

/** Whether the awaited text came while the guest was being stopped for an earlier one. */
static bool has_come_already(machine_t *machine, const char *text)
{
    size_t length = strlen(text);

    for (size_t at = machine->awaited_from; at + length <= machine->output_size; at++) {
        if (memcmp(machine->output + at, text, length) == 0) {
            machine->awaited_from = at + length;
            return true;
        }
    }
    return false;
}

int machine_start(machine_t *machine)
{
    const vm_description_t *description = machine->description;

    machine->vcpu = vm_create_vcpu(machine->vm, VCPU_PRIORITY);
    if (machine->vcpu == NULL || vm_assign_vcpu_target(machine->vcpu, 0) != 0 ||
        hosted_vm_set_entry(machine->vcpu, description->entry, description->x[0], description->x[1],
                            description->x[2], description->x[3]) != 0 ||
        machine_start_interrupts(machine) != 0 || vcpu_start(machine->vcpu) != 0) {
        snprintf(machine->reason, sizeof(machine->reason), "the VCPU cannot be started");
        return -1;
    }
    return 0;
}

static int on_poll(vm_t *vm, void *cookie)
{
    machine_t *machine = cookie;

    (void)vm;
    if (machine->options.poll != NULL) {
        machine->options.poll(machine->options.cookie, machine);
    }
    return 0;
}

/**
 * Log lines of a run are for the user: the guest's doing, in the library's words. The report
 * of why it stopped is not: machine_reason() has it.
 */
static void on_log(void *cookie, int level, const char *line)
{
    machine_t *machine = cookie;
    const hosted_vm_report_t *report = hosted_vm_get_report(machine->vm);
    bool reported = report->text[0] != '\0' && strstr(line, report->text) != NULL;

    (void)level;
    if (machine->options.note != NULL && !reported) {
        machine->options.note(machine->options.cookie, line);
    }
}

static int set_limits(machine_t *machine, const machine_until_t *until)
{
    uint64_t milliseconds = 0;

    if (until->max_seconds > 0) {
        double exact = ceil(until->max_seconds * 1000);
        milliseconds = exact < 1e15 ? (uint64_t)exact : (uint64_t)1e15;
    }
    if (hosted_vm_set_budget(machine->vm, until->max_instructions, milliseconds) != 0) {
        return -1;
    }
    return hosted_vm_set_poll(machine->vm, on_poll, machine, POLL_MILLISECONDS);
}

static machine_end_t judge(machine_t *machine)
{
    const hosted_vm_report_t *report = hosted_vm_get_report(machine->vm);

    if (machine->saw_awaited) {
        snprintf(machine->reason, sizeof(machine->reason), "the awaited output has come");
        return MACHINE_SAW_OUTPUT;
    }
    snprintf(machine->reason, sizeof(machine->reason), "%s",
             report->text[0] != '\0' ? report->text : hosted_vm_reason_name(report->reason));
    switch (report->reason) {
    case HOSTED_VM_POWEROFF:
        return MACHINE_POWERED_OFF;
    case HOSTED_VM_RESET:
        return MACHINE_RESET;
    case HOSTED_VM_STOPPED:
        return MACHINE_STOPPED;
    case HOSTED_VM_BUDGET:
        return MACHINE_OUT_OF_TIME;
    default:
        return MACHINE_FAILED;
    }
}

machine_end_t machine_run(machine_t *machine, const machine_until_t *until)
{
    static const machine_until_t forever = {0};

    hosted_system_enter(machine->system);
    until = until != NULL ? until : &forever;
    if (machine->ended) {
        return machine->end;
    }
    if (machine->vcpu == NULL && machine_start(machine) != 0) {
        machine->ended = true;
        machine->end = MACHINE_FAILED;
        return machine->end;
    }
    machine->saw_awaited = until->output != NULL && has_come_already(machine, until->output);
    if (!machine->saw_awaited) {
        machine->awaited = until->output;
        if (set_limits(machine, until) == 0) {
            hosted_log_to(on_log, machine);
            vm_run(machine->vm);
            hosted_log_to(NULL, NULL);
        }
        machine->awaited = NULL;
    }
    machine->end = judge(machine);
    machine->ended = machine->end == MACHINE_POWERED_OFF || machine->end == MACHINE_RESET ||
                     machine->end == MACHINE_FAILED;
    return machine->end;
}

const char *machine_reason(const machine_t *machine)
{
    return machine->reason;
}

void machine_stop(machine_t *machine)
{
    hosted_vm_request_stop(machine->vm);
}

size_t machine_send(machine_t *machine, const char *bytes, size_t size)
{
    return machine->console != NULL ? machine->console->class->send(machine->console, bytes, size)
                                    : 0;
}

const char *machine_output(const machine_t *machine)
{
    return machine->output != NULL ? machine->output : "";
}
