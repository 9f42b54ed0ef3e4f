/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * GDB's remote protocol (GDB's manual, appendix "Remote Serial Protocol"): what a debugger asks
 * while the guest stands still, and what it is told when the guest stops. The one VCPU that runs is
 * the one thread. Nothing is done to the guest but by calls that any VMM has: registers by
 * invocations, memory by the library; the engine only stops it.
 */

#include "gdb.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <hosted/gdb.h>
#include <hosted/processor.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/guest_vm_util.h>
#include "gdb_link.h"
#include "stage1.h"

enum {
    PAGE_BYTES = 4096,
    PAUSE = 20 /* milliseconds between looks while the guest stands still */
};

/* Signals, as GDB numbers them. */
enum { INTERRUPTED = 2, ILLEGAL = 4, TRAPPED = 5, ABORTED = 6, SEGMENT = 11, TIME_IS_UP = 14 };

/* What the debugger wants the guest to stop at, as it says it. */
typedef struct point {
    char type; /* '0' and '1': before an instruction; '2' stores, '3' loads, '4' both */
    uint64_t address;
    uint64_t size;
} point_t;

struct gdb {
    gdb_link_t link;
    bool awaited;   /* the guest waits for the first client */
    bool halted;    /* the guest stands still for the client */
    bool killed;    /* the client wants the run to stop */
    bool stepping;  /* over the instruction at `step_from` */
    bool physical;  /* addresses of memory are the guest's physical ones */
    int signal;     /* of the last stop */
    char cause[32]; /* of the last stop, if it was a watchpoint */
    uint64_t step_from;
    point_t points[ENGINE_MAX_STOPS];
    size_t num_points;
    char packet[GDB_PACKET_SIZE];
    size_t size;
    char reply[GDB_PACKET_SIZE];
    size_t used;
};

/* Replies. */

static void add(gdb_t *gdb, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(gdb_t *gdb, const char *format, ...)
{
    size_t room = sizeof(gdb->reply) - gdb->used;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(gdb->reply + gdb->used, room, format, arguments);
    va_end(arguments);
    gdb->used += (size_t)length < room ? (size_t)length : room - 1;
}

static void add_hex(gdb_t *gdb, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        add(gdb, "%02x", ((const uint8_t *)bytes)[i]);
    }
}

static void send_reply(gdb_t *gdb)
{
    gdb_link_send(&gdb->link, gdb->reply);
    gdb->used = 0;
    gdb->reply[0] = '\0';
}

/* Text for the debugger's user. Only while the debugger waits for something. */
static void say(gdb_t *gdb, const char *text)
{
    add(gdb, "O");
    add_hex(gdb, text, strlen(text));
    add(gdb, "0a");
    send_reply(gdb);
}

/* Reading a request. */

/* What follows in the packet, to be decoded in place. */
static char *rest_of(gdb_t *gdb, const char *at)
{
    return gdb->packet + (at - gdb->packet);
}

static bool begins(const char **at, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0) {
        return false;
    }
    *at += length;
    return true;
}

/* A number in hexadecimal, with what must follow it; '\0' is the end. */
static bool number(const char **at, char after, uint64_t *value)
{
    char *end;
    if (!isxdigit((unsigned char)**at)) {
        return false;
    }
    *value = strtoull(*at, &end, 16);
    bool good = *end == after;
    *at = after != '\0' && good ? end + 1 : end;
    return good;
}

/* Bytes in hexadecimal, in place. @return how many; SIZE_MAX: they are none */
static size_t unhex(char *text)
{
    size_t size = 0;
    for (const char *at = text; *at != '\0'; at += 2, size++) {
        char digits[3] = {at[0], at[1], '\0'};
        if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1])) {
            return SIZE_MAX;
        }
        text[size] = (char)strtoul(digits, NULL, 16);
    }
    return size;
}

/* Registers: the core that GDB knows, then the guest's system registers. */

enum { SP = 31, PC = 32, CPSR = 33, NUM_CORE = 34, CPSR_BYTES = 4 };

