/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What `guestmem plan` promises: a machine takes exactly what its plan says, in every count. Each
 * description is planned, then made, then its VCPU is started, then every page that is mapped on
 * fault is touched; after each step everything is compared.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "command.h"
#include "machine_internal.h"
#include "plan.h"

#include <guestmem/inspect.h>
#include <hosted/counters.h>
#include <hosted/stage2.h>
#include <hosted/vm.h>
#include <inttypes.h>
#include <sel4vm/boot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 0x1000

/** What a machine has taken since it began, in a plan's counts. */
static void count_taken(machine_t *machine, uint64_t taken[PLAN_NUM_COUNTS])
{
    static const struct {
        plan_count_t count;
        hosted_invocation_t kind;
    } kinds[] = {
        {PLAN_RETYPES, HOSTED_UNTYPED_RETYPE},
        {PLAN_COPIES, HOSTED_CNODE_COPY},
        {PLAN_MINTS, HOSTED_CNODE_MINT},
        {PLAN_PAGE_MAPS, HOSTED_PAGE_MAP},
        {PLAN_PAGE_UNMAPS, HOSTED_PAGE_UNMAP},
        {PLAN_PAGE_CLEANS, HOSTED_PAGE_CACHE},
        {PLAN_TABLE_MAPS, HOSTED_PAGE_TABLE_MAP},
        {PLAN_TCB_CALLS, HOSTED_TCB},
        {PLAN_ASID_ASSIGNS, HOSTED_ASID_POOL_ASSIGN},
        {PLAN_VCPU_CALLS, HOSTED_VCPU},
    };
    const hosted_census_t *before = &machine->census;
    hosted_system_t *system = machine_system(machine);
    guestmem_statistics_t statistics;
    hosted_census_t now;

    hosted_census_take(system, &now);
    assert_int_equal(guestmem_get_statistics(machine_vm(machine), &statistics), 0);
    memset(taken, 0, PLAN_NUM_COUNTS * sizeof(taken[0]));
    taken[PLAN_RESERVATIONS] = statistics.reservations;
    taken[PLAN_FRAMES_4K] = statistics.frames[GUESTMEM_FRAME_4K];
    taken[PLAN_FRAMES_2M] = statistics.frames[GUESTMEM_FRAME_2M];
    taken[PLAN_FRAMES_1G] = statistics.frames[GUESTMEM_FRAME_1G];
    taken[PLAN_TABLES_1G] = now.page_tables - before->page_tables; /* of both levels */
    taken[PLAN_SLOTS] = now.slots - before->slots;
    taken[PLAN_UNTYPED_BYTES] = now.untyped_bytes - before->untyped_bytes;
    taken[PLAN_WINDOWS] = now.vmm_reservations - before->vmm_reservations;
    taken[PLAN_WINDOW_FRAMES] = now.vmm_mappings - before->vmm_mappings;
    taken[PLAN_WINDOW_BYTES] = now.vmm_bytes - before->vmm_bytes;
    taken[PLAN_HEAP_BLOCKS] = now.heap_blocks - before->heap_blocks;
    taken[PLAN_HEAP_BYTES] = now.heap_bytes - before->heap_bytes;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        taken[kinds[i].count] = hosted_invocation_count(system, kinds[i].kind);
    }
    assert_int_equal(statistics.page_tables, taken[PLAN_TABLES_1G]);
    assert_int_equal(statistics.window_frames, taken[PLAN_WINDOW_FRAMES]);
    assert_int_equal(now.frames_4k - before->frames_4k, taken[PLAN_FRAMES_4K]);
    assert_int_equal(now.frames_2m - before->frames_2m, taken[PLAN_FRAMES_2M]);
    assert_int_equal(now.frames_1g - before->frames_1g, taken[PLAN_FRAMES_1G]);
}

