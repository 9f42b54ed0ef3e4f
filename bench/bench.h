/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file The parts of the benchmark; each adds its figures and promises to the report. */

#include "report.h"

/** Look-up and change of the range map and of a red-black tree, by themselves. */
void bench_maps(report_t *report);

/** Faults through vm_memory_handle_fault(), against the same over a red-black tree. */
void bench_dispatch(report_t *report);

/** Reserving and freeing in random order. */
void bench_reserve(report_t *report);

/** Copies to and from guest RAM, and single small accesses. */
void bench_ram(report_t *report);

/** Registering RAM: invocations, heap and time. */
void bench_registration(report_t *report);

/** Reporting what was written. */
void bench_change(report_t *report);

/** Reading a virtio disk. */
void bench_disk(report_t *report);
