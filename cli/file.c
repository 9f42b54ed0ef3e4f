/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the finding and reading of files. Sizes are bounded, and only regular files and pipes are
 * read, so that a description cannot make the command hang on a terminal or a device.
 */

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef GUESTMEM_INSTALLED_DATA
#define GUESTMEM_INSTALLED_DATA "/usr/share/guestmem"
#endif

static void *read_open_file(int fd, const char *path, size_t most, size_t *size, cli_error_t *error)
{
    size_t room = 65536;
    size_t length = 0;
    char *bytes = malloc(room);

    while (bytes != NULL) {
        ssize_t got;
        if (length == room) {
            char *larger = room >= most ? NULL : realloc(bytes, room * 2);
            if (larger == NULL) {
                break;
            }
            bytes = larger;
            room *= 2;
        }
        got = read(fd, bytes + length, room - length);
        if (got == 0) {
            *size = length;
            return bytes;
        }
        if (got > 0) {
            length += (size_t)got;
        } else if (errno != EINTR) {
            cli_error_set(error, "%s: %s", path, strerror(errno));
            free(bytes);
            return NULL;
        }
    }
    free(bytes);
    cli_error_set(error, "%s: too large to read", path);
    return NULL;
}

void *file_read_up_to(const char *path, size_t most, size_t *size, cli_error_t *error)
{
    struct stat status;
    void *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        cli_error_set(error, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &status) != 0) {
        cli_error_set(error, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode)) {
        cli_error_set(error, "%s: %s", path,
                      S_ISDIR(status.st_mode) ? strerror(EISDIR) : "not a regular file");
    } else {
        bytes = read_open_file(fd, path, most, size, error);
    }
    close(fd);
    return bytes;
}

void *file_read(const char *path, size_t *size, cli_error_t *error)
{
    return file_read_up_to(path, FILE_MAX_SIZE, size, error);
}

char *file_relative_to(const char *from, const char *name)
{
    bool has_folder = strcmp(from, "/dev/stdin") != 0 && strncmp(from, "/dev/fd/", 8) != 0 &&
                      strncmp(from, "/proc/", 6) != 0;
    const char *slash = has_folder ? strrchr(from, '/') : NULL;
    size_t folder = slash != NULL ? (size_t)(slash - from) + 1 : 0; /* with its '/' */
    size_t length = strlen(name) + 1;
    char *path;

    if (name[0] == '/') {
        return strdup(name);
    }
    path = malloc(folder + length);
    if (path != NULL) {
        memcpy(path, from, folder);
        memcpy(path + folder, name, length);
    }
    return path;
}

/** FOLDER/boards/NAME.dtb or .dts if there is one, to be freed. */
static char *board_in(const char *folder, const char *name)
{
    static const char *const endings[] = {"dtb", "dts"};

    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t length = strlen(folder) + strlen(name) + 16;
        char *path = malloc(length);
        if (path == NULL) {
            return NULL;
        }
        snprintf(path, length, "%s/boards/%s.%s", folder, name, endings[i]);
        if (access(path, R_OK) == 0) {
            return path;
        }
        free(path);
    }
    return NULL;
}

/** The data folder of an installation that was moved as a whole. */
static void folder_beside_program(char *folder, size_t size)
{
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    char *slash;

    folder[0] = '\0';
    if (length <= 0) {
        return;
    }
    program[length] = '\0';
    slash = strrchr(program, '/');
    if (slash != NULL) {
        *slash = '\0';
        snprintf(folder, size, "%s/../share/guestmem", program);
    }
}

char *file_find_board(const char *from, const char *name, cli_error_t *error)
{
    char beside[PATH_MAX + 32];
    const char *given = getenv("GUESTMEM_DATA");
    const char *folders[4] = {0};
    size_t count = 0;

    if (strchr(name, '/') != NULL || strchr(name, '.') != NULL) {
        return file_relative_to(from, name);
    }
    if (given != NULL) {
        folders[count++] = given;
    }
    folder_beside_program(beside, sizeof(beside));
    folders[count++] = beside;
    folders[count++] = GUESTMEM_INSTALLED_DATA;
#ifdef GUESTMEM_SOURCE_DATA
    folders[count++] = GUESTMEM_SOURCE_DATA;
#endif
    for (size_t i = 0; i < count; i++) {
        char *path = board_in(folders[i], name);
        if (path != NULL) {
            return path;
        }
    }
    cli_error_set(
        error,
        "no board \"%s\": there is no boards/%s.dts or .dtb in $GUESTMEM_DATA or %s; name "
        "a file with --board or guestmem,board",
        name, name, GUESTMEM_INSTALLED_DATA);
    return NULL;
}
