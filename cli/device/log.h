/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file A device that remembers the accesses made to it: for pages that trap. */

#include "device.h"

/** How many accesses a log device keeps: the latest. */
#define LOG_KEPT 64

/** Accesses seen so far. */
uint64_t device_log_count(const device_t *device);

/**
 * The index-th access, from 0.
 *
 * @return valid until the next access; NULL if there was none, or it is no longer kept
 */
const device_access_t *device_log_access(const device_t *device, uint64_t index);