static const struct {
    const char *name;
    seL4_VCPUReg reg;
} system_registers[] = {
    {"sctlr_el1", seL4_VCPUReg_SCTLR},   {"tcr_el1", seL4_VCPUReg_TCR},
    {"ttbr0_el1", seL4_VCPUReg_TTBR0},   {"ttbr1_el1", seL4_VCPUReg_TTBR1},
    {"vbar_el1", seL4_VCPUReg_VBAR},     {"esr_el1", seL4_VCPUReg_ESR},
    {"far_el1", seL4_VCPUReg_FAR},       {"elr_el1", seL4_VCPUReg_ELR_EL1},
    {"spsr_el1", seL4_VCPUReg_SPSR_EL1},
};
enum { NUM_SYSTEM = sizeof(system_registers) / sizeof(system_registers[0]) };

static size_t register_bytes(uint64_t number)
{
    return number == CPSR ? CPSR_BYTES : sizeof(uint64_t);
}

/* Where the thread's context has a core register; NULL for SP_EL1, which the VCPU has. */
static seL4_Word *core_register(seL4_UserContext *regs, uint64_t number)
{
    enum { MODE = 0xf, EL1H = 5 };

    switch (number) {
    case SP:
        return (regs->spsr & MODE) == EL1H ? NULL : &regs->sp;
    case PC:
        return &regs->pc;
    case CPSR:
        return &regs->spsr;
    default:
        return processor_register(regs, (unsigned)number);
    }
}

static bool read_register(vm_vcpu_t *vcpu, uint64_t number, uint64_t *value)
{
    seL4_UserContext regs;
    uintptr_t word;

    if (number >= NUM_CORE + NUM_SYSTEM || vm_get_thread_context(vcpu, &regs) != 0) {
        return false;
    }
    const seL4_Word *core = number < NUM_CORE ? core_register(&regs, number) : NULL;
    if (core != NULL) {
        *value = *core;
        return true;
    }
    seL4_VCPUReg reg = number == SP ? seL4_VCPUReg_SP_EL1 : system_registers[number - NUM_CORE].reg;
    if (vm_get_arm_vcpu_reg(vcpu, reg, &word) != 0) {
        return false;
    }
    *value = word;
    return true;
}

/* Of the processor state, conditions and masks can be changed. */
static bool write_register(vm_vcpu_t *vcpu, uint64_t number, uint64_t value)
{
    const seL4_Word changeable = 0xf00003c0;
    seL4_UserContext regs;

    if (number >= NUM_CORE + NUM_SYSTEM || vm_get_thread_context(vcpu, &regs) != 0) {
        return false;
    }
    seL4_Word *core = number < NUM_CORE ? core_register(&regs, number) : NULL;
    if (core != NULL) {
        *core = number == CPSR ? (*core & ~changeable) | (value & changeable) : value;
        return vm_set_thread_context(vcpu, regs) == 0;
    }
    seL4_VCPUReg reg = number == SP ? seL4_VCPUReg_SP_EL1 : system_registers[number - NUM_CORE].reg;
    return vm_set_arm_vcpu_reg(vcpu, reg, value) == 0;
}

static void describe_target(gdb_t *gdb, uint64_t offset, uint64_t size)
{
    char text[4096];
    size_t used = 0;
    const size_t room = sizeof(text);

    used += (size_t)snprintf(text + used, room - used,
                             "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
                             "<target><architecture>aarch64</architecture>"
                             "<feature name=\"org.gnu.gdb.aarch64.core\">");
    for (int i = 0; i < SP; i++) {
        used += (size_t)snprintf(text + used, room - used, "<reg name=\"x%d\" bitsize=\"64\"/>", i);
    }
    used += (size_t)snprintf(text + used, room - used,
                             "<reg name=\"sp\" bitsize=\"64\" type=\"data_ptr\"/>"
                             "<reg name=\"pc\" bitsize=\"64\" type=\"code_ptr\"/>"
                             "<reg name=\"cpsr\" bitsize=\"32\"/></feature>"
                             "<feature name=\"org.guestmem.system\">");
    for (int i = 0; i < NUM_SYSTEM; i++) {
        used += (size_t)snprintf(text + used, room - used, "<reg name=\"%s\" bitsize=\"64\"/>",
                                 system_registers[i].name);
    }
    used += (size_t)snprintf(text + used, room - used, "</feature></target>");
    size = size < GDB_PACKET_SIZE / 2 ? size : GDB_PACKET_SIZE / 2;
    if (offset >= used) {
        add(gdb, "l");
    } else {
        bool last = used - offset <= size;
        add(gdb, "%c%.*s", last ? 'l' : 'm', (int)(last ? used - offset : size), text + offset);
    }
}

