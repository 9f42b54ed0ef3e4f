/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Clocks of the board: it has one that never changes. */

enum clk_id { CLK_MASTER, NCLOCKS, CLK_CUSTOM };
enum clock_gate { NCLKGATES };