/** What the first parts of a plan take, in the counts that can be told apart in a machine. */
static void sum_parts(const plan_t *plan, plan_part_t last, uint64_t sum[PLAN_NUM_COUNTS],
                      uint64_t *invocations)
{
    memset(sum, 0, PLAN_NUM_COUNTS * sizeof(sum[0]));
    *invocations = 0;
    for (int part = 0; part <= (int)last; part++) {
        for (int count = 0; count < PLAN_NUM_COUNTS; count++) {
            sum[count] += plan->counts[part][count];
        }
        *invocations += plan_invocations(plan, (plan_part_t)part);
    }
    sum[PLAN_RETYPES] += sum[PLAN_SPLIT_RETYPES];
    sum[PLAN_SPLIT_RETYPES] = 0;
    sum[PLAN_TABLES_1G] += sum[PLAN_TABLES_2M];
    sum[PLAN_TABLES_2M] = 0;
}

static void expect_taken(machine_t *machine, const plan_t *plan, plan_part_t last)
{
    uint64_t taken[PLAN_NUM_COUNTS];
    uint64_t planned[PLAN_NUM_COUNTS];
    uint64_t invocations;
    int different = 0;

    count_taken(machine, taken);
    sum_parts(plan, last, planned, &invocations);
    for (int count = 0; count < PLAN_NUM_COUNTS; count++) {
        if (taken[count] != planned[count]) {
            fprintf(stderr, "%s: part %d, count %d: planned %" PRIu64 ", taken %" PRIu64 "\n",
                    plan->title, (int)last, count, planned[count], taken[count]);
            different++;
        }
    }
    assert_int_equal(different, 0);
    assert_int_equal(hosted_invocation_total(machine_system(machine)), invocations);
}

/** Start the VCPU as a run does. */
static vm_vcpu_t *start_vcpu(machine_t *machine)
{
    vm_vcpu_t *vcpu = vm_create_vcpu(machine_vm(machine), 100);

    assert_non_null(vcpu);
    assert_int_equal(vm_assign_vcpu_target(vcpu, 0), 0);
    assert_int_equal(hosted_vm_set_entry(vcpu, 0, 0, 0, 0, 0), 0);
    assert_int_equal(vcpu_start(vcpu), 0);
    return vcpu;
}

/** Let every page fault that is mapped on fault. */
static void touch_all(machine_t *machine, vm_vcpu_t *vcpu)
{
    const vm_description_t *description = machine_description(machine);
    hosted_stage2_mapping_t mapping;
    vm_t *vm = machine_vm(machine);

    for (size_t i = 0; i < description->num_ranges; i++) {
        const vm_range_t *range = &description->ranges[i];
        for (uint64_t at = 0; range->on_fault && at < range->size; at += PAGE) {
            uint64_t gpa = range->base + at;
            if (!hosted_stage2_translate(machine_system(machine), vm->mem.vm_vspace_root.cptr, gpa,
                                         &mapping)) {
                assert_int_equal(vm_memory_handle_fault(vm, vcpu, gpa, 1), FAULT_RESTART);
            }
        }
    }
}

static plan_t expect_as_planned(const char *path)
{
    cli_error_t error = {0};
    plan_t plan;
    int result = plan_make(&plan, path, NULL, &error);

    assert_string_equal(error.line, "");
    assert_int_equal(result, 0);
    machine_t *machine = machine_create(path, NULL, &error);
    assert_string_equal(error.line, "");
    assert_non_null(machine);
    expect_taken(machine, &plan, PLAN_MEMORY);
    vm_vcpu_t *vcpu = start_vcpu(machine);
    expect_taken(machine, &plan, PLAN_VCPU);
    touch_all(machine, vcpu);
    expect_taken(machine, &plan, PLAN_ON_FAULT);
    assert_int_equal(machine_destroy(machine), 0);
    return plan;
}