/* Memory. */

typedef struct transfer {
    char *bytes;
    bool write;
} transfer_t;

static int touch(vm_t *vm, uintptr_t address, void *memory, size_t size, size_t offset,
                 void *cookie)
{
    transfer_t *transfer = cookie;

    (void)vm, (void)address;
    if (transfer->write) {
        memcpy(memory, transfer->bytes + offset, size);
    } else {
        memcpy(transfer->bytes + offset, memory, size);
    }
    return 0;
}

/* Read or write guest-physical memory, up to the end of a page. @return bytes; 0: there is none */
static size_t transfer_page(vm_t *vm, uint64_t gpa, size_t size, transfer_t transfer)
{
    size_t left = PAGE_BYTES - gpa % PAGE_BYTES;
    guestmem_reservation_info_t info;
    vm_memory_reservation_t *reservation = guestmem_find_reservation(vm, gpa);

    /* Asked before, because a failure would be logged. */
    if (reservation == NULL || guestmem_reservation_info(vm, reservation, &info) != 0 ||
        !info.mapped) {
        return 0;
    }
    size = size < left ? size : left;
    if (size - 1 > info.last - gpa) {
        size = info.last - gpa + 1;
    }
    /* The call for RAM that reads does not count as a write. */
    int error = !info.ram        ? guestmem_access(vm, gpa, size, touch, &transfer)
                : transfer.write ? guestmem_write(vm, gpa, transfer.bytes, size)
                                 : guestmem_read(vm, gpa, transfer.bytes, size);
    return error == 0 ? size : 0;
}

static bool read_table(void *cookie, uint64_t gpa, uint64_t *entry)
{
    transfer_t transfer = {.bytes = (char *)entry};
    return transfer_page(cookie, gpa, sizeof(*entry), transfer) == sizeof(*entry);
}

/* The guest-physical address that the debugger means. */
static bool translate(vm_vcpu_t *vcpu, uint64_t address, uint64_t *gpa)
{
    uintptr_t sctlr, tcr, ttbr0, ttbr1;

    *gpa = address;
    if (runtime_of(vcpu->vm)->gdb->physical) {
        return true;
    }
    if (vm_get_arm_vcpu_reg(vcpu, seL4_VCPUReg_SCTLR, &sctlr) != 0 ||
        vm_get_arm_vcpu_reg(vcpu, seL4_VCPUReg_TCR, &tcr) != 0 ||
        vm_get_arm_vcpu_reg(vcpu, seL4_VCPUReg_TTBR0, &ttbr0) != 0 ||
        vm_get_arm_vcpu_reg(vcpu, seL4_VCPUReg_TTBR1, &ttbr1) != 0) {
        return false;
    }
    const stage1_regime_t regime = {.sctlr = sctlr, .tcr = tcr, .ttbr0 = ttbr0, .ttbr1 = ttbr1};
    return stage1_translate(&regime, address, read_table, vcpu->vm, gpa) == STAGE1_OK;
}

/* @return bytes read or written from the first on */
static size_t transfer(vm_vcpu_t *vcpu, uint64_t address, size_t size, char *bytes, bool write)
{
    engine_t *engine = runtime_of(vcpu->vm)->processor->engine;
    size_t done = 0;

    while (done < size) {
        const transfer_t part = {.bytes = bytes + done, .write = write};
        uint64_t gpa;
        size_t count = translate(vcpu, address + done, &gpa)
                           ? transfer_page(vcpu->vm, gpa, size - done, part)
                           : 0;
        if (count == 0) {
            break;
        }
        if (write) {
            engine->class->written(engine, gpa);
        }
        done += count;
    }
    return done;
}

/* Requests. Each leaves its reply in `reply`: empty for what is not known, or an error. */

static void error(gdb_t *gdb)
{
    gdb->used = 0;
    add(gdb, "E01");
}

static void check(gdb_t *gdb, bool good)
{
    if (good) {
        add(gdb, "OK");
    } else {
        error(gdb);
    }
}

static bool add_register(vm_vcpu_t *vcpu, gdb_t *gdb, uint64_t which)
{
    uint64_t value;
    if (!read_register(vcpu, which, &value)) {
        error(gdb);
        return false;
    }
    add_hex(gdb, &value, register_bytes(which));
    return true;
}

