/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What `guestmem run` promises on a terminal: keys reach the guest as they are typed, Ctrl-A x
 * leaves, Ctrl-A Ctrl-A is a Ctrl-A for the guest, and the terminal's modes are what they were,
 * however the command ends.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

/** The command on a terminal of its own, of which we hold both sides. */
typedef struct terminal {
    int keyboard; /* the master: what we write is typed, what we read is shown */
    int line;     /* the slave, kept open to look at its modes */
    pid_t child;
    struct termios modes; /* before the command began */
    char shown[65536];
    size_t shown_size;
} terminal_t;

static terminal_t terminal;

static void start(void)
{
    memset(&terminal, 0, sizeof(terminal));
    assert_int_equal(openpty(&terminal.keyboard, &terminal.line, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(terminal.line, &terminal.modes), 0);
    terminal.child = fork();
    assert_true(terminal.child >= 0);
    if (terminal.child == 0) {
        close(terminal.keyboard);
        login_tty(terminal.line);
        execl(GUESTMEM_COMMAND, "guestmem", "run", "--quiet", "--max-seconds", "120",
              GUESTMEM_BOARDS "/u-boot-vm.dts", (char *)NULL);
        _exit(127);
    }
}

/** Read what is shown until a text has come. What was looked for before is gone. */
static void expect(const char *text)
{
    struct pollfd fd = {.fd = terminal.keyboard, .events = POLLIN};
    char *found;

    while ((found = strstr(terminal.shown, text)) == NULL) {
        ssize_t got;
        if (poll(&fd, 1, 60000) != 1 || terminal.shown_size + 1 >= sizeof(terminal.shown)) {
            fail_msg("\"%s\" does not come after: %s", text, terminal.shown);
        }
        got = read(terminal.keyboard, terminal.shown + terminal.shown_size,
                   sizeof(terminal.shown) - 1 - terminal.shown_size);
        if (got <= 0) {
            fail_msg("the command ended before \"%s\": %s", text, terminal.shown);
        }
        for (ssize_t i = 0; i < got; i++) {
            char *byte = &terminal.shown[terminal.shown_size + (size_t)i];
            *byte = *byte != '\0' ? *byte : ' ';
        }
        terminal.shown_size += (size_t)got;
        terminal.shown[terminal.shown_size] = '\0';
    }
    found += strlen(text);
    terminal.shown_size -= (size_t)(found - terminal.shown);
    memmove(terminal.shown, found, terminal.shown_size + 1);
}

static void type(const char *keys, size_t count)
{
    assert_int_equal(write(terminal.keyboard, keys, count), count);
}

/** Wait for the command's end, and check that the terminal is as it was. @return wait's status */
static int finish(void)
{
    struct pollfd fd = {.fd = terminal.keyboard, .events = POLLIN};
    struct termios modes;
    char rest[4096];
    int status;

    while (waitpid(terminal.child, &status, WNOHANG) == 0) {
        if (poll(&fd, 1, 10) == 1 && read(terminal.keyboard, rest, sizeof(rest)) <= 0) {
            continue;
        }
    }
    assert_int_equal(tcgetattr(terminal.line, &modes), 0);
    assert_int_equal(modes.c_lflag, terminal.modes.c_lflag);
    assert_int_equal(modes.c_iflag, terminal.modes.c_iflag);
    assert_int_equal(modes.c_oflag, terminal.modes.c_oflag);
    close(terminal.keyboard);
    close(terminal.line);
    return status;
}

static void ctrl_a_x_leaves_with_status_0(void **state)
{
    struct termios modes;
    int status;

    (void)state;
    start();
    expect("=> ");
    assert_int_equal(tcgetattr(terminal.line, &modes), 0);
    assert_int_equal(modes.c_lflag & (ICANON | ECHO | ISIG), 0);
    type("echo o\"k\"\r", 10);
    expect("\nok");
    expect("=> ");
    type("\x01x", 2);
    status = finish();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void ctrl_c_and_ctrl_a_are_the_guests(void **state)
{
    int status;

    (void)state;
    start();
    expect("=> ");
    type("sleep 1000\r", 11);
    expect("1000");
    type("\x03", 1); /* ends the command */
    expect("=> ");
    /* U-Boot's Ctrl-A goes to the start of the line: what is typed then comes first. */
    type("z\x01\x01"
         "version; echo y\r",
         19);
    expect("U-Boot 20");
    expect("\nyz");
    expect("=> ");
    type("poweroff\r", 9);
    status = finish();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_signal_gives_the_terminal_back(void **state)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGABRT, SIGSEGV};

    (void)state;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        int status;
        start();
        expect("=> ");
        assert_int_equal(kill(terminal.child, signals[i]), 0);
        status = finish();
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signals[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ctrl_a_x_leaves_with_status_0),
        cmocka_unit_test(ctrl_c_and_ctrl_a_are_the_guests),
        cmocka_unit_test(a_signal_gives_the_terminal_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
