/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The version of these headers.
 *
 * From 0.2.0 on, versions with the same first number are compatible: programs that were compiled
 * with one run with the shared libraries of a later one, and compile with its headers.
 */

/** The first number of the version, which changes when programs must be changed or linked again. */
#define GUESTMEM_VERSION_MAJOR 0
/** The second number of the version, which changes when something is added. */
#define GUESTMEM_VERSION_MINOR 2
/** The third number of the version, which changes when mistakes are mended. */
#define GUESTMEM_VERSION_PATCH 0
/** The version as text. */
#define GUESTMEM_VERSION "0.2.0"
