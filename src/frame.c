/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * Frames are tried from the largest size that alignment and room allow down to 4 KiB. The allocator
 * is asked for memory at an address before simple: where both have it, a root task's simple retypes
 * the untyped without the allocator's knowledge, and the allocator can no longer use the rest.
 */

#include <assert.h>
#include <inttypes.h>
#include <guestmem/memory.h>
#include <vka/capops.h>
#include <vka/object.h>
#include <vspace/arch/page.h>
#include "frame.h"

#define CALLER_RUN 16 /* frames of a caller's that a run has room for at first */

/* A frame that was just acquired, before it is part of a run. */
typedef struct new_frame {
    uintptr_t base; /* GPA */
    size_t size_bits;
    bool caller;
    bool shared;
    bool device;
    bool cacheable;
    gm_frame_t frame;
} new_frame_t;

/*@ // A frame is aligned, and below the top of the addresses.
    predicate new_frame_ok(new_frame_t *new) = gm_is_frame(new->size_bits) &&
        new->base % (1 << new->size_bits) == 0 &&
        new->base + (1 << new->size_bits) <= UINTPTR_MAX;

    // A frame is what follows a run.
    predicate follows(gm_run_t *run, new_frame_t *new) =
        new->size_bits == run->size_bits && new->base == gm_run_end(run);
 */

/*@ ghost
    /@ assigns \nothing;
       ensures !gm_is_run(\base_addr(new)); // a local variable, and runs are in the heap
     @/
    void gm_is_local(new_frame_t *new);
*/

/* What a physical address is of. */
typedef enum origin {
    ORIGIN_NORMAL,
    ORIGIN_DEVICE,
    ORIGIN_UNKNOWN /* no untyped of simple's */
} origin_t;

/*@ requires gm_memory_ok(memory);
    assigns memory->untyped;
    ensures \result != ORIGIN_UNKNOWN ==> memory->untyped.base <= paddr <= memory->untyped.last &&
        \result == (memory->untyped.device ? ORIGIN_DEVICE : ORIGIN_NORMAL);
 */
static origin_t origin_of(gm_memory_t *memory, uintptr_t paddr)
{
    gm_recent_untyped_t *recent = &memory->untyped;
    simple_t *simple = memory->vm->simple;
    int count = simple != NULL ? simple_get_untyped_count(simple) : 0;
    if (paddr == VKA_NO_PADDR) {
        return ORIGIN_UNKNOWN;
    }
    if (paddr >= recent->base && paddr <= recent->last) {
        return recent->device ? ORIGIN_DEVICE : ORIGIN_NORMAL;
    }
    /*@ loop invariant 0 <= i;
        loop assigns i;
        loop variant count - i;
     */
    for (int i = 0; i < count; i++) {
        size_t size_bits = 0;
        uintptr_t base = 0;
        bool device = true;
        simple_get_nth_untyped(simple, i, &size_bits, &base, &device);
        uintptr_t last = gm_last_of(base, (size_t)1 << size_bits);
        if (paddr >= base && paddr <= last) {
            *recent = (gm_recent_untyped_t){base, last, device};
            return device ? ORIGIN_DEVICE : ORIGIN_NORMAL;
        }
    }
    return ORIGIN_UNKNOWN;
}

/* Whether memory that the library acquired is a device's; what is not known may be. */
/*@ requires gm_memory_ok(memory);
    assigns memory->untyped;
    ensures !\result ==>
        !memory->untyped.device && memory->untyped.base <= paddr <= memory->untyped.last;
 */
static bool is_device_memory(gm_memory_t *memory, uintptr_t paddr)
{
    return origin_of(memory, paddr) != ORIGIN_NORMAL;
}

/*@ requires gm_memory_ok(memory) && \valid(path);
    assigns *path, memory->failure, gm_slots;
    ensures \result == 0 ? gm_slots == \old(gm_slots) + 1 :
        \result == -1 && gm_slots == \old(gm_slots);
 */
static int alloc_slot(gm_memory_t *memory, cspacepath_t *path)
{
    if (vka_cspace_alloc_path(memory->vm->vka, path) == 0) {
        return 0;
    }
    gm_fail(memory, GUESTMEM_NO_SLOT,
            "the allocator has no capability slot for a frame; give it a larger CSpace");
    return -1;
}

/* Acquire a free frame. Where device memory will do, the allocator is asked once for either: which
 * it prefers is its policy. */
/*@ requires gm_memory_ok(memory) && \valid_read(source) && \valid_read(size) && \valid(new);
    requires \base_addr(new) != \base_addr(memory) && \separated(new, source) &&
        \separated(new, size) && \separated(new, memory->vm) &&
        \separated(new, memory->vm->vka);
    assigns new->frame, new->device, memory->counts, memory->failure, memory->untyped, gm_slots,
        gm_objects;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> new->frame.cookie != 0 && gm_slots == \old(gm_slots) + 1 &&
        gm_objects == \old(gm_objects) + 1;
    ensures \result == -1 ==> gm_slots == \old(gm_slots) && gm_objects == \old(gm_objects);
 */
static int acquire_free(gm_memory_t *memory, const gm_frame_source_t *source,
                        const gm_arch_frame_t *size, new_frame_t *new)
{
    vka_t *vka = memory->vm->vka;
    bool device_too = source->backing == GUESTMEM_MAYBE_DEVICE;
    cspacepath_t path;
    if (alloc_slot(memory, &path) != 0) {
        return -1;
    }
    new->frame.cap = path.capPtr;
    memory->counts.object_allocations++;
    if (vka_utspace_alloc_maybe_device(vka, &path, size->type, size->bits, device_too,
                                       &new->frame.cookie) != 0) {
        vka_cspace_free_path(vka, path);
        return gm_fail(memory, GUESTMEM_NO_FRAME,
                       "the allocator has no free frame; give it more untyped memory");
    }
    bool device = device_too && is_device_memory(memory, vka_utspace_paddr(vka, new->frame.cookie,
                                                                           size->type, size->bits));
    new->device = device;
    return 0;
}

