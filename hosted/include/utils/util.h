/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file All of utils/. */

#include <assert.h>
#include <autoconf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <utils/ansi.h>
#include <utils/arith.h>
#include <utils/attribute.h>
#include <utils/builtin.h>
#include <utils/compile_time.h>
#include <utils/config.h>
#include <utils/fence.h>
#include <utils/formats.h>
#include <utils/frequency.h>
#include <utils/page.h>
#include <utils/stringify.h>
#include <utils/time.h>
#include <utils/zf_log.h>
#include <utils/zf_log_if.h>

#define LOG_ERROR(...) ZF_LOGE(__VA_ARGS__)
#define LOG_INFO(...)  ZF_LOGI(__VA_ARGS__)
