/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Macro arguments as strings, and joined. */

#define _STRINGIFY(s) #s
#define STRINGIFY(s)  _STRINGIFY(s)
#define _JOIN(x, y)   x##y
#define JOIN(x, y)    _JOIN(x, y)