/* Acquire the frame at a physical address. */
static int acquire_at(gm_memory_t *memory, uintptr_t paddr, const gm_arch_frame_t *size,
                      new_frame_t *new)
{
    vka_t *vka = memory->vm->vka;
    simple_t *simple = memory->vm->simple;
    cspacepath_t path;
    if (alloc_slot(memory, &path) != 0) {
        return -1;
    }
    new->frame = (gm_frame_t){.cap = path.capPtr};
    new->device = is_device_memory(memory, paddr);
    memory->counts.object_allocations++;
    if (vka_utspace_alloc_at(vka, &path, size->type, size->bits, paddr, &new->frame.cookie) == 0) {
        return 0;
    }
    new->frame.cookie = 0;
    if (simple != NULL && simple->frame_cap != NULL &&
        simple_get_frame_cap(simple, (void *)paddr, size->bits, &path) == seL4_NoError) {
        return 0;
    }
    vka_cspace_free_path(vka, path);
    return gm_fail(memory, GUESTMEM_NO_FRAME,
                   "no free untyped memory at paddr 0x%" PRIxPTR
                   "; the board has none there, or it is in use",
                   paddr);
}

/* Whether a frame of that size which holds `gpa` fits in `[first, last]`, as alignment and policy
 * have it; `*base` receives its first GPA. */
/*@ requires \valid_read(memory) && \valid_read(source) && \valid(base);
    requires \separated(base, memory) && \separated(base, source);
    requires gm_is_frame_bits(bits) && first <= gpa <= last;
    assigns *base;
    ensures *base == gpa - gpa % (1 << bits);
    ensures *base % (1 << bits) == 0;
    ensures \result ==> bits <= source->largest_bits &&
        first <= *base && *base + (1 << bits) - 1 <= last &&
        (memory->iospaces != \null ==> bits == ARCH_PAGE_BITS);
    ensures \result && source->backing == GUESTMEM_UNTYPED ==>
        source->paddr_offset % (1 << bits) == 0;
 */
static bool fits(const gm_memory_t *memory, const gm_frame_source_t *source, size_t bits,
                 uintptr_t gpa, uintptr_t first, uintptr_t last, uintptr_t *base)
{
    uintptr_t size = (uintptr_t)1 << bits;
    *base = gpa - gpa % size;
    //@ assert *base == (gpa / (1 << bits)) * (1 << bits);
    //@ assert *base % (1 << bits) == 0;
    return bits <= source->largest_bits && *base >= first && last - *base >= size - 1 &&
           (memory->iospaces == NULL || bits == ARCH_PAGE_BITS) && /* they take no larger ones */
           (source->backing != GUESTMEM_UNTYPED || source->paddr_offset % size == 0);
}

/*@ requires gm_memory_ok(memory) && \valid_read(source) && \valid(new);
    requires \base_addr(new) != \base_addr(memory) &&
        \separated(new, source) && \separated(new, memory->vm) &&
        \separated(new, memory->vm->vka);
    requires first <= gpa <= last < UINTPTR_MAX && \base_addr(source) != \base_addr(memory);
    requires own: source->backing != GUESTMEM_UNTYPED;
    assigns new->base, new->size_bits, new->frame, new->device, new->cacheable, memory->counts,
        memory->failure, memory->untyped, gm_slots, gm_objects;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> new->frame.cookie != 0 && gm_slots == \old(gm_slots) + 1 &&
        gm_objects == \old(gm_objects) + 1;
    ensures \result == 0 ==> new_frame_ok(new) && first <= new->base <= gpa &&
        new->base + (1 << new->size_bits) - 1 <= last;
    ensures \result == -1 ==> gm_slots == \old(gm_slots) && gm_objects == \old(gm_objects);
 */
static int acquire_largest(gm_memory_t *memory, const gm_frame_source_t *source, uintptr_t gpa,
                           uintptr_t first, uintptr_t last, new_frame_t *new)
{
    /*@ loop invariant -1 <= i < ARCH_NUM_FRAME_SIZES;
        loop invariant gm_slots == \at(gm_slots, Pre) && gm_objects == \at(gm_objects, Pre);
        loop invariant source->backing != GUESTMEM_UNTYPED && gm_memory_ok(memory);
        loop assigns i, new->base, new->size_bits, new->frame, new->device, new->cacheable,
            memory->counts, memory->failure, memory->untyped, gm_slots, gm_objects;
        loop variant i;
     */
    for (int i = ARCH_NUM_FRAME_SIZES - 1; i >= 0; i--) {
        const gm_arch_frame_t *size = &gm_arch_frames[i];
        if (!fits(memory, source, size->bits, gpa, first, last, &new->base)) {
            continue;
        }
        new->size_bits = size->bits;
        if ((source->backing == GUESTMEM_UNTYPED
                 ? acquire_at(memory, new->base + source->paddr_offset, size, new)
                 : acquire_free(memory, source, size, new)) == 0) {
            new->cacheable = !new->device || source->use != GM_USE_ANY;
            //@ assert first <= new->base <= gpa;
            //@ assert gm_is_frame_size(i, new->size_bits);
            //@ assert gm_is_frame(new->size_bits);
            //@ assert new->base + (1 << new->size_bits) - 1 <= last;
            return 0;
        }
    }
    return -1; /* a 4 KiB frame always fits, so the last attempt has noted why */
}

/* Find out whether a caller's frame is to be cached: as the caller says, else by what the kernel
 * says of it. What comes from no untyped of this task's is memory that another task shares. */
static int find_cacheable(gm_memory_t *memory, const gm_frame_source_t *source,
                          const vm_frame_t *given, bool *cacheable)
{
    if ((given->size_bits & (GUESTMEM_FRAME_CACHED | GUESTMEM_FRAME_UNCACHED)) != 0) {
        *cacheable = (given->size_bits & GUESTMEM_FRAME_UNCACHED) == 0;
        return 0;
    }
    *cacheable = true;
    if (source->use != GM_USE_ANY) {
        return 0;
    }
    seL4_ARCH_Page_GetAddress_t address = seL4_ARCH_Page_GetAddress(given->cptr);
    if (address.error != seL4_NoError) {
        return gm_fail_kernel(memory, (seL4_Error)address.error,
                              "could not get the address of the map iterator's frame");
    }
    *cacheable = origin_of(memory, address.paddr) != ORIGIN_DEVICE;
    return 0;
}

/* Check a frame that an iterator handed out, for `asked`: any within `[first, last]`. */
/*@ requires \valid(memory) && gm_arch_ok && last < UINTPTR_MAX;
    assigns memory->failure;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 <==> gm_is_frame(size_bits) &&
        base % (1 << size_bits) == 0 && first <= base && base + (1 << size_bits) - 1 <= last;
 */
