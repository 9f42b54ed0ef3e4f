/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Descriptors in guest RAM, as virtio's are: the guest writes address, length and successor of a
 * buffer, and rings a device's bell. The device reads the descriptor from RAM and touches what it
 * says. Whatever it says, the touch reaches all of the range, where it is all RAM, or nothing.
 */

#include "hostile.h"

#define BELL        ((uintptr_t)0x0a000000)
#define TABLE       (HOSTILE_RAM + PAGE) /* of descriptors */
#define MORE_RAM    HOSTILE_RAM_END      /* a neighbour, registered apart */
#define MORE_SIZE   (3 * PAGE)
#define RAM_LAST    (MORE_RAM + MORE_SIZE - 1)
#define MOST_LENGTH 8 /* of a chain that the device follows */

typedef struct descriptor {
    uint64_t address;
    uint64_t size;
    uint64_t next; /* address of the next one; 0: the last */
} descriptor_t;

typedef struct device {
    uint64_t touched; /* bytes */
    uint64_t refused; /* descriptors */
    unsigned chain;   /* descriptors followed */
} device_t;

typedef struct pieces {
    uintptr_t next;
    uint8_t sum;
} pieces_t;

/* Within RAM, in order, and never across a page: read and written, as a device does. */
static int on_piece(vm_t *vm, uintptr_t gpa, void *vmm_vaddr, size_t size, size_t offset,
                    void *cookie)
{
    pieces_t *pieces = cookie;
    volatile uint8_t *bytes = vmm_vaddr;

    (void)vm, (void)offset;
    assert_int_equal(gpa, pieces->next);
    assert_true(gpa >= HOSTILE_RAM && gpa + (size - 1) <= RAM_LAST);
    assert_int_equal(gpa / PAGE, (gpa + (size - 1)) / PAGE);
    pieces->sum ^= bytes[0] ^ bytes[size - 1];
    bytes[0] = bytes[0];
    bytes[size - 1] = bytes[size - 1];
    pieces->next += size;
    return 0;
}

static void follow(vm_t *vm, uint64_t at, device_t *device)
{
    descriptor_t descriptor;

    for (device->chain = 0; at != 0 && device->chain < MOST_LENGTH; device->chain++) {
        if (vm_ram_touch(vm, at, sizeof(descriptor), vm_guest_ram_read_callback, &descriptor) !=
            0) {
            device->refused++;
            return;
        }
        pieces_t pieces = {.next = descriptor.address};
        if (vm_ram_touch(vm, descriptor.address, descriptor.size, on_piece, &pieces) == 0) {
            assert_int_equal(pieces.next - descriptor.address, descriptor.size);
            device->touched += descriptor.size;
        } else {
            assert_int_equal(pieces.next, descriptor.address);
            device->refused++;
        }
        at = descriptor.next;
    }
}

