/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Owns the reading of Microkit's system descriptions. Expat reads the XML; here are the rules of
 * the format, in the order in which elements come. Names are looked up at the end, since a region
 * may come after its maps. After the first mistake nothing more is looked at.
 */

#include "microkit.h"

#include <errno.h>
#include <expat.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Where in the file an element is. */
typedef enum place {
    IN_NOTHING, /* above the root */
    IN_SYSTEM,
    IN_REGION, /* a <memory_region>, which has no children */
    IN_DOMAIN, /* a <protection_domain> */
    IN_VM,
    IN_MAP,  /* of a VM, and its <vcpu>: without children */
    IN_OTHER /* what does not matter here */
} place_t;

enum { MAX_DEPTH = 64 };

typedef struct reader {
    XML_Parser parser;
    const char *file;
    cli_error_t *error;
    bool failed;
    microkit_system_t *system;
    char **used; /* names of the regions that protection domains map */
    size_t num_used;
    place_t places[MAX_DEPTH];
    unsigned depth;
} reader_t;

static void fail(reader_t *reader, unsigned long line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(reader_t *reader, unsigned long line, const char *format, ...)
{
    char reason[sizeof(reader->error->line)];
    va_list arguments;

    if (reader->failed) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    cli_error_set(reader->error, "%s:%lu: %s", reader->file, line, reason);
    reader->failed = true;
    XML_StopParser(reader->parser, XML_FALSE);
}

static unsigned long line_of(const reader_t *reader)
{
    return XML_GetCurrentLineNumber(reader->parser);
}

static char *copy(reader_t *reader, const char *text)
{
    char *copied = strdup(text);

    if (copied == NULL) {
        fail(reader, line_of(reader), "out of memory");
    }
    return copied;
}

/** Room for one more element, zeroed. @return NULL with an error */
static void *append(reader_t *reader, void *array, size_t *count, size_t size)
{
    void **elements = array;
    void *larger = realloc(*elements, (*count + 1) * size);

    if (larger == NULL) {
        fail(reader, line_of(reader), "out of memory");
        return NULL;
    }
    *elements = larger;
    return memset((char *)larger + (*count)++ * size, 0, size);
}

static const char *find(const char **attributes, const char *name)
{
    for (; attributes[0] != NULL; attributes += 2) {
        if (strcmp(attributes[0], name) == 0) {
            return attributes[1];
        }
    }
    return NULL;
}

/** An attribute that there must be. @return NULL with an error */
static const char *need(reader_t *reader, const char *element, const char **attributes,
                        const char *name)
{
    const char *value = find(attributes, name);

    if (value == NULL || value[0] == '\0') {
        fail(reader, line_of(reader), "<%s>: no %s", element, name);
        return NULL;
    }
    return value;
}

/** Refuse an attribute that is not one of `known`, which NULL ends: it may be misspelt. */
static bool only(reader_t *reader, const char *element, const char **attributes,
                 const char *const *known)
{
    for (; attributes[0] != NULL; attributes += 2) {
        const char *const *name = known;
        while (*name != NULL && strcmp(*name, attributes[0]) != 0) {
            name++;
        }
        if (*name == NULL) {
            fail(reader, line_of(reader), "<%s> has no attribute \"%s\"", element, attributes[0]);
            return false;
        }
    }
    return true;
}

/** Read a number, decimal or hexadecimal, with underscores anywhere. */
static bool number(reader_t *reader, const char *element, const char *name, const char *text,
                   uint64_t *value)
{
    char bare[32] = {0};
    size_t count = 0;
    const char *digits = bare;
    bool hexadecimal;

    for (const char *c = text; *c != '\0'; c++) {
        if (*c != '_' && count < sizeof(bare)) {
            bare[count++] = *c;
        }
    }
    hexadecimal = bare[0] == '0' && bare[1] == 'x';
    digits += hexadecimal ? 2 : 0;
    if (count == sizeof(bare) || *digits == '\0' ||
        digits[strspn(digits, hexadecimal ? "0123456789abcdefABCDEF" : "0123456789")] != '\0') {
        fail(reader, line_of(reader), "<%s>: %s: \"%.40s\" is no number", element, name, text);
        return false;
    }
    errno = 0;
    *value = strtoull(digits, NULL, hexadecimal ? 16 : 10);
    if (errno != 0) {
        fail(reader, line_of(reader), "<%s>: %s: \"%.40s\" has more than 64 bits", element, name,
             text);
        return false;
    }
    return true;
}

static void read_region(reader_t *reader, const char **attributes)
{
    static const char element[] = "memory_region";
    static const char *const known[] = {
        "name", "size", "page_size", "phys_addr", "prefill_path", "prefill_bootinfo", NULL};
    microkit_system_t *system = reader->system;
    const char *page_size = find(attributes, "page_size");
    const char *phys_addr = find(attributes, "phys_addr");
    const char *prefill = find(attributes, "prefill_path");
    const char *name;
    const char *size;
    microkit_region_t *region;

    if (!only(reader, element, attributes, known) ||
        (name = need(reader, element, attributes, "name")) == NULL) {
        return;
    }
    if (find(attributes, "prefill_bootinfo") != NULL) {
        fail(reader, line_of(reader), "<%s> \"%s\": prefill_bootinfo is not supported", element,
             name);
        return;
    }
    if (prefill != NULL && find(attributes, "size") == NULL) {
        fail(reader, line_of(reader),
             "<%s> \"%s\": no size (that of the file of prefill_path is not taken)", element, name);
        return;
    }
    if ((size = need(reader, element, attributes, "size")) == NULL ||
        (region = append(reader, &system->regions, &system->num_regions, sizeof(*region))) ==
            NULL) {
        return;
    }
    region->line = line_of(reader);
    region->page = MICROKIT_SMALL_PAGE;
    region->name = copy(reader, name);
    region->prefill = prefill != NULL ? copy(reader, prefill) : NULL;
    region->has_phys_addr = phys_addr != NULL;
    if (!number(reader, element, "size", size, &region->size) ||
        (page_size != NULL && !number(reader, element, "page_size", page_size, &region->page)) ||
        (phys_addr != NULL &&
         !number(reader, element, "phys_addr", phys_addr, &region->phys_addr))) {
        return;
    }
    if (region->page != MICROKIT_SMALL_PAGE && region->page != MICROKIT_LARGE_PAGE) {
        fail(reader, region->line, "<%s> \"%s\": page_size is 0x1000 or 0x200000, not 0x%" PRIx64,
             element, name, region->page);
    } else if (region->size == 0 || region->size % region->page != 0) {
        fail(reader, region->line,
             "<%s> \"%s\": size 0x%" PRIx64 " is not a multiple of 0x%" PRIx64, element, name,
             region->size, region->page);
    } else if (region->phys_addr % region->page != 0) {
        fail(reader, region->line,
             "<%s> \"%s\": phys_addr 0x%" PRIx64 " is not a multiple of 0x%" PRIx64, element, name,
             region->phys_addr, region->page);
    } else if (region->has_phys_addr &&
               region->phys_addr + (region->size - 1) < region->phys_addr) {
        fail(reader, region->line, "<%s> \"%s\": phys_addr and size wrap", element, name);
    }
}

static bool read_perms(reader_t *reader, const char *perms, microkit_map_t *map)
{
    if (perms[strspn(perms, "rwx")] != '\0') {
        fail(reader, map->line, "<map>: perms: \"%.40s\" has more than r, w and x", perms);
        return false;
    }
    if (strchr(perms, 'r') == NULL) {
        fail(reader, map->line, "<map>: perms: \"%.40s\" does not let the guest read", perms);
        return false;
    }
    map->write = strchr(perms, 'w') != NULL;
    map->execute = strchr(perms, 'x') != NULL;
    return true;
}

/** A <map> of a virtual machine. */
static void read_map(reader_t *reader, const char **attributes)
{
    static const char *const known[] = {"mr", "vaddr", "perms", "cached", NULL};
    microkit_vm_t *vm = &reader->system->vms[reader->system->num_vms - 1];
    const char *perms = find(attributes, "perms");
    const char *cached = find(attributes, "cached");
    const char *mr;
    const char *vaddr;
    microkit_map_t *map;

    if (!only(reader, "map", attributes, known) ||
        (mr = need(reader, "map", attributes, "mr")) == NULL ||
        (vaddr = need(reader, "map", attributes, "vaddr")) == NULL ||
        (map = append(reader, &vm->maps, &vm->num_maps, sizeof(*map))) == NULL) {
        return;
    }
    map->line = line_of(reader);
    map->mr = copy(reader, mr);
    if (!number(reader, "map", "vaddr", vaddr, &map->vaddr) ||
        !read_perms(reader, perms != NULL ? perms : "rw", map)) {
        return;
    }
    map->cached = cached == NULL || strcmp(cached, "true") == 0;
    if (!map->cached && strcmp(cached, "false") != 0) {
        fail(reader, map->line, "<map>: cached: \"%.40s\" is neither true nor false", cached);
    }
}

static void read_vcpu(reader_t *reader, const char **attributes)
{
    static const char *const known[] = {"id", "cpu", "setvar_id", NULL};
    uint64_t ignored;
    const char *id;

    if (only(reader, "vcpu", attributes, known) &&
        (id = need(reader, "vcpu", attributes, "id")) != NULL &&
        number(reader, "vcpu", "id", id, &ignored)) {
        reader->system->vms[reader->system->num_vms - 1].num_vcpus++;
    }
}

static void read_vm(reader_t *reader, const char **attributes)
{
    static const char *const known[] = {"name", "budget", "period", "priority", NULL};
    microkit_system_t *system = reader->system;
    const char *name;
    microkit_vm_t *vm;

    if (!only(reader, "virtual_machine", attributes, known) ||
        (name = need(reader, "virtual_machine", attributes, "name")) == NULL ||
        (vm = append(reader, &system->vms, &system->num_vms, sizeof(*vm))) == NULL) {
        return;
    }
    vm->line = line_of(reader);
    vm->name = copy(reader, name);
}

/** A <map> of a protection domain: who else has a region. */
static void read_use(reader_t *reader, const char **attributes)
{
    const char *mr = need(reader, "map", attributes, "mr");
    char **use = mr != NULL ? append(reader, &reader->used, &reader->num_used, sizeof(*use)) : NULL;

    if (use != NULL) {
        *use = copy(reader, mr);
    }
}

/** The place that an element is, as its parent allows. */
static place_t enter(reader_t *reader, place_t parent, const char *element)
{
    switch (parent) {
    case IN_NOTHING:
        if (strcmp(element, "system") == 0) {
            return IN_SYSTEM;
        }
        fail(reader, line_of(reader), "<%.40s> is not the <system> of a system description",
             element);
        break;
    case IN_SYSTEM:
        if (strcmp(element, "memory_region") == 0) {
            return IN_REGION;
        }
        if (strcmp(element, "protection_domain") == 0) {
            return IN_DOMAIN;
        }
        if (strcmp(element, "channel") != 0 && strcmp(element, "domains") != 0 &&
            strcmp(element, "io_address_space") != 0) {
            fail(reader, line_of(reader), "<system> has no <%.40s>", element);
        }
        break;
    case IN_DOMAIN:
        if (strcmp(element, "protection_domain") == 0) {
            return IN_DOMAIN;
        }
        if (strcmp(element, "virtual_machine") == 0) {
            return IN_VM;
        }
        break;
    case IN_VM:
        if (strcmp(element, "map") == 0 || strcmp(element, "vcpu") == 0) {
            return IN_MAP;
        }
        fail(reader, line_of(reader), "<virtual_machine> has no <%.40s>", element);
        break;
    case IN_REGION:
    case IN_MAP:
        fail(reader, line_of(reader), "<%.40s> is where nothing can be", element);
        break;
    default:
        break;
    }
    return IN_OTHER;
}

static void on_start(void *data, const char *element, const char **attributes)
{
    reader_t *reader = data;
    place_t parent = reader->depth == 0 ? IN_NOTHING : reader->places[reader->depth - 1];
    place_t place;

    if (reader->failed) {
        return;
    }
    if (reader->depth == MAX_DEPTH) {
        fail(reader, line_of(reader), "nested deeper than %d elements", MAX_DEPTH);
        return;
    }
    place = enter(reader, parent, element);
    reader->places[reader->depth++] = place;
    if (reader->failed) {
        return;
    }
    if (place == IN_REGION) {
        read_region(reader, attributes);
    } else if (place == IN_VM) {
        read_vm(reader, attributes);
    } else if (place == IN_MAP) {
        (strcmp(element, "map") == 0 ? read_map : read_vcpu)(reader, attributes);
    } else if (parent == IN_DOMAIN && strcmp(element, "map") == 0) {
        read_use(reader, attributes);
    }
}

static void on_end(void *data, const char *element)
{
    reader_t *reader = data;

    (void)element;
    if (!reader->failed) {
        reader->depth--;
    }
}

static void on_text(void *data, const char *text, int length)
{
    reader_t *reader = data;

    for (int i = 0; i < length; i++) {
        if (strchr(" \t\r\n", text[i]) == NULL) {
            fail(reader, line_of(reader), "text outside of an attribute");
            return;
        }
    }
}

/** A file could define entities of any size there; Microkit reads none either. */
static void on_doctype(void *data, const char *name, const char *system, const char *public,
                       int subset)
{
    (void)name, (void)system, (void)public, (void)subset;
    fail(data, line_of(data), "a document type declaration, which is not supported");
}

/** By name, and in the order of the file where a name is there twice. */
static int compare_regions(const void *left, const void *right)
{
    const microkit_region_t *a = left;
    const microkit_region_t *b = right;
    int order = strcmp(a->name, b->name);

    return order != 0 ? order : a->line < b->line ? -1 : a->line > b->line;
}

static int compare_name(const void *name, const void *region)
{
    return strcmp(name, ((const microkit_region_t *)region)->name);
}

/** Once the regions are sorted. */
static microkit_region_t *find_region(const microkit_system_t *system, const char *name)
{
    return system->num_regions == 0 ? NULL
                                    : bsearch(name, system->regions, system->num_regions,
                                              sizeof(*system->regions), compare_name);
}

static int compare_maps(const void *left, const void *right)
{
    const microkit_map_t *a = left;
    const microkit_map_t *b = right;

    return a->vaddr == b->vaddr ? 0 : a->vaddr < b->vaddr ? -1 : 1;
}

static void finish_map(reader_t *reader, microkit_map_t *map)
{
    microkit_region_t *region = find_region(reader->system, map->mr);

    if (region == NULL) {
        fail(reader, map->line, "<map>: there is no memory_region \"%s\"", map->mr);
        return;
    }
    region->num_users++;
    map->region = region;
    if (map->vaddr % region->page != 0) {
        fail(reader, map->line,
             "<map> of \"%s\": vaddr 0x%" PRIx64 " is not a multiple of 0x%" PRIx64, map->mr,
             map->vaddr, region->page);
    } else if (map->vaddr + (region->size - 1) < map->vaddr) {
        fail(reader, map->line, "<map> of \"%s\": vaddr and size wrap", map->mr);
    }
}

static void finish_vm(reader_t *reader, microkit_vm_t *vm)
{
    for (const microkit_vm_t *other = reader->system->vms; other < vm; other++) {
        if (strcmp(other->name, vm->name) == 0) {
            fail(reader, vm->line, "<virtual_machine>: \"%s\" is there already, in line %lu",
                 vm->name, other->line);
        }
    }
    if (vm->num_vcpus == 0) {
        fail(reader, vm->line, "<virtual_machine> \"%s\": no vcpu", vm->name);
    }
    for (size_t i = 0; i < vm->num_maps && !reader->failed; i++) {
        finish_map(reader, &vm->maps[i]);
    }
    if (reader->failed || vm->num_maps == 0) {
        return;
    }
    qsort(vm->maps, vm->num_maps, sizeof(*vm->maps), compare_maps);
    for (size_t i = 1; i < vm->num_maps; i++) {
        const microkit_map_t *before = &vm->maps[i - 1];
        const microkit_map_t *map = &vm->maps[i];
        uint64_t last = before->vaddr + (before->region->size - 1);
        if (map->vaddr <= last) {
            fail(reader, map->line,
                 "<map> of \"%s\" at 0x%" PRIx64 " overlaps that of \"%s\" [0x%" PRIx64
                 ", 0x%" PRIx64 "]",
                 map->mr, map->vaddr, before->mr, before->vaddr, last);
            return;
        }
    }
}

/** What can be said only when all has been read. */
static void finish(reader_t *reader)
{
    microkit_system_t *system = reader->system;

    if (system->num_regions > 1) {
        qsort(system->regions, system->num_regions, sizeof(*system->regions), compare_regions);
    }
    for (size_t i = 1; i < system->num_regions; i++) {
        const microkit_region_t *region = &system->regions[i];
        if (strcmp(region[-1].name, region->name) == 0) {
            fail(reader, region->line, "<memory_region>: \"%s\" is there already, in line %lu",
                 region->name, region[-1].line);
        }
    }
    for (size_t i = 0; i < reader->num_used && !reader->failed; i++) {
        microkit_region_t *region = find_region(system, reader->used[i]);
        if (region != NULL) {
            region->num_users++;
        }
    }
    for (size_t i = 0; i < system->num_vms && !reader->failed; i++) {
        finish_vm(reader, &system->vms[i]);
    }
}

static void read_all(reader_t *reader, const char *text, size_t size)
{
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader->parser, on_text);
    XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
    if (size > MICROKIT_MAX_SIZE) {
        fail(reader, 1, "%zu bytes, %zu are allowed", size, MICROKIT_MAX_SIZE);
    } else if (XML_Parse(reader->parser, text, (int)size, XML_TRUE) != XML_STATUS_OK) {
        fail(reader, line_of(reader), "%s", XML_ErrorString(XML_GetErrorCode(reader->parser)));
    } else {
        finish(reader);
    }
}

