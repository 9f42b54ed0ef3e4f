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
    FILE *stream = fopen(path, "rb");
    long size = stream != NULL && fseek(stream, 0, SEEK_END) == 0 ? ftell(stream) : -1;
    void *bytes = size > 0 ? malloc((size_t)size) : NULL;
    bool done = bytes != NULL && fseek(stream, 0, SEEK_SET) == 0 &&
                fread(bytes, 1, (size_t)size, stream) == (size_t)size;
    if (stream != NULL) {
        fclose(stream);
    }
    if (!done) {
        fprintf(stderr, "hosted-vmm: %s cannot be read\n", path);
        free(bytes);
        return -1;
    }
    *file = (vmm_file_t){bytes, (size_t)size};
    return 0;
}

static void print_statistics(vm_t *vm)
{
    guestmem_statistics_t s = {0};
    guestmem_get_statistics(vm, &s);
    printf("%zu reservations: %zu frames of 2 MiB, %zu of 4 KiB, %zu page tables\n", s.reservations,
           s.frames[GUESTMEM_FRAME_2M], s.frames[GUESTMEM_FRAME_4K], s.page_tables);
}

/* The files are the image, the tree, and Linux's initrd. */
static int run(hosted_system_t *sel4, char *const files[3])
{
    static vmm_t vmm;
    const vmm_env_t env = {.vka = hosted_vka(sel4),
                           .simple = hosted_simple(sel4),
                           .vspace = hosted_vmm_vspace(sel4),
                           .io_ops = hosted_io_ops(sel4),
                           .endpoint = hosted_host_endpoint(sel4)};
    vmm_guest_t guest = files[2] != NULL ? vmm_linux_guest : vmm_small_guest;
    vmm_file_t *const into[3] = {&guest.image, &guest.tree, &guest.initrd};
    int error = vmm_make(&vmm, &env, &guest);
    if (error == 0) {
        print_statistics(&vmm.vm);
    }
    for (int i = 0; error == 0 && i < 3 && files[i] != NULL; i++) {
        error = read_file(files[i], into[i]);
    }
    if (error == 0 && files[0] != NULL) {
        error = vmm_run(&vmm, &guest);
    }
    for (int i = 0; i < 3; i++) {
        free((void *)(uintptr_t)into[i]->bytes);
    }
    vm_destroy(&vmm.vm); /* everything goes back to where it came from */
    return error;
}

int main(int argc, char **argv)
{
    char why[256] = "usage: hosted-vmm BOARD.dtb [GUEST.bin GUEST.dtb [LINUX-INITRD | incoherent]]";
    bool usable = argc == 2 || argc == 4 || argc == 5;
    bool incoherent = argc == 5 && strcmp(argv[4], "incoherent") == 0;
    char *files[3] = {NULL, NULL, NULL};
    hosted_system_t *sel4 =
        usable ? hosted_system_create_from_file(argv[1], why, sizeof(why)) : NULL;
    if (sel4 == NULL) {
        fprintf(stderr, "hosted-vmm: %s\n", why);
        return EXIT_FAILURE;
    }
    for (int i = 2; i < argc && !(incoherent && i == 4); i++) {
        files[i - 2] = argv[i];
    }
    int error = incoherent ? hosted_system_incoherent(sel4) : 0;
    if (error == 0) {
        error = run(sel4, files);
    }
    hosted_system_destroy(sel4);
    return error == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
