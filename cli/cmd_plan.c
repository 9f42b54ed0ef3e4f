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
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: guestmem plan [options] VM.dts|VM.dtb\n"
    "\n"
    "Build the virtual machine that a device tree describes, or several, on a hosted seL4\n"
    "system, and print what each took: frames, page tables, capability slots, memory, address "
    "space and\n"
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

enum { NUM_ROWS = sizeof(rows) / sizeof(rows[0]) };

/** What is sampled, the last part for plan_camkes() alone. */
typedef enum part { VM, MEMORY, VCPU, ON_FAULT, NUM_PARTS, TOUCH = NUM_PARTS, ALL_PARTS } part_t;

static const char *const part_names[NUM_PARTS] = {"VM", "memory", "VCPU", "on fault"};
static const char *const part_keys[NUM_PARTS] = {"vm", "memory", "vcpu", "on_fault"};

/** What a VM took. Others are made between two of its parts. */
typedef struct plan {
    const machine_t *machine;
    int steps; /* of its making */
    sample_t before[ALL_PARTS];
    sample_t after[ALL_PARTS];
} plan_t;

typedef struct plans {
    plan_t *plans; /* in the order in which VMs are made */
    size_t count;
    bool exhausted; /* without memory for one */
} plans_t;

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

static void take_sample(sample_t *sample, machine_t *machine)
{
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

/** The plan of the machine that is made now. */
static plan_t *plan_of(plans_t *plans, const machine_t *machine)
{
    plan_t *more;

    if (plans->count > 0 && plans->plans[plans->count - 1].machine == machine) {
        return &plans->plans[plans->count - 1];
    }
    more = realloc(plans->plans, (plans->count + 1) * sizeof(*more));
    if (more == NULL) {
        plans->exhausted = true;
        return NULL;
    }
    plans->plans = more;
    more += plans->count++;
    memset(more, 0, sizeof(*more));
    more->machine = machine;
    return more;
}

/** A step in the making of a machine, which ends a part and begins the next. */
static void on_step(void *cookie, machine_t *machine)
{
    plan_t *plan = plan_of(cookie, machine);

    if (plan == NULL) {
        return;
    }
    if (plan->steps > VM) {
        take_sample(&plan->after[plan->steps - 1], machine);
    }
    if (plan->steps <= MEMORY) {
        take_sample(&plan->before[plan->steps], machine);
    }
    plan->steps++;
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

    take_sample(&plan->before[VCPU], machine);
    if (machine_start(machine) != 0) {
        return cli_error_set(error, "%s: %s", description->file, machine_reason(machine));
    }
    take_sample(&plan->after[VCPU], machine);
    take_sample(&plan->before[ON_FAULT], machine);
    for (size_t i = 0; i < description->num_ranges; i++) {
        const vm_range_t *range = &description->ranges[i];
        if (range->on_fault && touch(machine, range, error) != 0) {
            return -1;
        }
    }
    take_sample(&plan->after[ON_FAULT], machine);
    return 0;
}

static void drop_log(void *cookie, int level, const char *line)
{
    (void)cookie;
    (void)level;
    (void)line;
}

/** What the parts from `first` up to `end` took. */
static uint64_t taken(const plan_t *plan, int first, int end, size_t member)
{
    uint64_t sum = 0;

    for (int part = first; part < end; part++) {
        const char *before = (const char *)&plan->before[part];
        const char *after = (const char *)&plan->after[part];
        sum += *(const uint64_t *)(after + member) - *(const uint64_t *)(before + member);
    }
    return sum;
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
        uint64_t all = taken(plan, 0, NUM_PARTS, row->offset);
        if (all == 0 && row->offset > MEMBER(invocations)) {
            continue;
        }
        printf("%-26s", row->text);
        for (int part = 0; part < NUM_PARTS; part++) {
            printf(" %12" PRIu64, taken(plan, part, part + 1, row->offset));
        }
        printf(" %12" PRIu64 "\n", all);
    }
    memory_map_size_text(size, plan->after[ON_FAULT].census.free_bytes);
    printf("%s of the board's memory stay free\n", size);
}

