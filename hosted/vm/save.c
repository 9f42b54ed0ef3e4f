/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * A VM's state, to start its guest again, in this process or another: RAM, VCPU, processor and
 * interrupt controller. All but RAM is one block of bytes that means the same everywhere: a
 * hosted_vcpu_state_t, then what the interrupt controller and the engine make of their own. As a
 * stream, that block comes after a header, and then memory: each page that is not zero, in
 * ascending order, and the end.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <guestmem/change.h>
#include <guestmem/inspect.h>
#include <guestmem/memory.h>
#include <hosted/processor.h>
#include <sel4vm/arch/guest_memory_arch.h>
#include <sel4vm/guest_vm_util.h>
#include <utils/util.h>
#include "runtime.h"

/* What comes before the bytes of a page, or of the part of it that is a reservation's. */
typedef struct page_record {
    uint64_t address;
    uint64_t size; /* 0: this is the end */
} page_record_t;

typedef struct saved_vm {
    guestmem_saved_t *memory;
    uint8_t *state;
} saved_vm_t;

static size_t state_size(const vm_t *vm)
{
    return sizeof(hosted_vcpu_state_t) + gic_state_size(vm) + runtime_of(vm)->class->state_size();
}

/* @return to be freed with free(); NULL without memory */
static uint8_t *take_state(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);
    void *vcpu = hosted_vcpu_save(runtime->system, runtime->runs->vcpu.cptr);
    uint8_t *state = vcpu != NULL ? malloc(state_size(vm)) : NULL;

    if (state != NULL) {
        uint8_t *gic = state + sizeof(hosted_vcpu_state_t);
        memcpy(state, vcpu, sizeof(hosted_vcpu_state_t));
        gic_save(vm, gic);
        runtime->class->save(runtime->processor->engine, gic + gic_state_size(vm));
    }
    free(vcpu);
    return state;
}

/* @return false if that can be no state of this VM */
static bool bring_back(vm_t *vm, const uint8_t *state)
{
    hosted_vm_t *runtime = runtime_of(vm);
    const hosted_vcpu_state_t *vcpu = (const hosted_vcpu_state_t *)state;
    const uint8_t *gic = state + sizeof(*vcpu);

    if (!gic_state_is_sound(runtime->runs, gic, vcpu->list_registers) ||
        !runtime->class->restore(runtime->processor->engine, &vcpu->thread, vcpu->registers,
                                 gic + gic_state_size(vm), &runtime->processor->exit)) {
        return false;
    }
    hosted_vcpu_restore(runtime->system, runtime->runs->vcpu.cptr, vcpu);
    gic_restore(vm, gic);
    return true;
}

/* Whether a VM has what is saved; else a line is in the log. */
static bool has_run(vm_t *vm, const char *caller)
{
    const hosted_vm_t *runtime = runtime_of(vm);

    if (runtime == NULL || runtime->processor == NULL) {
        ZF_LOGE("%s: the VM has not run", caller);
        return false;
    }
    return true;
}

int hosted_vm_save(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (!has_run(vm, __func__)) {
        return -1;
    }
    if (runtime->saved != NULL) {
        ZF_LOGE("hosted_vm_save: the VM is saved already");
        return -1;
    }
    saved_vm_t *saved = calloc(1, sizeof(*saved));
    if (saved == NULL || (saved->state = take_state(vm)) == NULL) {
        ZF_LOGE("hosted_vm_save: VM %s: no memory", vm->vm_name);
    } else if ((saved->memory = guestmem_save(vm)) != NULL) {
        runtime->saved = saved;
        return 0;
    } else {
        free(saved->state);
    }
    free(saved);
    return -1;
}

int hosted_vm_restore(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);
    const saved_vm_t *saved = runtime != NULL ? runtime->saved : NULL;

    if (saved == NULL) {
        ZF_LOGE("hosted_vm_restore: nothing is saved");
        return -1;
    }
    if (guestmem_restore(vm, saved->memory) != 0) {
        return -1;
    }
    if (!bring_back(vm, saved->state)) {
        ZF_LOGE("hosted_vm_restore: VM %s: the engine refuses its state", vm->vm_name);
        return -1;
    }
    return 0;
}

