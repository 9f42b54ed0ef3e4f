/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Assertions that the compiler checks. */

#include <assert.h>

#ifdef __cplusplus
#define compile_time_assert(name, expr) static_assert((expr), #name)
#else
#define compile_time_assert(name, expr) _Static_assert((expr), #name)
#endif
