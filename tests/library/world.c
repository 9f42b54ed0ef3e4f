/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See world.h. */

#include "world.h"
#include <stdio.h>
#include <utils/util.h>
#include <vka/object.h>

/* The log's sink has one cookie a process; tests run one after another. */
static void count_line(void *cookie, int level, const char *line)
{
    world_t *world = cookie;
    if (level >= ZF_LOG_ERROR) {
        world->log_lines++;
        snprintf(world->log_line, sizeof(world->log_line), "%s", line);
    }
}

void world_make_vm(world_t *world, vm_t *vm)
{
    memset(vm, 0, sizeof(*vm));
    vm->vka = hosted_vka(world->system);
    vm->simple = hosted_simple(world->system);
    vm->io_ops = hosted_io_ops(world->system);
    vm->mem.vmm_vspace = *hosted_vmm_vspace(world->system);
    vm->mem.ram_regions = malloc(1);
    vm->mem.clean_cache = getenv("INCOHERENT") != NULL;
    assert_int_equal(vm_memory_init(vm), 0);
    assert_int_equal(vka_alloc_vspace_root(vm->vka, &vm->mem.vm_vspace_root), 0);
    assert_int_equal(simple_ASIDPool_assign(vm->simple, vm->mem.vm_vspace_root.cptr), seL4_NoError);
    assert_int_equal(vm_init_guest_vspace(&vm->mem.vmm_vspace, &vm->mem.vmm_vspace,
                                          &vm->mem.vm_vspace, vm->vka, vm->mem.vm_vspace_root.cptr),
                     0);
}

int world_setup(void **state)
{
    char error[256];
    world_t *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->system = hosted_system_create_from_file(BOARD_DTB, error, sizeof(error));
    if (world->system == NULL) {
        fail_msg("%s", error);
    }
    if (getenv("INCOHERENT") != NULL) {
        assert_int_equal(hosted_system_incoherent(world->system), 0);
    }
    world->fault_answer = FAULT_HANDLED;
    hosted_log_to(count_line, world);
    hosted_census_take(world->system, &world->before);
    world_make_vm(world, &world->vm);
    *state = world;
    return 0;
}

void world_renew(world_t *world)
{
    vm_memory_destroy(&world->vm);
    expect_census(world, &world->before);
    world_make_vm(world, &world->vm);
}

int world_teardown(void **state)
{
    world_t *world = *state;
    vm_memory_destroy(&world->vm);
    expect_census(world, &world->before);
    hosted_system_destroy(world->system);
    hosted_log_to(NULL, NULL);
    free(world);
    return 0;
}

memory_fault_result_t record_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                   size_t fault_length, void *cookie)
{
    world_t *world = cookie;
    world->faults++;
    world->fault_addr = fault_addr;
    world->fault_length = fault_length;
    return world->fault_answer;
}

vm_memory_reservation_t *world_reserve(world_t *world, uintptr_t addr, size_t size)
{
    vm_memory_reservation_t *reservation =
        vm_reserve_memory_at(&world->vm, addr, size, record_fault, world);
    assert_non_null(reservation);
    return reservation;
}

void expect_failure(world_t *world, guestmem_error_code_t code)
{
    const guestmem_error_t *error = guestmem_last_error(&world->vm);
    assert_string_equal(guestmem_error_name(error->code), guestmem_error_name(code));
    assert_int_equal(world->log_lines, 1);
    assert_non_null(strstr(world->log_line, error->message));
    assert_non_null(strstr(error->message, error->function));
    world->log_lines = 0;
}

void expect_same_census(const hosted_census_t *before, const hosted_census_t *after)
{
    if (!hosted_census_equal(before, after)) {
        hosted_census_print_difference(stderr, before, after);
        fail_msg("something was left behind or taken away");
    }
}

void expect_census(world_t *world, const hosted_census_t *before)
{
    hosted_census_t now;
    hosted_census_take(world->system, &now);
    expect_same_census(before, &now);
}

bool guest_has(world_t *world, uintptr_t gpa)
{
    hosted_stage2_mapping_t mapping;
    return hosted_stage2_translate(world->system, world->vm.mem.vm_vspace_root.cptr, gpa, &mapping);
}

hosted_stage2_mapping_t guest_mapping_at(world_t *world, uintptr_t gpa)
{
    hosted_stage2_mapping_t mapping;
    if (!hosted_stage2_translate(world->system, world->vm.mem.vm_vspace_root.cptr, gpa, &mapping)) {
        fail_msg("the guest has nothing at 0x%lx", (unsigned long)gpa);
    }
    return mapping;
}

unsigned char *guest_bytes(world_t *world, uintptr_t gpa)
{
    hosted_stage2_mapping_t mapping = guest_mapping_at(world, gpa);
    unsigned char *bytes =
        hosted_physical_memory(world->system, mapping.paddr + (gpa - mapping.gpa), 1);
    assert_non_null(bytes);
    return bytes;
}

vka_object_t world_frame(world_t *world, size_t size_bits)
{
    vka_object_t frame;
    assert_int_equal(vka_alloc_frame(world->vm.vka, (uint32_t)size_bits, &frame), 0);
    return frame;
}
