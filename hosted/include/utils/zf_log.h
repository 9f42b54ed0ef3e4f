/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Log lines by level. Each line names file, line and function. They go to stderr, or where
 * <hosted/log.h> sends them; ZF_LOGF() aborts the process.
 */

#include <utils/gen_config.h>
#include <utils/attribute.h>

#define ZF_LOG_VERBOSE 1
#define ZF_LOG_DEBUG   2
#define ZF_LOG_INFO    3
#define ZF_LOG_WARN    4
#define ZF_LOG_ERROR   5
#define ZF_LOG_FATAL   0xFFFF
#define ZF_LOG_NONE    0xFFFF

/* A file can define ZF_LOG_LEVEL before its first include to see more, or less. */
#if defined(ZF_LOG_LEVEL)
#define _ZF_LOG_LEVEL ZF_LOG_LEVEL
#else
#define _ZF_LOG_LEVEL CONFIG_LIB_UTILS_DEFAULT_ZF_LOG_LEVEL
#endif

/**
 * Write one line. Not to be called directly: use the macros below.
 *
 * @param level   ZF_LOG_VERBOSE ... ZF_LOG_FATAL
 * @param format  of printf(); a newline at its end is dropped
 */
void _zf_log_write(int level, const char *file, int line, const char *function, const char *format,
                   ...) FORMAT(printf, 5, 6);

/** Leave out lines below `level` in the calling thread; it starts with all that were compiled. */
void zf_log_set_output_level(int level);

#define ZF_LOG_ALLOW(level) ((level) >= _ZF_LOG_LEVEL)
#define _ZF_LOG_AT(level, ...)                                                                     \
    do {                                                                                           \
        if (ZF_LOG_ALLOW(level)) {                                                                 \
            _zf_log_write(level, __FILE__, __LINE__, __func__, __VA_ARGS__);                       \
        }                                                                                          \
    } while (0)

#define ZF_LOGV(...) _ZF_LOG_AT(ZF_LOG_VERBOSE, __VA_ARGS__)
#define ZF_LOGD(...) _ZF_LOG_AT(ZF_LOG_DEBUG, __VA_ARGS__)
#define ZF_LOGI(...) _ZF_LOG_AT(ZF_LOG_INFO, __VA_ARGS__)
#define ZF_LOGW(...) _ZF_LOG_AT(ZF_LOG_WARN, __VA_ARGS__)
#define ZF_LOGE(...) _ZF_LOG_AT(ZF_LOG_ERROR, __VA_ARGS__)
#define ZF_LOGF(...)                                                                               \
    do {                                                                                           \
        _ZF_LOG_AT(ZF_LOG_FATAL, __VA_ARGS__);                                                     \
        __builtin_abort();                                                                         \
    } while (0)