static int check_given(gm_memory_t *memory, uintptr_t asked, uintptr_t base, size_t size_bits,
                       uintptr_t first, uintptr_t last)
{
    if (gm_arch_frame_index(size_bits) < 0) {
        return gm_fail(memory, GUESTMEM_BAD_FRAME,
                       "the map iterator's frame for GPA 0x%" PRIxPTR
                       " has 2^%zu bytes, which is no frame size",
                       asked, size_bits);
    }
    if (gm_offset_in(base, size_bits) != 0) {
        return gm_fail(memory, GUESTMEM_BAD_FRAME,
                       "the map iterator's frame of 2^%zu bytes at 0x%" PRIxPTR
                       " (asked for GPA 0x%" PRIxPTR ") is misaligned",
                       size_bits, base, asked);
    }
    if (base < first || gm_last_of(base, (size_t)1 << size_bits) > last) {
        return gm_fail(memory, GUESTMEM_BAD_FRAME,
                       "the map iterator's frame of 2^%zu bytes at 0x%" PRIxPTR
                       " is not within the free pages of the reservation",
                       size_bits, base);
    }
    return 0;
}

/* Ask the iterator for a frame. */
static int acquire_from_caller(gm_memory_t *memory, const gm_frame_source_t *source, uintptr_t gpa,
                               uintptr_t first, uintptr_t last, new_frame_t *new)
{
    uintptr_t asked = gm_max(gpa, source->iterator_from);
    memory->in_iterator = true;
    vm_frame_t given = source->iterator(asked, source->cookie);
    memory->in_iterator = false;
    size_t size_bits = given.size_bits & ~(GUESTMEM_FRAME_CACHED | GUESTMEM_FRAME_UNCACHED);
    if (given.cptr == seL4_CapNull) {
        return gm_fail(memory, GUESTMEM_NO_FRAME,
                       "the map iterator gave no frame for GPA 0x%" PRIxPTR, asked);
    }
    if (check_given(memory, asked, given.vaddr, size_bits, first, last) != 0) {
        return -1;
    }
    *new = (new_frame_t){
        .base = given.vaddr,
        .size_bits = size_bits,
        .caller = true,
        .frame = {.cap = given.cptr, .rights = given.rights},
    };
    return find_cacheable(memory, source, &given, &new->cacheable);
}

/*@ requires capacity <= SIZE_MAX / 32;
    assigns \nothing;
    ensures \result ==
        sizeof(gm_run_t) + capacity * (sizeof(gm_frame_t) + sizeof(gm_frame_state_t));
 */
static size_t run_bytes(size_t capacity)
{
    return sizeof(gm_run_t) + capacity * (sizeof(gm_frame_t) + sizeof(gm_frame_state_t));
}

/*@ requires \valid(&memory->heap) && \valid_read(&run->capacity);
    assigns memory->heap, gm_records;
    ensures gm_records == \old(gm_records) - 1;
 */
static void free_run(gm_memory_t *memory, gm_run_t *run)
{
    gm_heap_free(&memory->heap, run, run_bytes(run->capacity));
}

/* How many frames of one size from `base` on may follow up to `last`, before a larger one fits. */
/*@ requires gm_arch_ok && \valid_read(source) && \valid_read(new);
    requires gm_is_frame_bits(new->size_bits);
    assigns \nothing;
    ensures 1 <= \result;
    ensures last > new->base ==> \result <= (last - new->base) / (1 << new->size_bits) + 1;
    ensures last <= new->base ==> \result == 1;
 */
static size_t frames_expected(const gm_frame_source_t *source, const new_frame_t *new,
                              uintptr_t last)
{
    /*@ assert last > new->base ==>
            ((last - new->base) >> new->size_bits) * ARCH_PAGE_SIZE <= last - new->base;
     */
    size_t frames = last > new->base ? (size_t)((last - new->base) >> new->size_bits) + 1 : 1;
    /*@ loop invariant 0 <= i <= ARCH_NUM_FRAME_SIZES;
        loop invariant 1 <= frames <= \at(frames, LoopEntry);
        loop assigns i, frames;
        loop variant ARCH_NUM_FRAME_SIZES - i;
     */
    for (int i = 0; i < ARCH_NUM_FRAME_SIZES && !new->caller; i++) {
        size_t bits = gm_arch_frames[i].bits;
        if (bits > new->size_bits && bits <= source->largest_bits) {
            size_t in_larger = (size_t)1 << (bits - new->size_bits);
            size_t room = in_larger - (size_t)(new->base >> new->size_bits) % in_larger;
            frames = frames < room ? frames : room;
        }
    }
    return frames;
}

static gm_run_t *run_create(gm_memory_t *memory, const gm_frame_source_t *source,
                            const new_frame_t *new, size_t capacity)
{
    gm_run_t *run = gm_heap_alloc(&memory->heap, run_bytes(capacity));
    if (run == NULL) {
        gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for frame records");
        return NULL;
    }
    *run = (gm_run_t){
        .base = new->base,
        .capacity = capacity,
        .rights = source->rights,
        .size_bits = (uint8_t) new->size_bits,
        .caller = new->caller,
        .shared = new->shared,
        .device = new->device,
        .cacheable = new->cacheable,
    };
    memset(gm_run_states(run), 0, capacity * sizeof(gm_frame_state_t));
    return run;
}

/* Move a run to a block of another capacity, while none of its frames is in a window. */
/*@ requires gm_memory_ok(memory) && \valid(run) && *run != \null && gm_list_whole(*run);
    requires (*run)->count <= capacity && 1 <= capacity <= SIZE_MAX / 32;
    requires !gm_is_run(\base_addr(run)) && \base_addr(run) != \base_addr(memory);
    assigns GM_RUNS, *run, memory->heap, memory->failure, gm_list;
    ensures \result == 0 || \result == -1;
    ensures \result == -1 ==> *run == \old(*run) && gm_list == \old(gm_list);
    ensures \result == 0 ==> (*run)->capacity == capacity;
    ensures *run != \null && gm_list_whole(*run) && (*run)->count == \old((*run)->count) &&
        (*run)->size_bits == \old((*run)->size_bits) && (*run)->base == \old((*run)->base) &&
        gm_run_end(*run) == \old(gm_run_end(*run)) &&
        gm_runs(*run) == \old(gm_runs(*run)) && gm_frames(*run) == \old(gm_frames(*run));
    ensures \old(gm_list_joined) ==> gm_list_joined;
 */
