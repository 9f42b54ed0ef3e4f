/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * See guest.h.
 *
 * The guest ends by a store to GUEST_EXIT. Its callback completes the store and answers
 * FAULT_ERROR: so vm_run() comes back, and the VCPU is at no fault and can be stopped and started
 * anew. (libsel4vm has no call to end vm_run(), and forgets no fault that was not completed.)
 */

#include "guest.h"
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/guest_vm_util.h>
#include <stdlib.h>
#include <string.h>

/* The registers at the start: all interrupts masked. */
#ifdef CONFIG_ARCH_AARCH64
#define GUEST_START                                                                                \
    {                                                                                              \
        .pc = GUEST_RAM, .spsr = 0x3c5 /* EL1h */, .x0 = GUEST_LIST, .x1 = GUEST_EXIT              \
    }
#else
#define GUEST_START                                                                                \
    {                                                                                              \
        .pc = GUEST_RAM, .cpsr = 0x1d3 /* supervisor */, .r0 = GUEST_LIST, .r1 = GUEST_EXIT        \
    }
#endif

const size_t guest_widths[GUEST_NUM_WIDTHS] = {
    1,
    2,
    4,
#ifdef CONFIG_ARCH_AARCH64
    8,
#endif
};

uint64_t guest_width_mask(size_t width)
{
    return width < 8 ? ((uint64_t)1 << (width * 8)) - 1 : ~(uint64_t)0;
}

static memory_fault_result_t on_exit_store(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                           void *cookie)
{
    (void)vm, (void)addr, (void)length;
    guest_t *guest = cookie;
    guest->ended = true;
    advance_vcpu_fault(vcpu);
    return FAULT_ERROR;
}

/* Copy into or out of guest RAM, past the caches. */
typedef struct transfer {
    suite_t *suite;
    unsigned char *buffer;
    bool write;
} transfer_t;

void guest_clean(suite_t *suite, void *vaddr, size_t size)
{
    uintptr_t start = (uintptr_t)vaddr & (PAGE - 1);
    seL4_CPtr cap = vspace_get_cap(&suite->guest->vm.mem.vmm_vspace, (char *)vaddr - start);
    if (EXPECT(cap != seL4_CapNull)) {
        EXPECT_ERROR(seL4_ARM_Page_CleanInvalidate_Data(cap, start, start + size), seL4_NoError);
        EXPECT_ERROR(seL4_ARM_Page_Unify_Instruction(cap, start, start + size), seL4_NoError);
    }
}

static int transfer_page(vm_t *vm, uintptr_t addr, void *vaddr, size_t size, size_t offset,
                         void *cookie)
{
    (void)vm, (void)addr;
    const transfer_t *transfer = cookie;
    if (transfer->write) {
        memcpy(vaddr, transfer->buffer + offset, size);
    }
    guest_clean(transfer->suite, vaddr, size);
    if (!transfer->write) {
        memcpy(transfer->buffer + offset, vaddr, size);
    }
    return 0;
}

static bool transfer(suite_t *suite, uintptr_t addr, void *buffer, size_t size, bool write)
{
    transfer_t cookie = {suite, buffer, write};
    return EXPECT(vm_ram_touch(&suite->guest->vm, addr, size, transfer_page, &cookie) == 0);
}

static bool load_program(suite_t *suite)
{
    guest_t *guest = suite->guest;
    size_t size = (size_t)(conformance_guest_end - conformance_guest);
    /* Small frames, so that an offset in a page is one in its frame. */
    return EXPECT(guestmem_set_largest_frame(&guest->vm, seL4_PageBits) == 0) &&
           EXPECT(vm_ram_register_at(&guest->vm, GUEST_RAM, GUEST_RAM_SIZE, false) == 0) &&
           EXPECT(guestmem_set_largest_frame(&guest->vm, BLOCK_BITS) == 0) &&
           EXPECT(guestmem_pointer(&guest->vm, GUEST_RAM, GUEST_RAM_SIZE) != NULL) &&
           transfer(suite, GUEST_RAM, (void *)(uintptr_t)conformance_guest, size, true) &&
           EXPECT(vm_reserve_memory_at(&guest->vm, GUEST_EXIT, PAGE, on_exit_store, guest) != NULL);
}