static plan_t expect_source_as_planned(const char *nodes)
{
    char *folder = command_make_folder();
    char *text;
    int length =
        asprintf(&text, "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n%s };\n", nodes);

    assert_true(length > 0);
    free(command_write_file(folder, "text", "some text", 9));
    free(command_write_file(folder, "empty", "", 0));
    char *path = command_write_file(folder, "vm.dts", text, (size_t)length);
    plan_t plan = expect_as_planned(path);
    free(text);
    free(path);
    command_remove_folder(folder);
    return plan;
}

static void u_boot_takes_what_its_plan_says(void **state)
{
    (void)state;
    if (access("/usr/lib/u-boot/qemu_arm64/u-boot.bin", R_OK) != 0) {
        skip(); /* Debian's u-boot-qemu is not installed */
    }
    plan_t plan = expect_as_planned(GUESTMEM_BOARDS "/u-boot-vm.dts");
    assert_string_equal(plan.title, "U-Boot on guestmem");
    assert_true(plan.counts[PLAN_MEMORY][PLAN_FRAMES_2M] > 0);
    assert_true(plan.counts[PLAN_MEMORY][PLAN_WINDOWS] > 0);
}

static void every_backing_takes_what_its_plan_says(void **state)
{
    (void)state;
#ifdef GUESTMEM_EXAMPLE
    plan_t plan = expect_as_planned(GUESTMEM_EXAMPLE);
    assert_true(plan.counts[PLAN_ON_FAULT][PLAN_FRAMES_4K] > 0);
#else
    skip(); /* no cross compiler for the example guest */
#endif
}

static void mixed_sizes_take_what_their_plan_says(void **state)
{
    (void)state;
    plan_t plan = expect_source_as_planned(
        "a { reg = <0 0x3fe00000 0 0x40600000>; guestmem,backing = \"ram\"; };\n"
        "b { reg = <0x1 0x001ff000 0 0x00603000>; guestmem,backing = \"frames\";\n"
        "    guestmem,load = \"text\"; };\n"
        "c { reg = <0x2 0x0 0 0x1>, <0x2 0x1 0 0xfff>; guestmem,backing = \"emulated\";\n"
        "    guestmem,device = \"ones\"; };\n"
        "d { reg = <0x2 0x1234 0 0x1>; guestmem,backing = \"maybe-device\";\n"
        "    guestmem,load = \"empty\"; };\n");
    assert_true(plan.counts[PLAN_MEMORY][PLAN_FRAMES_1G] == 1);
    assert_true(plan.counts[PLAN_MEMORY][PLAN_FRAMES_2M] >= 3);
    assert_true(plan.counts[PLAN_MEMORY][PLAN_FRAMES_4K] >= 4);
}

static void misaligned_physical_memory_takes_what_its_plan_says(void **state)
{
    (void)state;
    plan_t plan = expect_source_as_planned(
        "a { reg = <0 0x50000000 0 0x00600000>; guestmem,backing = \"untyped-at\";\n"
        "    guestmem,paddr = <0x60001000>; };\n"
        "b { reg = <0 0x68000000 0 0x00401000>; guestmem,backing = \"ram-untyped\";\n"
        "    guestmem,device-tree = \"self\"; };\n"
        "c { reg = <0 0x70000000 0 0x00200000>; guestmem,backing = \"untyped\"; };\n"
        "d { reg = <0 0x09000000 0 0x1000>; guestmem,backing = \"device-frame\"; };\n");
    assert_int_equal(plan.counts[PLAN_MEMORY][PLAN_FRAMES_2M], 3);
    assert_int_equal(plan.counts[PLAN_MEMORY][PLAN_FRAMES_4K], 0x600 + 1 + 1);
}

