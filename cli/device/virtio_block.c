/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the virtio block device: a disk that is a file. Data goes between the file and the guest's
 * RAM without a copy. What the driver puts where is its own choice ("Message Framing"): the request
 * is the first 16 readable bytes, its status the last writable one.
 */

#include "virtio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SECTOR = 512, ID_SIZE = 20, STATUS_SIZE = 1 };
enum { REQUEST_IN = 0, REQUEST_OUT = 1, REQUEST_FLUSH = 4, REQUEST_GET_ID = 8 };
enum { STATUS_OK = 0, STATUS_IO_ERROR = 1, STATUS_UNSUPPORTED = 2 };
enum { FEATURE_SEGMENTS = 1 << 2, FEATURE_READ_ONLY = 1 << 5, FEATURE_FLUSH = 1 << 9 };
enum { CONFIG_CAPACITY = 0, CONFIG_SEGMENTS = 12 };

typedef struct request {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
} request_t;

typedef struct disk {
    virtio_t virtio;
    int file;
    uint64_t sectors;
    bool read_only;
    char id[ID_SIZE];
    virtio_chain_t chain; /* that is being worked on */
} disk_t;

/** The vectors of a chain's bytes from `skip` on, without the last `spare` ones. */
static int vectors_of(const virtio_piece_t *pieces, uint32_t count, uint64_t skip, uint64_t size,
                      struct iovec vectors[VIRTIO_PIECES])
{
    int used = 0;

    for (uint32_t i = 0; i < count && size > 0; i++) {
        uint64_t part = pieces[i].size;
        if (skip >= part) {
            skip -= part;
            continue;
        }
        part = part - skip < size ? part - skip : size;
        vectors[used++] = (struct iovec){pieces[i].bytes + skip, part};
        skip = 0;
        size -= part;
    }
    return used;
}

/** Move all bytes, however few go at once. @return false if the file refuses some */
static bool move(int file, bool write, struct iovec *vectors, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t moved = write ? pwritev(file, vectors, count, (off_t)offset)
                              : preadv(file, vectors, count, (off_t)offset);
        if (moved < 0 && errno == EINTR) {
            continue;
        }
        if (moved <= 0) {
            return false;
        }
        offset += (uint64_t)moved;
        for (; count > 0 && (size_t)moved >= vectors->iov_len; vectors++, count--) {
            moved -= (ssize_t)vectors->iov_len;
        }
        if (count > 0) {
            vectors->iov_base = (uint8_t *)vectors->iov_base + moved;
            vectors->iov_len -= (size_t)moved;
        }
    }
    return true;
}

static uint8_t transfer(disk_t *disk, const request_t *request, uint64_t size)
{
    const virtio_chain_t *chain = &disk->chain;
    bool write = request->type == REQUEST_OUT;
    struct iovec vectors[VIRTIO_PIECES];
    int count;

    if (size % SECTOR != 0 || request->sector > disk->sectors ||
        size / SECTOR > disk->sectors - request->sector || (write && disk->read_only)) {
        return STATUS_IO_ERROR;
    }
    count = write ? vectors_of(chain->pieces, chain->num_readable, sizeof(*request), size, vectors)
                  : vectors_of(chain->pieces + chain->num_readable,
                               chain->num_pieces - chain->num_readable, 0, size, vectors);
    return move(disk->file, write, vectors, count, request->sector * SECTOR) ? STATUS_OK
                                                                             : STATUS_IO_ERROR;
}

static uint8_t give_id(disk_t *disk, uint64_t size)
{
    const virtio_chain_t *chain = &disk->chain;
    struct iovec vectors[VIRTIO_PIECES];
    int count = vectors_of(chain->pieces + chain->num_readable,
                           chain->num_pieces - chain->num_readable, 0, size, vectors);
    const char *from = disk->id;

    if (size < ID_SIZE) {
        return STATUS_IO_ERROR;
    }
    for (int i = 0; i < count; i++) {
        size_t left = (size_t)(disk->id + ID_SIZE - from);
        size_t part = vectors[i].iov_len < left ? vectors[i].iov_len : left;
        memcpy(vectors[i].iov_base, from, part);
        from += part;
    }
    return STATUS_OK;
}

