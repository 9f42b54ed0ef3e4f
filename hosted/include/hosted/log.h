/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Where the lines of `<utils/zf_log.h>` go in a hosted system. */

/**
 * Send log lines of the calling thread to `sink` instead of stderr.
 *
 * @param sink    called with each line (no newline at its end) and its level (ZF_LOG_ERROR ...);
 *                NULL goes back to stderr
 * @param cookie  passed on to `sink`
 */
void hosted_log_to(void (*sink)(void *cookie, int level, const char *line), void *cookie);
