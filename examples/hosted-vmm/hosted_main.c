/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The VMM of vmm.c on a hosted seL4 system. Without a guest it makes the VM and says what it took.
 */

#include <guestmem/inspect.h>
#include <hosted/system.h>
#include <hosted/vm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmm.h"

static int read_file(const char *path, vmm_file_t *file)
{
    static char room[2][4 << 20];
    static int next;
    FILE *stream = next < 2 ? fopen(path, "rb") : NULL;
    if (stream == NULL) {
        fprintf(stderr, "hosted-vmm: %s cannot be read\n", path);
        return -1;
    }
    *file = (vmm_file_t){room[next], fread(room[next], 1, sizeof(room[0]), stream)};
    next++;
    return fclose(stream);
}

static void print_statistics(vm_t *vm)
{
    guestmem_statistics_t s = {0};
    guestmem_get_statistics(vm, &s);
    printf("%zu reservations: %zu frames of 2 MiB, %zu of 4 KiB, %zu page tables\n", s.reservations,
           s.frames[GUESTMEM_FRAME_2M], s.frames[GUESTMEM_FRAME_4K], s.page_tables);
}

static int run(hosted_system_t *sel4, const char *image_path, const char *tree_path)
{
    static vmm_t vmm;
    const vmm_env_t env = {.vka = hosted_vka(sel4),
                           .simple = hosted_simple(sel4),
                           .vspace = hosted_vmm_vspace(sel4),
                           .io_ops = hosted_io_ops(sel4),
                           .endpoint = hosted_host_endpoint(sel4)};
    vmm_file_t image, tree;
    int error = vmm_make(&vmm, &env);
    if (error == 0) {
        print_statistics(&vmm.vm);
    }
    if (error == 0 && image_path != NULL) {
        error = read_file(image_path, &image) != 0 || read_file(tree_path, &tree) != 0
                    ? -1
                    : vmm_run(&vmm, &image, &tree);
    }
    vm_destroy(&vmm.vm); /* everything goes back to where it came from */
    return error;
}

int main(int argc, char **argv)
{
    char why[256] = "usage: hosted-vmm BOARD.dtb [GUEST.bin GUEST.dtb [incoherent]]";
    bool usable = argc == 2 || argc == 4 || (argc == 5 && strcmp(argv[4], "incoherent") == 0);
    hosted_system_t *sel4 =
        usable ? hosted_system_create_from_file(argv[1], why, sizeof(why)) : NULL;
    if (sel4 == NULL) {
        fprintf(stderr, "hosted-vmm: %s\n", why);
        return EXIT_FAILURE;
    }
    int error = argc == 5 ? hosted_system_incoherent(sel4) : 0;
    if (error == 0) {
        error = run(sel4, argc > 2 ? argv[2] : NULL, argc > 2 ? argv[3] : NULL);
    }
    hosted_system_destroy(sel4);
    return error == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