static int resize_run(gm_memory_t *memory, gm_run_t **run, size_t capacity)
{
    const gm_run_t *old = *run;
    gm_run_t *new = gm_heap_alloc(&memory->heap, run_bytes(capacity));
    if (new == NULL) {
        return gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for frame records");
    }
    memcpy(new, old, sizeof(*old) + old->count * sizeof(gm_frame_t));
    new->capacity = capacity;
    memset(gm_run_states(new), 0, capacity * sizeof(gm_frame_state_t));
    gm_heap_free(&memory->heap, *run, run_bytes(old->capacity));
    *run = new;
    return 0;
}

int gm_run_fit(gm_memory_t *memory, gm_run_t **run)
{
    return (*run)->count < (*run)->capacity ? resize_run(memory, run, (*run)->count) : 0;
}

/* Whether a frame continues a run. */
/*@ requires gm_run_ok(run) && \valid_read(&run->caller) && \valid_read(&run->shared);
    requires \valid_read(&run->device) && \valid_read(&run->cacheable) && \valid_read(frame);
    assigns \nothing;
    ensures \result <==> frame->base == gm_run_end(run) && frame->size_bits == run->size_bits &&
        frame->caller == run->caller && frame->shared == run->shared &&
        frame->device == run->device && frame->cacheable == run->cacheable;
 */
static bool continues(const gm_run_t *run, const new_frame_t *frame)
{
    return frame->base == gm_run_last(run) + 1 && frame->size_bits == run->size_bits &&
           frame->caller == run->caller && frame->shared == run->shared &&
           frame->device == run->device && frame->cacheable == run->cacheable;
}

/* A caller may hand in frames that continue no run: so its runs grow. */
/*@ requires gm_arch_ok && \valid_read(source) && \valid_read(frame);
    requires gm_is_frame_bits(frame->size_bits);
    assigns \nothing;
    ensures 1 <= \result <= SIZE_MAX / 32 && (frame->caller ==> \result <= CALLER_RUN);
 */
static size_t first_capacity(const gm_frame_source_t *source, const new_frame_t *frame,
                             uintptr_t expected)
{
    size_t frames = frames_expected(source, frame, expected);
    return frame->caller && frames > CALLER_RUN ? CALLER_RUN : frames;
}

/* Begin a run for a frame. */
/*@ requires gm_memory_ok(memory) && \valid_read(source) && \valid_read(new) && \valid(newest);
    requires new_frame_ok(new) && gm_list_whole(*newest);
    requires *newest != \null ==> (*newest)->count > 0;
    requires own: !new->caller && !new->shared && new->frame.cookie != 0;
    requires !gm_is_run(\base_addr(newest)) && !gm_is_run(\base_addr(new));
    requires \base_addr(newest) != \base_addr(memory) && \base_addr(newest) != \base_addr(new) &&
        \base_addr(new) != \base_addr(memory) && \base_addr(newest) != \base_addr(memory->vm);
    assigns GM_RUNS, *newest, memory->heap, memory->failure, gm_records, gm_list;
    ensures \result == 0 || \result == -1;
    ensures gm_list_whole(*newest) && gm_frames(*newest) == \old(gm_frames(*newest)) &&
        gm_records - gm_runs(*newest) == \old(gm_records - gm_runs(*newest));
    ensures \result == 0 ==> *newest != \null && (*newest)->count == 0 &&
        (*newest)->capacity > 0 && follows(*newest, new);
    ensures \result == 0 && \old(gm_list_joined && gm_list_end(*newest) == new->base) ==>
        gm_list_joined;
 */
static int begin_run(gm_memory_t *memory, const gm_frame_source_t *source, const new_frame_t *new,
                     uintptr_t expected, gm_run_t **newest)
{
    gm_run_t *run = run_create(memory, source, new, first_capacity(source, new, expected));
    if (run == NULL) {
        return -1;
    }
    run->older = *newest;
    *newest = run;
    return 0;
}

/* Let the newest run be one that a frame continues, with room for it. */
/*@ requires gm_memory_ok(memory) && \valid_read(source) && \valid_read(new) && \valid(newest);
    requires new_frame_ok(new) && gm_list_whole(*newest);
    requires *newest != \null ==> gm_run_ok(*newest);
    requires own: !new->caller && !new->shared && new->frame.cookie != 0;
    requires !gm_is_run(\base_addr(newest)) && !gm_is_run(\base_addr(new));
    requires \base_addr(newest) != \base_addr(memory) && \base_addr(newest) != \base_addr(new) &&
        \base_addr(new) != \base_addr(memory) && \base_addr(newest) != \base_addr(memory->vm);
    assigns GM_RUNS, *newest, memory->heap, memory->failure, gm_records, gm_list;
    ensures \result == 0 || \result == -1;
    ensures gm_list_whole(*newest) && gm_frames(*newest) == \old(gm_frames(*newest)) &&
        gm_records - gm_runs(*newest) == \old(gm_records - gm_runs(*newest));
    ensures \result == 0 ==> *newest != \null && (*newest)->count < (*newest)->capacity;
    ensures \result == 0 ==> follows(*newest, new);
    ensures \result == 0 && (*newest)->count > 0 ==> gm_run_ok(*newest);
    ensures \result == 0 && \old(gm_list_joined && gm_list_end(*newest) == new->base) ==>
        gm_list_joined;
 */
static int make_room(gm_memory_t *memory, const gm_frame_source_t *source, const new_frame_t *new,
                     uintptr_t expected, gm_run_t **newest)
{
    if (*newest == NULL) {
        return begin_run(memory, source, new, expected, newest);
    }
    if (!continues(*newest, new)) {
        if (gm_run_fit(memory, newest) != 0) {
            return -1;
        }
        //@ assert new_frame_ok(new) && new->frame.cookie != 0;
        //@ assert memory->vm == \at(memory->vm, Pre);
        //@ assert memory->vm->vka == \at(memory->vm->vka, Pre);
        return begin_run(memory, source, new, expected, newest);
    }
    if ((*newest)->count < (*newest)->capacity) {
        return 0;
    }
    if (resize_run(memory, newest, 2 * (*newest)->capacity) != 0) {
        return -1;
    }
    /*@ assert (*newest)->base == \at((*newest)->base, Pre) &&
            (*newest)->count == \at((*newest)->count, Pre) &&
            (*newest)->size_bits == \at((*newest)->size_bits, Pre);
     */
    //@ assert gm_run_ok(*newest);
    //@ assert new->base == \at(new->base, Pre) && new->size_bits == \at(new->size_bits, Pre);
    //@ assert follows(*newest, new);
    return 0;
}

