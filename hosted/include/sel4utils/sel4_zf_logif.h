/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Log lines that are written when an invocation failed, with the error's name. */

#include <sel4utils/strerror.h>
#include <utils/zf_log.h>
#include <utils/zf_log_if.h>

#define ZF_LOGD_IFERR(err, fmt, ...)                                                               \
    if ((err) != seL4_NoError) {                                                                   \
        ZF_LOGD("[Err %s]: " fmt, sel4_strerror(err), ##__VA_ARGS__);                              \
    }
#define ZF_LOGI_IFERR(err, fmt, ...)                                                               \
    if ((err) != seL4_NoError) {                                                                   \
        ZF_LOGI("[Err %s]: " fmt, sel4_strerror(err), ##__VA_ARGS__);                              \
    }
#define ZF_LOGW_IFERR(err, fmt, ...)                                                               \
    if ((err) != seL4_NoError) {                                                                   \
        ZF_LOGW("[Err %s]: " fmt, sel4_strerror(err), ##__VA_ARGS__);                              \
    }
#define ZF_LOGE_IFERR(err, fmt, ...)                                                               \
    if ((err) != seL4_NoError) {                                                                   \
        ZF_LOGE("[Err %s]: " fmt, sel4_strerror(err), ##__VA_ARGS__);                              \
    }
#define ZF_LOGF_IFERR(err, fmt, ...)                                                               \
    if ((err) != seL4_NoError) {                                                                   \
        ZF_LOGF("[Err %s]: " fmt, sel4_strerror(err), ##__VA_ARGS__);                              \
    }
