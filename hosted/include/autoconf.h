/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The configuration of the whole system; on seL4 the build makes this file. */

#include <sel4/config.h>
