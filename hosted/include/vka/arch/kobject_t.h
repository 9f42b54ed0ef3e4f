/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file See <vka/kobject_t.h>. */

#include <vka/kobject_t.h>