/* `bytes` holds the register's, and perhaps more. */
static bool take_register(vm_vcpu_t *vcpu, uint64_t which, const char *bytes, size_t size)
{
    uint64_t value = 0;
    if (size < register_bytes(which)) {
        return false;
    }
    memcpy(&value, bytes, register_bytes(which));
    return write_register(vcpu, which, value);
}

static bool write_core(vm_vcpu_t *vcpu, char *text)
{
    size_t size = unhex(text);
    bool good = size == CPSR * sizeof(uint64_t) + CPSR_BYTES;
    for (unsigned i = 0; good && i < NUM_CORE; i++) {
        good = take_register(vcpu, i, text + i * sizeof(uint64_t), register_bytes(i));
    }
    return good;
}

static void read_memory(vm_vcpu_t *vcpu, gdb_t *gdb, const char *at)
{
    uint64_t address, size;
    char bytes[GDB_PACKET_SIZE / 2 - 1];

    if (!number(&at, ',', &address) || !number(&at, '\0', &size)) {
        error(gdb);
        return;
    }
    size = size < sizeof(bytes) ? size : sizeof(bytes);
    size_t done = transfer(vcpu, address, size, bytes, false);
    if (done == 0 && size > 0) {
        error(gdb);
    }
    add_hex(gdb, bytes, done);
}

static bool write_memory(vm_vcpu_t *vcpu, gdb_t *gdb, const char *at, bool binary)
{
    uint64_t address, size;

    if (!number(&at, ',', &address) || !number(&at, ':', &size)) {
        return false;
    }
    char *bytes = rest_of(gdb, at);
    size_t given = binary ? gdb->size - (size_t)(at - gdb->packet) : unhex(bytes);
    return given == size && transfer(vcpu, address, size, bytes, true) == size;
}

static bool same_point(const point_t *a, const point_t *b)
{
    return a->type == b->type && a->address == b->address && a->size == b->size;
}

/* Z or z, after that letter. */
static bool change_point(vm_vcpu_t *vcpu, gdb_t *gdb, const char *at, bool insert)
{
    point_t point = {.type = *at};
    uint64_t gpa;
    size_t i = 0;

    if (at[0] < '0' || at[0] > '4' || at[1] != ',') {
        return false;
    }
    at += 2;
    if (!number(&at, ',', &point.address) || !number(&at, '\0', &point.size) || point.size == 0 ||
        point.size > PAGE_BYTES || point.address + point.size - 1 < point.address) {
        return false;
    }
    while (i < gdb->num_points && !same_point(&gdb->points[i], &point)) {
        i++;
    }
    if (i < gdb->num_points && !insert) {
        gdb->points[i] = gdb->points[--gdb->num_points];
    } else if (i == gdb->num_points && insert) {
        if (i == ENGINE_MAX_STOPS || (point.type >= '2' && !translate(vcpu, point.address, &gpa))) {
            return false;
        }
        gdb->points[gdb->num_points++] = point;
    }
    return true;
}

static void stopped(gdb_t *gdb)
{
    add(gdb, "T%02x%sthread:1;", gdb->signal, gdb->cause);
}

static void say_line(const char *line, void *cookie)
{
    say(cookie, line);
}

/* What the user types after "monitor". */
static void monitor(vm_vcpu_t *vcpu, gdb_t *gdb, char *text)
{
    size_t size = unhex(text);

    if (size == SIZE_MAX) {
        error(gdb);
        return;
    }
    text[size] = '\0';
    if (strcmp(text, "map") == 0) {
        guestmem_describe(vcpu->vm, say_line, gdb);
    } else if (strcmp(text, "physical") == 0 || strcmp(text, "virtual") == 0) {
        gdb->physical = text[0] == 'p';
    } else {
        say(gdb, "monitor map: the guest's memory\n"
                 "monitor physical: addresses are guest-physical\n"
                 "monitor virtual: addresses are the guest's own, as at first");
    }
    add(gdb, "OK");
}

