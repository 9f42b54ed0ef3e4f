/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What hosted_vm_write_saved() and hosted_vm_read_saved() promise: a guest goes on in another VM as
 * it would have in its own, whatever it has in its registers; and what is read does no harm. All in
 * virtual time, so that two VMs do the same.
 */

#include "machine.h"
#include <hosted/processor.h>
#include <sel4vm/guest_irq_controller.h>

enum { REGISTERS = 2048, TIMER = 27, STATE_AT = 40 /* bytes of the header */ };

/* Bytes that were written. */
typedef struct stream {
    uint8_t bytes[MACHINE_RAM_BYTES];
    size_t size;
    size_t at;   /* what is read next */
    size_t most; /* that can be written or read */
} stream_t;

static stream_t *make_stream(void)
{
    stream_t *stream = calloc(1, sizeof(*stream));
    assert_non_null(stream);
    stream->most = sizeof(stream->bytes);
    return stream;
}

static int put(void *cookie, const void *bytes, size_t size)
{
    stream_t *stream = cookie;
    if (size > stream->most - stream->size) {
        return -1;
    }
    memcpy(stream->bytes + stream->size, bytes, size);
    stream->size += size;
    return 0;
}

static int get(void *cookie, void *bytes, size_t size)
{
    stream_t *stream = cookie;
    if (size > stream->size - stream->at) {
        return -1;
    }
    memcpy(bytes, stream->bytes + stream->at, size);
    stream->at += size;
    return 0;
}

static stream_t *save(machine_t *machine)
{
    stream_t *stream = make_stream();
    hosted_system_enter(machine->system);
    assert_int_equal(hosted_vm_write_saved(&machine->vm, put, stream), 0);
    return stream;
}

static void acknowledge(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    assert_int_equal(seL4_ARM_VCPU_AckVPPI(vcpu->vcpu.cptr, (seL4_Word)irq), 0);
}

static int make(void **state)
{
    machine_t *machine;
    assert_int_equal(machine_make(state), 0);
    machine = *state;
    assert_int_equal(hosted_vm_use_virtual_time(&machine->vm), 0);
    assert_int_equal(vm_create_default_irq_controller(&machine->vm), 0);
    assert_int_equal(vm_register_irq(machine->vcpu, TIMER, acknowledge, NULL), 0);
    return 0;
}

/* A VM like that of make() that has started and not run. */
static machine_t *make_other(void)
{
    void *state;
    make(&state);
    machine_t *machine = state;
    assert_int_equal(vcpu_start(machine->vcpu), 0);
    return machine;
}

static void end_other(machine_t *machine, machine_t *first)
{
    void *state = machine;
    machine_end(&state);
    hosted_system_enter(first->system);
}

static int stop_asleep(vm_t *vm, void *cookie)
{
    return hosted_vm_sleeps(vm);
}

/* When the time is up that the cookie points to. */
static int stop_later(vm_t *vm, void *cookie)
{
    unsigned *polls = cookie;
    return (*polls)-- == 0;
}

static void run_up_to(machine_t *machine, hosted_vm_poll_fn stop, void *cookie, unsigned guest,
                      seL4_Word x0, seL4_Word x1)
{
    assert_int_equal(hosted_vm_set_poll(&machine->vm, stop, cookie, 1), 0);
    assert_int_equal(machine_run(machine, guest, x0, x1), 0);
    assert_int_equal(machine_report(machine)->reason, HOSTED_VM_STOPPED);
    assert_int_equal(hosted_vm_set_poll(&machine->vm, NULL, NULL, 0), 0);
}

/* Go on in another VM and in the first. @return how both have ended */
static seL4_UserContext go_on_in_both(machine_t *machine, uint64_t *data)
{
    char error[160];
    uint64_t other_data[REGISTERS / sizeof(uint64_t)];
    stream_t *stream = save(machine);
    machine_t *other = make_other();

    assert_int_equal(hosted_vm_read_saved(&other->vm, get, stream, error, sizeof(error)), 0);
    assert_int_equal(stream->at, stream->size);
    assert_int_equal(hosted_vm_time(&other->vm), hosted_vm_time(&machine->vm));
    stream_t *again = save(other);
    assert_int_equal(again->size, stream->size);
    assert_memory_equal(again->bytes, stream->bytes, stream->size);

    assert_int_equal(vm_run(&other->vm), 0);
    seL4_UserContext other_end = machine_registers(other);
    uint64_t other_time = hosted_vm_time(&other->vm);
    assert_int_equal(guestmem_read(&other->vm, GUEST_DATA, other_data, REGISTERS), 0);
    end_other(other, machine);

    assert_int_equal(vm_run(&machine->vm), 0);
    seL4_UserContext end = machine_registers(machine);
    assert_int_equal(guestmem_read(&machine->vm, GUEST_DATA, data, REGISTERS), 0);
    assert_memory_equal(&other_end, &end, sizeof(end));
    assert_memory_equal(other_data, data, REGISTERS);
    assert_int_equal(hosted_vm_time(&machine->vm), other_time);
    free(again);
    free(stream);
    return end;
}

