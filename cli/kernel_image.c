/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns what is known of arm64 Images. Their header is described in Linux's
 * Documentation/arm64/booting.rst: "ARM\x64" at 56, at 16 the bytes that the kernel takes (since
 * Linux 3.17; 0 before), both little-endian.
 */

#include "kernel_image.h"

#include "file.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { HEADER_SIZE = 64, HEADER_MEMORY = 16, HEADER_MAGIC = 56, GZIP_MIN_SIZE = 18 };

static uint64_t read_little(const unsigned char *bytes, unsigned width)
{
    uint64_t value = 0;

    while (width-- > 0) {
        value = value << 8 | bytes[width];
    }
    return value;
}

uint64_t kernel_image_memory(const void *bytes, size_t size)
{
    const unsigned char *header = bytes;
    uint64_t memory;

    if (size < HEADER_SIZE || memcmp(header + HEADER_MAGIC, "ARM\x64", 4) != 0) {
        return 0;
    }
    memory = read_little(header + HEADER_MEMORY, 8);
    return memory > size ? memory : size;
}

/** Unpack the first bytes of a gzip file. @return whether it has no more than these */
static int unpack(const void *bytes, size_t size, void *unpacked, size_t room)
{
    z_stream stream = {
        .next_in = (z_const Bytef *)bytes,
        .avail_in = (uInt)size,
        .next_out = unpacked,
        .avail_out = (uInt)room,
    };
    int result = inflateInit2(&stream, 16 + MAX_WBITS); /* 16: a gzip header */

    if (result == Z_OK) {
        result = inflate(&stream, Z_SYNC_FLUSH);
        inflateEnd(&stream);
    }
    return result == Z_STREAM_END && stream.avail_out == 0;
}

static int is_packed_image(const unsigned char *bytes, size_t size)
{
    unsigned char header[HEADER_SIZE] = {0};

    if (size < GZIP_MIN_SIZE || size > UINT32_MAX || bytes[0] != 0x1f || bytes[1] != 0x8b) {
        return 0;
    }
    unpack(bytes, size, header, sizeof(header));
    return kernel_image_memory(header, sizeof(header)) != 0;
}

void *kernel_image_load(const char *path, size_t *size, cli_error_t *error)
{
    unsigned char *bytes = file_read(path, size, error);
    size_t room;
    void *unpacked;

    if (bytes == NULL || !is_packed_image(bytes, *size)) {
        return bytes;
    }
    /* A gzip file ends with the size of what is in it. */
    room = (size_t)read_little(bytes + *size - 4, 4);
    unpacked = malloc(room + 1);
    if (unpacked == NULL || !unpack(bytes, *size, unpacked, room)) {
        cli_error_set(error, "%s: %s", path,
                      unpacked == NULL ? "out of memory" : "a compressed Image that is damaged");
        free(unpacked);
        unpacked = NULL;
    }
    free(bytes);
    *size = room;
    return unpacked;
}
