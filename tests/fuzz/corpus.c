/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Runs a fuzz target on each file of the folder that is given, where there is no libFuzzer. */

#include "machine.h"
#include <dirent.h>
#include <stdio.h>

enum { MOST_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void run_file(const char *folder, const char *name)
{
    static uint8_t bytes[MOST_BYTES];
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    must(file != NULL, "cannot read %s", path);
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, size);
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    must(argc == 2, "give the folder of the corpus");
    DIR *folder = opendir(argv[1]);
    must(folder != NULL, "cannot read %s", argv[1]);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            run_file(argv[1], entry->d_name);
            files++;
        }
    }
    closedir(folder);
    must(files > 0, "%s is empty", argv[1]);
    printf("%u files\n", files);
    return 0;
}
