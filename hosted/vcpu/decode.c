/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * The load/store decoder. It follows the tables "Loads and Stores" of the A64 chapter in the Arm
 * architecture reference manual: one function a group, each known by fixed bits of the encoding.
 * When a syndrome is valid is in the manual's description of ESR_ELx, field ISV.
 */

#include "decode.h"

static uint32_t field(uint32_t value, unsigned high, unsigned low)
{
    return (value >> low) & ((1u << (high - low + 1)) - 1);
}

static int64_t signed_field(uint32_t value, unsigned high, unsigned low)
{
    unsigned width = high - low + 1;
    int64_t raw = field(value, high, low);
    int64_t sign = (int64_t)1 << (width - 1);
    return (raw ^ sign) - sign;
}

/* Exclusives, compare-and-swap, and load-acquire/store-release, which is an ordinary access. */
static bool decode_ordered(uint32_t insn, a64_access_t *access)
{
    bool ordered = field(insn, 23, 23);
    bool second = field(insn, 21, 21);
    unsigned size = field(insn, 31, 30);

    access->store = !field(insn, 22, 22);
    access->width = (uint8_t)(1u << size);
    access->bytes = access->width;
    access->sixty_four = size == 3;
    if (ordered && !second) {
        access->kind = A64_SINGLE;
    } else if (ordered) {
        access->kind = A64_ATOMIC;
        access->store = true;
    } else {
        access->kind = A64_EXCLUSIVE;
        if (second) {
            /* A pair: exclusive with size 2 or 3, compare-and-swap with size 0 or 1. */
            access->kind = size < 2 ? A64_ATOMIC : A64_EXCLUSIVE;
            access->store = size < 2 || access->store;
            access->width = size & 1 ? 8 : 4;
            access->bytes = (uint8_t)(access->width * 2);
        }
    }
    return true;
}

static bool decode_literal(uint32_t insn, a64_access_t *access)
{
    unsigned opc = field(insn, 31, 30);

    access->base = A64_PC;
    access->offset = signed_field(insn, 23, 5) * 4;
    if (field(insn, 26, 26)) {
        access->kind = A64_VECTOR;
        access->width = (uint8_t)(4u << opc);
        access->bytes = access->width;
        return opc != 3;
    }
    access->kind = A64_SINGLE;
    access->width = opc == 1 ? 8 : 4;
    access->bytes = access->width;
    access->sign_extend = opc == 2;
    access->sixty_four = opc != 0;
    return opc != 3; /* 3 is a prefetch, which never faults */
}

static bool decode_pair(uint32_t insn, a64_access_t *access)
{
    unsigned opc = field(insn, 31, 30);
    unsigned mode = field(insn, 24, 23);
    bool vector = field(insn, 26, 26);

    access->kind = A64_PAIR;
    access->store = !field(insn, 22, 22);
    if (vector) {
        access->width = (uint8_t)(4u << opc);
    } else {
        access->width = opc & 2 ? 8 : 4;
        access->sign_extend = opc == 1;
        access->sixty_four = opc != 0;
    }
    access->bytes = (uint8_t)(access->width * 2);
    /* Mode 1 changes the base after the access, so the address is the base itself. */
    access->offset = mode == 1 ? 0 : signed_field(insn, 21, 15) * access->width;
    return opc != 3 && !(opc == 1 && !vector && access->store);
}

/* What a single-register form moves, from its size and opc fields; false for prefetches. */
static bool decode_data(uint32_t insn, a64_access_t *access)
{
    unsigned size = field(insn, 31, 30);
    unsigned opc = field(insn, 23, 22);

    if (field(insn, 26, 26)) {
        access->kind = A64_VECTOR;
        access->store = !(opc & 1);
        access->width = (uint8_t)(opc & 2 ? 16 : 1u << size);
        access->bytes = access->width;
        return !(opc & 2) || size == 0;
    }
    access->kind = A64_SINGLE;
    access->store = opc == 0;
    access->width = (uint8_t)(1u << size);
    access->bytes = access->width;
    access->sign_extend = opc >= 2;
    access->sixty_four = opc == 2 || size == 3;
    return opc < 2 || (opc == 2 && size < 3) || (opc == 3 && size < 2);
}

static unsigned log2_width(unsigned width)
{
    return width == 16 ? 4 : width == 8 ? 3 : width == 4 ? 2 : width == 2 ? 1 : 0;
}

static void decode_index(uint32_t insn, a64_access_t *access)
{
    access->index = (uint8_t)field(insn, 20, 16);
    access->extend = (uint8_t)field(insn, 15, 13);
    access->shift = field(insn, 12, 12) ? (uint8_t)log2_width(access->width) : 0;
}

static bool decode_atomic(uint32_t insn, a64_access_t *access)
{
    if (field(insn, 26, 26)) {
        return false;
    }
    access->kind = A64_ATOMIC;
    access->store = true;
    access->width = (uint8_t)(1u << field(insn, 31, 30));
    access->bytes = access->width;
    return true;
}

