/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Keeps Unicorn in step with stage 2. Each file of physical memory that a mapping names becomes one
 * region, whole; mappings only change the shadow tables. Unicorn caches translations, and code by
 * physical address, so what may be stale is noted and flushed before the guest goes on. A new
 * mapping needs no flush: translations that failed are not cached.
 */

#define _GNU_SOURCE
#include "unicorn.h"
#include <inttypes.h>
#include <stdio.h>
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
    bank.host = mmap(NULL, bank.size, PROT_READ | PROT_WRITE, MAP_SHARED, bank.fd, 0);
    if (bank.host == MAP_FAILED) {
        return NULL;
    }
    if (uc_mem_map_ptr(self->uc, bank.target, bank.size, UC_PROT_ALL, bank.host) != UC_ERR_OK) {
        munmap(bank.host, bank.size);
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
    }
}

void unicorn_unmapped(engine_t *engine, const hosted_stage2_mapping_t *mapping)
{
    unicorn_engine_t *self = (unicorn_engine_t *)engine;

    shadow_unmap(self->shadow, mapping->gpa, mapping->size_bits);
    self->stale_translations = true;
    /* The frame may be filled with something else before it is mapped again. */
    self->stale_code |= mapping->execute;
}

void unicorn_synchronise(unicorn_engine_t *self)
{
    for (size_t i = 0; i < self->cover_count; i++) {
        uc_mem_unmap(self->uc, self->covers[i], UNICORN_PAGE_BYTES);
    }
    self->cover_count = 0;
    if (self->stale_code) {
        uc_ctl_flush_tlb(self->uc); /* which flushes translated code, whatever its name */
        self->stale_code = false;
    }
    if (self->stale_translations) {
        /* A new VMID flushes the TLB. */
        self->vmid = (self->vmid + 1) & 0xff;
        unicorn_write_system(self->uc, unicorn_vttbr_el2,
                             UNICORN_TABLES | (uint64_t)self->vmid << 48);
        self->stale_translations = false;
    }
}