/* Add a frame to the newest run of a list, which has room for it. */
/*@ requires gm_list_whole(run) && \valid_read(new) && run != \null && run->count < run->capacity;
    requires new_frame_ok(new) && follows(run, new) && (run->count > 0 ==> gm_run_ok(run));
    requires own: !new->caller && new->frame.cookie != 0;
    requires !gm_is_run(\base_addr(new));
    assigns run->count, run->restricted, run->frames[run->count].cap,
        run->frames[run->count].cookie;
    ensures gm_run_ok(run) && gm_run_end(run) == \old(gm_run_end(run) + (1 << run->size_bits));
    ensures gm_list_whole(run) && gm_frames(run) == \old(gm_frames(run)) + 1 &&
        gm_runs(run) == \old(gm_runs(run));
    ensures \old(gm_list_joined) ==> gm_list_joined;
 */
static void append(gm_run_t *run, const new_frame_t *new)
{
    run->frames[run->count].cap = new->frame.cap;
    run->frames[run->count].cookie = new->frame.cookie; /* or what else is in the union */
    run->count++;
    run->restricted |= new->caller && !(seL4_CapRights_get_capAllowRead(new->frame.rights) &&
                                        seL4_CapRights_get_capAllowWrite(new->frame.rights));
    /*@ assert run->base == \at(run->base, Pre) && run->count == \at(run->count, Pre) + 1 &&
            run->size_bits == \at(run->size_bits, Pre);
     */
    //@ assert gm_run_end(run) == \at(gm_run_end(run), Pre) + (1 << run->size_bits);
    //@ assert run->count == 1 ==> run->base == new->base;
    //@ assert run->base % (1 << run->size_bits) == 0;
    //@ assert gm_run_end(run) <= UINTPTR_MAX;
    //@ assert gm_run_ok(run);
    //@ assert gm_run_valid(run);
    //@ assert gm_run_own(run);
    /*@ assert \forall gm_run_t *r; gm_listed(gm_list, r) && r != run ==>
                gm_run_same{Pre, Here}(r);
     */
    /*@ assert \forall gm_run_t *r, integer i; gm_listed(gm_list, r) && r != run &&
            0 <= i < r->count ==> r->frames[i].cookie == \at(r->frames[i].cookie, Pre);
     */
    //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> gm_run_valid(r);
    //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> gm_run_own(r);
    //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> r->older == \at(r->older, Pre);
    //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> r->older != run;
    /*@ assert \forall gm_run_t *r; gm_listed(gm_list, r) && r != run ==>
            gm_run_end(r) == \at(gm_run_end(r), Pre);
     */
    /*@ assert \forall gm_run_t *r; gm_listed(gm_list, r) && r->older != \null ==>
            gm_run_end(r->older) == \at(gm_run_end(r->older), Pre);
     */
    //@ assert \forall gm_run_t *r; gm_listed(gm_list, r) ==> r->base == \at(r->base, Pre);
    //@ assert gm_list_ok(run);
}

/*@ requires gm_memory_ok(memory) && \valid_read(source) && \valid_read(new) && \valid(newest);
    requires new_frame_ok(new) && gm_list_whole(*newest);
    requires *newest != \null ==> gm_run_ok(*newest);
    requires own: !new->caller && !new->shared && new->frame.cookie != 0;
    requires !gm_is_run(\base_addr(newest)) && !gm_is_run(\base_addr(new));
    requires \base_addr(newest) != \base_addr(memory) && \base_addr(newest) != \base_addr(new) &&
        \base_addr(new) != \base_addr(memory) && \base_addr(newest) != \base_addr(memory->vm);
    assigns GM_RUNS, *newest, memory->heap, memory->failure, gm_records, gm_list;
    ensures \result == 0 || \result == -1;
    ensures gm_list_whole(*newest) &&
        gm_records - gm_runs(*newest) == \old(gm_records - gm_runs(*newest));
    ensures \result == 0 ==> *newest != \null && gm_run_ok(*newest) &&
        (*newest)->size_bits == \old(new->size_bits) &&
        gm_run_end(*newest) == \old(new->base + (1 << new->size_bits)) &&
        gm_frames(*newest) == \old(gm_frames(*newest)) + 1;
    ensures \result == -1 ==> gm_frames(*newest) == \old(gm_frames(*newest));
    ensures \result == 0 && \old(gm_list_joined && gm_list_end(*newest) == new->base) ==>
        gm_list_joined;
 */
static int add_to_runs(gm_memory_t *memory, const gm_frame_source_t *source, const new_frame_t *new,
                       uintptr_t expected, gm_run_t **newest)
{
    if (make_room(memory, source, new, expected, newest) != 0) {
        return -1;
    }
    //@ assert new_frame_ok(new) && new->frame.cookie != 0;
    append(*newest, new);
    return 0;
}

/*@ requires \valid_read(&run->count);
    assigns \nothing;
    ensures \result <= run->count;
 */
static size_t count_in_window(const gm_run_t *run)
{
    size_t count = 0;
    /*@ loop invariant count <= i <= run->count;
        loop assigns i, count;
        loop variant run->count - i;
     */
    for (size_t i = 0; i < run->count; i++) {
        count += gm_run_states(run)[i] != 0;
    }
    return count;
}

/* The first part keeps its block, so that joining needs no memory. */
gm_run_t *gm_run_cut(gm_memory_t *memory, gm_run_t *run, size_t index)
{
    size_t count = run->count - index;
    gm_run_t *rest = gm_heap_alloc(&memory->heap, run_bytes(count));
    if (rest == NULL) {
        gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for frame records");
        return NULL;
    }
    *rest = *run;
    rest->base = gm_run_gpa(run, index);
    rest->count = rest->capacity = count;
    memcpy(rest->frames, &run->frames[index], count * sizeof(gm_frame_t));
    memcpy(gm_run_states(rest), &gm_run_states(run)[index], count * sizeof(gm_frame_state_t));
    rest->num_in_window = run->num_in_window > 0 ? count_in_window(rest) : 0;
    run->num_in_window -= rest->num_in_window;
    run->count = index;
    return rest;
}

