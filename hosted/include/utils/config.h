/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Test of a CONFIG_ macro inside an expression. */

/** 1 if the macro is defined as 1, else 0. */
#define config_set(macro) _is_set_(macro)
#define _macrotest_1      ,
#define _is_set_(value)   _is_set__(_macrotest_##value)
// NOLINTNEXTLINE(bugprone-macro-parentheses): the comma is the point
#define _is_set__(comma)      _is_set___(comma 1, 0)
#define _is_set___(_, v, ...) v