static void print_json(const plan_t *plan, const memory_map_t *map)
{
    fputs("{\n  \"title\": ", stdout);
    report_json_string(stdout, map->title);
    fputs(",\n  \"name\": ", stdout);
    report_json_string(stdout, map->name);
    fputs(",\n  \"board\": ", stdout);
    report_json_string(stdout, map->board);
    printf(",\n  \"free_bytes\": %" PRIu64, plan->after[ON_FAULT].census.free_bytes);
    for (int part = 0; part < NUM_PARTS; part++) {
        printf(",\n  \"%s\": {", part_keys[part]);
        for (const row_t *row = rows; row < rows + NUM_ROWS; row++) {
            if (row->json != NULL) {
                printf("%s\n    \"%s\": %" PRIu64, row > rows ? "," : "", row->json,
                       taken(plan, part, part + 1, row->offset));
            }
        }
        fputs("\n  }", stdout);
    }
    fputs("\n}", stdout);
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
    bool touched = has_driver(map);
    uint64_t large = 0; /* frames of RAM: windows have no others of 2 MiB */
    uint64_t small = 0; /* frames of 4 KiB, which may be in windows */

    find_controller(machine, map);
    take_sample(&plan->before[TOUCH], machine);
    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        uint64_t paddr;
        if (row->shared != NULL ? row->backs_shared : memory_map_row_paddr(row, &paddr)) {
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
    take_sample(&plan->after[TOUCH], machine);
    needs->free_bytes += taken(plan, 0, ALL_PARTS, MEMBER(census.untyped_bytes));
    needs->objects = taken(plan, 0, ALL_PARTS, MEMBER(objects));
    needs->windows = taken(plan, 0, ALL_PARTS, MEMBER(census.vmm_reservations));
    needs->window_bytes = taken(plan, 0, ALL_PARTS, MEMBER(census.vmm_bytes));
    needs->window_frames = taken(plan, 0, ALL_PARTS, MEMBER(census.vmm_mappings));
    large = touched && needs->window_frames > large ? large : 0; /* that are surely among them */
    small = small < needs->window_frames - large ? small : needs->window_frames - large;
    needs->window_small_frames = small;
    needs->heap_bytes = taken(plan, 0, ALL_PARTS, MEMBER(census.heap_bytes));
    needs->heap_blocks = taken(plan, 0, ALL_PARTS, MEMBER(census.heap_blocks));
    return 0;
}

enum { TEXT, JSON, CAMKES, MICROKIT };

/** Print what one VM took. */
static int print_vm(plan_t *plan, machine_t *machine, memory_map_t *map, unsigned index, int form,
                    cli_error_t *error)
{
    plan_needs_t needs = {.vm = index};

    switch (form) {
    case CAMKES:
        if (find_needs(plan, machine, map, &needs, error) != 0) {
            return -1;
        }
        printf("%s", index > 0 ? "\n" : "");
        plan_camkes(map, &needs);
        break;
    case TEXT:
        printf("%s", index > 0 ? "\n" : "");
        print_text(plan, map);
        break;
    case JSON:
        printf("%s", index > 0 ? ",\n" : "");
        print_json(plan, map);
        break;
    default:
        find_controller(machine, map);
    }
    return 0;
}

static int print_all(plans_t *plans, machine_t *first, memory_map_t *maps, size_t count, int form,
                     cli_error_t *error)
{
    unsigned index = 0;

    printf("%s", form == JSON && count > 1 ? "[\n" : "");
    for (machine_t *m = first; m != NULL; m = machine_next(m), index++) {
        if (print_vm(&plans->plans[index], m, &maps[index], index, form, error) != 0) {
            return -1;
        }
    }
    printf("%s", form == JSON && count > 1 ? "\n]\n" : form == JSON ? "\n" : "");
    if (form == MICROKIT) {
        plan_microkit(maps, count);
    }
    return 0;
}

static int print_plan(void *cookie, machine_t *machine, int form, cli_error_t *error)
{
    plans_t *plans = cookie;
    machine_t *first = machine_first(machine);
    size_t count = 0;
    memory_map_t *maps = NULL;
    size_t index = 0;
    int result = 0;

    hosted_log_to(drop_log, NULL);
    for (machine_t *m = first; m != NULL && result == 0 && !plans->exhausted; m = machine_next(m)) {
        result = finish(&plans->plans[index++], m, error);
    }
    hosted_log_to(NULL, NULL);
    if (result == 0) {
        maps = plans->exhausted ? NULL : machine_memory_maps(machine, &count);
        result = maps != NULL ? print_all(plans, first, maps, count, form, error)
                              : cli_error_set(error, "%s: out of memory",
                                              machine_description(machine)->file);
    }
    memory_maps_free(maps, count);
    return result;
}

int cmd_plan(int argc, char **argv)
{
    plans_t plans = {0};
    int status;
    const printer_t printer = {
        .help = help,
        .forms = {[TEXT] = "text", [JSON] = "json", [CAMKES] = "camkes", [MICROKIT] = "microkit"},
        .step = on_step,
        .print = print_plan,
        .cookie = &plans,
    };

    status = build_and_print(argc, argv, &printer);
    free(plans.plans);
    return status;
}