static bool start_guest(suite_t *suite)
{
    const conformance_env_t *env = suite->env;
    guest_t *guest = suite->guest = calloc(1, sizeof(*guest));
    if (!EXPECT(guest != NULL)) {
        return false;
    }
    guest->state = GUEST_LOST;
    counting_t *counting = &guest->counting;
    counting_init(counting, env->vka, env->vspace, env->io_ops);
    if (!EXPECT(vm_init(&guest->vm, &counting->vka, env->simple, counting->vspace,
                        &counting->io_ops, env->endpoint, "conformance") == 0)) {
        return false;
    }
    guest->vcpu = vm_create_vcpu(&guest->vm, env->guest_priority);
    if (!EXPECT(guestmem_set_map_time(&guest->vm, GUESTMEM_MAP_NOW) == 0) ||
        !EXPECT(guest->vcpu != NULL) ||
        !EXPECT(vm_assign_vcpu_target(guest->vcpu, BOOT_VCPU) == 0) || !load_program(suite)) {
        return false;
    }
    guest->state = GUEST_READY;
    return true;
}

/* Give back what a check has left, so that the next one finds the guest as this one did. */
static void free_reservations(suite_t *suite)
{
    vm_t *vm = &suite->guest->vm;
    vm_memory_reservation_t *r = NULL;
    vm_memory_reservation_t *next = guestmem_next_reservation(vm, NULL);
    while ((r = next) != NULL) {
        uintptr_t addr;
        size_t size;
        next = guestmem_next_reservation(vm, r);
        vm_get_reservation_memory_region(r, &addr, &size);
        if (addr != GUEST_RAM && addr != GUEST_EXIT) {
            EXPECT(vm_free_reserved_memory(vm, r) == 0);
        }
    }
}

void guest_run_check(suite_t *suite)
{
    if (suite->env->no_guest != NULL) {
        suite_skip(suite, suite->env->no_guest);
        return;
    }
    if (suite->guest == NULL && !start_guest(suite)) {
        return;
    }
    guest_t *guest = suite->guest;
    if (guest->state != GUEST_READY) {
        suite_expect(suite, false, "a guest that runs, but it was lost before", __FILE__, __LINE__);
        return;
    }
    holdings_t before = guest->counting.held;
    suite->check->run(suite);
    counting_fail_at(&guest->counting, 0);
    EXPECT(guestmem_set_largest_frame(&guest->vm, BLOCK_BITS) == 0);
    EXPECT(guestmem_set_map_time(&guest->vm, GUESTMEM_MAP_NOW) == 0);
    free_reservations(suite);
    EXPECT(holdings_equal(&before, &guest->counting.held));
}

void guest_end(suite_t *suite)
{
    guest_t *guest = suite->guest;
    if (guest == NULL) {
        return;
    }
    suite->guest = NULL;
    /* Where the runtime cannot end a VM, it may look at it still: then its memory stays. */
    if (suite->env->end_vm != NULL) {
        suite->env->end_vm(&guest->vm);
        free(guest);
    }
}

void guest_clear(suite_t *suite)
{
    suite->guest->num_ops = 0;
}

static size_t add_op(suite_t *suite, guest_op_t op)
{
    guest_t *guest = suite->guest;
    if (!EXPECT(guest->num_ops + 1 < GUEST_MOST_OPS)) {
        return 0;
    }
    guest->ops[guest->num_ops] = op;
    return guest->num_ops++;
}

size_t guest_load(suite_t *suite, size_t width, uintptr_t address)
{
    return add_op(suite, (guest_op_t){GUEST_OP_LOAD, width, address, GUEST_UNTOUCHED});
}

