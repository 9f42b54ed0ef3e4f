/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The seL4 API: types, boot information, message registers and invocations. */

#include <autoconf.h>
#include <sel4/types.h>
#include <sel4/bootinfo.h>
#include <sel4/functions.h>
#include <interfaces/sel4_client.h>
#include <sel4/syscalls.h>
#include <sel4/deprecated.h>
