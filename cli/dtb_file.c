/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the running of dtc: its output becomes the tree, its first message becomes the error line.
 * No shell is involved, and both of its pipes are drained at the same time, so it can never block.
 */

#include "dtb_file.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/** Exit status of the child when dtc could not be started. */
#define NO_PROGRAM 127

/** A pipe's content so far, always followed by a NUL that is not counted. */
typedef struct stream {
    int fd; /* -1 once it is closed */
    char *bytes;
    size_t length;
    size_t room;
} stream_t;

static int stream_fill(stream_t *stream)
{
    ssize_t got;

    if (stream->room - stream->length < 4096) {
        size_t room = stream->room == 0 ? 65536 : stream->room * 2;
        char *larger = realloc(stream->bytes, room);
        if (larger == NULL) {
            return -1;
        }
        stream->bytes = larger;
        stream->room = room;
    }
    got = read(stream->fd, stream->bytes + stream->length, stream->room - stream->length - 1);
    if (got < 0) {
        return errno == EINTR || errno == EAGAIN ? 0 : -1;
    }
    stream->length += (size_t)got;
    stream->bytes[stream->length] = '\0';
    if (got == 0) {
        close(stream->fd);
        stream->fd = -1;
    }
    return 0;
}

static int drain(stream_t *output, stream_t *messages)
{
    while (output->fd >= 0 || messages->fd >= 0) {
        struct pollfd fds[2] = {{.fd = output->fd, .events = POLLIN},
                                {.fd = messages->fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            return -1;
        }
        if ((fds[0].revents != 0 && stream_fill(output) != 0) ||
            (fds[1].revents != 0 && stream_fill(messages) != 0)) {
            return -1;
        }
    }
    return 0;
}

/** In the child: become dtc. */
static void become_dtc(const char *path, int output, int messages)
{
    char *input = strdup(path);
    char *folder = file_relative_to(path, "");
    char *arguments[] = {"dtc",  "-q", "-I", "dts", "-O",  "dtb", "-i",
                         folder, "-o", "-",  "--",  input, NULL};

    if (dup2(output, STDOUT_FILENO) >= 0 && dup2(messages, STDERR_FILENO) >= 0) {
        if (folder != NULL && folder[0] == '\0') {
            arguments[7] = ".";
        }
        execvp("dtc", arguments);
    }
    _exit(NO_PROGRAM);
}

/** The message that says what is wrong: dtc's first line with "rror", else its first line. */
static void report_dtc(const char *path, char *messages, cli_error_t *error)
{
    char *line = messages != NULL ? strcasestr(messages, "error") : NULL;
    char *text;
    size_t length = strlen(path);

    if (line == NULL) {
        line = messages;
    }
    if (line == NULL || line[0] == '\0') {
        cli_error_set(error, "%s: dtc failed without a message", path);
        return;
    }
    while (line > messages && line[-1] != '\n') {
        line--;
    }
    line[strcspn(line, "\n")] = '\0';
    /* dtc says "Error: FILE:LINE.COLUMN-... reason"; the file is the first thing we say ourselves.
     */
    text = strncmp(line, "Error: ", 7) == 0 ? line + 7 : line;
    if (strncmp(text, path, length) == 0 && text[length] == ':') {
        cli_error_set(error, "%s (dtc)", text);
    } else {
        cli_error_set(error, "%s: dtc: %s", path, text);
    }
}

/** Judge how dtc exited; takes `output` and `messages` over. */
static void *finish(const char *path, pid_t child, int drained, stream_t *output,
                    stream_t *messages, size_t *size, cli_error_t *error)
{
    void *tree = NULL;
    int status;

    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (drained != 0) {
        cli_error_set(error, "%s: reading from dtc failed: %s", path, strerror(errno));
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == NO_PROGRAM) {
        cli_error_set(error,
                      "%s: dtc is not installed (Debian has it in device-tree-compiler); it "
                      "compiles device tree sources",
                      path);
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || output->length == 0) {
        report_dtc(path, messages->bytes, error);
    } else {
        tree = output->bytes;
        *size = output->length;
    }
    if (tree == NULL) {
        free(output->bytes);
    }
    free(messages->bytes);
    if (output->fd >= 0) {
        close(output->fd);
    }
    if (messages->fd >= 0) {
        close(messages->fd);
    }
    return tree;
}

static void *compile(const char *path, size_t *size, cli_error_t *error)
{
    stream_t output = {0};
    stream_t messages = {0};
    int pipes[2][2];
    int drained;
    pid_t child;

    if (pipe2(pipes[0], O_CLOEXEC) != 0) {
        cli_error_set(error, "%s: no pipe for dtc: %s", path, strerror(errno));
        return NULL;
    }
    if (pipe2(pipes[1], O_CLOEXEC) != 0) {
        cli_error_set(error, "%s: no pipe for dtc: %s", path, strerror(errno));
        close(pipes[0][0]);
        close(pipes[0][1]);
        return NULL;
    }
    child = fork();
    if (child == 0) {
        become_dtc(path, pipes[0][1], pipes[1][1]);
    }
    close(pipes[0][1]);
    close(pipes[1][1]);
    output.fd = pipes[0][0];
    messages.fd = pipes[1][0];
    if (child < 0) {
        cli_error_set(error, "%s: dtc cannot be started: %s", path, strerror(errno));
        close(output.fd);
        close(messages.fd);
        return NULL;
    }
    drained = drain(&output, &messages);
    return finish(path, child, drained, &output, &messages, size, error);
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text);
    size_t tail = strlen(ending);

    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

void *dtb_file_load(const char *path, size_t *size, cli_error_t *error)
{
    void *bytes = file_read(path, size, error);

    if (bytes == NULL) {
        return NULL;
    }
    if (ends_with(path, ".dtb") || (*size >= sizeof(fdt32_t) && fdt32_ld(bytes) == FDT_MAGIC)) {
        return bytes;
    }
    free(bytes);
    return compile(path, size, error);
}
