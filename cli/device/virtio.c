/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the registers and the rings. All that is read of a ring is read once, and checked before it
 * is used: the guest may change it at any time. A ring's memory is looked up at each use, so that
 * RAM may come and go.
 */

#include "virtio.h"

#include <stdatomic.h>
#include <string.h>

enum {
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_PAGE = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_PAGE = 0x024,
    QUEUE_SELECTED = 0x030,
    QUEUE_SIZE_MAX = 0x034,
    QUEUE_SIZE = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACKNOWLEDGE = 0x064,
    STATUS = 0x070,
    QUEUE_DESCRIPTORS = 0x080,
    QUEUE_AVAILABLE = 0x090,
    QUEUE_USED = 0x0a0,
    CONFIG = 0x100,
};

enum { STATUS_DRIVER_OK = 4, STATUS_FEATURES_OK = 8, STATUS_NEEDS_RESET = 64 };
enum { INTERRUPT_USED = 1, INTERRUPT_CONFIG = 2 };
enum { DESCRIPTOR_NEXT = 1, DESCRIPTOR_WRITE = 2, DESCRIPTOR_INDIRECT = 4 };
enum { AVAILABLE_NO_INTERRUPT = 1 };
enum { PAGE_SIZE = 0x1000 };

typedef struct descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t flags;
    uint16_t next;
} descriptor_t;

typedef struct ring {
    const descriptor_t *descriptors;
    const _Atomic uint16_t *available; /* flags, index, entries */
    _Atomic uint16_t *used;            /* flags, index, then pairs of 32 bits */
} ring_t;

void virtio_init(virtio_t *virtio, const virtio_kind_t *kind)
{
    virtio->kind = kind;
    virtio->features = kind->features | VIRTIO_VERSION_1 | VIRTIO_INDIRECT;
}

static void set_interrupts(virtio_t *virtio, uint32_t status)
{
    const device_host_t *host = &virtio->device.host;
    bool changed = (status != 0) != (virtio->interrupt_status != 0);

    virtio->interrupt_status = status;
    if (changed && host->interrupt != NULL) {
        host->interrupt(host->cookie, &virtio->device, status != 0);
    }
}

static void reset(virtio_t *virtio)
{
    virtio->driver_features = 0;
    virtio->features_page = virtio->driver_features_page = virtio->selected = 0;
    virtio->status = 0;
    memset(virtio->queues, 0, sizeof(virtio->queues));
    set_interrupts(virtio, 0);
}

void virtio_refuse(virtio_t *virtio, const char *why)
{
    const device_host_t *host = &virtio->device.host;

    if (!(virtio->status & STATUS_NEEDS_RESET)) {
        virtio->status |= STATUS_NEEDS_RESET;
        set_interrupts(virtio, virtio->interrupt_status | INTERRUPT_CONFIG);
        if (host->refuse != NULL) {
            host->refuse(host->cookie, &virtio->device, why);
        }
    }
}

static void *memory(const virtio_t *virtio, uint64_t gpa, uint64_t size)
{
    const device_host_t *host = &virtio->device.host;

    return host->memory != NULL && gpa <= UINT64_MAX - (size - 1)
               ? host->memory(host->cookie, gpa, size)
               : NULL;
}

/** Look a queue's rings up. @return false if there are none, or the device is not to work */
static bool find_ring(virtio_t *virtio, unsigned index, ring_t *ring)
{
    const virtio_queue_t *queue = &virtio->queues[index];
    uint64_t size = queue->size;

    if (!queue->ready ||
        (virtio->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) != STATUS_DRIVER_OK) {
        return false;
    }
    ring->descriptors = memory(virtio, queue->descriptors, size * sizeof(descriptor_t));
    ring->available = memory(virtio, queue->available, 4 + size * 2);
    ring->used = memory(virtio, queue->used, 4 + size * 8);
    if (ring->descriptors == NULL || ring->available == NULL || ring->used == NULL) {
        virtio_refuse(virtio, "a ring is not in RAM");
        return false;
    }
    return true;
}