/** Do what a chain asks for. @return bytes written into it; 0 if it was refused */
static uint32_t serve(disk_t *disk)
{
    const virtio_chain_t *chain = &disk->chain;
    const virtio_piece_t *last = &chain->pieces[chain->num_pieces - 1];
    uint64_t room = chain->writable - STATUS_SIZE;
    uint64_t written = 0;
    uint8_t status = STATUS_UNSUPPORTED;
    request_t request;

    if (virtio_copy_out(chain, &request, sizeof(request)) != sizeof(request) ||
        chain->writable < STATUS_SIZE || chain->writable > UINT32_MAX) {
        virtio_refuse(&disk->virtio, "a request is too short, or has no byte for its status");
        return 0;
    }
    switch (request.type) {
    case REQUEST_IN:
        status = transfer(disk, &request, room);
        written = status == STATUS_OK ? room : 0;
        break;
    case REQUEST_OUT:
        status = transfer(disk, &request, chain->readable - sizeof(request));
        break;
    case REQUEST_FLUSH:
        status = fdatasync(disk->file) == 0 ? STATUS_OK : STATUS_IO_ERROR;
        break;
    case REQUEST_GET_ID:
        status = give_id(disk, room);
        written = status == STATUS_OK ? ID_SIZE : 0;
        break;
    default:
        break;
    }
    last->bytes[last->size - 1] = status;
    return (uint32_t)written + STATUS_SIZE;
}

static void notify(virtio_t *virtio, unsigned queue)
{
    disk_t *disk = (disk_t *)virtio;
    bool any = false;

    /* At most a queue full: a guest that goes on making requests meanwhile is let run. */
    for (int i = 0; i < VIRTIO_QUEUE_SIZE && virtio_take(virtio, queue, &disk->chain); i++) {
        uint32_t written = serve(disk);
        if (written > 0) {
            virtio_give(virtio, queue, &disk->chain, written);
            any = true;
        }
    }
    if (any) {
        virtio_interrupt(virtio, queue);
    }
}

static const virtio_kind_t kind = {
    .id = VIRTIO_BLOCK_ID,
    .num_queues = 1,
    .features = FEATURE_SEGMENTS | FEATURE_FLUSH,
    .notify = notify,
};

static void block_init(device_t *device)
{
    disk_t *disk = (disk_t *)device;
    /* Besides the request and the status, and each may lie in two ranges of RAM. */
    const uint32_t segments = VIRTIO_PIECES / 2 - 2;

    disk->file = -1;
    virtio_init(&disk->virtio, &kind);
    memcpy(disk->virtio.config + CONFIG_SEGMENTS, &segments, sizeof(segments));
}

static void block_close(device_t *device)
{
    const disk_t *disk = (disk_t *)device;

    if (disk->file >= 0) {
        close(disk->file);
    }
}

/** Open a file without waiting for anybody. @return -1, with errno */
static int open_content(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC | O_NONBLOCK);
    struct stat status;

    if (file >= 0 &&
        (fstat(file, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)))) {
        int reason = S_ISDIR(status.st_mode) ? EISDIR : ENOTBLK;
        close(file);
        errno = reason;
        file = -1;
    }
    return file;
}

/** Open the disk: a file or a block device, of whole sectors, read-only where it cannot be written.
 */
static int block_open(device_t *device, const char *path, bool read_only)
{
    disk_t *disk = (disk_t *)device;
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    off_t size;

    disk->file = read_only ? -1 : open_content(path, O_RDWR);
    if (disk->file < 0 && (read_only || errno == EACCES || errno == EROFS)) {
        read_only = true;
        disk->file = open_content(path, O_RDONLY);
    }
    if (disk->file < 0) {
        return errno;
    }
    size = lseek(disk->file, 0, SEEK_END);
    if (size < 0) {
        return errno;
    }
    disk->sectors = (uint64_t)size / SECTOR;
    disk->read_only = read_only;
    device->lasting = !read_only;
    disk->virtio.features |= read_only ? FEATURE_READ_ONLY : 0;
    memcpy(disk->virtio.config + CONFIG_CAPACITY, &disk->sectors, sizeof(disk->sectors));
    memcpy(disk->id, name, strnlen(name, sizeof(disk->id)));
    return 0;
}

static const char *block_move(device_t *device, device_state_t *state)
{
    disk_t *disk = (disk_t *)device;
    uint64_t sectors = disk->sectors;

    device_move(state, &sectors, sizeof(sectors));
    return sectors == disk->sectors ? virtio_move(&disk->virtio, state)
                                    : "its file had another size";
}

const device_class_t device_virtio_block = {
    .name = "virtio-block",
    .summary = "a disk by virtio, whose content is a file",
    .size = sizeof(disk_t),
    .init = block_init,
    .open = block_open,
    .needs_file = true,
    .read = virtio_read,
    .write = virtio_write,
    .move = block_move,
    .close = block_close,
};
