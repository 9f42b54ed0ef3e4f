/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Log lines that are written when a condition holds. */

#include <utils/zf_log.h>

#define _ZF_LOG_IF(write, cond, format, ...)                                                       \
    if (cond) {                                                                                    \
        write("[Cond failed: %s] " format, #cond, ##__VA_ARGS__);                                  \
    }

#define ZF_LOGD_IF(cond, format, ...) _ZF_LOG_IF(ZF_LOGD, cond, format, ##__VA_ARGS__)
#define ZF_LOGI_IF(cond, format, ...) _ZF_LOG_IF(ZF_LOGI, cond, format, ##__VA_ARGS__)
#define ZF_LOGW_IF(cond, format, ...) _ZF_LOG_IF(ZF_LOGW, cond, format, ##__VA_ARGS__)
#define ZF_LOGE_IF(cond, format, ...) _ZF_LOG_IF(ZF_LOGE, cond, format, ##__VA_ARGS__)
#define ZF_LOGF_IF(cond, format, ...) _ZF_LOG_IF(ZF_LOGF, cond, format, ##__VA_ARGS__)