void gm_run_join(gm_memory_t *memory, gm_run_t *run, gm_run_t *rest)
{
    run->count += rest->count;
    run->num_in_window += rest->num_in_window;
    gm_heap_free(&memory->heap, rest, run_bytes(rest->capacity));
}

/* Copy a capability of a vka's. @return 0; -1 after gm_fail() */
static int copy_cap(gm_memory_t *memory, vka_t *vka, seL4_CPtr cap, seL4_CPtr *copy)
{
    cspacepath_t from;
    cspacepath_t to;
    vka_cspace_make_path(vka, cap, &from);
    if (alloc_slot(memory, &to) != 0) {
        return -1;
    }
    memory->counts.cap_copies++;
    seL4_Error error = (seL4_Error)vka_cnode_copy(&to, &from, seL4_AllRights);
    if (error != seL4_NoError) {
        vka_cspace_free_path(memory->vm->vka, to);
        return gm_fail_kernel(memory, error, "could not copy a frame's capability");
    }
    *copy = to.capPtr;
    return 0;
}

/* Delete a capability and free its slot. @return whether the kernel did */
/*@ requires gm_memory_ok(memory);
    assigns memory->counts, gm_slots, gm_refused;
    ensures \result ? gm_slots == \old(gm_slots) - 1 && gm_refused == \old(gm_refused) :
        gm_slots == \old(gm_slots) && gm_refused > \old(gm_refused);
    ensures gm_lost_counted{Pre, Post}(memory);
 */
static bool delete_cap(gm_memory_t *memory, seL4_CPtr cap)
{
    cspacepath_t path;
    vka_cspace_make_path(memory->vm->vka, cap, &path);
    memory->counts.cap_deletes++;
    if (vka_cnode_delete(&path) != seL4_NoError) {
        memory->counts.lost_objects++;
        return false;
    }
    vka_cspace_free_path(memory->vm->vka, path);
    return true;
}

/* Sharing. */

/* Make a record that is a ring of its own. @return NULL after gm_fail() */
static gm_sharer_t *make_sharer(gm_memory_t *memory, vka_t *vka, seL4_Word cookie)
{
    gm_sharer_t *sharer = gm_heap_alloc(&memory->heap, sizeof(*sharer));
    if (sharer == NULL) {
        gm_fail(memory, GUESTMEM_NO_HEAP, "the heap has no room for a shared frame's record");
        return NULL;
    }
    *sharer = (gm_sharer_t){sharer, sharer, vka, cookie};
    return sharer;
}

/* Let nobody return a frame's memory. */
static void keep_memory(gm_sharer_t *sharer)
{
    for (; sharer->cookie != 0; sharer = sharer->next) {
        sharer->cookie = 0;
    }
}

int gm_run_share(gm_memory_t *memory, gm_run_t *run)
{
    for (size_t i = 0; i < run->count; i++) {
        seL4_Word cookie = run->frames[i].cookie;
        gm_sharer_t *sharer = cookie != 0 ? make_sharer(memory, memory->vm->vka, cookie) : NULL;
        if (cookie != 0 && sharer == NULL) {
            size_t count = run->count;
            run->count = i;
            gm_run_unshare(memory, run);
            run->count = count;
            return -1;
        }
        run->frames[i].sharer = sharer;
    }
    run->shared = true;
    return 0;
}

void gm_run_unshare(gm_memory_t *memory, gm_run_t *run)
{
    for (size_t i = 0; i < run->count; i++) {
        gm_sharer_t *sharer = run->frames[i].sharer;
        run->frames[i].cookie = sharer != NULL ? sharer->cookie : 0;
        gm_heap_free(&memory->heap, sharer, sizeof(*sharer));
    }
    run->shared = false;
}

/* Acquire the owner's frame, as a capability of our own and a part in the ring. */
static int acquire_shared(gm_memory_t *memory, const gm_frame_source_t *source, uintptr_t gpa,
                          new_frame_t *new)
{
    uintptr_t from = gpa + source->owner_offset;
    const gm_run_t *run = gm_range_map_get(&source->owner->runs, from);
    assert(run != NULL);
    size_t index = gm_run_index(run, from);
    seL4_CapRights_t limit = gm_run_limit(run, index, source->rights);
    gm_sharer_t *sharer = run->caller ? NULL : run->frames[index].sharer;
    *new = (new_frame_t){
        .base = gpa,
        .size_bits = run->size_bits,
        .caller = run->caller,
        .shared = true,
        .device = run->device,
        .cacheable = run->cacheable,
    };
    if (gm_offset_in(gpa, run->size_bits) != 0) {
        return gm_fail(memory, GUESTMEM_MISALIGNED,
                       "the frame of 2^%u bytes at the owner's GPA 0x%" PRIxPTR
                       " cannot be at GPA 0x%" PRIxPTR,
                       run->size_bits, from, gpa);
    }
    if (limit.words[0] != source->rights.words[0]) {
        return gm_fail(
            memory, GUESTMEM_NO_RIGHT,
            "the frame at the owner's GPA 0x%" PRIxPTR " was handed in with fewer rights", from);
    }
    if (copy_cap(memory, source->owner->vm->vka, run->frames[index].cap, &new->frame.cap) != 0) {
        return -1;
    }
    if (run->caller) {
        new->frame.rights = run->frames[index].rights;
    }
    if (sharer == NULL) {
        return 0;
    }
    new->frame.sharer = make_sharer(memory, sharer->vka, sharer->cookie);
    if (new->frame.sharer == NULL) {
        if (!delete_cap(memory, new->frame.cap)) {
            keep_memory(sharer);
        }
        return -1;
    }
    new->frame.sharer->next = sharer->next;
    new->frame.sharer->previous = sharer;
    sharer->next->previous = new->frame.sharer;
    sharer->next = new->frame.sharer;
    return 0;
}

/* Delete our capability and leave the ring, as the last one with the frame's memory. */
static void release_shared(gm_memory_t *memory, const gm_frame_t *frame, seL4_Word type,
                           size_t size_bits)
{
    gm_sharer_t *sharer = frame->sharer;
    if (!delete_cap(memory, frame->cap) && sharer != NULL) {
        keep_memory(sharer); /* it may still be mapped */
    }
    if (sharer == NULL) {
        return;
    }
    if (sharer->next == sharer && sharer->cookie != 0) {
        vka_utspace_free(sharer->vka, type, size_bits, sharer->cookie);
    }
    sharer->next->previous = sharer->previous;
    sharer->previous->next = sharer->next;
    gm_heap_free(&memory->heap, sharer, sizeof(*sharer));
}

