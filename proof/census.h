/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/*
 * What the proofs assume of the allocator and the kernel: scripts/prove includes this before each
 * file. Each call may fail at any time. The ghost variables are a census: what is held now.
 */

#include <simple/simple.h>
#include <vka/capops.h>
#include <vka/object.h>
#include <vspace/vspace.h>

/*@ ghost long long gm_slots;   // capability slots of the allocator's */
/*@ ghost long long gm_objects; // objects made of its memory */
/*@ ghost long long gm_mapped;  // frames mapped in the guest */
/*@ ghost long long gm_records; // heap blocks of records of frames and mappings */
/*@ ghost long long gm_tables;  // page tables of the guest */
/*@ ghost long long gm_recorded; // runs in the map of those that are mapped */
/*@ ghost long long gm_reserved; // insertions that are prepared, and may have memory in reserve */
/*@ ghost long long gm_refused; // deletions and unmappings that the kernel has refused */

/*@ assigns \nothing; */
static inline seL4_CapRights_t seL4_CapRights_new(seL4_Word grant_reply, seL4_Word grant,
                                                  seL4_Word read, seL4_Word write);

/*@ assigns \nothing; */
static inline seL4_Uint64 seL4_CapRights_get_capAllowRead(seL4_CapRights_t rights);

/*@ assigns \nothing; */
static inline seL4_Uint64 seL4_CapRights_get_capAllowWrite(seL4_CapRights_t rights);

/*@ assigns \nothing; */
static inline seL4_CapRights_t seL4_CapRights_set_capAllowWrite(seL4_CapRights_t rights,
                                                                seL4_Word value);

/*@ requires \valid(res);
    assigns *res, gm_slots;
    ensures \result == 0 ? gm_slots == \old(gm_slots) + 1 : gm_slots == \old(gm_slots);
 */
static inline int vka_cspace_alloc_path(vka_t *vka, cspacepath_t *res);

/*@ assigns gm_slots;
    ensures gm_slots == \old(gm_slots) - 1;
 */
static inline void vka_cspace_free_path(vka_t *vka, cspacepath_t path);

/*@ requires \valid(res);
    assigns *res;
 */
static inline void vka_cspace_make_path(vka_t *vka, seL4_CPtr slot, cspacepath_t *res);

/*@ requires \valid(res) && \valid_read(dest);
    assigns *res, gm_objects;
    ensures \result == 0 ? gm_objects == \old(gm_objects) + 1 && *res != 0 :
        gm_objects == \old(gm_objects);
 */
static inline int vka_utspace_alloc(vka_t *vka, const cspacepath_t *dest, seL4_Word type,
                                    seL4_Word size_bits, seL4_Word *res);

/*@ requires \valid(res) && \valid_read(dest);
    assigns *res, gm_objects;
    ensures \result == 0 ? gm_objects == \old(gm_objects) + 1 && *res != 0 :
        gm_objects == \old(gm_objects);
 */
static inline int vka_utspace_alloc_maybe_device(vka_t *vka, const cspacepath_t *dest,
                                                 seL4_Word type, seL4_Word size_bits,
                                                 bool can_use_dev, seL4_Word *res);

/*@ assigns gm_objects;
    ensures gm_objects == \old(gm_objects) - 1;
 */
static inline void vka_utspace_free(vka_t *vka, seL4_Word type, seL4_Word size_bits,
                                    seL4_Word target);

/*@ assigns \nothing; */
static inline uintptr_t vka_utspace_paddr(vka_t *vka, seL4_Word target, seL4_Word type,
                                          seL4_Word size_bits);

/*@ assigns \nothing; */
static inline int simple_get_untyped_count(simple_t *simple);

/*@ requires \valid(size_bits) && \valid(paddr) && \valid(device);
    assigns *size_bits, *paddr, *device;
    ensures *size_bits < 48; // seL4_MaxUntypedBits is 47
 */
static inline seL4_CPtr simple_get_nth_untyped(simple_t *simple, int n, size_t *size_bits,
                                               uintptr_t *paddr, bool *device);

/*@ requires \valid(vaddr);
    assigns *vaddr;
 */