static void query(vm_vcpu_t *vcpu, gdb_t *gdb, const char *at)
{
    uint64_t offset, size;

    if (begins(&at, "qSupported")) {
        add(gdb, "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+",
            GDB_PACKET_SIZE / 2);
    } else if (begins(&at, "qXfer:features:read:target.xml:")) {
        if (number(&at, ',', &offset) && number(&at, '\0', &size)) {
            describe_target(gdb, offset, size);
        } else {
            error(gdb);
        }
    } else if (strcmp(at, "qfThreadInfo") == 0) {
        add(gdb, "m1");
    } else if (strcmp(at, "qsThreadInfo") == 0) {
        add(gdb, "l");
    } else if (strcmp(at, "qC") == 0) {
        add(gdb, "QC1");
    } else if (begins(&at, "qAttached")) {
        add(gdb, "1");
    } else if (begins(&at, "qRcmd,")) {
        monitor(vcpu, gdb, rest_of(gdb, at));
    }
}

/* The guest goes on. */
static void resume(vm_vcpu_t *vcpu, gdb_t *gdb, bool step)
{
    gdb->halted = false;
    gdb->stepping = step;
    gdb->step_from = hosted_tcb_registers(runtime_of(vcpu->vm)->system, vm_get_vcpu_tcb(vcpu))->pc;
}

/* The client goes, or has gone: nothing of it stays. */
static void forget_client(vm_vcpu_t *vcpu, gdb_t *gdb)
{
    gdb_link_drop(&gdb->link);
    gdb->num_points = 0;
    gdb->physical = false;
    gdb->signal = 0;
    gdb->cause[0] = '\0';
    resume(vcpu, gdb, false);
}

static void detach(vm_vcpu_t *vcpu, gdb_t *gdb, bool kill)
{
    add(gdb, "OK");
    send_reply(gdb);
    forget_client(vcpu, gdb);
    gdb->killed = kill;
}

/* vCont: what the first action says is for the one thread. */
static void continue_or_step(vm_vcpu_t *vcpu, gdb_t *gdb, const char *at)
{
    if (*at == '?') {
        add(gdb, "vCont;c;C;s;S");
    } else if (at[0] == ';' && at[1] != '\0' && strchr("cCsS", at[1]) != NULL) {
        resume(vcpu, gdb, tolower((unsigned char)at[1]) == 's');
    } else {
        error(gdb);
    }
}

static void serve(vm_vcpu_t *vcpu, gdb_t *gdb)
{
    const char *at = gdb->packet + 1;
    uint64_t which;

    switch (gdb->packet[0]) {
    case '?':
        stopped(gdb);
        break;
    case 'g':
        for (which = 0; which < NUM_CORE && add_register(vcpu, gdb, which); which++) {
        }
        break;
    case 'G':
        check(gdb, write_core(vcpu, gdb->packet + 1));
        break;
    case 'p':
        if (number(&at, '\0', &which)) {
            add_register(vcpu, gdb, which);
        } else {
            error(gdb);
        }
        break;
    case 'P':
        if (number(&at, '=', &which)) {
            char *bytes = rest_of(gdb, at);
            size_t size = unhex(bytes);
            check(gdb, size != SIZE_MAX && take_register(vcpu, which, bytes, size));
        } else {
            error(gdb);
        }
        break;
    case 'm':
        read_memory(vcpu, gdb, at);
        break;
    case 'M':
    case 'X':
        check(gdb, write_memory(vcpu, gdb, at, gdb->packet[0] == 'X'));
        break;
    case 'Z':
    case 'z':
        check(gdb, change_point(vcpu, gdb, at, gdb->packet[0] == 'Z'));
        break;
    case 'c':
    case 's':
        if (*at == '\0') {
            resume(vcpu, gdb, gdb->packet[0] == 's');
        } else {
            error(gdb);
        }
        break;
    case 'v':
        if (begins(&at, "Cont")) {
            continue_or_step(vcpu, gdb, at);
        } else if (begins(&at, "Kill")) {
            detach(vcpu, gdb, true);
        }
        break;
    case 'D':
    case 'k':
        detach(vcpu, gdb, gdb->packet[0] == 'k');
        break;
    case 'H':
    case 'T':
        add(gdb, "OK");
        break;
    case 'Q':
        if (strcmp(at, "StartNoAckMode") == 0) {
            add(gdb, "OK");
            send_reply(gdb);
            gdb->link.acknowledges = false;
            return;
        }
        break;
    case 'q':
        query(vcpu, gdb, gdb->packet);
        break;
    default:
        break;
    }
    if (gdb->halted) {
        send_reply(gdb);
    }
}

