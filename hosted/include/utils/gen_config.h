/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file How the helpers in utils/ are configured. */

#ifndef CONFIG_LIB_UTILS_DEFAULT_ZF_LOG_LEVEL
/** Messages below this level are left out when a file is compiled (4: warnings and errors). */
#define CONFIG_LIB_UTILS_DEFAULT_ZF_LOG_LEVEL 4
#endif
