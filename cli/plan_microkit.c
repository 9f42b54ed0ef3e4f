/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem plan --microkit`: a VM's memory as a system description of Microkit 2.3.0, in the
 * words of its manual. What faults into the VMM has no memory region there, and is a comment.
 */

#include "plan.h"

#include "microkit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 96, LOWEST_RAM = 0x20000000 };

/** Whether the guest can reach the row's memory, which is then a memory region. */
static bool has_memory(const memory_map_row_t *row)
{
    return row->rights[0] == 'r';
}

static uint64_t first_page(const memory_map_row_t *row)
{
    return row->base & ~(MICROKIT_SMALL_PAGE - 1);
}

static uint64_t size_in_pages(const memory_map_row_t *row)
{
    return (row->last | (MICROKIT_SMALL_PAGE - 1)) - first_page(row) + 1;
}

/** A row's name as that of a region: with its address where an earlier row has the same. */
static const char *name_of(const memory_map_t *map, const memory_map_row_t *row,
                           char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%s", row->name);
    for (const memory_map_row_t *other = map->rows; other < row; other++) {
        if (has_memory(other) && strcmp(other->name, row->name) == 0) {
            snprintf(name, NAME_SIZE, "%s_%" PRIx64, row->name, row->base);
        }
    }
    for (char *c = name; *c != '\0'; c++) {
        *c = isalnum((unsigned char)*c) ? *c : '_';
    }
    return name;
}

static void print_region(const memory_map_t *map, const memory_map_row_t *row)
{
    char name[NAME_SIZE];
    uint64_t paddr;
    bool fixed = memory_map_row_paddr(row, &paddr);
    uint64_t bits =
        first_page(row) | size_in_pages(row) | (fixed ? paddr & ~(MICROKIT_SMALL_PAGE - 1) : 0);
    uint64_t page = bits % MICROKIT_LARGE_PAGE == 0 ? MICROKIT_LARGE_PAGE : MICROKIT_SMALL_PAGE;

    printf("    <memory_region name=\"%s\" size=\"0x%" PRIx64 "\" page_size=\"0x%" PRIx64 "\"",
           name_of(map, row, name), size_in_pages(row), page);
    if (fixed) {
        printf(" phys_addr=\"0x%" PRIx64 "\"", paddr & ~(MICROKIT_SMALL_PAGE - 1));
    }
    printf(" />\n");
}

static void print_map(const memory_map_t *map, const memory_map_row_t *row)
{
    char name[NAME_SIZE];

    printf("            <map mr=\"%s\" vaddr=\"0x%" PRIx64 "\" perms=\"%s%s\" cached=\"%s\" />\n",
           name_of(map, row, name), first_page(row), row->rights[1] == 'w' ? "rw" : "r",
           row->cacheable ? "x" : "", row->cacheable ? "true" : "false");
}

/** A fault in these reaches the VMM. A comment must not have two hyphens. */
static void print_fault(const memory_map_row_t *row)
{
    printf("            <!-- 0x%" PRIx64 " to 0x%" PRIx64 ": faults, for ", row->base, row->last);
    for (const char *c = row->name; *c != '\0'; c++) {
        putchar(*c == '-' || (unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e ? '_' : *c);
    }
    printf(" -->\n");
}

/** Give the VMM the RAM too, for loading the guest, above where programs are. libvmm is told where.
 */
static void print_ram(const memory_map_t *map)
{
    char name[NAME_SIZE];

    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        if (has_memory(row) && strncmp(row->backing, "ram", 3) == 0) {
            uint64_t vaddr = first_page(row) > LOWEST_RAM ? first_page(row) : LOWEST_RAM;
            printf("        <map mr=\"%s\" vaddr=\"0x%" PRIx64 "\" perms=\"rw\""
                   " setvar_vaddr=\"guest_ram_vaddr\" />\n",
                   name_of(map, row, name), vaddr);
            return;
        }
    }
}

void plan_microkit(const memory_map_t *map)
{
    printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<system>\n");
    for (size_t i = 0; i < map->num_rows; i++) {
        if (has_memory(&map->rows[i])) {
            print_region(map, &map->rows[i]);
        }
    }
    printf("\n    <protection_domain name=\"VMM\" priority=\"100\">\n"
           "        <program_image path=\"vmm.elf\" />\n");
    print_ram(map);
    printf("        <virtual_machine name=\"guest\" priority=\"99\">\n"
           "            <vcpu id=\"0\" />\n");
    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        if (has_memory(row)) {
            print_map(map, row);
        } else if (strcmp(row->backing, "anonymous") != 0) {
            print_fault(row);
        }
    }
    printf("        </virtual_machine>\n    </protection_domain>\n</system>\n");
}
