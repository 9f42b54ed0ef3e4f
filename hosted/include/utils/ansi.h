/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Escape sequences that colour text on a terminal: ANSI_COLOR(RED, BOLD) "text" A_RESET. */

#define COLOR_PREFIX     "\x1b["
#define COLOR_SEP        ";"
#define COLOR_SUFFIX     "m"
#define COLOR_FOREGROUND "3"
#define COLOR_BACKGROUND "4"

#define COLOR_BLACK   "0"
#define COLOR_RED     "1"
#define COLOR_GREEN   "2"
#define COLOR_YELLOW  "3"
#define COLOR_BLUE    "4"
#define COLOR_MAGENTA "5"
#define COLOR_CYAN    "6"
#define COLOR_WHITE   "7"

#define COLOR_BOLD      ";1"
#define COLOR_ITALIC    ";3"
#define COLOR_UNDERLINE ";4"
#define COLOR_BLINK     ";5"
#define COLOR_REVERSE   ";7"
#define COLOR_INVISIBLE ";8"
#define COLOR_RESET     COLOR_PREFIX "0" COLOR_SUFFIX
#define COLOR_          "" /* an attribute that is left out */

/* Two attributes at most. */
#define COLOR_ATTR_REC2(attr, ...) COLOR_##attr
#define COLOR_ATTR_REC(attr, ...)  COLOR_##attr COLOR_ATTR_REC2(__VA_ARGS__)

#define ANSI_COLOR(forecolor, ...)                                                                 \
    COLOR_PREFIX COLOR_FOREGROUND COLOR_##forecolor COLOR_ATTR_REC(__VA_ARGS__) COLOR_SUFFIX
#define ANSI_BG_COLOR(backcolor) COLOR_PREFIX COLOR_BACKGROUND COLOR_##backcolor COLOR_SUFFIX

#define COLORIZE(text, forecolor, ...) ANSI_COLOR(forecolor, __VA_ARGS__) text COLOR_RESET

#define A_RESET COLOR_RESET
#define A_BOLD  COLOR_PREFIX COLOR_BOLD COLOR_SUFFIX
#define A_FG_K  ANSI_COLOR(BLACK)
#define A_FG_R  ANSI_COLOR(RED)
#define A_FG_G  ANSI_COLOR(GREEN)
#define A_FG_Y  ANSI_COLOR(YELLOW)
#define A_FG_B  ANSI_COLOR(BLUE)
#define A_FG_M  ANSI_COLOR(MAGENTA)
#define A_FG_C  ANSI_COLOR(CYAN)
#define A_FG_W  ANSI_COLOR(WHITE)
