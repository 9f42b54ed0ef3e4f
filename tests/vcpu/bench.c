/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* The processor test bench. */

#define _GNU_SOURCE
#include "bench.h"
#include <sys/mman.h>
#include <unistd.h>

#define IMAGE_PAGES 16

static void load_guests(bench_t *bench)
{
    size_t size;
    void *image = read_file(GUESTS, &size);

    assert_true(size <= IMAGE_PAGES * (size_t)4096);
    memcpy(bench->memory, image, size);
    free(image);
}

int bench_make(void **state)
{
    bench_t *bench = calloc(1, sizeof(*bench));
    char error[128] = "";
    const engine_class_t *class = engine_find(NULL);

    assert_non_null(bench);
    assert_non_null(class);
    bench->engine = class->create(error, sizeof(error));
    if (bench->engine == NULL) {
        print_message("%s\n", error);
        free(bench);
        return -1;
    }
    bench->fd = memfd_create("bench", MFD_CLOEXEC);
    assert_int_equal(ftruncate(bench->fd, BENCH_BYTES), 0);
    bench->memory = mmap(NULL, BENCH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, bench->fd, 0);
    assert_ptr_not_equal(bench->memory, MAP_FAILED);
    load_guests(bench);
    for (uint64_t i = 0; i < IMAGE_PAGES; i++) {
        bench_map(bench, GUEST_BASE + i * 4096, i * 4096, BENCH_ALL);
    }
    *state = bench;
    return 0;
}

int bench_end(void **state)
{
    bench_t *bench = *state;

    bench->engine->class->destroy(bench->engine);
    munmap(bench->memory, BENCH_BYTES);
    close(bench->fd);
    free(bench);
    return 0;
}

static hosted_stage2_mapping_t describe(bench_t *bench, uint64_t gpa, uint64_t offset,
                                        unsigned rights)
{
    return (hosted_stage2_mapping_t){
        .gpa = gpa,
        .size_bits = 12,
        .paddr = BENCH_PADDR + offset,
        .read = rights & BENCH_READ,
        .write = rights & BENCH_WRITE,
        .execute = rights & BENCH_EXECUTE,
        .cacheable = true,
        .fd = bench->fd,
        .offset = offset,
    };
}

void bench_map(bench_t *bench, uint64_t gpa, uint64_t offset, unsigned rights)
{
    hosted_stage2_mapping_t mapping = describe(bench, gpa, offset, rights);
    bench->engine->class->mapped(bench->engine, &mapping);
}

void bench_unmap(bench_t *bench, uint64_t gpa, uint64_t offset)
{
    hosted_stage2_mapping_t mapping = describe(bench, gpa, offset, BENCH_ALL);
    bench->engine->class->unmapped(bench->engine, &mapping);
}

void bench_start(bench_t *bench, unsigned guest, uint64_t x0, uint64_t x1)
{
    uint64_t entry;

    memcpy(&entry, bench->memory + guest * sizeof(entry), sizeof(entry));
    bench->engine->class->get_registers(bench->engine, &bench->regs);
    bench->regs.pc = entry;
    bench->regs.x0 = x0;
    bench->regs.x1 = x1;
    assert_int_equal(bench->engine->class->set_registers(bench->engine, &bench->regs), 0);
}

engine_reason_t bench_run(bench_t *bench)
{
    bench->engine->class->run(bench->engine, &bench->exit);
    bench->engine->class->get_registers(bench->engine, &bench->regs);
    if (bench->exit.reason == ENGINE_ERROR) {
        print_message("engine: %s\n", bench->exit.text);
    }
    return bench->exit.reason;
}

seL4_Word *bench_register(bench_t *bench, unsigned number)
{
    seL4_UserContext *regs = &bench->regs;
    seL4_Word *const registers[] = {
        &regs->x0,  &regs->x1,  &regs->x2,  &regs->x3,  &regs->x4,  &regs->x5,  &regs->x6,
        &regs->x7,  &regs->x8,  &regs->x9,  &regs->x10, &regs->x11, &regs->x12, &regs->x13,
        &regs->x14, &regs->x15, &regs->x16, &regs->x17, &regs->x18, &regs->x19, &regs->x20,
        &regs->x21, &regs->x22, &regs->x23, &regs->x24, &regs->x25, &regs->x26, &regs->x27,
        &regs->x28, &regs->x29, &regs->x30,
    };
    assert_true(number < 31);
    return registers[number];
}

void bench_complete(bench_t *bench, uint64_t data)
{
    const a64_access_t *access = &bench->exit.fault.access;

    assert_true(bench->exit.fault.decoded);
    if (!access->store && access->rt != 31) {
        *bench_register(bench, access->rt) = a64_extend(access, data);
    }
    bench->regs.pc += 4;
    assert_int_equal(bench->engine->class->set_registers(bench->engine, &bench->regs), 0);
}
