/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the file of a saved guest as a stream of bytes: one gzip stream, whose checksum tells
 * whether anything of it was damaged. It is not compressed, as to undo that would take most of the
 * time of a restore; where its size matters more, gzip makes it smaller, and that is read as well.
 */

#include "saved_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BUFFER = 1 << 18, MOST = 1 << 30 };

struct saved_file {
    gzFile stream;
    char *path;         /* as it was given */
    char *target;       /* what takes its place, links followed; NULL: `file` is it already */
    char *beside;       /* name until then */
    int file;           /* to be written to the disk; -1: none */
    const char *reason; /* NULL: nothing has failed */
};

static saved_file_t *fail(saved_file_t *file, const char *path, int reason, cli_error_t *error)
{
    cli_error_set(error, "%s: %s", path, strerror(reason));
    saved_file_close(file);
    return NULL;
}

/** Whether something else than a file has that name: a pipe, a device, a folder. */
static bool is_special(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

/** Whether a pipe or device could be written, without opening it. @return 0; -1 with errno */
static int check_special(const char *path)
{
    struct stat status;

    if (stat(path, &status) == 0 && (S_ISDIR(status.st_mode) || S_ISSOCK(status.st_mode))) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : ENXIO;
        return -1;
    }
    return access(path, W_OK);
}

/** Find what is to be replaced: links are followed, but not to nothing. @return 0; -1 with errno */
static int find_target(saved_file_t *file)
{
    struct stat status;

    file->target = realpath(file->path, NULL);
    if (file->target != NULL) {
        return access(file->target, W_OK); /* its folder's rights are not what it says */
    }
    if (file->path[0] == '\0' || lstat(file->path, &status) == 0) {
        return -1;
    }
    file->target = strdup(file->path);
    return file->target != NULL ? 0 : -1;
}

/** Begin the file. @return its descriptor; -1 with errno */
static int begin(saved_file_t *file)
{
    if (is_special(file->path)) {
        return open(file->path, O_WRONLY | O_CLOEXEC);
    }
    if (find_target(file) != 0) {
        return -1;
    }
    if (asprintf(&file->beside, "%s.XXXXXX", file->target) < 0) {
        file->beside = NULL;
        errno = ENOMEM;
        return -1;
    }
    int made = mkostemp(file->beside, O_CLOEXEC);
    if (made < 0) {
        free(file->beside);
        file->beside = NULL;
    }
    return made;
}

static saved_file_t *make(const char *path)
{
    saved_file_t *file = calloc(1, sizeof(*file));

    if (file != NULL) {
        file->file = -1;
        file->path = strdup(path);
    }
    return file;
}

int saved_file_check(const char *path, cli_error_t *error)
{
    saved_file_t *file;

    if (is_special(path)) {
        return check_special(path) == 0 ? 0 : cli_error_set(error, "%s: %s", path, strerror(errno));
    }
    file = saved_file_create(path, error);
    saved_file_close(file);
    return file != NULL ? 0 : -1;
}

saved_file_t *saved_file_create(const char *path, cli_error_t *error)
{
    saved_file_t *file = make(path);
    int copy;

    if (file == NULL || file->path == NULL) {
        return fail(file, path, ENOMEM, error);
    }
    file->file = begin(file);
    copy = file->file >= 0 ? fcntl(file->file, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) {
        return fail(file, path, errno, error);
    }
    file->stream = gzdopen(copy, "wb0"); /* see above */
    if (file->stream == NULL) {
        close(copy);
        return fail(file, path, ENOMEM, error);
    }
    gzbuffer(file->stream, BUFFER);
    return file;
}

saved_file_t *saved_file_open(const char *path, cli_error_t *error)
{
    saved_file_t *file = make(path);
    int opened;

    if (file == NULL || file->path == NULL) {
        return fail(file, path, ENOMEM, error);
    }
    opened = open(path, O_RDONLY | O_CLOEXEC);
    file->stream = opened >= 0 ? gzdopen(opened, "rb") : NULL;
    if (file->stream == NULL) {
        int reason = opened >= 0 ? ENOMEM : errno;
        if (opened >= 0) {
            close(opened);
        }
        return fail(file, path, reason, error);
    }
    gzbuffer(file->stream, BUFFER);
    return file;
}

static int give_up(saved_file_t *file)
{
    int reason = errno;
    int status;

    gzerror(file->stream, &status);
    file->reason = status == Z_ERRNO       ? strerror(reason)
                   : status == Z_MEM_ERROR ? "out of memory"
                   : status == Z_DATA_ERROR
                       ? "it is damaged"
                       : "it ends before its end: it was cut off, or is no saved guest";
    return -1;
}

int saved_file_write(void *cookie, const void *bytes, size_t size)
{
    saved_file_t *file = cookie;

    return size <= MOST && gzwrite(file->stream, bytes, (unsigned)size) == (int)size
               ? 0
               : give_up(file);
}

int saved_file_read(void *cookie, void *bytes, size_t size)
{
    saved_file_t *file = cookie;

    if (size > MOST || gzread(file->stream, bytes, (unsigned)size) != (int)size) {
        return give_up(file);
    }
    if (gzdirect(file->stream)) {
        file->reason = "it is no saved guest";
        return -1;
    }
    return 0;
}

int saved_file_end(saved_file_t *file)
{
    char byte;
    int status;

    if (gzread(file->stream, &byte, 1) > 0) {
        file->reason = "it goes on after its end";
        return -1;
    }
    gzerror(file->stream, &status); /* a checksum that is cut off is no failure of the read */
    return status == Z_OK ? 0 : give_up(file);
}

const char *saved_file_reason(const saved_file_t *file)
{
    return file->reason != NULL ? file->reason : "";
}

int saved_file_commit(saved_file_t *file, cli_error_t *error)
{
    int status = gzclose(file->stream);
    int reason = status == Z_OK ? 0 : status == Z_ERRNO ? errno : EIO;

    file->stream = NULL;
    if (reason == 0 && file->target != NULL &&
        (fsync(file->file) != 0 || rename(file->beside, file->target) != 0)) {
        reason = errno;
    }
    if (reason == 0) {
        free(file->beside);
        file->beside = NULL;
    } else {
        cli_error_set(error, "%s: %s", file->path, strerror(reason));
    }
    saved_file_close(file);
    return reason == 0 ? 0 : -1;
}

void saved_file_close(saved_file_t *file)
{
    if (file == NULL) {
        return;
    }
    if (file->stream != NULL) {
        gzclose(file->stream);
    }
    if (file->file >= 0) {
        close(file->file);
    }
    if (file->beside != NULL) {
        unlink(file->beside);
    }
    free(file->beside);
    free(file->target);
    free(file->path);
    free(file);
}