size_t guest_store(suite_t *suite, size_t width, uintptr_t address, uint64_t value)
{
    return add_op(suite, (guest_op_t){GUEST_OP_STORE, width, address, value});
}

/* Put the VCPU at the start of the program, whatever it did before. */
static bool reset_vcpu(suite_t *suite)
{
    vm_vcpu_t *vcpu = suite->guest->vcpu;
    seL4_UserContext context = GUEST_START;
    return EXPECT_ERROR(seL4_TCB_Suspend(vm_get_vcpu_tcb(vcpu)), seL4_NoError) &&
           EXPECT(vm_set_thread_context(vcpu, context) == 0) && EXPECT(vcpu_start(vcpu) == 0);
}

/* Run the guest with its list. @return whether it could be started */
static bool run_list(suite_t *suite, int *result)
{
    guest_t *guest = suite->guest;
    size_t size = (guest->num_ops + 1) * sizeof(guest->ops[0]);
    guest->ops[guest->num_ops] = (guest_op_t){.kind = GUEST_OP_END};
    guest->ended = false;
    if (guest->state != GUEST_READY || !transfer(suite, GUEST_LIST, guest->ops, size, true) ||
        !reset_vcpu(suite)) {
        return false;
    }
    *result = vm_run(&guest->vm);
    if (!guest->ended) {
        guest->state = GUEST_LOST; /* at a fault that nobody completed: it cannot be restarted */
    }
    return true;
}

bool guest_go(suite_t *suite)
{
    guest_t *guest = suite->guest;
    int result;
    if (!run_list(suite, &result) || !EXPECT(guest->ended)) {
        return false;
    }
    EXPECT_ERROR(seL4_TCB_Suspend(vm_get_vcpu_tcb(guest->vcpu)), seL4_NoError);
    EXPECT(result < 0); /* as FAULT_ERROR ends it */
    return transfer(suite, GUEST_LIST, guest->ops, guest->num_ops * sizeof(guest->ops[0]), false);
}

void guest_go_to_its_end(suite_t *suite)
{
    int result;
    if (run_list(suite, &result)) {
        EXPECT(!suite->guest->ended);
        EXPECT(result < 0);
    }
}

uint64_t guest_loaded(suite_t *suite, size_t index)
{
    const guest_op_t *op = &suite->guest->ops[index];
    return op->value & guest_width_mask(op->width);
}

uint64_t guest_load_now(suite_t *suite, size_t width, uintptr_t address)
{
    guest_clear(suite);
    size_t load = guest_load(suite, width, address);
    return guest_go(suite) ? guest_loaded(suite, load) : 0;
}

void guest_store_now(suite_t *suite, size_t width, uintptr_t address, uint64_t value)
{
    guest_clear(suite);
    guest_store(suite, width, address, value);
    guest_go(suite);
}

memory_fault_result_t device_access(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t length,
                                    void *cookie)
{
    (void)vm;
    device_t *device = cookie;
    if (device->count < (int)(sizeof(device->seen) / sizeof(device->seen[0]))) {
        int i = device->count;
        device->seen[i].address = addr;
        device->seen[i].ip = get_vcpu_fault_ip(vcpu);
        device->seen[i].length = length;
        device->seen[i].size = get_vcpu_fault_size(vcpu);
        device->seen[i].read = is_vcpu_read_fault(vcpu);
        device->seen[i].data = device->seen[i].read ? 0 : get_vcpu_fault_data(vcpu);
        device->seen[i].mask = get_vcpu_fault_data_mask(vcpu);
    }
    device->count++;
    if (device->result != FAULT_HANDLED) {
        return device->result;
    }
    if (is_vcpu_read_fault(vcpu)) {
        set_vcpu_fault_data(vcpu, device->answer);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

vm_memory_reservation_t *guest_device(suite_t *suite, uintptr_t addr, size_t size, device_t *device)
{
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(&suite->guest->vm, addr, size, device_access, device);
    EXPECT(r != NULL);
    return r;
}