/** Add one contiguous part of guest memory to a chain. */
static const char *add_piece(virtio_chain_t *chain, uint8_t *bytes, uint32_t size, bool readable)
{
    virtio_piece_t *last = chain->num_pieces > 0 ? &chain->pieces[chain->num_pieces - 1] : NULL;

    (*(readable ? &chain->readable : &chain->writable)) += size;
    if (last != NULL && last->bytes + last->size == bytes && last->size <= UINT32_MAX - size &&
        readable == (chain->num_pieces == chain->num_readable)) {
        last->size += size;
        return NULL;
    }
    if (chain->num_pieces == VIRTIO_PIECES) {
        return "a chain has too many parts";
    }
    chain->pieces[chain->num_pieces++] = (virtio_piece_t){bytes, size};
    chain->num_readable += readable;
    return NULL;
}

/** Add the memory of a descriptor, which may lie in several ranges of RAM. */
static const char *add_descriptor(virtio_t *virtio, virtio_chain_t *chain,
                                  const descriptor_t *descriptor)
{
    bool readable = !(descriptor->flags & DESCRIPTOR_WRITE);
    uint64_t address = descriptor->address;
    uint32_t left = descriptor->size;

    if (left == 0) {
        return "a descriptor has no bytes";
    }
    if (readable && chain->num_readable < chain->num_pieces) {
        return "a descriptor to read follows one to write";
    }
    while (left > 0) {
        uint32_t size = left;
        uint8_t *bytes = memory(virtio, address, size);
        if (bytes == NULL) {
            uint32_t page = (uint32_t)(PAGE_SIZE - address % PAGE_SIZE);
            size = left < page ? left : page;
            bytes = memory(virtio, address, size);
        }
        const char *wrong = bytes == NULL ? "a descriptor points outside of RAM"
                                          : add_piece(chain, bytes, size, readable);
        if (wrong != NULL) {
            return wrong;
        }
        address += size;
        left -= size;
    }
    return NULL;
}

/** Follow a chain in a table. An entry that refers to another table has it followed instead.
 * However large a table is: a chain is at most VIRTIO_PIECES long, circles too. */
static const char *follow(virtio_t *virtio, virtio_chain_t *chain, const descriptor_t *table,
                          uint32_t size, uint32_t at, bool indirect)
{
    for (uint32_t count = 0; count < size && count < VIRTIO_PIECES; count++) {
        descriptor_t descriptor;
        const char *wrong;
        if (at >= size) {
            return "a descriptor that does not exist is named";
        }
        memcpy(&descriptor, &table[at], sizeof(descriptor));
        if (descriptor.flags & DESCRIPTOR_INDIRECT) {
            const descriptor_t *other;
            if (indirect || descriptor.flags & DESCRIPTOR_NEXT || descriptor.size == 0 ||
                descriptor.size % sizeof(descriptor) != 0 ||
                !(virtio->driver_features & VIRTIO_INDIRECT)) {
                return "an indirect descriptor is not allowed here, or of no table's size";
            }
            other = memory(virtio, descriptor.address, descriptor.size);
            if (other == NULL) {
                return "a table of descriptors is not in RAM";
            }
            return follow(virtio, chain, other, descriptor.size / sizeof(descriptor), 0, true);
        }
        wrong = add_descriptor(virtio, chain, &descriptor);
        if (wrong != NULL || !(descriptor.flags & DESCRIPTOR_NEXT)) {
            return wrong;
        }
        at = descriptor.next;
    }
    return size > VIRTIO_PIECES ? "a chain has too many parts"
                                : "a chain of descriptors goes round in a circle";
}

bool virtio_take(virtio_t *virtio, unsigned index, virtio_chain_t *chain)
{
    virtio_queue_t *queue = &virtio->queues[index];
    const char *wrong = NULL;
    ring_t ring;

    if (!find_ring(virtio, index, &ring)) {
        return false;
    }
    uint16_t waiting =
        (uint16_t)(atomic_load_explicit(&ring.available[1], memory_order_acquire) - queue->next);
    if (waiting == 0) {
        return false;
    }
    chain->num_pieces = chain->num_readable = 0;
    chain->readable = chain->writable = 0;
    if (waiting > queue->size) {
        wrong = "more is available than the queue has";
    } else {
        chain->head = atomic_load_explicit(&ring.available[2 + queue->next % queue->size],
                                           memory_order_relaxed);
        wrong = follow(virtio, chain, ring.descriptors, queue->size, chain->head, false);
    }
    if (wrong != NULL) {
        virtio_refuse(virtio, wrong);
        return false;
    }
    queue->next++;
    return true;
}

