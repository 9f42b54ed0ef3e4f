/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The subcommands. Each gets its own arguments, its name first. */

/** Exit statuses of the command. */
enum {
    STATUS_OK = 0,
    STATUS_FAILED = 1, /* the description, the machine, or the guest */
    STATUS_USAGE = 2
};

int cmd_run(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_import(int argc, char **argv);
