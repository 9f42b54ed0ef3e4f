/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Pin multiplexers of a board. The hosted system drives none. */

#include <errno.h>
#include <sys/types.h>
#include <utils/arith.h>

typedef ssize_t mux_feature_t;
typedef struct mux_sys mux_sys_t;
typedef enum mux_gpio_dir {
    MUX_DIR_NOT_A_GPIO = 0,
    MUX_DIR_GPIO_IN = BIT(0),
    MUX_DIR_GPIO_OUT = BIT(1),
    MUX_DIR_GPIO_BOTH = MUX_DIR_GPIO_IN | MUX_DIR_GPIO_OUT
} mux_gpio_dir_t;

struct mux_sys {
    int (*feature_enable)(const mux_sys_t *mux, mux_feature_t feature, enum mux_gpio_dir direction);
    int (*feature_disable)(const mux_sys_t *mux, mux_feature_t feature);
    void *(*get_mux_vaddr)(const mux_sys_t *mux);
    void *priv;
};

static inline int mux_sys_valid(const mux_sys_t *mux_sys)
{
    return mux_sys && mux_sys->priv;
}

static inline int mux_feature_enable(const mux_sys_t *mux, mux_feature_t mux_feature,
                                     enum mux_gpio_dir mux_gpio_dir)
{
    return mux->feature_enable ? mux->feature_enable(mux, mux_feature, mux_gpio_dir) : -ENOSYS;
}

static inline int mux_feature_disable(mux_sys_t *mux, mux_feature_t mux_feature)
{
    return mux->feature_disable ? mux->feature_disable(mux, mux_feature) : -ENOSYS;
}