static bool decode_register(uint32_t insn, a64_access_t *access)
{
    if (field(insn, 24, 24)) {
        bool known = decode_data(insn, access);
        access->offset = (int64_t)field(insn, 21, 10) * access->width;
        return known;
    }
    unsigned form = field(insn, 11, 10);
    if (field(insn, 21, 21)) {
        if (form == 2) {
            bool known = decode_data(insn, access);
            decode_index(insn, access);
            return known && (access->extend & 2);
        }
        return form == 0 && decode_atomic(insn, access);
    }
    bool known = decode_data(insn, access);
    bool write_back = form & 1;
    if (write_back && access->kind == A64_SINGLE) {
        access->kind = A64_WRITE_BACK;
        access->base_change = signed_field(insn, 20, 12);
    }
    /* Form 1 changes the base after the access. */
    access->offset = form == 1 ? 0 : signed_field(insn, 20, 12);
    return known;
}

static bool decode_structures(uint32_t insn, a64_access_t *access)
{
    /* Registers of LD1..LD4 (multiple structures) by opcode; 0 is unallocated. */
    static const uint8_t registers[16] = {
        [0] = 4, [2] = 4, [4] = 3, [6] = 3, [7] = 1, [8] = 2, [10] = 2};
    unsigned count;

    access->kind = A64_VECTOR;
    access->store = !field(insn, 22, 22);
    if (field(insn, 24, 24)) {
        unsigned opcode = field(insn, 15, 13);
        unsigned size = opcode >> 1;
        count = (((opcode & 1) << 1) | field(insn, 21, 21)) + 1;
        if (size == 3) { /* load one structure and replicate */
            size = field(insn, 11, 10);
        } else if (size == 2 && (insn & (1u << 10))) {
            size = 3;
        }
        access->width = (uint8_t)(1u << size);
    } else {
        count = registers[field(insn, 15, 12)];
        access->width = field(insn, 30, 30) ? 16 : 8;
    }
    access->bytes = (uint8_t)(count * access->width);
    return count != 0;
}

bool a64_decode_access(uint32_t insn, a64_access_t *access)
{
    bool known = false;

    *access = (a64_access_t){
        .rt = (uint8_t)field(insn, 4, 0),
        .base = (uint8_t)field(insn, 9, 5),
        .index = A64_NO_REGISTER,
    };
    if ((insn & 0xffffffe0) == 0xd50b7420) {
        access->kind = A64_ZERO_BLOCK;
        access->store = true;
        access->base = access->rt;
        access->width = 64;
        access->bytes = 64;
        return access->rt != 31;
    }
    if (field(insn, 29, 24) == 0x08) {
        known = decode_ordered(insn, access);
    } else if ((field(insn, 29, 24) & 0x3e) == 0x0c && !field(insn, 31, 31)) {
        known = decode_structures(insn, access);
    } else if ((field(insn, 29, 24) & 0x3b) == 0x18) {
        known = decode_literal(insn, access);
    } else if ((field(insn, 29, 24) & 0x3a) == 0x28) {
        known = decode_pair(insn, access);
    } else if ((field(insn, 29, 24) & 0x3a) == 0x38) {
        known = decode_register(insn, access);
    }
    access->valid_syndrome = known && access->kind == A64_SINGLE;
    return known;
}

static uint64_t extend_index(uint64_t value, unsigned option, unsigned shift)
{
    if (option == 2) {
        value = (uint32_t)value;
    } else if (option == 6) {
        value = (uint64_t)(int64_t)(int32_t)(uint32_t)value;
    }
    return value << shift;
}

uint64_t a64_access_address(const a64_access_t *access, const uint64_t x[31], uint64_t sp,
                            uint64_t pc)
{
    uint64_t address = access->base == A64_PC ? pc : access->base == 31 ? sp : x[access->base];

    address += (uint64_t)access->offset;
    if (access->index != A64_NO_REGISTER) {
        uint64_t index = access->index == 31 ? 0 : x[access->index];
        address += extend_index(index, access->extend, access->shift);
    }
    if (access->kind == A64_ZERO_BLOCK) {
        address &= ~(uint64_t)(access->bytes - 1);
    }
    return address;
}

uint64_t a64_extend(const a64_access_t *access, uint64_t data)
{
    if (access->width >= 8) {
        return data;
    }
    unsigned bits = access->width * 8u;
    data &= ((uint64_t)1 << bits) - 1;
    if (access->sign_extend) {
        uint64_t sign = (uint64_t)1 << (bits - 1);
        data = (data ^ sign) - sign;
        if (!access->sixty_four) {
            data = (uint32_t)data;
        }
    }
    return data;
}

const char *a64_kind_name(a64_kind_t kind)
{
    static const char *const names[] = {
        [A64_SINGLE] = "load/store",
        [A64_WRITE_BACK] = "load/store with write-back",
        [A64_PAIR] = "load/store pair",
        [A64_VECTOR] = "vector load/store",
        [A64_EXCLUSIVE] = "exclusive load/store",
        [A64_ATOMIC] = "atomic read-modify-write",
        [A64_ZERO_BLOCK] = "zeroing of a block (DC ZVA)",
    };
    return names[kind];
}
