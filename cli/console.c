/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the terminal: raw mode, which every way out leaves, the Ctrl-A escapes, and the pacing of
 * piped input.
 *
 * A signal handler gets no cookie, and a terminal that stays raw after a crash is a nuisance; so
 * what the handler needs to restore is the one static object of the command.
 */

#include "console.h"

#include "feed.h"

#include <errno.h>
#include <hosted/vm.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/** Ctrl-A, as a terminal sends it. */
#define ESCAPE '\x01'

/** How long a guest may wait after the end of piped input before the run stops. */
static const double end_after = 2.0;

/** How often the terminal is looked at while a guest in virtual time sleeps. */
enum { POLL_MILLISECONDS = 5 };

/** Seconds of one wait for piped input. */
enum { LONGEST_WAIT = 3600 };

struct console {
    bool interactive;
    double end;   /* of the run, as the host's clock has it; infinite: none */
    bool escaped; /* Ctrl-A was typed, its second key not yet */
    bool at_line_start;
    const char *why_stopped;
    uint64_t sleeps; /* how often the guest was found asleep until input comes */
    feed_t feed;
    /* See console_hold(). */
    bool held;
    char *input; /* all of it */
    size_t input_size, input_sent;
    bool sends;    /* it is to be sent */
    bool no_input; /* there is none */
    bool guest_waits;
};

static const int fatal_signals[] = {SIGINT,  SIGTERM, SIGHUP, SIGQUIT, SIGPIPE,
                                    SIGABRT, SIGSEGV, SIGBUS, SIGILL,  SIGFPE};

static struct {
    volatile sig_atomic_t raw;
    struct termios modes; /* of standard input before it was made raw */
} terminal;

static void restore_terminal(void)
{
    if (terminal.raw) {
        terminal.raw = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.modes);
    }
}

/** Restore, then die of the signal as if it had not been caught (SA_RESETHAND). */
static void on_signal(int number)
{
    restore_terminal();
    raise(number);
}

static void set_signals(void (*handler)(int))
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    action.sa_flags = (int)SA_RESETHAND;
    for (size_t i = 0; i < sizeof(fatal_signals) / sizeof(fatal_signals[0]); i++) {
        sigaction(fatal_signals[i], &action, NULL);
    }
}

static bool make_raw(void)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &terminal.modes) != 0) {
        return false;
    }
    raw = terminal.modes;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST | ONLCR; /* our own lines still end with "\n" */
    set_signals(on_signal);
    terminal.raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) {
        terminal.raw = 0;
        return false;
    }
    return true;
}

static double host_time(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

console_t *console_open(double max_seconds)
{
    console_t *console = calloc(1, sizeof(*console));

    if (console != NULL) {
        console->interactive = make_raw();
        console->end = max_seconds > 0 ? host_time() + max_seconds : INFINITY;
        console->at_line_start = true;
    }
    return console;
}

void console_close(console_t *console)
{
    if (console == NULL) {
        return;
    }
    if (console->interactive) {
        restore_terminal();
        set_signals(SIG_DFL);
    }
    free(console->input);
    free(console);
}

bool console_is_interactive(const console_t *console)
{
    return console->interactive;
}

const char *console_why_stopped(const console_t *console)
{
    return console->why_stopped;
}

bool console_write(console_t *console, const char *bytes, size_t size)
{
    if (size > 0) {
        console->at_line_start = bytes[size - 1] == '\n';
    }
    while (size > 0) {
        ssize_t done = write(STDOUT_FILENO, bytes, size);
        if (done < 0 && errno != EINTR && errno != EAGAIN) {
            return false; /* nobody reads any more; the guest need not know */
        }
        if (done > 0) {
            bytes += done;
            size -= (size_t)done;
        }
    }
    return true;
}

/** Whether read() would not block. @param milliseconds  to wait for that; -1: for ever */
static bool input_is_ready(int milliseconds)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&fd, 1, milliseconds) > 0;
}

/** Read what is there. @return bytes, 0 when the input has ended, -1 when there is nothing now */
static ssize_t read_input(char *bytes, size_t room)
{
    ssize_t got;

    if (room == 0 || !input_is_ready(0)) {
        return -1;
    }
    got = read(STDIN_FILENO, bytes, room);
    if (got < 0) {
        return errno == EINTR || errno == EAGAIN ? -1 : 0;
    }
    return got;
}

static void stop(console_t *console, machine_t *machine, const char *why)
{
    console->why_stopped = why;
    machine_stop(machine);
}

