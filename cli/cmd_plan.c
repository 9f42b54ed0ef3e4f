/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem plan`: build a description's VM as `guestmem map` does, start its VCPU, fault in
 * every frame that is mapped on fault, and print what each of these parts took. All counts are
 * sampled before and after each part; what a part took is the difference of two samples.
 */

#include "commands.h"

#include "build_and_print.h"
#include "plan.h"
#include "report.h"

#include <guestmem/error.h>
#include <guestmem/inspect.h>
#include <hosted/census.h>
#include <hosted/counters.h>
#include <hosted/log.h>
#include <hosted/stage2.h>
#include <inttypes.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>
#include <stddef.h>
#include <string.h>

static const char help[] =
    "Usage: guestmem plan [options] VM.dts|VM.dtb\n"
    "\n"
    "Build the virtual machine that a device tree describes, on a hosted seL4 system, and\n"
    "print what it took: frames, page tables, capability slots, memory, address space and\n"
    "heap of the VMM, and kernel invocations. The guest does not run; every page that is\n"
    "mapped on fault is faulted on.\n"
    "\n"
    "  --text          a table (the default)\n"
    "  --json          JSON\n"
    "  --camkes        attributes of a virtual machine of camkes-vm\n"
    "  --microkit      a system description of Microkit, with the VM's memory\n"
    "  --board BOARD   a board's name or device tree, instead of the description's\n"
    "  --overlay FILE  an overlay for the board's tree; can be given again\n"
    "  --help          print this\n"
    "\n"
    "Exit status: 0; 1 if the description is wrong or does not fit the board; 2 for wrong usage.\n";

/** All that is counted. What comes after `invocations` is left out of the text where it is 0. */
typedef struct sample {
    hosted_census_t census;
    guestmem_statistics_t memory;
    uint64_t tables_1g; /* page tables that span 1 GiB each */
    uint64_t tables_2m;
    uint64_t invocations;
    uint64_t objects; /* invocations of Untyped_Retype that made one, and */
    uint64_t splits;  /* those that cut an untyped up */
    uint64_t kinds[HOSTED_NUM_INVOCATIONS];
} sample_t;

/** A row is a member of the samples. */
typedef struct row {
    size_t offset;
    const char *text;
    const char *json; /* NULL: only in the text */
} row_t;

#define MEMBER(member)   offsetof(sample_t, member)
#define INVOCATION(kind) offsetof(sample_t, kinds[HOSTED_##kind])
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "each member is read as a uint64_t");

static const row_t rows[] = {
    {MEMBER(memory.reservations), "reservations", "reservations"},
    {MEMBER(census.frames_4k), "frames of 4 KiB", "frames_4k"},
    {MEMBER(census.frames_2m), "frames of 2 MiB", "frames_2m"},
    {MEMBER(census.frames_1g), "frames of 1 GiB", "frames_1g"},
    {MEMBER(tables_1g), "page tables for 1 GiB", "page_tables_1g"},
    {MEMBER(tables_2m), "page tables for 2 MiB", "page_tables_2m"},
    {MEMBER(census.slots), "capability slots", "slots"},
    {MEMBER(census.untyped_bytes), "untyped memory, bytes", "untyped_bytes"},
    {MEMBER(census.vmm_reservations), "windows in the VMM", "windows"},
    {MEMBER(census.vmm_mappings), "  frames in them", "window_frames"},
    {MEMBER(census.vmm_bytes), "  address space, bytes", "window_bytes"},
    {MEMBER(census.heap_blocks), "heap blocks", "heap_blocks"},
    {MEMBER(census.heap_bytes), "heap, bytes", "heap_bytes"},
    {MEMBER(invocations), "kernel invocations", "invocations"},
    {MEMBER(objects), "  Untyped_Retype, objects", "untyped_retype"},
    {MEMBER(splits), "  Untyped_Retype, splits", "untyped_retype_splits"},
    {INVOCATION(CNODE_COPY), "  CNode_Copy", "cnode_copy"},
    {INVOCATION(CNODE_MINT), "  CNode_Mint", "cnode_mint"},
    {INVOCATION(CNODE_MOVE), "  CNode_Move", NULL},
    {INVOCATION(CNODE_DELETE), "  CNode_Delete", NULL},
    {INVOCATION(CNODE_REVOKE), "  CNode_Revoke", NULL},
    {INVOCATION(PAGE_MAP), "  ARM_Page_Map", "page_map"},
    {INVOCATION(PAGE_UNMAP), "  ARM_Page_Unmap", "page_unmap"},
    {INVOCATION(PAGE_GET_ADDRESS), "  ARM_Page_GetAddress", NULL},
    {INVOCATION(PAGE_CACHE), "  ARM_Page_Clean_Data", "page_clean"},
    {INVOCATION(PAGE_TABLE_MAP), "  ARM_PageTable_Map", "page_table_map"},
    {INVOCATION(PAGE_TABLE_UNMAP), "  ARM_PageTable_Unmap", NULL},
    {INVOCATION(ASID_POOL_ASSIGN), "  ARM_ASIDPool_Assign", "asid_pool_assign"},
    {INVOCATION(TCB), "  TCB", "tcb"},
    {INVOCATION(VCPU), "  ARM_VCPU", "vcpu"},
};

enum { NUM_PARTS = 4, NUM_ROWS = sizeof(rows) / sizeof(rows[0]) };

static const char *const part_names[NUM_PARTS] = {"VM", "memory", "VCPU", "on fault"};
static const char *const part_keys[NUM_PARTS] = {"vm", "memory", "vcpu", "on_fault"};

typedef struct plan {
    sample_t samples[NUM_PARTS + 2]; /* before the first part, after each, and of plan_camkes() */
    int num_samples;
} plan_t;

/** Count the gibibytes that have a page table. Mappings come in order, so only the end of the last
 * such gibibyte is kept. */
typedef struct spans {
    uint64_t count;
    uint64_t end;
} spans_t;

static bool count_span(void *cookie, const hosted_stage2_mapping_t *mapping)
{
    spans_t *spans = cookie;

    if (mapping->size_bits < seL4_HugePageBits && mapping->gpa >= spans->end) {
        spans->count++;
        spans->end = ((mapping->gpa >> seL4_HugePageBits) + 1) << seL4_HugePageBits;
    }
    return true;
}

static void take_sample(void *cookie, machine_t *machine)
{
    plan_t *plan = cookie;
    sample_t *sample = &plan->samples[plan->num_samples++];
    const hosted_census_t *census = &sample->census;
    hosted_system_t *system = machine_system(machine);
    vm_t *vm = machine_vm(machine);
    spans_t spans = {0};

    hosted_census_take(system, &sample->census);
    if (vm != NULL) { /* in all samples but the first */
        guestmem_get_statistics(vm, &sample->memory);
        hosted_stage2_for_each(system, vm->mem.vm_vspace_root.cptr, count_span, &spans);
    }
    sample->tables_1g = spans.count;
    sample->tables_2m = sample->memory.page_tables - spans.count;
    sample->invocations = hosted_invocation_total(system);
    for (int kind = 0; kind < HOSTED_NUM_INVOCATIONS; kind++) {
        sample->kinds[kind] = hosted_invocation_count(system, kind);
    }
    sample->objects = census->objects + census->frames_4k + census->frames_2m + census->frames_1g;
    sample->splits = sample->kinds[HOSTED_UNTYPED_RETYPE] - sample->objects;
}

/** Let the guest touch each page of a range. */
static int touch(machine_t *machine, const vm_range_t *range, cli_error_t *error)
{
    vm_t *vm = machine_vm(machine);
    hosted_stage2_mapping_t frame;

    for (uint64_t gpa = range->base; gpa - range->base < range->size; gpa = (gpa | 0xfff) + 1) {
        if (!hosted_stage2_translate(machine_system(machine), vm->mem.vm_vspace_root.cptr, gpa,
                                     &frame) &&
            vm_memory_handle_fault(vm, vm->vcpus[BOOT_VCPU], gpa, 1) != FAULT_RESTART) {
            return vm_range_error(machine_description(machine), range, "guestmem,backing", error,
                                  "%s", guestmem_last_error(vm)->message);
        }
    }
    return 0;
}

/** The parts after the memory. */
static int finish(plan_t *plan, machine_t *machine, cli_error_t *error)
{
    const vm_description_t *description = machine_description(machine);

    take_sample(plan, machine);
    if (machine_start(machine) != 0) {
        return cli_error_set(error, "%s: %s", description->file, machine_reason(machine));
    }
    take_sample(plan, machine);
    for (size_t i = 0; i < description->num_ranges; i++) {
        const vm_range_t *range = &description->ranges[i];
        if (range->on_fault && touch(machine, range, error) != 0) {
            return -1;
        }
    }
    take_sample(plan, machine);
    return 0;
}

static void drop_log(void *cookie, int level, const char *line)
{
    (void)cookie;
    (void)level;
    (void)line;
}

/** What the parts from `first` to `last` took. */
static uint64_t taken(const plan_t *plan, int first, int last, const row_t *row)
{
    const char *before = (const char *)&plan->samples[first];
    const char *after = (const char *)&plan->samples[last + 1];

    return *(const uint64_t *)(after + row->offset) - *(const uint64_t *)(before + row->offset);
}

static void print_text(const plan_t *plan, const memory_map_t *map)
{
    char size[MAP_SIZE_TEXT];

    printf("Plan of %s on %s\n%-26s", map->title, map->board, "");
    for (int part = 0; part < NUM_PARTS; part++) {
        printf(" %12s", part_names[part]);
    }
    printf(" %12s\n", "all");
    for (const row_t *row = rows; row < rows + NUM_ROWS; row++) {
        uint64_t all = taken(plan, 0, NUM_PARTS - 1, row);
        if (all == 0 && row->offset > MEMBER(invocations)) {
            continue;
        }
        printf("%-26s", row->text);
        for (int part = 0; part < NUM_PARTS; part++) {
            printf(" %12" PRIu64, taken(plan, part, part, row));
        }
        printf(" %12" PRIu64 "\n", all);
    }
    memory_map_size_text(size, plan->samples[NUM_PARTS].census.free_bytes);
    printf("%s of the board's memory stay free\n", size);
}

static void print_json(const plan_t *plan, const memory_map_t *map)
{
    fputs("{\n  \"title\": ", stdout);
    report_json_string(stdout, map->title);
    fputs(",\n  \"board\": ", stdout);
    report_json_string(stdout, map->board);
    printf(",\n  \"free_bytes\": %" PRIu64, plan->samples[NUM_PARTS].census.free_bytes);
    for (int part = 0; part < NUM_PARTS; part++) {
        printf(",\n  \"%s\": {", part_keys[part]);
        for (const row_t *row = rows; row < rows + NUM_ROWS; row++) {
            if (row->json != NULL) {
                printf("%s\n    \"%s\": %" PRIu64, row > rows ? "," : "", row->json,
                       taken(plan, part, part, row));
            }
        }
        fputs("\n  }", stdout);
    }
    fputs("\n}\n", stdout);
}

/** Say where the frame of an interrupt controller is: it is the board's page for guests. */
static void find_controller(machine_t *machine, memory_map_t *map)
{
    for (size_t i = 0; i < map->num_rows; i++) {
        memory_map_row_t *row = &map->rows[i];
        hosted_stage2_mapping_t frame;
        if (strcmp(row->backing, vm_backing_name(VM_BACKING_EMULATED)) == 0 &&
            hosted_stage2_translate(machine_system(machine),
                                    machine_vm(machine)->mem.vm_vspace_root.cptr, row->base,
                                    &frame)) {
            row->has_paddr = true;
            row->paddr = frame.paddr;
            row->cacheable = frame.cacheable;
        }
    }
}

static int touch_page(vm_t *vm, uintptr_t address, void *bytes, size_t size, size_t offset,
                      void *cookie)
{
    (void)vm, (void)address, (void)bytes, (void)size, (void)offset, (void)cookie;
    return 0;
}

/** Whether the VM has a device that works on any of the guest's RAM. */
static bool has_driver(const memory_map_t *map)
{
    for (size_t i = 0; i < map->num_rows; i++) {
        const char *device = map->rows[i].device;
        if (device != NULL &&
            (strcmp(device, "virtio-block") == 0 || strcmp(device, "virtio-console") == 0)) {
            return true;
        }
    }
    return false;
}

/** Say what all takes, once such a device has touched all of the RAM. */
static int find_needs(plan_t *plan, machine_t *machine, memory_map_t *map, plan_needs_t *needs,
                      cli_error_t *error)
{
    const sample_t *before = &plan->samples[0];
    const sample_t *after = &plan->samples[plan->num_samples];
    bool touched = has_driver(map);
    uint64_t large = 0; /* frames of RAM: windows have no others of 2 MiB */
    uint64_t small = 0; /* frames of 4 KiB, which may be in windows */

    find_controller(machine, map);
    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        uint64_t paddr;
        if (memory_map_row_paddr(row, &paddr)) {
            needs->free_bytes -= (row->frames[MAP_FRAMES_4K] << seL4_PageBits) +
                                 (row->frames[MAP_FRAMES_2M] << seL4_LargePageBits);
        }
        small += row->frames[MAP_FRAMES_4K];
        if (strncmp(row->backing, "ram", 3) == 0) {
            large += row->frames[MAP_FRAMES_2M];
            if (touched && vm_ram_touch(machine_vm(machine), row->base, memory_map_row_size(row),
                                        touch_page, NULL) != 0) {
                return cli_error_set(error, "%s: %s: %s", machine_description(machine)->file,
                                     row->name, guestmem_last_error(machine_vm(machine))->message);
            }
        }
    }
    take_sample(plan, machine);
    needs->free_bytes += after->census.untyped_bytes - before->census.untyped_bytes;
    needs->objects = after->objects - before->objects;
    needs->windows = after->census.vmm_reservations - before->census.vmm_reservations;
    needs->window_bytes = after->census.vmm_bytes - before->census.vmm_bytes;
    needs->window_frames = after->census.vmm_mappings - before->census.vmm_mappings;
    large = touched && needs->window_frames > large ? large : 0; /* that are surely among them */
    small = small < needs->window_frames - large ? small : needs->window_frames - large;
    needs->window_small_frames = small;
    needs->heap_bytes = after->census.heap_bytes - before->census.heap_bytes;
    needs->heap_blocks = after->census.heap_blocks - before->census.heap_blocks;
    return 0;
}

enum { TEXT, JSON, CAMKES, MICROKIT };

static int print_plan(void *cookie, machine_t *machine, int form, cli_error_t *error)
{
    plan_needs_t needs = {0};
    memory_map_t map;
    int result;

    hosted_log_to(drop_log, NULL);
    result = finish(cookie, machine, error);
    hosted_log_to(NULL, NULL);
    if (result != 0) {
        return -1;
    }
    if (machine_memory_map(machine, &map) != 0) {
        return cli_error_set(error, "%s: out of memory", machine_description(machine)->file);
    }
    switch (form) {
    case CAMKES:
        result = find_needs(cookie, machine, &map, &needs, error);
        if (result == 0) {
            plan_camkes(&map, &needs);
        }
        break;
    case TEXT:
        print_text(cookie, &map);
        break;
    case JSON:
        print_json(cookie, &map);
        break;
    default:
        find_controller(machine, &map);
        plan_microkit(&map);
    }
    memory_map_release(&map);
    return result;
}

int cmd_plan(int argc, char **argv)
{
    plan_t plan = {0};
    const printer_t printer = {
        .help = help,
        .forms = {[TEXT] = "text", [JSON] = "json", [CAMKES] = "camkes", [MICROKIT] = "microkit"},
        .step = take_sample,
        .print = print_plan,
        .cookie = &plan,
    };

    return build_and_print(argc, argv, &printer);
}