/* Serve the client while the guest stands still. */
static void stand_still(vm_vcpu_t *vcpu, gdb_t *gdb)
{
    vm_t *vm = vcpu->vm;
    hosted_vm_t *runtime = runtime_of(vm);

    runtime_stop_clock(vcpu);
    while ((gdb->halted || gdb->awaited) && !gdb->killed && !atomic_load(&runtime->stop)) {
        gdb_event_t event = GDB_NOTHING;
        if (gdb_link_accept(&gdb->link)) {
            gdb->awaited = false;
            gdb->halted = true;
        } else if (!gdb->awaited) {
            event = gdb_link_receive(&gdb->link, gdb->packet, &gdb->size);
        }
        if (event == GDB_REQUEST) {
            serve(vcpu, gdb);
        } else if (event == GDB_GONE) {
            forget_client(vcpu, gdb);
        } else if (event == GDB_NOTHING) {
            if (runtime->poll != NULL && !runtime->virtual_time &&
                runtime->poll(vm, runtime->poll_cookie) != 0) {
                atomic_store(&runtime->stop, true);
            }
            gdb_link_wait(&gdb->link, PAUSE);
        }
    }
    runtime_start_clock(vcpu);
}

/* Prepare the engine for what the client wants. */
static void arm(vm_vcpu_t *vcpu, gdb_t *gdb)
{
    static const engine_stop_kind_t kinds[] = {ENGINE_STOP_EXECUTE, ENGINE_STOP_EXECUTE,
                                               ENGINE_STOP_WRITE, ENGINE_STOP_READ,
                                               ENGINE_STOP_ACCESS};
    hosted_vm_t *runtime = runtime_of(vcpu->vm);
    engine_t *engine = runtime->processor->engine;
    engine_stop_t stops[ENGINE_MAX_STOPS];

    for (size_t i = 0; i < gdb->num_points; i++) {
        stops[i] = (engine_stop_t){.kind = kinds[gdb->points[i].type - '0'],
                                   .address = gdb->points[i].address,
                                   .size = gdb->points[i].size};
    }
    engine->class->set_step(engine, gdb->stepping);
    engine->class->set_stops(engine, stops, gdb->num_points);
    hosted_vcpu_hold_interrupts(runtime->system, vcpu->vcpu.cptr, gdb->stepping);
}

/* Stop the guest, tell the client, and serve it. */
static void halt(vm_vcpu_t *vcpu, gdb_t *gdb, int signal, const char *cause)
{
    gdb->signal = signal;
    snprintf(gdb->cause, sizeof(gdb->cause), "%s", cause);
    gdb->stepping = false;
    gdb->halted = true;
    stopped(gdb);
    send_reply(gdb);
    stand_still(vcpu, gdb);
    arm(vcpu, gdb);
}

/* The guest stands still for a new client, which asks why by itself. */
static void stop_first(vm_vcpu_t *vcpu, gdb_t *gdb)
{
    gdb->halted = gdb->link.client >= 0;
    gdb->signal = gdb->signal != 0 ? gdb->signal : TRAPPED;
    stand_still(vcpu, gdb);
    arm(vcpu, gdb);
}

/* The engine has stopped at one of the client's points, or after its step. */
static void halt_at(vm_vcpu_t *vcpu, gdb_t *gdb, const engine_stop_t *stop)
{
    static const char *const names[] = {"", "watch", "rwatch", "awatch"};
    char cause[32] = "";

    if (stop->kind != ENGINE_STOP_EXECUTE) {
        snprintf(cause, sizeof(cause), "%s:%llx;", names[stop->kind],
                 (unsigned long long)stop->address);
    }
    halt(vcpu, gdb, TRAPPED, cause);
}

/* What has come in while the guest ran. */
static void look(vm_vcpu_t *vcpu, gdb_t *gdb)
{
    if (gdb->link.client < 0) {
        if (gdb_link_accept(&gdb->link)) {
            stop_first(vcpu, gdb);
        }
        return;
    }
    switch (gdb_link_receive(&gdb->link, gdb->packet, &gdb->size)) {
    case GDB_INTERRUPT:
        halt(vcpu, gdb, INTERRUPTED, "");
        break;
    case GDB_NOTHING:
        break;
    default: /* it has nothing to ask while the guest runs */
        forget_client(vcpu, gdb);
        arm(vcpu, gdb);
        break;
    }
}

