/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * The kernel configuration that the hosted system models: AArch64 as a hypervisor with 40-bit
 * physical addresses, not MCS, symmetric multiprocessing.
 */

#define CONFIG_ARCH_ARM                      1
#define CONFIG_ARCH_AARCH64                  1
#define CONFIG_ARM_HYPERVISOR_SUPPORT        1
#define CONFIG_ARM_PA_SIZE_BITS_40           1
#define CONFIG_ARM_CORTEX_A53                1
#define CONFIG_PLAT_QEMU_ARM_VIRT            1
#define CONFIG_WORD_SIZE                     64
#define CONFIG_ENABLE_SMP_SUPPORT            1
#define CONFIG_MAX_NUM_NODES                 4
#define CONFIG_NUM_DOMAINS                   1
#define CONFIG_NUM_DOMAIN_SCHEDULES          2
#define CONFIG_NUM_PRIORITIES                256
#define CONFIG_MAX_NUM_BOOTINFO_UNTYPED_CAPS 230
#define CONFIG_RETYPE_FAN_OUT_LIMIT          256
#define CONFIG_RESET_CHUNK_BITS              8
#define CONFIG_ROOT_CNODE_SIZE_BITS          26
#define CONFIG_HAVE_FPU                      1
#define CONFIG_LIB_SEL4_USE_THREAD_LOCALS    1