static void anonymous_ranges_take_what_their_plan_says(void **state)
{
    (void)state;
    expect_source_as_planned(
        "x { reg = <0 0x80000800 0 0x00800000>; guestmem,backing = \"anonymous\"; };\n"
        "y { reg = <0 0x90000000 0 0x00003000>; guestmem,backing = \"anonymous\"; };\n"
        "a { guestmem,size = <0x4001>; guestmem,backing = \"ram\"; };\n"
        "b { guestmem,size = <0x1000>; guestmem,backing = \"ram\";\n"
        "    guestmem,device-tree = \"self\"; };\n"
        "c { guestmem,size = <0x7f0000>; guestmem,backing = \"frames\"; };\n"
        "d { guestmem,size = <0x3000>; guestmem,backing = \"frames\"; };\n"
        "e { guestmem,size = <0x10>; guestmem,backing = \"emulated\";\n"
        "    guestmem,device = \"zeros\"; };\n");
}

static void faults_take_what_their_plan_says(void **state)
{
    (void)state;
    plan_t plan = expect_source_as_planned(
        "a { reg = <0 0x401ff000 0 0x00602000>; guestmem,backing = \"frames\";\n"
        "    guestmem,map-on-fault; };\n"
        "b { reg = <0 0x50000000 0 0x00004000>; guestmem,backing = \"ram\"; };\n"
        "c { reg = <0 0x60000000 0 0x00201000>; guestmem,backing = \"untyped\";\n"
        "    guestmem,map-on-fault; };\n");
    assert_int_equal(plan.counts[PLAN_MEMORY][PLAN_FRAMES_2M], 0);
    assert_int_equal(plan.counts[PLAN_ON_FAULT][PLAN_FRAMES_2M], 4);
    assert_int_equal(plan.counts[PLAN_ON_FAULT][PLAN_FRAMES_4K], 3);
}

static void large_guests_take_what_their_plan_says(void **state)
{
    static const char board[] = "/dts-v1/; / { #address-cells = <2>; #size-cells = <2>;\n"
                                "memory@40000000 { device_type = \"memory\";\n"
                                "reg = <0x0 0x40000000 0x20 0x0>; }; };\n";
    static const char vm[] = "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n"
                             "guestmem,board = \"./board.dts\";\n"
                             "ram { reg = <0x0 0x40000000 0x10 0x00000000>;\n"
                             "guestmem,backing = \"ram\"; }; };\n";
    char *folder = command_make_folder();

    (void)state;
    free(command_write_file(folder, "board.dts", board, strlen(board)));
    char *path = command_write_file(folder, "vm.dts", vm, strlen(vm));
    plan_t plan = expect_as_planned(path);
    assert_int_equal(plan.counts[PLAN_MEMORY][PLAN_FRAMES_1G], 64);
    assert_int_equal(plan.counts[PLAN_MEMORY][PLAN_TABLES_1G], 0);
    free(path);
    command_remove_folder(folder);
}

/** Whether the command plans a description, and what its error line says. */
static void expect_refused(const char *nodes, const char *property, const char *reason)
{
    char *folder = command_make_folder();
    char *text;
    int length =
        asprintf(&text, "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n%s };\n", nodes);
    char *path = command_write_file(folder, "vm.dts", text, (size_t)length);

    for (int map = 0; map < 2; map++) {
        const char *arguments[] = {map ? "map" : "plan", path, NULL};
        command_result_t result = command_run(arguments, NULL);
        assert_int_equal(result.status, 1);
        assert_string_equal(result.output, "");
        if (strstr(result.messages, property) == NULL ||
            (!map && strstr(result.messages, reason) == NULL)) {
            fail_msg("%s: %s", arguments[0], result.messages);
        }
        assert_non_null(strstr(result.messages, "/n"));
        assert_ptr_equal(strchr(result.messages, '\n') + 1,
                         result.messages + strlen(result.messages));
        command_release(&result);
    }
    free(text);
    free(path);
    command_remove_folder(folder);
}

