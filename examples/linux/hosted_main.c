/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The VMM of vmm.c on a hosted seL4 system. The guest's serial port is this terminal. */

#include <fcntl.h>
#include <guestmem/inspect.h>
#include <hosted/device.h>
#include <hosted/system.h>
#include <hosted/vm.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>
#include "vmm.h"

#define UART          0x9000000 /* of the board */
#define POLL_INTERVAL 10        /* milliseconds */

static const char usage[] =
    "usage: linux-vmm [-i] [-1] [-n NUMBER] [-r RAM:MIB] BOARD.dtb [KERNEL TREE.dtb [INITRD.gz]]\n"
    "Run a guest on the VMM of vmm.c; without one, make the VM and say what it took.\n"
    "  -r RAM:MIB  guest-physical address of the RAM and its size (0x100000000:512)\n"
    "  -1          it is the physical memory at the same address\n"
    "  -n NUMBER   of the VM (0): any other one has an emulated serial port, to print only\n"
    "  -i          what the VMM does not clean from its caches does not reach the guest\n";

static struct termios terminal; /* as it was, while it is ours */
static volatile sig_atomic_t has_terminal;

static void give_terminal_back(void)
{
    if (has_terminal) {
        has_terminal = false;
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    }
}

static void on_signal(int number)
{
    give_terminal_back();
    raise(number); /* ends the program, as the handler is for once */
}

/* The terminal passes on each key, and Linux echoes it; Ctrl-C still ends the program. */
static void take_terminal(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    if (tcgetattr(STDIN_FILENO, &terminal) != 0) {
        return;
    }
    struct termios settings = terminal;
    has_terminal = true;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        sigaction(ends[i], &action, NULL);
    }
    settings.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &settings);
}

/* Of a standard input that is closed, no other file takes the number. */
static void hold_input(void)
{
    if (fcntl(STDIN_FILENO, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0) {
        perror("linux-vmm: /dev/null");
    }
}

/* Send what was typed to the guest, once its driver listens. */
static int feed(vm_t *vm, void *cookie)
{
    hosted_system_t *sel4 = cookie;
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    char bytes[64];
    (void)vm;
    if (hosted_serial_listens(sel4, UART) && poll(&input, 1, 0) > 0) {
        ssize_t size = read(STDIN_FILENO, bytes, sizeof(bytes));
        hosted_serial_send(sel4, UART, bytes, size > 0 ? (size_t)size : 0);
    }
    return 0;
}

static void print_statistics(vm_t *vm)
{
    guestmem_statistics_t s = {0};
    guestmem_get_statistics(vm, &s);
    printf("%zu reservations: %zu frames of 2 MiB, %zu of 4 KiB, %zu page tables\n", s.reservations,
           s.frames[GUESTMEM_FRAME_2M], s.frames[GUESTMEM_FRAME_4K], s.page_tables);
}

/* Run the guest, again each time that it resets itself. */
static int run(vmm_t *vmm)
{
    while (vmm_start(vmm) == 0) {
        vmm_end_t end = vmm_run(vmm);
        if (end == VMM_RUNS) {
            break;
        }
        if (!vmm_has_reply(vmm)) {
            fputs("linux-vmm: the guest left no reply in the shared page\n", stderr);
            break;
        }
        if (end == VMM_POWERED_OFF) {
            return 0;
        }
        vmm_free(vmm);
        if (vmm_back(vmm) != 0) {
            break;
        }
    }
    return -1;
}

static int make_and_run(hosted_system_t *sel4, const vmm_guest_t *guest)
{
    static vmm_t vmm;
    vka_object_t events = {0};
    int error = vka_alloc_notification(hosted_vka(sel4), &events);
    const vmm_env_t env = {.vka = hosted_vka(sel4),
                           .simple = hosted_simple(sel4),
                           .vspace = hosted_vmm_vspace(sel4),
                           .io_ops = hosted_io_ops(sel4),
                           .endpoint = hosted_host_endpoint(sel4),
                           .events = events.cptr};
    if (error != 0 || seL4_TCB_BindNotification(seL4_CapInitThreadTCB, events.cptr) != 0 ||
        vmm_make(&vmm, &env, guest) != 0 || vmm_back(&vmm) != 0) {
        error = -1;
    } else {
        print_statistics(&vmm.vm);
        hosted_vm_set_poll(&vmm.vm, feed, sel4, POLL_INTERVAL);
        error = guest->kernel != NULL ? run(&vmm) : 0;
    }
    vm_destroy(&vmm.vm); /* everything goes back to where it came from */
    return error;
}

/* @return whether the arguments can be used */
static bool read_arguments(int argc, char **argv, vmm_guest_t *guest, bool *incoherent)
{
    int option;
    char more;
    size_t mebibytes = 512;
    while ((option = getopt(argc, argv, "i1n:r:")) != -1) {
        if (option == 'i') {
            *incoherent = true;
        } else if (option == '1') {
            guest->one_to_one = true;
        } else if (option == 'n') {
            guest->number = (unsigned)strtoul(optarg, NULL, 0);
        } else if (option != 'r' ||
                   sscanf(optarg, "%" SCNxPTR ":%zu%c", &guest->ram, &mebibytes, &more) != 2 ||
                   mebibytes > SIZE_MAX >> 20) {
            return false;
        }
    }
    guest->ram_size = mebibytes << 20;
    const char *const files[4] = {argv[optind], optind + 1 < argc ? argv[optind + 1] : NULL,
                                  optind + 2 < argc ? argv[optind + 2] : NULL,
                                  optind + 3 < argc ? argv[optind + 3] : NULL};
    guest->kernel = files[1];
    guest->tree = files[2];
    guest->initrd = files[3];
    return files[0] != NULL && argc - optind <= 4 && (files[1] == NULL) == (files[2] == NULL);
}

int main(int argc, char **argv)
{
    char why[256];
    bool incoherent = false;
    vmm_guest_t guest = {.ram = 0x100000000};
    if (!read_arguments(argc, argv, &guest, &incoherent)) {
        fputs(usage, stderr);
        return 2;
    }
    hold_input();
    hosted_system_t *sel4 = hosted_system_create_from_file(argv[optind], why, sizeof(why));
    if (sel4 == NULL) {
        fprintf(stderr, "linux-vmm: %s\n", why);
        return EXIT_FAILURE;
    }
    int error = incoherent ? hosted_system_incoherent(sel4) : 0;
    if (error == 0) {
        take_terminal();
        error = make_and_run(sel4, &guest);
        give_terminal_back();
    }
    hosted_system_destroy(sel4);
    return error == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
