/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Object types; see <sel4/objecttype.h>. */

#include <sel4/objecttype.h>