void hosted_vm_free_saved(vm_t *vm)
{
    hosted_vm_t *runtime = runtime_of(vm);

    if (runtime != NULL && runtime->saved != NULL) {
        guestmem_free_saved(vm, runtime->saved->memory);
        free(runtime->saved->state);
        free(runtime->saved);
        runtime->saved = NULL;
    }
}

/* Streams. */

/* What a stream begins with: what has to be the same where it is read. */
typedef struct header {
    char engine[32];
    uint64_t size; /* of the state */
} header_t;

static void make_header(const vm_t *vm, header_t *header)
{
    *header = (header_t){.size = state_size(vm)};
    runtime_of(vm)->class->identify(header->engine, sizeof(header->engine));
}

typedef struct output {
    hosted_vm_write_fn write;
    void *cookie;
    bool ended; /* it did not want more */
} output_t;

static int put(output_t *output, const void *bytes, size_t size)
{
    output->ended = output->write(output->cookie, bytes, size) != 0;
    return output->ended ? -1 : 0;
}

static int put_page(vm_t *vm, uintptr_t address, void *page, size_t size, size_t offset,
                    void *cookie)
{
    const page_record_t record = {address, size};
    const uint8_t *bytes = page;

    (void)vm, (void)offset;
    if (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0) {
        return 0;
    }
    return put(cookie, &record, sizeof(record)) == 0 ? put(cookie, page, size) : -1;
}

/* The size of the frame at an address if it is memory, 0 if it is a device's or there is none. */
static size_t memory_at(vm_t *vm, uintptr_t address)
{
    vspace_t *vspace = vm_get_vspace(vm);
    guestmem_frame_info_t info;

    /* Asked first, as it is no error to have none. */
    if (vspace_get_cap(vspace, (void *)address) == seL4_CapNull ||
        guestmem_frame_info(vm, address, &info) != 0 || !info.cacheable) {
        return 0;
    }
    return ((size_t)1 << info.size_bits) - (address - info.base);
}

static int put_memory(vm_t *vm, output_t *output)
{
    const page_record_t end = {0, 0};
    vm_memory_reservation_t *reservation = NULL;
    guestmem_reservation_info_t info;

    while ((reservation = guestmem_next_reservation(vm, reservation)) != NULL) {
        if (guestmem_reservation_info(vm, reservation, &info) != 0 || !info.mapped) {
            continue;
        }
        for (uintptr_t left = info.last - info.base + 1, at = info.base; left > 0;) {
            size_t frame = memory_at(vm, at);
            size_t size = frame != 0 ? frame : PAGE_SIZE_4K - at % PAGE_SIZE_4K;
            size = size < left ? size : left;
            if (frame != 0 && guestmem_access(vm, at, size, put_page, output) != 0) {
                return -1;
            }
            at += size;
            left -= size;
        }
    }
    return put(output, &end, sizeof(end));
}

int hosted_vm_write_saved(vm_t *vm, hosted_vm_write_fn write, void *cookie)
{
    output_t output = {write, cookie, false};
    header_t header;
    int result = -1;

    if (!has_run(vm, __func__)) {
        return -1;
    }
    uint8_t *state = take_state(vm);
    if (state == NULL) {
        ZF_LOGE("hosted_vm_write_saved: VM %s: no memory", vm->vm_name);
        return -1;
    }
    make_header(vm, &header);
    if (put(&output, &header, sizeof(header)) == 0 && put(&output, state, header.size) == 0) {
        result = put_memory(vm, &output);
        if (result != 0 && !output.ended) {
            ZF_LOGE("hosted_vm_write_saved: VM %s: its memory cannot be read", vm->vm_name);
        }
    }
    free(state);
    return result;
}

