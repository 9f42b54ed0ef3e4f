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

/*
 * Sizes of covers. Those between UNICORN_BASE and UNICORN_LIMIT make way for banks, and unmapping
 * takes a while for each page: so they are small near its beginning, where banks begin. All others
 * are left where they are.
 */
#define NEAR_END        (UNICORN_BASE + ((uint64_t)1 << 36))
#define NEAR_COVER      ((uint64_t)1 << 30)
#define FAR_COVER       ((uint64_t)1 << 35)
#define ELSEWHERE_COVER UNICORN_TOP

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

void *unicorn_cover_pointer(void)
{
    return (void *)(uintptr_t)((uint64_t)1 << 63);
}

/* Leave out of a cover about `address` a region that does not hold `address`. */
static void leave_out(cover_t *cover, uint64_t address, uint64_t base, uint64_t size)
{
    uint64_t last = base + size - 1;

    if (last < address && last >= cover->base) {
        cover->base = last + 1;
    } else if (base > address && base <= cover->last) {
        cover->last = base - 1;
    }
}

static uint64_t cover_bytes(uint64_t address)
{
    if (address > UINT64_MAX - UNICORN_PAGE_BYTES) {
        return UNICORN_PAGE_BYTES; /* can only be a region of its own */
    }
    if (address < UNICORN_BASE || address >= UNICORN_LIMIT) {
        return ELSEWHERE_COVER;
    }
    return address < NEAR_END ? NEAR_COVER : FAR_COVER;
}

/* A slot of the address space, without the regions that unicorn_setup.c and add_bank() make. */
static cover_t cover_about(const unicorn_engine_t *self, uint64_t address)
{
    uint64_t slot = cover_bytes(address);
    size_t tables;

    cover_t cover = {.base = address & ~(slot - 1), .last = address | (slot - 1)};
    shadow_arena(self->shadow, &tables);
    leave_out(&cover, address, UNICORN_STARTER, UNICORN_PAGE_BYTES);
    leave_out(&cover, address, UNICORN_TABLES, tables);
    for (size_t i = 0; i < self->bank_count; i++) {
        leave_out(&cover, address, self->banks[i].target, self->banks[i].size);
    }
    return cover;
}

bool unicorn_cover(unicorn_engine_t *self, uint64_t address)
{
    cover_t cover = cover_about(self, address);

    if (self->cover_count == UNICORN_MAX_COVERS ||
        uc_mem_map_ptr(self->uc, cover.base, cover.last - cover.base + 1, UC_PROT_ALL,
                       unicorn_cover_pointer()) != UC_ERR_OK) {
        return false;
    }
    self->covers[self->cover_count++] = cover;
    return true;
}

/* Covers make way for a bank. */
static void uncover(unicorn_engine_t *self, uint64_t base, uint64_t last)
{
    size_t kept = 0;

    for (size_t i = 0; i < self->cover_count; i++) {
        cover_t cover = self->covers[i];
        if (cover.base <= last && cover.last >= base) {
            uc_mem_unmap(self->uc, cover.base, cover.last - cover.base + 1);
        } else {
            self->covers[kept++] = cover;
        }
    }
    self->cover_count = kept;
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
    uncover(self, bank.target, bank.target + bank.size - 1);
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

/* That translation goes off and on again flushes what Unicorn remembers of the flat one. */
void unicorn_forget_pages(unicorn_engine_t *self, const uint64_t *gpas, size_t count)
{
    uint64_t sctlr;

    unicorn_read_system(self->uc, unicorn_sctlr_el1, &sctlr);
    unicorn_write_system(self->uc, unicorn_sctlr_el1, sctlr & ~(uint64_t)1);
    for (size_t i = 0; i < count; i++) {
        shadow_entry_t entry;
        if (shadow_lookup(self->shadow, gpas[i], &entry) && entry.execute) {
            uc_ctl_remove_cache(self->uc, gpas[i], gpas[i] + UNICORN_PAGE_BYTES);
        }
    }
    unicorn_write_system(self->uc, unicorn_sctlr_el1, sctlr);
}

/* Notifications of mappings cannot fail, so a failure is kept for the next run. */
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
    if (self->stale_translations) {
        flush_translations(self);
    }
}
