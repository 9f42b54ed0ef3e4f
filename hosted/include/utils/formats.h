/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file printf() formats of a machine word. */

#define DFMT "%ld"
#define XFMT "%lx"
