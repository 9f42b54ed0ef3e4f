/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns `guestmem plan --microkit`: the VMs' memory as a system description of Microkit 2.3.0, in
 * the words of its manual. What faults into the VMM has no memory region there, and is a comment.
 */

#include "plan.h"

#include "microkit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 192, LOWEST_RAM = 0x20000000 };

/** Whether the guest can reach the row's memory, which is then a memory region. */
static bool has_memory(const memory_map_row_t *row)
{
    return row->rights[0] == 'r';
}

/** A row's name as that of a region: that of shared memory; or its node's with the address, which
 * is no other row's, and the VM's before it where there are several. What may be in a node's name
 * stays, so that no two become one. */
static const char *name_of(const memory_map_t *map, const memory_map_row_t *row,
                           char name[NAME_SIZE])
{
    if (row->shared != NULL) {
        snprintf(name, NAME_SIZE, "%s", row->shared);
    } else {
        snprintf(name, NAME_SIZE, "%s%s%.*s_%" PRIx64, map->name != NULL ? map->name : "",
                 map->name != NULL ? "/" : "", (int)strcspn(row->name, "@["), row->name, row->base);
    }
    for (char *c = name; *c != '\0'; c++) {
        *c = isalnum((unsigned char)*c) || strchr(",._+-/", *c) != NULL ? *c : '_';
    }
    return name;
}

/** The VM before this one that has the same physical memory, a board's page for guests, and its row
 * for it; or this. */
static const memory_map_row_t *first_with(const memory_map_t *maps, const memory_map_t **map,
                                          const memory_map_row_t *row)
{
    uint64_t paddr;
    uint64_t other;

    for (const memory_map_t *m = maps; memory_map_row_paddr(row, &paddr) && m < *map; m++) {
        for (size_t i = 0; i < m->num_rows; i++) {
            if (has_memory(&m->rows[i]) && memory_map_row_paddr(&m->rows[i], &other) &&
                other == paddr && memory_map_row_size(&m->rows[i]) == memory_map_row_size(row)) {
                *map = m;
                return &m->rows[i];
            }
        }
    }
    return row;
}

static void print_region(const memory_map_t *map, const memory_map_row_t *row)
{
    char name[NAME_SIZE];
    uint64_t paddr;
    bool fixed = memory_map_row_paddr(row, &paddr);
    uint64_t size = memory_map_row_size(row);
    uint64_t bits = row->reached_base | size | (fixed ? paddr & ~(MICROKIT_SMALL_PAGE - 1) : 0);
    bool large =
        bits % MICROKIT_LARGE_PAGE == 0 && (row->shared == NULL || row->frames[MAP_FRAMES_4K] == 0);

    printf("    <memory_region name=\"%s\" size=\"0x%" PRIx64 "\" page_size=\"0x%" PRIx64 "\"",
           name_of(map, row, name), size, large ? MICROKIT_LARGE_PAGE : MICROKIT_SMALL_PAGE);
    if (fixed) {
        printf(" phys_addr=\"0x%" PRIx64 "\"", paddr & ~(MICROKIT_SMALL_PAGE - 1));
    }
    printf(" />\n");
}

static void print_map(const memory_map_t *maps, const memory_map_t *map,
                      const memory_map_row_t *row)
{
    const memory_map_row_t *region = first_with(maps, &map, row);
    char name[NAME_SIZE];

    printf("            <map mr=\"%s\" vaddr=\"0x%" PRIx64 "\" perms=\"%s%s\" cached=\"%s\" />\n",
           name_of(map, region, name), row->reached_base, row->rights[1] == 'w' ? "rw" : "r",
           row->cacheable ? "x" : "", row->cacheable ? "true" : "false");
}

/** A fault in these reaches the VMM. A comment must not have two hyphens. */
static void print_fault(const memory_map_row_t *row)
{
    printf("            <!-- 0x%" PRIx64 " to 0x%" PRIx64 ": faults, for ", row->base, row->last);
    for (const char *c = row->name; *c != '\0'; c++) {
        putchar(*c == '-' ? '_' : *c);
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
            uint64_t vaddr = row->reached_base > LOWEST_RAM ? row->reached_base : LOWEST_RAM;
            printf("        <map mr=\"%s\" vaddr=\"0x%" PRIx64 "\" perms=\"rw\""
                   " setvar_vaddr=\"guest_ram_vaddr\" />\n",
                   name_of(map, row, name), vaddr);
            return;
        }
    }
}

/** The VMM of a VM, with the VM. */
static void print_domain(const memory_map_t *maps, const memory_map_t *map)
{
    const char *of = map->name != NULL ? map->name : "";
    const char *dash = map->name != NULL ? "_" : "";

    printf("\n    <protection_domain name=\"VMM%s%s\" priority=\"100\">\n"
           "        <program_image path=\"vmm%s%s.elf\" />\n",
           dash, of, dash, of);
    print_ram(map);
    printf("        <virtual_machine name=\"%s\" priority=\"99\">\n"
           "            <vcpu id=\"0\" />\n",
           map->name != NULL ? map->name : "guest");
    for (size_t i = 0; i < map->num_rows; i++) {
        const memory_map_row_t *row = &map->rows[i];
        if (has_memory(row)) {
            print_map(maps, map, row);
        } else if (strcmp(row->backing, "anonymous") != 0) {
            print_fault(row);
        }
    }
    printf("        </virtual_machine>\n    </protection_domain>\n");
}

void plan_microkit(const memory_map_t *maps, size_t count)
{
    printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<system>\n");
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < maps[i].num_rows; j++) {
            const memory_map_row_t *row = &maps[i].rows[j];
            const memory_map_t *map = &maps[i];
            if (has_memory(row) && (row->shared == NULL || row->backs_shared) &&
                first_with(maps, &map, row) == row) {
                print_region(map, row);
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        print_domain(maps, &maps[i]);
    }
    printf("</system>\n");
}
