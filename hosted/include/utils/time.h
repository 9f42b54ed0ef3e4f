/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file How many units of time another unit has. */

#include <stdint.h>

#ifndef SEL4_TIME_UINT_TYPE
#define SEL4_TIME_UINT_TYPE(v) UINT64_C(v)
#endif

#define SEC_IN_MINUTE SEL4_TIME_UINT_TYPE(60)
#define MS_IN_S       SEL4_TIME_UINT_TYPE(1000)
#define MS_IN_MINUTE  (MS_IN_S * SEC_IN_MINUTE)
#define US_IN_MS      SEL4_TIME_UINT_TYPE(1000)
#define US_IN_S       (US_IN_MS * MS_IN_S)
#define US_IN_MINUTE  (US_IN_S * SEC_IN_MINUTE)
#define NS_IN_US      SEL4_TIME_UINT_TYPE(1000)
#define NS_IN_MS      (NS_IN_US * US_IN_MS)
#define NS_IN_S       (NS_IN_US * US_IN_S)
#define NS_IN_MINUTE  (NS_IN_S * SEC_IN_MINUTE)
