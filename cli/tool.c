/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the running of the tools that device tree sources need. Their input is a file in memory, so
 * it cannot block; both of their pipes are drained at the same time, so they cannot either. No
 * shell is involved.
 */

#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/** Exit status of the child when the tool could not be started. */
#define NO_PROGRAM 127

/* A source can ask for any amount of work: files without end, macros and files that include
 * themselves many times. What is good for a tree of 4 MiB is far below these. */
#define MOST_MEMORY ((size_t)1 << 30) /* of the tool */
#define MOST_OUTPUT ((size_t)1 << 26)

/** A pipe's content so far, always followed by a NUL that is not counted. */
typedef struct stream {
    int fd; /* -1 once it is closed */
    char *bytes;
    size_t length;
    size_t room;
} stream_t;

static void close_stream(stream_t *stream)
{
    if (stream->fd >= 0) {
        close(stream->fd);
    }
    stream->fd = -1;
}

static int stream_fill(stream_t *stream)
{
    ssize_t got;

    if (stream->length > MOST_OUTPUT) {
        errno = EFBIG;
        return -1;
    }
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
        close_stream(stream);
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

/** In the child: become the tool. */
static void become(const tool_t *tool, int input, int output, int messages)
{
    const struct rlimit memory = {MOST_MEMORY, MOST_MEMORY};

    setrlimit(RLIMIT_AS, &memory); /* fails where there is less */
    if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(messages, STDERR_FILENO) >= 0 && chdir(tool->folder) == 0) {
        execvp(tool->arguments[0], (char *const *)tool->arguments);
    }
    _exit(NO_PROGRAM);
}

/** The message that says what is wrong: the tool's first line with "rror", else its first line. */
static void report(const tool_t *tool, char *messages, cli_error_t *error)
{
    char *line = messages != NULL ? strcasestr(messages, "error") : NULL;
    size_t length = strlen(tool->path);

    if (line == NULL && messages != NULL) {
        line = messages + strspn(messages, "\n");
    }
    if (line == NULL || line[0] == '\0') {
        cli_error_set(error, "%s: %s failed without a message", tool->path, tool->arguments[0]);
        return;
    }
    while (line > messages && line[-1] != '\n') {
        line--;
    }
    line[strcspn(line, "\n")] = '\0';
    /* dtc says "Error: FILE:LINE.COLUMN-... reason"; the file is the first thing we say ourselves.
     */
    line += strncmp(line, "Error: ", 7) == 0 ? 7 : 0;
    if (strncmp(line, tool->path, length) == 0 && line[length] == ':') {
        cli_error_set(error, "%s (%s)", line, tool->arguments[0]);
    } else {
        cli_error_set(error, "%s: %s: %s", tool->path, tool->arguments[0], line);
    }
}

/** Judge how the tool exited; takes `output` and `messages` over. */
static void *finish(const tool_t *tool, pid_t child, int drained, stream_t *output,
                    stream_t *messages, size_t *size, cli_error_t *error)
{
    void *result = NULL;
    int reason = errno;
    int status;

    close_stream(output); /* it may still want to write */
    close_stream(messages);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (drained != 0 && messages->length == 0) {
        cli_error_set(error, "%s: reading from %s failed: %s", tool->path, tool->arguments[0],
                      strerror(reason));
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == NO_PROGRAM) {
        cli_error_set(error, "%s: %s is not installed (Debian has it in %s); %s", tool->path,
                      tool->arguments[0], tool->package, tool->purpose);
    } else if (drained != 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0 ||
               output->length == 0) {
        report(tool, messages->bytes, error);
    } else {
        result = output->bytes;
        *size = output->length;
    }
    if (result == NULL) {
        free(output->bytes);
    }
    free(messages->bytes);
    return result;
}

/** A file in memory with those bytes, at its start; -1 without room for it. */
static int memory_file(const char *bytes, size_t size)
{
    int fd = memfd_create("guestmem-source", MFD_CLOEXEC);

    while (fd >= 0 && size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno != EINTR) {
            close(fd);
            return -1;
        }
        bytes += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    if (fd >= 0) {
        lseek(fd, 0, SEEK_SET);
    }
    return fd;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

void *tool_run(const tool_t *tool, const void *input, size_t input_size, size_t *size,
               cli_error_t *error)
{
    int fds[5] = {-1, -1, -1, -1, -1}; /* the input, and the two pipes */
    stream_t output = {0};
    stream_t messages = {0};
    pid_t child = -1;
    int drained;

    fds[0] = memory_file(input, input_size);
    if (fds[0] >= 0 && pipe2(&fds[1], O_CLOEXEC) == 0 && pipe2(&fds[3], O_CLOEXEC) == 0) {
        child = fork();
    }
    if (child == 0) {
        become(tool, fds[0], fds[2], fds[4]);
    }
    if (child < 0) {
        cli_error_set(error, "%s: %s cannot be started: %s", tool->path, tool->arguments[0],
                      strerror(errno));
        close_all(fds, 5);
        return NULL;
    }
    output.fd = fds[1];
    messages.fd = fds[3];
    close_all((int[]){fds[0], fds[2], fds[4]}, 3);
    drained = drain(&output, &messages);
    return finish(tool, child, drained, &output, &messages, size, error);
}
