/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Lookup levels; see <sel4/arch/mapping.h>. */

#include <sel4/arch/mapping.h>
