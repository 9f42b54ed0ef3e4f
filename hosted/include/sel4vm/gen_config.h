/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * How the runtime is configured. On seL4 the build generates it; here nothing of it is set, so
 * CONFIG_LIB_SEL4VM_DEFER_MEMORY_MAP is up to the compiler's command line.
 */