/*@ requires gm_memory_ok(memory) && \valid_read(frame) && gm_is_frame(size_bits);
    requires own: !caller && !shared && frame->cookie != 0;
    assigns memory->counts, gm_slots, gm_objects, gm_refused;
    ensures gm_refused >= \old(gm_refused);
    ensures gm_refused == \old(gm_refused) ==> gm_slots == \old(gm_slots) - 1 &&
        gm_objects == \old(gm_objects) - 1;
    ensures gm_lost_counted{Pre, Post}(memory);
 */
static void release(gm_memory_t *memory, bool caller, bool shared, const gm_frame_t *frame,
                    size_t size_bits)
{
    seL4_Word type = gm_arch_frames[gm_arch_frame_index(size_bits)].type;
    if (shared && caller) {
        delete_cap(memory, frame->cap);
    } else if (shared) {
        release_shared(memory, frame, type, size_bits);
    } else if (!caller) {
        gm_object_delete(memory, frame->cap, type, size_bits, frame->cookie);
    }
}

/*@ requires gm_memory_ok(memory) && \valid_read(source) && \valid(new);
    requires \base_addr(new) != \base_addr(memory) &&
        \separated(new, source) && \separated(new, memory->vm) &&
        \separated(new, memory->vm->vka);
    requires first <= gpa <= last < UINTPTR_MAX && \base_addr(source) != \base_addr(memory);
    requires own: source->backing == GUESTMEM_FREE_FRAMES;
    assigns new->base, new->size_bits, new->frame, new->device, new->cacheable, memory->counts,
        memory->failure, memory->untyped, gm_slots, gm_objects;
    ensures \result == 0 || \result == -1;
    ensures \result == 0 ==> new->frame.cookie != 0 && gm_slots == \old(gm_slots) + 1 &&
        gm_objects == \old(gm_objects) + 1;
    ensures \result == 0 ==> new_frame_ok(new) && first <= new->base <= gpa &&
        new->base + (1 << new->size_bits) - 1 <= last;
    ensures \result == -1 ==> gm_slots == \old(gm_slots) && gm_objects == \old(gm_objects);
 */
static int acquire(gm_memory_t *memory, const gm_frame_source_t *source, uintptr_t gpa,
                   uintptr_t first, uintptr_t last, new_frame_t *new)
{
    if (source->backing == GUESTMEM_CALLER) {
        return acquire_from_caller(memory, source, gpa, first, last, new);
    }
    if (source->backing == GUESTMEM_SHARED) {
        return acquire_shared(memory, source, gpa, new);
    }
    return acquire_largest(memory, source, gpa, first, last, new);
}

/* Add a frame that was acquired to the runs, or release it. */
/*@ requires gm_memory_ok(memory) && \valid_read(source) && \valid_read(new) && \valid(newest);
    requires new_frame_ok(new) && gm_list_whole(*newest);
    requires *newest != \null ==> gm_run_ok(*newest);
    requires own: !new->caller && !new->shared && new->frame.cookie != 0;
    requires !gm_is_run(\base_addr(newest)) && !gm_is_run(\base_addr(new));
    requires \base_addr(newest) != \base_addr(memory) && \base_addr(newest) != \base_addr(new) &&
        \base_addr(new) != \base_addr(memory) && \base_addr(newest) != \base_addr(memory->vm);
    assigns GM_RUNS, *newest, memory->heap, memory->counts, memory->failure, gm_slots, gm_objects,
        gm_records, gm_refused, gm_list;
    ensures \result == 0 || \result == -1;
    ensures gm_list_whole(*newest) && gm_refused >= \old(gm_refused);
    ensures gm_records - gm_runs(*newest) == \old(gm_records - gm_runs(*newest));
    ensures gm_refused == \old(gm_refused) ==>
        gm_slots - gm_frames(*newest) == \old(gm_slots - gm_frames(*newest)) - 1 &&
        gm_objects - gm_frames(*newest) == \old(gm_objects - gm_frames(*newest)) - 1;
    ensures \result == 0 ==> *newest != \null && gm_run_ok(*newest) &&
        (*newest)->size_bits == \old(new->size_bits) && gm_refused == \old(gm_refused) &&
        gm_run_end(*newest) == \old(new->base + (1 << new->size_bits));
    ensures \result == 0 && \old(gm_list_joined && gm_list_end(*newest) == new->base) ==>
        gm_list_joined;
 */
static int add_or_release(gm_memory_t *memory, const gm_frame_source_t *source,
                          const new_frame_t *new, uintptr_t expected, gm_run_t **newest)
{
    bool caller = new->caller;
    bool shared = new->shared;
    size_t size_bits = new->size_bits;
    if (add_to_runs(memory, source, new, expected, newest) == 0) {
        return 0;
    }
    //@ assert new->frame.cookie == \at(new->frame.cookie, Pre);
    //@ assert memory->vm == \at(memory->vm, Pre);
    //@ assert memory->vm->vka == \at(memory->vm->vka, Pre);
    //@ ghost Added: ;
    release(memory, caller, shared, &new->frame, size_bits);
    /*@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==>
                gm_run_same{Added, Here}(run);
     */
    /*@ assert \forall gm_run_t *run, integer i; gm_listed(gm_list, run) &&
            0 <= i < run->count ==>
            run->frames[i].cookie == \at(run->frames[i].cookie, Added);
     */
    //@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_valid(run);
    //@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_own(run);
    return -1;
}

