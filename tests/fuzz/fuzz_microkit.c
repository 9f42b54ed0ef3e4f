/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A system description of Microkit of any bytes: it is understood, or refused with one line. What
 * is understood keeps the promises of its header.
 */

#include "machine.h"
#include "microkit.h"
#include <string.h>

static void check_message(const cli_error_t *error)
{
    must(strncmp(error->line, "fuzz:", 5) == 0, "a message without the file: %s", error->line);
    for (const char *c = error->line; *c != '\0'; c++) {
        must((unsigned char)*c >= ' ', "a control character in: %s", error->line);
    }
}

static void check_vm(const microkit_system_t *system, const microkit_vm_t *vm)
{
    must(vm->name != NULL && vm->num_vcpus >= 1, "a VM without a name or VCPU");
    for (size_t i = 0; i < vm->num_maps; i++) {
        const microkit_map_t *map = &vm->maps[i];
        const microkit_region_t *region = map->region;
        must(region >= system->regions && region < system->regions + system->num_regions,
             "%s has no region", map->mr);
        must(strcmp(region->name, map->mr) == 0, "%s is not %s", map->mr, region->name);
        must(region->num_users >= 1, "%s is mapped, and has no users", map->mr);
        must(region->size >= MICROKIT_SMALL_PAGE && map->vaddr + (region->size - 1) >= map->vaddr,
             "%s wraps", map->mr);
        must(i == 0 || vm->maps[i - 1].vaddr + (vm->maps[i - 1].region->size - 1) < map->vaddr,
             "%s overlaps the one before", map->mr);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    cli_error_t error = {{0}};
    microkit_system_t *system = microkit_parse((const char *)bytes, size, "fuzz", &error);
    if (system == NULL) {
        check_message(&error);
        return 0;
    }
    must(error.line[0] == '\0', "a message of what was understood: %s", error.line);
    for (size_t i = 0; i < system->num_vms; i++) {
        check_vm(system, &system->vms[i]);
    }
    microkit_free(system);
    return 0;
}
