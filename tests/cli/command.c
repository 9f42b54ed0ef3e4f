/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the running of the command under test. Its output goes to files, so nothing can block.
 */

#include "command.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 16 };

/** An open temporary file that is gone when it is closed. */
static FILE *scratch(const char *text)
{
    FILE *file = tmpfile();

    if (file == NULL) {
        abort();
    }
    fputs(text, file);
    rewind(file);
    return file;
}

static char *read_all(FILE *file)
{
    long size;
    char *text;

    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    text = calloc(1, (size_t)size + 1);
    if (text == NULL || fread(text, 1, (size_t)size, file) != (size_t)size) {
        abort();
    }
    fclose(file);
    return text;
}

static void become_command(const char *const *arguments, FILE *input, FILE *output, FILE *messages)
{
    char *all[MAX_ARGUMENTS + 2] = {"guestmem"};

    for (size_t i = 0; i < MAX_ARGUMENTS && arguments[i] != NULL; i++) {
        all[i + 1] = (char *)arguments[i];
    }
    dup2(fileno(input), STDIN_FILENO);
    dup2(fileno(output), STDOUT_FILENO);
    dup2(fileno(messages), STDERR_FILENO);
    execv(GUESTMEM_COMMAND, all);
    _exit(127);
}

command_result_t command_run(const char *const *arguments, const char *input)
{
    FILE *in = scratch(input != NULL ? input : "");
    FILE *out = scratch("");
    FILE *err = scratch("");
    command_result_t result = {.status = -1};
    int status;
    pid_t child = fork();

    if (child == 0) {
        become_command(arguments, in, out, err);
    }
    if (child > 0 && waitpid(child, &status, 0) == child) {
        result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    fclose(in);
    result.output = read_all(out);
    result.messages = read_all(err);
    return result;
}

void command_release(command_result_t *result)
{
    free(result->output);
    free(result->messages);
}

char *command_make_folder(void)
{
    char *folder = strdup("/tmp/guestmem-test-XXXXXX");

    if (folder == NULL || mkdtemp(folder) == NULL) {
        abort();
    }
    return folder;
}

char *command_write_file(const char *folder, const char *name, const void *bytes, size_t size)
{
    char *path;
    FILE *file;

    if (asprintf(&path, "%s/%s", folder, name) < 0 || (file = fopen(path, "wb")) == NULL ||
        fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        abort();
    }
    return path;
}

void command_remove_folder(char *folder)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        unlinkat(dirfd(directory), entry->d_name, 0);
    }
    if (directory != NULL) {
        closedir(directory);
    }
    rmdir(folder);
    free(folder);
}
