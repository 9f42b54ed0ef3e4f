/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Printers of memory maps: of one VM, or of all VMs of a file. Each writes one complete
 * document to `out`. */

#include <stdio.h>
#include "memory_map.h"

/** A table for people, or several. */
void report_text(FILE *out, const memory_map_t *maps, size_t count);

/** JSON (RFC 8259), as documented in docs/vm-description.md. */
void report_json(FILE *out, const memory_map_t *maps, size_t count);

/** A string of JSON, with its quotes; NULL is `null`. */
void report_json_string(FILE *out, const char *text);

/** SVG 1.1: an address space as a column, from low to high addresses, with what happened in a run
 * if the map has pieces; several are side by side. */
void report_svg(FILE *out, const memory_map_t *maps, size_t count);
