/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file How libsel4utils would be configured. */

#define CONFIG_SEL4UTILS_STACK_SIZE       65536
#define CONFIG_SEL4UTILS_CSPACE_SIZE_BITS 12
