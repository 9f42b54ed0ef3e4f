# Copyright 2026, the guestmem authors
# SPDX-License-Identifier: BSD-2-Clause
"""GDB prints reservations in a line, with the printers of cmake/libguestmem-gdb.py.

Usage: test_gdb.py GDB PRINTERS PROGRAM, with examples/change/ring of a build that can be debugged."""

import subprocess
import sys

GDB, PRINTERS, PROGRAM = sys.argv[1:]
COMMANDS = (f"source {PRINTERS}", "break vm_destroy", "run",
            "print *guestmem_find_reservation(vm, 0x50000000)",
            "print *guestmem_find_reservation(vm, 0x40000000)",
            "print *guestmem_find_reservation(vm, 0x09000000)", "kill")
arguments = [argument for command in COMMANDS for argument in ("-ex", command)]
done = subprocess.run((GDB, "-nx", "-q", "-batch", *arguments, PROGRAM), capture_output=True, text=True,
                      timeout=120, stdin=subprocess.DEVNULL)
for line in ('$1 = [0x50000000, 0x50000fff] "", free_frames, 0 faults\n',
             '$2 = [0x40000000, 0x401fffff] "", maybe_device, RAM, 0 faults\n',
             '$3 = [0x9000000, 0x9000fff] "", emulated, 0 faults\n'):
    assert line in done.stdout, (line, done)