static void all_registers_are_what_they_were(void **state)
{
    machine_t *machine = *state;
    uint64_t data[REGISTERS / sizeof(uint64_t)];
    unsigned zeros = 0;
    run_up_to(machine, stop_asleep, NULL, GUEST_REGISTERS, GUEST_DATA, 0);
    seL4_UserContext end = go_on_in_both(machine, data);
    assert_in_range(end.x1, 150 * sizeof(uint64_t), REGISTERS - 1);
    for (size_t i = 0; i < end.x1 / sizeof(uint64_t); i++) {
        zeros += data[i] == 0;
    }
    assert_in_range(zeros, 0, 3);    /* it is no comparison of nothing */
    assert_int_equal(data[7], 0xe4); /* DBGBCR0 */
}

/* In EL0 and in EL1, with an interrupt to come; and in its handler, where it was taken. */
static void interrupts_come_as_they_would_have(void **state)
{
    machine_t *machine = *state;
    uint64_t data[REGISTERS / sizeof(uint64_t)];
    for (unsigned at_el0 = 0; at_el0 < 2; at_el0++) {
        for (unsigned before = 3; before < 20; before += 16) { /* it comes after 16 ms, for 6 */
            unsigned polls = before;
            run_up_to(machine, stop_later, &polls, GUEST_TIMER, 1000000, 2 * 125000 + at_el0);
            seL4_UserContext end = go_on_in_both(machine, data);
            assert_int_equal(end.x11, TIMER);
            assert_int_equal(end.x14 & 0x1f, at_el0 ? 0 : 5);
            assert_in_range(end.x10 - end.x13, 0, 100);
        }
    }
}

/* From virtual time to the host's: the guest's clock has no gap there. */
static void the_clock_goes_on(void **state)
{
    enum { HOUR = 3600 };
    machine_t *machine = *state;
    void *other_state;
    char error[160];
    run_up_to(machine, stop_asleep, NULL, GUEST_TIMER, 1000000, 0);
    stream_t *stream = save(machine);
    machine_make(&other_state);
    machine_t *other = other_state;
    assert_int_equal(vm_create_default_irq_controller(&other->vm), 0);
    assert_int_equal(vm_register_irq(other->vcpu, TIMER, acknowledge, NULL), 0);
    assert_int_equal(vcpu_start(other->vcpu), 0);
    assert_int_equal(hosted_vm_read_saved(&other->vm, get, stream, error, sizeof(error)), 0);
    assert_int_equal(vm_run(&other->vm), 0);
    seL4_UserContext end = machine_registers(other);
    assert_in_range(end.x10 - end.x13, 0, 62500000ull * HOUR);
    assert_in_range(end.x13, 1000000, 62500000ull * HOUR);
    end_other(other, machine);
    free(stream);
}

/* @return the error, "" if it was the stream's; NULL: it was taken */
static const char *read_into_other(machine_t *machine, stream_t *stream)
{
    static char error[160];
    machine_t *other = make_other();
    stream->at = 0;
    int result = hosted_vm_read_saved(&other->vm, get, stream, error, sizeof(error));
    if (result == 0) { /* then it runs, somehow */
        hosted_vm_set_budget(&other->vm, 20000, 1000);
        vm_run(&other->vm);
    }
    end_other(other, machine);
    return result == 0 ? NULL : error;
}

