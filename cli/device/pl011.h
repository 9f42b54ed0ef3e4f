/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The host's side of a PL011 serial port. */

#include <hosted/pl011.h>
#include "device.h"

/** The model behind a device of the class device_pl011. Its callbacks are the device's. */
hosted_pl011_t *pl011_of(device_t *device);
