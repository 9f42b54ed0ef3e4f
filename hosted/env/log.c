/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Log lines. The sink and the level belong to the calling thread, as everything of a hosted system
 * that is not in it does.
 */

#include <hosted/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utils/zf_log.h>

static _Thread_local void (*sink)(void *cookie, int level, const char *line);
static _Thread_local void *sink_cookie;
static _Thread_local int lowest_level = ZF_LOG_VERBOSE;

void hosted_log_to(void (*new_sink)(void *cookie, int level, const char *line), void *cookie)
{
    sink = new_sink;
    sink_cookie = cookie;
}

void zf_log_set_output_level(int level)
{
    lowest_level = level;
}

static const char *level_name(int level)
{
    switch (level) {
    case ZF_LOG_VERBOSE:
        return "verbose";
    case ZF_LOG_DEBUG:
        return "debug";
    case ZF_LOG_INFO:
        return "info";
    case ZF_LOG_WARN:
        return "warning";
    case ZF_LOG_ERROR:
        return "error";
    default:
        return "fatal";
    }
}

void _zf_log_write(int level, const char *file, int line, const char *function, const char *format,
                   ...)
{
    if (level < lowest_level) {
        return;
    }
    char text[1024];
    const char *name = strrchr(file, '/');
    int used = snprintf(text, sizeof(text), "%s: %s:%d: %s: ", level_name(level),
                        name ? name + 1 : file, line, function);
    if (used < 0 || (size_t)used >= sizeof(text)) {
        used = 0;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
    va_end(arguments);
    size_t length = strlen(text);
    while (length && text[length - 1] == '\n') {
        text[--length] = '\0';
    }
    if (sink) {
        sink(sink_cookie, level, text);
    } else {
        fprintf(stderr, "%s\n", text);
    }
}