bool gdb_attend(vm_vcpu_t *vcpu, bool ticked)
{
    hosted_vm_t *runtime = runtime_of(vcpu->vm);
    gdb_t *gdb = runtime->gdb;

    if (gdb == NULL) {
        return true;
    }
    engine_exit_t *exit = &runtime->processor->exit;
    bool debug = exit->reason == ENGINE_DEBUG;
    uint64_t pc = hosted_tcb_registers(runtime->system, vm_get_vcpu_tcb(vcpu))->pc;
    if (debug) {
        exit->reason = ENGINE_KICKED; /* it is not to be seen again */
    }
    if (gdb->awaited || gdb->halted) {
        stop_first(vcpu, gdb);
    } else if (gdb->link.client >= 0 && (debug || (gdb->stepping && pc != gdb->step_from))) {
        halt_at(vcpu, gdb, debug ? &exit->stop : &(engine_stop_t){0});
    } else if (ticked) {
        look(vcpu, gdb);
    }
    bool killed = gdb->killed;
    gdb->killed = false;
    return !killed;
}

void gdb_run_ended(vm_vcpu_t *vcpu)
{
    static const int signals[] = {[HOSTED_VM_FAULT] = SEGMENT,
                                  [HOSTED_VM_UNDEFINED] = ILLEGAL,
                                  [HOSTED_VM_EXCEPTION] = SEGMENT,
                                  [HOSTED_VM_ERROR] = ABORTED};
    hosted_vm_t *runtime = runtime_of(vcpu->vm);
    gdb_t *gdb = runtime->gdb;
    hosted_vm_reason_t reason = runtime->report.reason;

    if (gdb == NULL || gdb->link.client < 0) {
        return;
    }
    switch (reason) {
    case HOSTED_VM_POWEROFF:
    case HOSTED_VM_RESET:
        say(gdb, runtime->report.text);
        add(gdb, "W00");
        break;
    case HOSTED_VM_FAULT:
    case HOSTED_VM_UNDEFINED:
    case HOSTED_VM_EXCEPTION:
    case HOSTED_VM_ERROR:
        say(gdb, runtime->report.text);
        halt(vcpu, gdb, signals[reason], "");
        gdb->killed = false;
        add(gdb, "X%02x", signals[reason]);
        break;
    default:
        return; /* it may run on */
    }
    send_reply(gdb);
    forget_client(vcpu, gdb);
}

void gdb_destroy(hosted_vm_t *runtime)
{
    gdb_t *gdb = runtime->gdb;

    if (gdb == NULL) {
        return;
    }
    if (gdb->link.client >= 0 && !gdb->halted) { /* the client waits */
        add(gdb, "X%02x", runtime->report.reason == HOSTED_VM_BUDGET ? TIME_IS_UP : ABORTED);
        send_reply(gdb);
    }
    gdb_link_close(&gdb->link);
    free(gdb);
    runtime->gdb = NULL;
}

int hosted_gdb_listen(vm_t *vm, const char *where, char *error_text, size_t error_size)
{
    hosted_vm_t *runtime = runtime_of(vm);
    const char *why = runtime == NULL          ? "the VM is not initialised"
                      : runtime->gdb != NULL   ? "the VM has a place for debuggers"
                      : runtime->class == NULL ? "this build has no engine (see GUESTMEM_UNICORN)"
                                               : NULL;
    gdb_t *gdb = why == NULL ? calloc(1, sizeof(*gdb)) : NULL;

    if (gdb == NULL) {
        snprintf(error_text, error_size, "%s: %s", where, why != NULL ? why : "no memory");
        return -1;
    }
    if (gdb_link_listen(&gdb->link, where, error_text, error_size) != 0) {
        free(gdb);
        return -1;
    }
    gdb->awaited = true;
    runtime->gdb = gdb;
    return 0;
}

const char *hosted_gdb_address(const vm_t *vm)
{
    const hosted_vm_t *runtime = runtime_of(vm);
    return runtime != NULL && runtime->gdb != NULL ? runtime->gdb->link.address : NULL;
}
