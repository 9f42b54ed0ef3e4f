/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Boot information; see bootinfo_types.h. */

#include <sel4/bootinfo_types.h>
