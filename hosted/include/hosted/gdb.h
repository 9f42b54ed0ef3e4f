/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * GDB on the guest of a hosted VM, by GDB's remote protocol: its registers, its memory as it sees
 * it, breakpoints, watchpoints and steps. docs/debugging.md shows a session.
 *
 * The debugger is served inside vm_run(), on its thread. A debugger that vanishes, or sends what is
 * none of the protocol, loses the connection, and the guest goes on; another may connect.
 */

#include <stddef.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Wait for debuggers. The next vm_run() does not let the guest go on before the first has come.
 *
 * While the guest stands still for a debugger, its clock does as well, and so does the time that
 * hosted_vm_set_budget() bounds; the poll function is called, unless the VM has virtual time.
 * A guest that fails stops once more for the debugger before vm_run() returns.
 *
 * @param vm          the VM
 * @param where       "[HOST]:PORT", where no host is 127.0.0.1 and port 0 any free one; or, with a
 *                    '/' in it, the path of a Unix socket, which is removed with the VM
 * @param error       receives one line on failure
 * @param error_size  its room
 * @return 0; -1 if the VM is not initialised or has such a place already, the address cannot be
 *         used, or this build has no engine
 */
int hosted_gdb_listen(vm_t *vm, const char *where, char *error, size_t error_size);

/** Where debuggers are waited for, as GDB's "target remote" has it. @return owned by the VM; NULL
 * if nowhere */
const char *hosted_gdb_address(const vm_t *vm);

#ifdef __cplusplus
}
#endif