static memory_fault_result_t on_bell(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                     void *cookie)
{
    (void)address, (void)length;
    follow(vm, get_vcpu_fault_data(vcpu), cookie);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

/* Writes a descriptor of x1 and x2 to x0, its successor x3, and rings with the table's address. */
static const uint32_t ring[] = {
    0xa9000801, /* stp x1, x2, [x0] */
    0xf9000803, /* str x3, [x0, #16] */
    0xd2a14004, /* mov x4, #0x0a000000 */
    0xf9000080, /* str x0, [x4] */
};

/* Rings with x0 alone. */
static const uint32_t ring_only[] = {
    0xd2a14004, /* mov x4, #0x0a000000 */
    0xf9000080, /* str x0, [x4] */
};

static void add_bell(hostile_t *hostile, device_t *device)
{
    assert_int_equal(vm_ram_register_at(&hostile->vm, MORE_RAM, MORE_SIZE, false), 0);
    assert_non_null(vm_reserve_memory_at(&hostile->vm, BELL, 8, on_bell, device));
}

static bool is_ram(uint64_t address, uint64_t size)
{
    return size > 0 && address >= HOSTILE_RAM && address <= RAM_LAST &&
           size - 1 <= RAM_LAST - address;
}

static const uint64_t places[] = {
    0,
    HOSTILE_RAM - 1,
    HOSTILE_RAM,
    HOSTILE_RAM + 1,
    HOSTILE_RAM + PAGE - 1,
    MORE_RAM - 1,
    MORE_RAM,
    RAM_LAST,
    RAM_LAST + 1,
    HOSTILE_DEVICE,
    HOSTILE_READ_ONLY,
    HOSTILE_LAZY,
    HOSTILE_LAST,
    (uint64_t)1 << 40,
    HOSTILE_TOP,
    UINT64_MAX - 1,
    UINT64_MAX,
};

static const uint64_t sizes[] = {
    0,
    1,
    2,
    PAGE - 1,
    PAGE,
    PAGE + 1,
    2 * PAGE + 1,
    HOSTILE_RAM_SIZE,
    HOSTILE_RAM_SIZE + MORE_SIZE - 1,
    HOSTILE_RAM_SIZE + MORE_SIZE,
    HOSTILE_RAM_SIZE + MORE_SIZE + 1,
    (uint64_t)1 << 32,
    (uint64_t)1 << 63,
    UINT64_MAX - HOSTILE_RAM,
    UINT64_MAX - HOSTILE_RAM + 1, /* up to the top, and around it */
    UINT64_MAX - HOSTILE_RAM + 2,
    UINT64_MAX - 1,
    UINT64_MAX,
};

static void a_descriptor_reaches_ram_or_nothing(void **state)
{
    hostile_t *hostile = *state;
    device_t device = {0};
    uintptr_t pc = hostile_load(hostile, ring, sizeof(ring) / sizeof(ring[0]));

    add_bell(hostile, &device);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
            const seL4_Word x[4] = {TABLE, places[i], sizes[j], 0};
            bool valid = is_ram(places[i], sizes[j]);
            device = (device_t){0};
            assert_int_equal(hostile_run(hostile, pc, x, 0), 0);
            assert_int_equal(device.chain, 1);
            assert_int_equal(device.touched, valid ? sizes[j] : 0);
            assert_int_equal(device.refused, !valid);
            assert_int_equal(hostile->log_lines, !valid);
        }
    }
}

static void a_descriptor_lies_in_ram_or_is_refused(void **state)
{
    hostile_t *hostile = *state;
    device_t device = {0};
    uintptr_t pc = hostile_load(hostile, ring_only, sizeof(ring_only) / sizeof(ring_only[0]));

    add_bell(hostile, &device);
    for (size_t i = 1; i < sizeof(places) / sizeof(places[0]); i++) {
        const seL4_Word x[4] = {places[i], 0, 0, 0};
        device = (device_t){0};
        assert_int_equal(hostile_run(hostile, pc, x, 0), 0);
        assert_int_equal(device.chain == 0, !is_ram(places[i], sizeof(descriptor_t)));
    }
}

static void a_chain_that_bites_its_tail_ends(void **state)
{
    hostile_t *hostile = *state;
    device_t device = {0};
    uintptr_t pc = hostile_load(hostile, ring, sizeof(ring) / sizeof(ring[0]));

    add_bell(hostile, &device);
    /* The buffer is the descriptor itself, across the neighbours' boundary, and its successor. */
    const seL4_Word x[4] = {MORE_RAM - 8, MORE_RAM - 8, sizeof(descriptor_t), MORE_RAM - 8};
    assert_int_equal(hostile_run(hostile, pc, x, 0), 0);
    assert_int_equal(device.chain, MOST_LENGTH);
    assert_int_equal(device.touched, MOST_LENGTH * sizeof(descriptor_t));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, hostile_make, hostile_end)
    const struct CMUnitTest tests[] = {
        TEST(a_descriptor_reaches_ram_or_nothing),
        TEST(a_descriptor_lies_in_ram_or_is_refused),
        TEST(a_chain_that_bites_its_tail_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