static void what_cannot_be_made_is_not_planned(void **state)
{
    (void)state;
    expect_refused("n { reg = <0x1 0 0x10 0>; guestmem,backing = \"ram\"; };", "guestmem,backing",
                   "memory is used up");
    expect_refused("n { reg = <0 0x10000000 0 0x1000>; guestmem,backing = \"untyped-at\";"
                   "guestmem,paddr = /bits/ 64 <0x7000000000>; };",
                   "guestmem,paddr", "no free untyped memory");
    expect_refused("m { reg = <0 0x50000000 0 0x2000>; guestmem,backing = \"ram\"; };"
                   "n { reg = <0 0x50001000 0 0x2000>; guestmem,backing = \"ram\"; };",
                   "reg", "overlaps");
    expect_refused("m { reg = <0 0x50000000 0 0x1800>; guestmem,backing = \"ram\"; };"
                   "n { reg = <0 0x50001800 0 0x10>; guestmem,backing = \"emulated\";"
                   "guestmem,device = \"ones\"; };",
                   "reg", "shares a page");
    expect_refused("n { guestmem,size = <0x1000>; guestmem,backing = \"ram\"; };", "guestmem,size",
                   "no anonymous region");
    expect_refused("n { reg = <0xff 0xffff0000 0 0x20000>; guestmem,backing = \"ram\"; };", "reg",
                   "");
    expect_refused("n { reg = <0 0x50000000 0 0x1000>; guestmem,backing = \"ram\";"
                   "guestmem,load = \"missing\"; };",
                   "guestmem,load", "missing");
    expect_refused("n { reg = <0 0x50000000 0 0x1000>; guestmem,backing = \"emulated\";"
                   "guestmem,device = \"wool\"; };",
                   "guestmem,device", "wool");
}

static void the_command_prints_both_forms(void **state)
{
    static const char source[] = "/dts-v1/;\n/ { model = \"a \\\"VM\\\"\"; #address-cells = <2>;\n"
                                 "#size-cells = <2>; n { reg = <0 0x50000000 0 0x200000>;\n"
                                 "guestmem,backing = \"ram\"; }; };\n";
    char *folder = command_make_folder();
    char *path = command_write_file(folder, "vm.dts", source, strlen(source));
    const char *const lines[] = {"--text", "frames of 2 MiB",
                                 "--json", "\"frames_2m\": 1,",
                                 "--json", "\"title\": \"a \\\"VM\\\"\"",
                                 "--text", "Plan of a \"VM\" on qemu-arm-virt.dt"};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i += 2) {
        const char *arguments[] = {"plan", lines[i], path, NULL};
        command_result_t result = command_run(arguments, NULL);
        assert_string_equal(result.messages, "");
        assert_int_equal(result.status, 0);
        assert_non_null(strstr(result.output, lines[i + 1]));
        command_release(&result);
    }
    free(path);
    command_remove_folder(folder);
}

static void the_command_explains_its_usage(void **state)
{
    static const char *const wrong[][4] = {
        {"plan", NULL}, {"plan", "a.dts", "b.dts", NULL}, {"plan", "--svg", "a.dts", NULL}};
    const char *help[] = {"plan", "--help", NULL};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        command_result_t result = command_run(wrong[i], NULL);
        assert_int_equal(result.status, 2);
        assert_non_null(strstr(result.messages, "guestmem plan"));
        command_release(&result);
    }
    command_result_t result = command_run(help, NULL);
    assert_int_equal(result.status, 0);
    assert_non_null(strstr(result.output, "Usage: guestmem plan"));
    command_release(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(u_boot_takes_what_its_plan_says),
        cmocka_unit_test(every_backing_takes_what_its_plan_says),
        cmocka_unit_test(mixed_sizes_take_what_their_plan_says),
        cmocka_unit_test(misaligned_physical_memory_takes_what_its_plan_says),
        cmocka_unit_test(anonymous_ranges_take_what_their_plan_says),
        cmocka_unit_test(faults_take_what_their_plan_says),
        cmocka_unit_test(large_guests_take_what_their_plan_says),
        cmocka_unit_test(what_cannot_be_made_is_not_planned),
        cmocka_unit_test(the_command_prints_both_forms),
        cmocka_unit_test(the_command_explains_its_usage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
