/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Sizes and message layouts of AArch64; see <sel4/constants.h>. */

#include <sel4/constants.h>
