# Copyright 2026, the guestmem authors
# SPDX-License-Identifier: BSD-2-Clause
"""Reservations of guestmem as GDB prints them. GDB loads it with the shared library, from where it is
installed; for a program that is linked statically, `source` it."""

import gdb
import gdb.printing


class Reservation:
    """A struct vm_memory_reservation, in a line."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        value = self.value
        name = value["name"]
        mapping = value["mapping"]
        backing = "emulated"
        if mapping:
            backing = str(mapping["source"]["backing"]).replace("GUESTMEM_", "").lower()
            backing += ", RAM" if mapping["ram"] else ""
        return '[0x%x, 0x%x] "%s", %s, %d faults' % (
            int(value["base"]), int(value["last"]), name.string() if name else "", backing,
            int(value["faults"]))


printers = gdb.printing.RegexpCollectionPrettyPrinter("guestmem")
printers.add_printer("reservation", "^vm_memory_reservation$", Reservation)
gdb.printing.register_pretty_printer(gdb.current_objfile(), printers, replace=True)