static void assert_refused(machine_t *machine, stream_t *stream, const char *why)
{
    const char *error = read_into_other(machine, stream);
    assert_non_null(error);
    if (why[0] == '\0' ? error[0] != '\0' : strstr(error, why) == NULL) {
        fail_msg("\"%s\", not \"%s\"", error, why);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    enum { SPSR = STATE_AT + offsetof(seL4_UserContext, spsr) };
    enum { LOADED = STATE_AT + sizeof(hosted_vcpu_state_t) + 4 };
    static const struct {
        size_t at;
        uint64_t xor ;
        size_t width;
        const char *why;
    } changes[] = {
        {0, 1, 1, "another engine"},
        {32, 8, 8, "interrupt controller have"},
        {32, 1ull << 60, 8, "interrupt controller have"},
        {SPSR, 0x15, 8, "in that state"}, /* AArch32 */
        {SPSR, 0x0c, 8, "in that state"}, /* EL2 */
        {LOADED, 0xfffffc03, 4, "in that state"},
        {LOADED, 0x80000000, 4, "in that state"},
        {LOADED, ~27u, 4, "in that state"}, /* its list register is empty */
    };
    machine_t *machine = *state;
    run_up_to(machine, stop_asleep, NULL, GUEST_TIMER, 1000000, 0);
    stream_t *stream = save(machine);
    uint64_t state_size;
    memcpy(&state_size, stream->bytes + STATE_AT - 8, sizeof(state_size));
    const size_t memory = STATE_AT + state_size;
    assert_null(read_into_other(machine, stream));
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        uint64_t word = 0;
        uint8_t *at = stream->bytes + changes[i].at;
        memcpy(&word, at, changes[i].width);
        uint64_t wrong = word ^ changes[i].xor ;
        memcpy(at, &wrong, changes[i].width);
        assert_refused(machine, stream, changes[i].why);
        memcpy(at, &word, changes[i].width);
    }
    /* Pages where none can be: in no memory, not at a page's address, not in order. */
    const uint64_t nowhere[] = {0x1000, GUEST_BASE + 8, GUEST_BASE + MACHINE_RAM_BYTES, 0x8010000,
                                GUEST_BASE};
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        size_t at = memory + (nowhere[i] == GUEST_BASE ? 16 + 4096 : 0);
        uint64_t word;
        memcpy(&word, stream->bytes + at, sizeof(word));
        memcpy(stream->bytes + at, &nowhere[i], sizeof(word));
        assert_refused(machine, stream, "where this VM cannot take them");
        memcpy(stream->bytes + at, &word, sizeof(word));
    }
    stream->bytes[memory + 9] = 8; /* a part of a page: there could be millions of such */
    assert_refused(machine, stream, "has 2048 bytes");
    stream->bytes[memory + 9] = 0x10;
    /* Cut off anywhere. */
    const size_t size = stream->size;
    const size_t ends[] = {0,          8,           STATE_AT,     STATE_AT + 100, memory,
                           memory + 8, memory + 16, memory + 100, size - 1};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        stream->size = ends[i];
        assert_refused(machine, stream, "");
    }
    free(stream);
}

static void any_state_is_refused_or_runs(void **state)
{
    machine_t *machine = *state;
    unsigned taken = 0;
    uint64_t random = 1;
    run_up_to(machine, stop_asleep, NULL, GUEST_REGISTERS, GUEST_DATA, 0);
    stream_t *stream = save(machine);
    stream_t *changed = make_stream();
    uint64_t state_size;
    memcpy(&state_size, stream->bytes + STATE_AT - 8, sizeof(state_size));
    for (unsigned i = 0; i < 300; i++) {
        memcpy(changed, stream, sizeof(*stream));
        for (unsigned j = 0; j < 1 + i % 30; j++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t at = STATE_AT + (random >> 33) % state_size;
            changed->bytes[at] = (uint8_t)(random >> 20 & 1 ? 0xff : random >> 24);
        }
        taken += read_into_other(machine, changed) == NULL;
    }
    assert_in_range(taken, 100, 300); /* most fields may have any value */
    free(changed);
    free(stream);
}

static void a_vm_that_cannot_is_refused(void **state)
{
    machine_t *machine = *state;
    char error[160];
    stream_t *stream = make_stream();
    assert_int_equal(hosted_vm_write_saved(&machine->vm, put, stream), -1); /* it has not run */
    assert_int_equal(hosted_vm_read_saved(&machine->vm, get, stream, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "no VCPU"));
    run_up_to(machine, stop_asleep, NULL, GUEST_TIMER, 1000000, 0);
    stream->most = 5000; /* somewhere in its memory */
    assert_int_equal(hosted_vm_write_saved(&machine->vm, put, stream), -1);
    assert_int_equal(hosted_vm_read_saved(&machine->vm, get, stream, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "has run"));
    assert_int_equal(vm_run(&machine->vm), 0); /* nothing has happened to it */
    assert_int_equal(machine_registers(machine).x11, TIMER);
    free(stream);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make, machine_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_registers_are_what_they_were),
        TEST(interrupts_come_as_they_would_have),
        TEST(the_clock_goes_on),
        TEST(what_cannot_be_is_refused),
        TEST(any_state_is_refused_or_runs),
        TEST(a_vm_that_cannot_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