static inline reservation_t vspace_reserve_range_aligned(vspace_t *vspace, size_t bytes,
                                                         size_t size_bits, seL4_CapRights_t rights,
                                                         int cacheable, void **vaddr);

/*@ assigns gm_refused;
    ensures gm_refused == \old(gm_refused) + (\result == seL4_NoError ? 0 : 1);
 */
static inline int vka_cnode_delete(const cspacepath_t *src);

struct gm_run;

/*@ // The runs of a list that is being made: a ghost map, which changes when gm_list does.
    axiomatic gm_lists {
        predicate gm_is_run(char *block); // the heap may put a run there
        predicate gm_listed(int list, struct gm_run *run);
        logic integer gm_older_runs(int list, struct gm_run *run); // how many are older
        logic integer gm_older_frames(int list, struct gm_run *run); // how many frames those have
        logic integer gm_older_uses(int list, struct gm_run *run); // and their uses of tables
    }
*/
/*@ ghost int gm_list; */
/*@ ghost uintptr_t gm_first; // the first address of that list's frames */

/*@ ghost int gm_moment; // the last change of the uses of page tables */

/*@ // Which page tables there are depends on the frames that use them, in whatever order they came.
    axiomatic gm_table_uses {
        logic integer gm_uses(int moment); // the uses of all tables, as one number
        logic integer gm_uses_of(integer gpa, integer count, integer size_bits); // of frames
        logic integer gm_tables_of(integer uses); // how many tables have so many uses
    }

    predicate gm_tables_ok = gm_tables == gm_tables_of(gm_uses(gm_moment));
*/

/*@ ghost
    /@ assigns gm_list;
       ensures \forall struct gm_run *run; !gm_listed(gm_list, run); // another list, an empty one
     @/
    void gm_list_begin(void);
*/

/*@ // As much of everything is held as before, but for what the kernel has refused to give back.
    predicate gm_nothing_more{Then, Now} =
        \at(gm_records, Now) == \at(gm_records, Then) &&
        \at(gm_tables, Now) == \at(gm_tables, Then) &&
        \at(gm_recorded, Now) == \at(gm_recorded, Then) &&
        (\at(gm_refused, Now) == \at(gm_refused, Then) ==>
            \at(gm_slots, Now) == \at(gm_slots, Then) &&
            \at(gm_objects, Now) == \at(gm_objects, Then) &&
            \at(gm_mapped, Now) == \at(gm_mapped, Then));

    // A mapping more: its record and those of its runs, and for each of its frames, and each page
    // table that they need, a slot and an object. What it has of frames is mapped.
    predicate gm_mapping_more{Then, Now} =
        \at(gm_records - gm_tables - gm_recorded, Now) ==
            \at(gm_records - gm_tables - gm_recorded, Then) + 1 &&
        \at(gm_slots - gm_tables - gm_mapped, Now) ==
            \at(gm_slots - gm_tables - gm_mapped, Then) &&
        \at(gm_objects - gm_tables - gm_mapped, Now) ==
            \at(gm_objects - gm_tables - gm_mapped, Then) &&
        \at(gm_refused, Now) == \at(gm_refused, Then);

    // No frame is mapped more, or less.
    predicate gm_none_mapped{Then, Now} =
        \at(gm_mapped, Now) == \at(gm_mapped, Then) &&
        \at(gm_tables, Now) == \at(gm_tables, Then) &&
        \at(gm_recorded, Now) == \at(gm_recorded, Then);
*/

/*@ ghost
    /@ assigns gm_mapped; // a frame without a capability is not mapped any more
       ensures gm_mapped == \old(gm_mapped) - (slots - gm_slots);
     @/
    void gm_deleted_since(long long slots);
*/

// clang-format off
// All that is in runs.
#define GM_RUNS { *p | size_t *p; gm_is_run(\base_addr(p)) }, \
    { *p | struct gm_run **p; gm_is_run(\base_addr(p)) }, \
    { *p | uint8_t *p; gm_is_run(\base_addr(p)) }, { *p | bool *p; gm_is_run(\base_addr(p)) }
// clang-format on
