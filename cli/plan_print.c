/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the two forms of a plan. Both are one list of counts with a value for each part of the VM.
 */

#include "plan.h"

#include "report.h"

#include <inttypes.h>

typedef struct count_name {
    const char *text;
    const char *json;
} count_name_t;

static const count_name_t count_names[PLAN_NUM_COUNTS] = {
    [PLAN_RESERVATIONS] = {"reservations", "reservations"},
    [PLAN_FRAMES_4K] = {"frames of 4 KiB", "frames_4k"},
    [PLAN_FRAMES_2M] = {"frames of 2 MiB", "frames_2m"},
    [PLAN_FRAMES_1G] = {"frames of 1 GiB", "frames_1g"},
    [PLAN_TABLES_1G] = {"page tables for 1 GiB", "page_tables_1g"},
    [PLAN_TABLES_2M] = {"page tables for 2 MiB", "page_tables_2m"},
    [PLAN_SLOTS] = {"capability slots", "slots"},
    [PLAN_UNTYPED_BYTES] = {"untyped memory, bytes", "untyped_bytes"},
    [PLAN_WINDOWS] = {"windows in the VMM", "windows"},
    [PLAN_WINDOW_FRAMES] = {"  frames in them", "window_frames"},
    [PLAN_WINDOW_BYTES] = {"  address space, bytes", "window_bytes"},
    [PLAN_HEAP_BLOCKS] = {"heap blocks", "heap_blocks"},
    [PLAN_HEAP_BYTES] = {"heap, bytes", "heap_bytes"},
    [PLAN_RETYPES] = {"  Untyped_Retype, objects", "untyped_retype"},
    [PLAN_SPLIT_RETYPES] = {"  Untyped_Retype, splits", "untyped_retype_splits"},
    [PLAN_COPIES] = {"  CNode_Copy", "cnode_copy"},
    [PLAN_MINTS] = {"  CNode_Mint", "cnode_mint"},
    [PLAN_PAGE_MAPS] = {"  ARM_Page_Map", "page_map"},
    [PLAN_PAGE_UNMAPS] = {"  ARM_Page_Unmap", "page_unmap"},
    [PLAN_PAGE_CLEANS] = {"  ARM_Page_Clean_Data", "page_clean"},
    [PLAN_TABLE_MAPS] = {"  ARM_PageTable_Map", "page_table_map"},
    [PLAN_ASID_ASSIGNS] = {"  ARM_ASIDPool_Assign", "asid_pool_assign"},
    [PLAN_TCB_CALLS] = {"  TCB", "tcb"},
    [PLAN_VCPU_CALLS] = {"  ARM_VCPU", "vcpu"},
};

static const count_name_t part_names[PLAN_NUM_PARTS] = {
    [PLAN_VM] = {"VM", "vm"},
    [PLAN_MEMORY] = {"memory", "memory"},
    [PLAN_VCPU] = {"VCPU", "vcpu"},
    [PLAN_ON_FAULT] = {"on fault", "on_fault"},
};

static void print_row(FILE *out, const char *name, const uint64_t values[PLAN_NUM_PARTS])
{
    uint64_t sum = 0;

    fprintf(out, "%-26s", name);
    for (int part = 0; part < PLAN_NUM_PARTS; part++) {
        fprintf(out, " %12" PRIu64, values[part]);
        sum += values[part];
    }
    fprintf(out, " %12" PRIu64 "\n", sum);
}

void plan_print_text(FILE *out, const plan_t *plan)
{
    uint64_t values[PLAN_NUM_PARTS];
    char size[MAP_SIZE_TEXT];

    fprintf(out, "Plan of %s on %s\n%-26s", plan->title, plan->board, "");
    for (int part = 0; part < PLAN_NUM_PARTS; part++) {
        fprintf(out, " %12s", part_names[part].text);
    }
    fprintf(out, " %12s\n", "all");
    for (int count = 0; count < PLAN_NUM_COUNTS; count++) {
        uint64_t any = count < PLAN_RETYPES;
        if (count == PLAN_RETYPES) {
            for (int part = 0; part < PLAN_NUM_PARTS; part++) {
                values[part] = plan_invocations(plan, (plan_part_t)part);
            }
            print_row(out, "kernel invocations", values);
        }
        for (int part = 0; part < PLAN_NUM_PARTS; part++) {
            values[part] = plan->counts[part][count];
            any |= values[part];
        }
        if (any != 0) {
            print_row(out, count_names[count].text, values);
        }
    }
    fprintf(out, "%s of the board's memory stay free\n",
            memory_map_size_text(size, plan->free_bytes));
}

static void print_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20 || c >= 0x7f) {
            fprintf(out, "\\u%04x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

void plan_print_json(FILE *out, const plan_t *plan)
{
    fputs("{\n  \"title\": ", out);
    print_string(out, plan->title);
    fputs(",\n  \"board\": ", out);
    print_string(out, plan->board);
    fprintf(out, ",\n  \"free_bytes\": %" PRIu64, plan->free_bytes);
    for (int part = 0; part < PLAN_NUM_PARTS; part++) {
        fprintf(out, ",\n  \"%s\": {", part_names[part].json);
        for (int count = 0; count < PLAN_NUM_COUNTS; count++) {
            fprintf(out, "%s\n    \"%s\": %" PRIu64, count > 0 ? "," : "", count_names[count].json,
                    plan->counts[part][count]);
        }
        fprintf(out, ",\n    \"invocations\": %" PRIu64 "\n  }",
                plan_invocations(plan, (plan_part_t)part));
    }
    fputs("\n}\n", out);
}
