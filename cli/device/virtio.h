/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

#pragma once

/**
 * @file
 * Virtio devices by MMIO, version 1.2 of the specification ("Virtio Over MMIO", register layout 2;
 * "Split Virtqueues"): what all kinds of them have in common. Rings are used where they are in the
 * guest's RAM. A guest that puts into them what cannot be is refused: the device asks for a reset,
 * and does nothing until then.
 */

#include "device.h"

#define VIRTIO_QUEUES     2   /* of each device, at most */
#define VIRTIO_QUEUE_SIZE 256 /* entries of each, at most */
#define VIRTIO_PIECES     256 /* of one chain, at most */

#define VIRTIO_VERSION_1   ((uint64_t)1 << 32)
#define VIRTIO_INDIRECT    ((uint64_t)1 << 28) /* descriptors in a table of their own */
#define VIRTIO_BLOCK_ID    2
#define VIRTIO_CONSOLE_ID  3
#define VIRTIO_CONFIG_SIZE 64

typedef struct virtio virtio_t;

/** A part of a chain that is contiguous here. */
typedef struct virtio_piece {
    uint8_t *bytes;
    uint32_t size;
} virtio_piece_t;

/** A chain of descriptors: first what the device may read, then what it may write. */
typedef struct virtio_chain {
    uint16_t head;
    uint32_t num_readable; /* of the pieces */
    uint32_t num_pieces;
    uint64_t readable; /* bytes */
    uint64_t writable; /* bytes */
    virtio_piece_t pieces[VIRTIO_PIECES];
} virtio_chain_t;

typedef struct virtio_queue {
    uint32_t size;
    bool ready;
    uint64_t descriptors, available, used; /* GPAs */
    uint16_t next;                         /* of the available ring */
} virtio_queue_t;

/** What kinds of virtio devices differ in. */
typedef struct virtio_kind {
    uint32_t id;
    unsigned num_queues;
    uint64_t features; /* besides the two above */
    /** The driver has made buffers available. */
    void (*notify)(virtio_t *virtio, unsigned queue);
} virtio_kind_t;

struct virtio {
    device_t device;
    const virtio_kind_t *kind;
    uint64_t features; /* offered */
    uint8_t config[VIRTIO_CONFIG_SIZE];
    uint64_t driver_features;
    uint32_t features_page, driver_features_page, selected;
    uint32_t status;
    uint32_t interrupt_status;
    virtio_queue_t queues[VIRTIO_QUEUES];
};

/** Make the device as it is after a reset. Its `features` and `config` can be changed then. */
void virtio_init(virtio_t *virtio, const virtio_kind_t *kind);

/** For the device classes. */
uint64_t virtio_read(device_t *device, uint64_t offset, unsigned width);
const char *virtio_move(virtio_t *virtio, device_state_t *state);
void virtio_write(device_t *device, uint64_t offset, unsigned width, uint64_t value);

/**
 * Take the next chain that the driver has made available.
 *
 * @return false if there is none, or it was refused
 */
bool virtio_take(virtio_t *virtio, unsigned queue, virtio_chain_t *chain);

/** Give a chain back, of which so many bytes were written. @see virtio_interrupt */
void virtio_give(virtio_t *virtio, unsigned queue, const virtio_chain_t *chain, uint32_t written);

/** Interrupt the driver for chains that were given back, unless it wants none. */
void virtio_interrupt(virtio_t *virtio, unsigned queue);

/** The guest has done what it must not: want a reset, and say why. */
void virtio_refuse(virtio_t *virtio, const char *why);

/** Copy bytes out of what is readable of a chain. @return how many there were */
size_t virtio_copy_out(const virtio_chain_t *chain, void *bytes, size_t size);
