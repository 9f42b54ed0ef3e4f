/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/** @file Where drivers find what other drivers offer. */

#include <errno.h>
#include <platsupport/interface_types.h>
#include <utils/util.h>

typedef int (*ps_interface_register_fn_t)(void *cookie, ps_interface_type_t interface_type,
                                          void *interface_instance, char **properties);
typedef int (*ps_interface_unregister_fn_t)(void *cookie, ps_interface_type_t interface_type,
                                            void *interface_instance);

/* What a search handler returns. */
#define PS_INTERFACE_FOUND_MATCH 0
#define PS_INTERFACE_NO_MATCH    1

typedef int (*ps_interface_search_handler_fn_t)(void *handler_data, void *interface_instance,
                                                char **properties);
typedef int (*ps_interface_find_fn_t)(void *cookie, ps_interface_type_t interface_type,
                                      ps_interface_search_handler_fn_t handler, void *handler_data);

typedef struct {
    void *cookie;
    ps_interface_register_fn_t interface_register_fn;
    ps_interface_unregister_fn_t interface_unregister_fn;
    ps_interface_find_fn_t interface_find_fn;
} ps_interface_registration_ops_t;

/** Offer an interface. @return 0 or a negative errno */
static inline int ps_interface_register(ps_interface_registration_ops_t *ops,
                                        ps_interface_type_t interface_type,
                                        void *interface_instance, char **properties)
{
    if (!ops || !ops->cookie) {
        return -EINVAL;
    }
    if (!ops->interface_register_fn) {
        return -ENOSYS;
    }
    return ops->interface_register_fn(ops->cookie, interface_type, interface_instance, properties);
}

/** Undo ps_interface_register(). @return 0 or a negative errno */
static inline int ps_interface_unregister(ps_interface_registration_ops_t *ops,
                                          ps_interface_type_t interface_type,
                                          void *interface_instance)
{
    if (!ops || !ops->cookie) {
        return -EINVAL;
    }
    if (!ops->interface_unregister_fn) {
        return -ENOSYS;
    }
    return ops->interface_unregister_fn(ops->cookie, interface_type, interface_instance);
}

/** Call `handler` with the interfaces of a type until it finds one. @return 0 or a negative errno
 */
static inline int ps_interface_find(ps_interface_registration_ops_t *ops,
                                    ps_interface_type_t interface_type,
                                    ps_interface_search_handler_fn_t handler, void *handler_data)
{
    if (!ops || !ops->cookie) {
        return -EINVAL;
    }
    if (!ops->interface_find_fn) {
        return -ENOSYS;
    }
    return ops->interface_find_fn(ops->cookie, interface_type, handler, handler_data);
}