void virtio_give(virtio_t *virtio, unsigned index, const virtio_chain_t *chain, uint32_t written)
{
    virtio_queue_t *queue = &virtio->queues[index];
    ring_t ring;

    if (find_ring(virtio, index, &ring)) {
        uint16_t at = atomic_load_explicit(&ring.used[1], memory_order_relaxed);
        uint32_t entry[2] = {chain->head, written};
        memcpy((uint8_t *)ring.used + 4 + at % queue->size * sizeof(entry), entry, sizeof(entry));
        atomic_store_explicit(&ring.used[1], (uint16_t)(at + 1), memory_order_release);
    }
}

void virtio_interrupt(virtio_t *virtio, unsigned index)
{
    ring_t ring;

    if (find_ring(virtio, index, &ring) &&
        !(atomic_load_explicit(&ring.available[0], memory_order_acquire) &
          AVAILABLE_NO_INTERRUPT)) {
        set_interrupts(virtio, virtio->interrupt_status | INTERRUPT_USED);
    }
}

size_t virtio_copy_out(const virtio_chain_t *chain, void *bytes, size_t size)
{
    size_t done = 0;

    for (uint32_t i = 0; i < chain->num_readable && done < size; i++) {
        size_t left = size - done;
        size_t part = chain->pieces[i].size < left ? chain->pieces[i].size : left;
        memcpy((uint8_t *)bytes + done, chain->pieces[i].bytes, part);
        done += part;
    }
    return done;
}

static uint32_t read_register(const virtio_t *virtio, uint64_t offset)
{
    bool has_queue = virtio->selected < virtio->kind->num_queues;

    switch (offset) {
    case MAGIC:
        return 0x74726976; /* "virt" */
    case VERSION:
        return 2;
    case DEVICE_ID:
        return virtio->kind->id;
    case VENDOR_ID:
        return 0x4d545347; /* "GSTM" */
    case DEVICE_FEATURES:
        return virtio->features_page < 2
                   ? (uint32_t)(virtio->features >> virtio->features_page * 32)
                   : 0;
    case QUEUE_SIZE_MAX:
        return has_queue ? VIRTIO_QUEUE_SIZE : 0;
    case QUEUE_READY:
        return has_queue && virtio->queues[virtio->selected].ready;
    case INTERRUPT_STATUS:
        return virtio->interrupt_status;
    case STATUS:
        return virtio->status;
    default:
        return 0;
    }
}

uint64_t virtio_read(device_t *device, uint64_t offset, unsigned width)
{
    const virtio_t *virtio = (const virtio_t *)device;
    uint64_t value = 0;

    if (offset >= CONFIG && offset - CONFIG + width <= VIRTIO_CONFIG_SIZE) {
        memcpy(&value, virtio->config + (offset - CONFIG), width);
        return value;
    }
    return width == 4 && offset < CONFIG ? read_register(virtio, offset) : 0;
}

static void write_status(virtio_t *virtio, uint32_t value)
{
    if (value == 0) {
        reset(virtio);
        return;
    }
    if (value & STATUS_FEATURES_OK && ((virtio->driver_features & ~virtio->features) != 0 ||
                                       !(virtio->driver_features & VIRTIO_VERSION_1))) {
        value &= ~(uint32_t)STATUS_FEATURES_OK;
    }
    virtio->status = (value & 0xff) | (virtio->status & STATUS_NEEDS_RESET);
}

static void set_half(uint64_t *address, bool high, uint32_t value)
{
    *address = high ? (*address & UINT32_MAX) | (uint64_t)value << 32
                    : (*address & ~(uint64_t)UINT32_MAX) | value;
}