static void poll_terminal(console_t *console, machine_t *machine)
{
    const device_t *port = machine_console(machine);
    device_serial_t serial = {.room = 256};
    char typed[256];
    ssize_t count;

    /* A person's time is the host's, and virtual time flies while the guest sleeps. */
    if (machine_options(machine)->virtual_time && hosted_vm_sleeps(machine_vm(machine))) {
        input_is_ready(POLL_MILLISECONDS);
    }
    if (port != NULL) {
        port->class->serial_state(port, &serial);
    }
    count = read_input(typed, serial.room < sizeof(typed) ? serial.room : sizeof(typed));
    if (count == 0) {
        stop(console, machine, "the terminal is gone");
    }
    for (ssize_t i = 0; i < count; i++) {
        if (console->escaped && (typed[i] == 'x' || typed[i] == 'X')) {
            stop(console, machine, "Ctrl-A x");
            return;
        }
        if (!console->escaped && typed[i] == ESCAPE) {
            console->escaped = true;
            continue;
        }
        /* Ctrl-A Ctrl-A is one Ctrl-A for the guest; before any other key it means nothing. */
        console->escaped = false;
        machine_send(machine, &typed[i], 1);
    }
}

/** Wait for input as long as the run may last. @return false if it is over */
static bool await_input(const console_t *console)
{
    double left = console->end - host_time();

    input_is_ready(left < LONGEST_WAIT ? (int)(left > 0 ? ceil(left * 1000) : 0)
                                       : LONGEST_WAIT * 1000);
    return left > 0;
}

int console_hold(console_t *console)
{
    size_t room = 0;
    ssize_t count = console->no_input ? 0 : 1;

    if (console->interactive) {
        fprintf(stderr, "guestmem: --restarts: the input must be piped, as it is sent each time\n");
        return -1;
    }
    console->held = true;
    while (count > 0) {
        if (console->input_size == room) {
            room = room * 2 + FEED_SIZE;
            char *larger = realloc(console->input, room);
            if (larger == NULL) {
                fprintf(stderr, "guestmem: out of memory for the input\n");
                return -1;
            }
            console->input = larger;
        }
        count =
            read(STDIN_FILENO, console->input + console->input_size, room - console->input_size);
        console->input_size += count > 0 ? (size_t)count : 0;
        count = count < 0 && errno == EINTR ? 1 : count;
    }
    return 0;
}

void console_leave_terminal(console_t *console)
{
    if (console->interactive) {
        restore_terminal();
        set_signals(SIG_DFL);
        console->interactive = false;
        console->no_input = true;
    }
}

void console_send(console_t *console)
{
    console->sends = true;
}

void console_stand_at_prompt(console_t *console)
{
    console->at_line_start = false;
    console->guest_waits = console->held && !console->sends;
}

void console_rewind(console_t *console)
{
    console->feed = (feed_t){0};
    console->input_sent = 0;
    console->sends = true;
    console->at_line_start = false; /* a prompt stands */
    console->why_stopped = NULL;
    console->guest_waits = false;
}

bool console_guest_waits(const console_t *console)
{
    return console->guest_waits;
}

static void take_input(console_t *console)
{
    feed_t *feed = &console->feed;
    size_t room = FEED_SIZE - feed->count;

    if (console->held) {
        size_t left = console->sends ? console->input_size - console->input_sent : 0;
        size_t count = left < room ? left : room;
        memcpy(feed->bytes + feed->count, console->input + console->input_sent, count);
        console->input_sent += count;
        feed->count += count;
        feed->ended = count == left;
    } else {
        ssize_t count = read_input(feed->bytes + feed->count, room);
        feed->count += count > 0 ? (size_t)count : 0;
        feed->ended = count == 0;
    }
}

static void poll_pipe(console_t *console, machine_t *machine)
{
    const device_t *port = machine_console(machine);
    device_serial_t serial;
    feed_t *feed = &console->feed;
    feed_state_t state = {.now = (double)hosted_vm_time(machine_vm(machine)) * 1e-9,
                          .at_line_start = console->at_line_start};
    size_t line = 0;

    if (port == NULL) {
        return;
    }
    if (!feed->ended) {
        take_input(console);
    }
    port->class->serial_state(port, &serial);
    /* A guest that sleeps until input interrupts it looks for input all the time. */
    if (serial.interrupts && hosted_vm_sleeps(machine_vm(machine))) {
        console->sleeps++;
    }
    state.empty_polls = serial.empty_polls + console->sleeps;
    state.bytes_sent = serial.bytes_sent;
    state.input_pending = serial.waiting > 0;
    feed_observe(feed, &state);
    if (feed_guest_waits(feed, &state)) {
        /* In virtual time it must not matter when the line comes. */
        while (machine_options(machine)->virtual_time && !feed->ended && feed_line(feed) == 0 &&
               await_input(console)) {
            take_input(console);
        }
        line = feed_line(feed);
        console->guest_waits = console->held && line == 0 && feed->ended;
    }
    if (line > 0) {
        feed_consume(feed, machine_send(machine, feed->bytes, line));
    } else if (console->guest_waits) {
        stop(console, machine, "the input has been sent, and the guest waits for more");
    } else if (feed_is_over(feed, &state, end_after)) {
        stop(console, machine, "the input has ended and the guest waits for more");
    }
}

void console_poll(console_t *console, machine_t *machine)
{
    if (console->interactive) {
        poll_terminal(console, machine);
    } else {
        poll_pipe(console, machine);
    }
}