microkit_system_t *microkit_parse(const char *text, size_t size, const char *file,
                                  cli_error_t *error)
{
    reader_t reader = {
        .parser = XML_ParserCreate(NULL),
        .file = file,
        .error = error,
        .system = calloc(1, sizeof(*reader.system)),
    };

    if (reader.parser == NULL || reader.system == NULL) {
        cli_error_set(error, "%s: out of memory", file);
        reader.failed = true;
    } else {
        read_all(&reader, text, size);
    }
    if (reader.parser != NULL) {
        XML_ParserFree(reader.parser);
    }
    for (size_t i = 0; i < reader.num_used; i++) {
        free(reader.used[i]);
    }
    free(reader.used);
    if (reader.failed) {
        microkit_free(reader.system);
        return NULL;
    }
    return reader.system;
}

void microkit_free(microkit_system_t *system)
{
    if (system == NULL) {
        return;
    }
    for (size_t i = 0; i < system->num_regions; i++) {
        free(system->regions[i].name);
        free(system->regions[i].prefill);
    }
    for (size_t i = 0; i < system->num_vms; i++) {
        for (size_t m = 0; m < system->vms[i].num_maps; m++) {
            free(system->vms[i].maps[m].mr);
        }
        free(system->vms[i].maps);
        free(system->vms[i].name);
    }
    free(system->regions);
    free(system->vms);
    free(system);
}