static bool is_usable(const virtio_queue_t *queue)
{
    return queue->size != 0 && queue->size <= VIRTIO_QUEUE_SIZE &&
           (queue->size & (queue->size - 1)) == 0 && queue->descriptors % 16 == 0 &&
           queue->available % 2 == 0 && queue->used % 4 == 0;
}

static void make_ready(virtio_t *virtio, virtio_queue_t *queue, bool ready)
{
    bool usable = is_usable(queue);

    queue->ready = ready && usable;
    if (ready && !usable) {
        virtio_refuse(virtio, "a queue's size or a ring's alignment is none that is allowed");
    }
}

static void write_queue(virtio_t *virtio, virtio_queue_t *queue, uint64_t offset, uint32_t value)
{
    if (offset == QUEUE_READY) {
        make_ready(virtio, queue, value & 1);
    } else if (queue->ready) {
        return; /* what it is made of stays */
    } else if (offset == QUEUE_SIZE) {
        queue->size = value;
    } else if ((offset & ~4ull) == QUEUE_DESCRIPTORS) {
        set_half(&queue->descriptors, offset & 4, value);
    } else if ((offset & ~4ull) == QUEUE_AVAILABLE) {
        set_half(&queue->available, offset & 4, value);
    } else if ((offset & ~4ull) == QUEUE_USED) {
        set_half(&queue->used, offset & 4, value);
    }
}

void virtio_write(device_t *device, uint64_t offset, unsigned width, uint64_t value)
{
    virtio_t *virtio = (virtio_t *)device;

    if (width != 4) {
        return;
    }
    switch (offset) {
    case DEVICE_FEATURES_PAGE:
        virtio->features_page = (uint32_t)value;
        break;
    case DRIVER_FEATURES:
        if (virtio->driver_features_page < 2 && !(virtio->status & STATUS_FEATURES_OK)) {
            set_half(&virtio->driver_features, virtio->driver_features_page == 1, (uint32_t)value);
        }
        break;
    case DRIVER_FEATURES_PAGE:
        virtio->driver_features_page = (uint32_t)value;
        break;
    case QUEUE_SELECTED:
        virtio->selected = (uint32_t)value;
        break;
    case QUEUE_NOTIFY:
        if (value < virtio->kind->num_queues) {
            virtio->kind->notify(virtio, (unsigned)value);
        }
        break;
    case INTERRUPT_ACKNOWLEDGE:
        set_interrupts(virtio, virtio->interrupt_status & ~(uint32_t)value);
        break;
    case STATUS:
        write_status(virtio, (uint32_t)value);
        break;
    default:
        if (virtio->selected < virtio->kind->num_queues) {
            write_queue(virtio, &virtio->queues[virtio->selected], offset, (uint32_t)value);
        }
        break;
    }
}

static void move_queue(virtio_queue_t *queue, device_state_t *state)
{
    device_move(state, &queue->size, sizeof(queue->size));
    device_move_flag(state, &queue->ready);
    device_move(state, &queue->descriptors, sizeof(queue->descriptors));
    device_move(state, &queue->available, sizeof(queue->available));
    device_move(state, &queue->used, sizeof(queue->used));
    device_move(state, &queue->next, sizeof(queue->next));
}

const char *virtio_move(virtio_t *virtio, device_state_t *state)
{
    bool usable = true;

    device_move(state, &virtio->driver_features, sizeof(virtio->driver_features));
    device_move(state, &virtio->features_page, sizeof(virtio->features_page));
    device_move(state, &virtio->driver_features_page, sizeof(virtio->driver_features_page));
    device_move(state, &virtio->selected, sizeof(virtio->selected));
    device_move(state, &virtio->status, sizeof(virtio->status));
    device_move(state, &virtio->interrupt_status, sizeof(virtio->interrupt_status));
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++) {
        move_queue(&virtio->queues[i], state);
        usable = usable && (!virtio->queues[i].ready || is_usable(&virtio->queues[i]));
    }
    return usable ? NULL : "a queue has a size or an alignment that is not allowed";
}
