/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Keeps Unicorn in step with stage 2. Each file of physical memory that a mapping names becomes one
 * region, whole; mappings only change the shadow tables. Unicorn caches translations, so that one
 * went or changed is noted, and the cache is flushed before the guest goes on. A new mapping needs
 * no flush: translations that failed are not cached.
 *
 * Unicorn also keeps translated code, by physical address. A frame that comes back may hold other
 * code than when it went, so its pages are dropped from the code cache then. (Dropping all code
 * takes a quarter of a second instead, and memory written from outside is not noticed.)
 */

#define _GNU_SOURCE
#include "unicorn.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BANK_ALIGN ((uint64_t)1 << 30) /* so that blocks stay aligned */

const void *unicorn_host(void *cookie, uint64_t target)
{
    const unicorn_engine_t *self = cookie;

    for (size_t i = 0; i < self->bank_count; i++) {
        const bank_t *bank = &self->banks[i];
        if (target >= bank->target && target - bank->target < bank->size) {
            return bank->host + (target - bank->target);
        }
    }
    return NULL;
}

static bank_t *add_bank(unicorn_engine_t *self, const hosted_stage2_mapping_t *mapping)
{
    struct stat status;
    bank_t bank = {.fd = mapping->fd, .paddr = mapping->paddr - mapping->offset};

    if (self->bank_count == UNICORN_MAX_BANKS || fstat(bank.fd, &status) != 0) {
        return NULL;
    }
    bank.size = (size_t)status.st_size & ~(size_t)(UNICORN_PAGE_BYTES - 1);
    bank.target = self->next_target + bank.paddr % BANK_ALIGN;
    if (bank.size == 0 || bank.target + bank.size > UNICORN_LIMIT) {
        return NULL;
    }
    bank.left = calloc(bank.size / UNICORN_PAGE_BYTES / 8 + 1, 1);
    if (bank.left == NULL) {
        return NULL;
    }
    bank.host = mmap(NULL, bank.size, PROT_READ | PROT_WRITE, MAP_SHARED, bank.fd, 0);
    if (bank.host == MAP_FAILED) {
        free(bank.left);
        return NULL;
    }
    if (uc_mem_map_ptr(self->uc, bank.target, bank.size, UC_PROT_ALL, bank.host) != UC_ERR_OK) {
        munmap(bank.host, bank.size);
        free(bank.left);
        return NULL;
    }
    self->next_target = (bank.target + bank.size + BANK_ALIGN - 1) / BANK_ALIGN * BANK_ALIGN;
    self->banks[self->bank_count] = bank;
    return &self->banks[self->bank_count++];
}

static bank_t *find_bank(unicorn_engine_t *self, const hosted_stage2_mapping_t *mapping)
{
    for (size_t i = 0; i < self->bank_count; i++) {
        if (self->banks[i].fd == mapping->fd &&
            self->banks[i].paddr == mapping->paddr - mapping->offset) {
            return &self->banks[i];
        }
    }
    return add_bank(self, mapping);
}

/* Note that the code of these pages may have to be read again. */
static void note_left(bank_t *bank, uint64_t offset, unsigned size_bits)
{
    uint64_t end = offset + ((uint64_t)1 << size_bits);

    for (uint64_t page = offset / UNICORN_PAGE_BYTES; page < end / UNICORN_PAGE_BYTES; page++) {
        bank->left[page / 8] |= (uint8_t)(1u << page % 8);
    }
}

static void flush_translations(unicorn_engine_t *self)
{
    /* A new VMID flushes the TLB. */
    self->vmid = (self->vmid + 1) & 0xff;
    unicorn_write_system(self->uc, unicorn_vttbr_el2, UNICORN_TABLES | (uint64_t)self->vmid << 48);
    self->stale_translations = false;
}

static bool any_left(const bank_t *bank, uint64_t offset, unsigned size_bits)
{
    uint64_t end = offset + ((uint64_t)1 << size_bits);

    for (uint64_t page = offset / UNICORN_PAGE_BYTES; page < end / UNICORN_PAGE_BYTES; page++) {
        if (bank->left[page / 8] & 1u << page % 8) {
            return true;
        }
    }
    return false;
}

/*
 * Drop the code of those pages of a new, executable mapping that had left. Unicorn takes virtual
 * addresses for that, so the guest's own translation is switched off meanwhile.
 */
static void forget_code(unicorn_engine_t *self, bank_t *bank,
                        const hosted_stage2_mapping_t *mapping)
{
    uint64_t pages = ((uint64_t)1 << mapping->size_bits) / UNICORN_PAGE_BYTES;
    uint64_t first = mapping->offset / UNICORN_PAGE_BYTES;
    uint64_t sctlr;

    flush_translations(self);
    unicorn_read_system(self->uc, unicorn_sctlr_el1, &sctlr);
    unicorn_write_system(self->uc, unicorn_sctlr_el1, sctlr & ~(uint64_t)1);
    for (uint64_t i = 0; i < pages; i++) {
        uint8_t *left = &bank->left[(first + i) / 8];
        uint8_t bit = (uint8_t)(1u << (first + i) % 8);
        if (*left & bit) {
            uint64_t gpa = mapping->gpa + i * UNICORN_PAGE_BYTES;
            *left &= (uint8_t)~bit;
            uc_ctl_remove_cache(self->uc, gpa, gpa + UNICORN_PAGE_BYTES);
        }
    }
    unicorn_write_system(self->uc, unicorn_sctlr_el1, sctlr);
    flush_translations(self);
}

/* Mappings are told when nobody can be answered, so a failure is kept for the next run. */
static void fail(unicorn_engine_t *self, uint64_t gpa)
{
    if (!self->failed) {
        self->failed = true;
        snprintf(self->failure, sizeof(self->failure),
                 "unicorn: cannot enter the mapping at 0x%" PRIx64, gpa);
    }
}

void unicorn_mapped(engine_t *engine, const hosted_stage2_mapping_t *mapping)
{
    unicorn_engine_t *self = (unicorn_engine_t *)engine;
    shadow_entry_t old;
    bank_t *bank = find_bank(self, mapping);

    if (bank == NULL) {
        fail(self, mapping->gpa);
        return;
    }
    shadow_entry_t entry = {
        .target = bank->target + mapping->offset,
        .size_bits = mapping->size_bits,
        .read = mapping->read,
        .write = mapping->write,
        .execute = mapping->execute,
        .cacheable = mapping->cacheable,
    };
    /* Mapping again, with other rights, comes without an unmapping. */
    self->stale_translations |= shadow_lookup(self->shadow, mapping->gpa, &old);
    if (shadow_map(self->shadow, mapping->gpa, &entry) != 0) {
        fail(self, mapping->gpa);
    } else if (mapping->read && mapping->execute &&
               any_left(bank, mapping->offset, mapping->size_bits)) {
        forget_code(self, bank, mapping);
    }
}

void unicorn_unmapped(engine_t *engine, const hosted_stage2_mapping_t *mapping)
{
    unicorn_engine_t *self = (unicorn_engine_t *)engine;
    bank_t *bank = find_bank(self, mapping);

    shadow_unmap(self->shadow, mapping->gpa, mapping->size_bits);
    self->stale_translations = true;
    if (bank != NULL) {
        note_left(bank, mapping->offset, mapping->size_bits);
    }
}

void unicorn_synchronise(unicorn_engine_t *self)
{
    for (size_t i = 0; i < self->cover_count; i++) {
        uc_mem_unmap(self->uc, self->covers[i], UNICORN_PAGE_BYTES);
    }
    self->cover_count = 0;
    if (self->stale_translations) {
        flush_translations(self);
    }
}