typedef struct input {
    hosted_vm_read_fn read;
    void *cookie;
    bool ended; /* there was less than was wanted */
    char *error;
    size_t error_size;
} input_t;

static int refuse(const input_t *input, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(const input_t *input, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(input->error, input->error_size, format, arguments);
    va_end(arguments);
    return -1;
}

static int get(input_t *input, void *bytes, size_t size)
{
    input->ended = input->read(input->cookie, bytes, size) != 0;
    return input->ended ? -1 : 0;
}

static int get_page(vm_t *vm, uintptr_t address, void *page, size_t size, size_t offset,
                    void *cookie)
{
    (void)vm, (void)address, (void)offset;
    return get(cookie, page, size);
}

/* Whether that is all of a page from there on that is the reservation's, as it was written, and
 * there is memory, or a frame of it has come now. */
static bool has_memory(vm_t *vm, uintptr_t address, size_t size)
{
    vm_memory_reservation_t *reservation = guestmem_find_reservation(vm, address);
    guestmem_reservation_info_t info;

    if (reservation == NULL || guestmem_reservation_info(vm, reservation, &info) != 0 ||
        !info.mapped) {
        return false;
    }
    const uintptr_t page_last = address | (PAGE_SIZE_4K - 1);
    if (size - 1 != (page_last < info.last ? page_last : info.last) - address) {
        return false;
    }
    return memory_at(vm, address) != 0 ||
           (guestmem_populate(vm, address, size) == 0 && memory_at(vm, address) != 0);
}

static int get_memory(vm_t *vm, input_t *input)
{
    page_record_t page;
    uint64_t least = 0; /* that the next address can be */

    while (get(input, &page, sizeof(page)) == 0) {
        if (page.size == 0) {
            return 0;
        }
        if (page.address < least || !has_memory(vm, page.address, page.size) ||
            guestmem_access(vm, page.address, page.size, get_page, input) != 0) {
            return input->ended ? -1
                                : refuse(input,
                                         "it has %" PRIu64 " bytes at 0x%" PRIx64
                                         ", where this VM cannot take them",
                                         page.size, page.address);
        }
        least = page.address + page.size;
    }
    return -1;
}

static int get_state(vm_t *vm, input_t *input, uint8_t *state)
{
    header_t header;
    header_t own;

    make_header(vm, &own);
    if (get(input, &header, sizeof(header)) != 0) {
        return -1;
    }
    if (memcmp(header.engine, own.engine, sizeof(own.engine)) != 0) {
        return refuse(input, "it is of another engine, or of another version of it: this is %s",
                      own.engine);
    }
    if (header.size != own.size) {
        return refuse(input,
                      "its processor and interrupt controller have %" PRIu64
                      " bytes, and those of this VM %" PRIu64,
                      header.size, own.size);
    }
    return get(input, state, own.size);
}

int hosted_vm_read_saved(vm_t *vm, hosted_vm_read_fn read, void *cookie, char *error,
                         size_t error_size)
{
    input_t input = {.read = read, .cookie = cookie, .error = error, .error_size = error_size};
    hosted_vm_t *runtime = runtime_of(vm);
    vm_vcpu_t *vcpu = runtime != NULL ? runtime_online_vcpu(vm) : NULL;

    error[0] = '\0';
    if (vcpu == NULL || runtime->processor != NULL) {
        return refuse(&input, "the VM %s",
                      vcpu == NULL ? "has no VCPU that was started" : "has run already");
    }
    if (runtime_start_processor(vcpu) != 0) {
        return refuse(&input, "%s", runtime->report.text);
    }
    uint8_t *state = malloc(state_size(vm));
    if (state == NULL) {
        return refuse(&input, "no memory");
    }
    int result = get_state(vm, &input, state);
    if (result == 0) {
        result = get_memory(vm, &input);
    }
    if (result == 0 && !bring_back(vm, state)) {
        result = refuse(&input, "no processor or interrupt controller can be in that state");
    }
    free(state);
    return result;
}