/* Acquire a frame as `*new`, which is all zero, and add it. */
/*@ requires gm_memory_ok(memory) && \valid_read(source) && \valid(newest) && \valid(new);
    requires !gm_is_run(\base_addr(newest)) && !gm_is_run(\base_addr(new));
    requires \base_addr(newest) != \base_addr(memory) && \base_addr(newest) != \base_addr(new) &&
        \base_addr(new) != \base_addr(memory) && \base_addr(newest) != \base_addr(memory->vm);
    requires \separated(new, source) && \separated(new, memory->vm) &&
        \separated(new, memory->vm->vka);
    requires gm_list_whole(*newest) && (*newest != \null ==> gm_run_ok(*newest));
    requires first <= gpa <= last < UINTPTR_MAX && \base_addr(source) != \base_addr(memory);
    requires own: source->backing == GUESTMEM_FREE_FRAMES;
    requires !new->caller && !new->shared;
    assigns GM_RUNS, *new, *newest, memory->heap, memory->counts, memory->failure, memory->untyped,
        gm_slots, gm_objects, gm_records, gm_refused, gm_list;
    ensures \result == 0 || \result == -1;
    ensures \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_valid(run);
    ensures \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_own(run);
    ensures gm_list_linked(*newest) && gm_list_newest(*newest);
    ensures gm_refused >= \old(gm_refused);
    ensures gm_records - gm_runs(*newest) == \old(gm_records - gm_runs(*newest));
    ensures gm_refused == \old(gm_refused) ==>
        gm_slots - gm_frames(*newest) == \old(gm_slots - gm_frames(*newest)) &&
        gm_objects - gm_frames(*newest) == \old(gm_objects - gm_frames(*newest));
    ensures \result == 0 ==> *newest != \null && gm_run_ok(*newest) &&
        gm_refused == \old(gm_refused);
    ensures \result == 0 && first == gpa ==>
        gm_run_end(*newest) == gpa + (1 << (*newest)->size_bits);
    ensures \result == 0 && first == gpa && \old(gm_list_joined && gm_list_end(*newest) == gpa) ==>
        gm_list_joined;
 */
static int acquire_as(gm_memory_t *memory, const gm_frame_source_t *source, uintptr_t gpa,
                      uintptr_t first, uintptr_t last, uintptr_t expected, gm_run_t **newest,
                      new_frame_t *new)
{
    int error = acquire(memory, source, gpa, first, last, new);
    /*@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==>
            run->older == \at(run->older, Pre) && run->count == \at(run->count, Pre) &&
            run->capacity == \at(run->capacity, Pre) && run->base == \at(run->base, Pre) &&
            run->size_bits == \at(run->size_bits, Pre);
     */
    /*@ assert \forall gm_run_t *run, integer i; gm_listed(gm_list, run) &&
            0 <= i < run->count ==>
            run->frames[i].cookie == \at(run->frames[i].cookie, Pre);
     */
    //@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_valid(run);
    /*@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==>
            gm_is_placed(run->base, run->count, run->size_bits) && !run->caller && !run->shared;
     */
    //@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_own(run);
    //@ assert gm_list_whole(*newest) && *newest == \at(*newest, Pre);
    //@ assert *newest != \null ==> gm_run_ok(*newest);
    /*@ assert gm_frames(*newest) == \at(gm_frames(*newest), Pre) &&
            gm_runs(*newest) == \at(gm_runs(*newest), Pre);
     */
    /*@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==>
            gm_list_end(run) == \at(gm_list_end(run), Pre);
     */
    //@ assert \at(gm_list_joined, Pre) ==> gm_list_joined;
    if (error != 0) {
        return -1;
    }
    error = add_or_release(memory, source, new, expected, newest);
    //@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_valid(run);
    //@ assert error == 0 ==> *newest != \null && gm_run_ok(*newest);
    return error;
}

int gm_frame_acquire(gm_memory_t *memory, const gm_frame_source_t *source, uintptr_t gpa,
                     uintptr_t first, uintptr_t last, uintptr_t expected, gm_run_t **newest)
{
    new_frame_t new = {0};
    //@ ghost gm_is_local(&new);
    return acquire_as(memory, source, gpa, first, last, expected, newest, &new);
}

void gm_run_release(gm_memory_t *memory, gm_run_t *run)
{
    /*@ loop invariant 0 <= i <= run->count && gm_refused >= \at(gm_refused, Pre);
        loop invariant gm_refused == \at(gm_refused, Pre) ==>
            gm_slots == \at(gm_slots, Pre) - (run->count - i) &&
            gm_objects == \at(gm_objects, Pre) - (run->count - i);
        loop invariant gm_lost_counted{Pre, Here}(memory);
        loop assigns i, memory->counts, gm_slots, gm_objects, gm_refused;
        loop variant i;
     */
    for (size_t i = run->count; i > 0; i--) {
        release(memory, run->caller, run->shared, &run->frames[i - 1], run->size_bits);
    }
    free_run(memory, run);
}

/* An allocator that gets memory back in reverse has its smallest pieces first, and need not break
 * large ones. */
void gm_frames_discard(gm_memory_t *memory, gm_run_t *newest)
{
    /*@ loop invariant gm_list_ok(newest) && gm_refused >= \at(gm_refused, Pre);
        loop invariant gm_refused == \at(gm_refused, Pre) ==>
            gm_slots - gm_frames(newest) == \at(gm_slots - gm_frames(newest), Pre) &&
            gm_objects - gm_frames(newest) == \at(gm_objects - gm_frames(newest), Pre);
        loop invariant gm_records - gm_runs(newest) == \at(gm_records - gm_runs(newest), Pre);
        loop invariant gm_lost_counted{Pre, Here}(memory);
        loop assigns newest, memory->counts, memory->heap, gm_slots, gm_objects, gm_records,
            gm_refused;
        loop variant gm_runs(newest);
     */
    while (newest != NULL) {
        gm_run_t *older = newest->older;
        gm_run_release(memory, newest);
        /*@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==>
                gm_run_same{LoopCurrent, Here}(run);
         */
        /*@ assert \forall gm_run_t *run, integer i; gm_listed(gm_list, run) &&
                0 <= i < run->count ==>
                run->frames[i].cookie == \at(run->frames[i].cookie, LoopCurrent);
         */
        //@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_valid(run);
        //@ assert \forall gm_run_t *run; gm_listed(gm_list, run) ==> gm_run_own(run);
        newest = older;
    }
}

int gm_frame_copy(gm_memory_t *memory, const gm_run_t *run, size_t index, seL4_CPtr *copy)
{
    return copy_cap(memory, memory->vm->vka, run->frames[index].cap, copy);
}

void gm_frame_delete_copy(gm_memory_t *memory, gm_run_t *run, size_t index, seL4_CPtr copy)
{
    if (delete_cap(memory, copy) || run == NULL || run->caller) {
        return;
    }
    if (!run->shared) {
        run->frames[index].cookie = 0;
    } else if (run->frames[index].sharer != NULL) {
        keep_memory(run->frames[index].sharer);
    }
}

void gm_object_delete(gm_memory_t *memory, seL4_CPtr cap, seL4_Word type, size_t size_bits,
                      seL4_Word cookie)
{
    if (delete_cap(memory, cap) && cookie != 0) {
        vka_utspace_free(memory->vm->vka, type, size_bits, cookie);
    }
}
