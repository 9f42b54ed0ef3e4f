/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* See hostile.h. */

#include "hostile.h"
#include <hosted/stage2.h>
#include <utils/util.h>
#include <vka/capops.h>

#define FRAME_PATTERN   0xa5
#define BYSTANDER_BYTES (64 * PAGE)
#define WATCHED_RUNS    200 /* of a test: comparing all RAM takes long */

/* PSCI SYSTEM_OFF. */
static const uint32_t switch_off[] = {
    0x52b08000, /* mov  w0, #0x84000000 */
    0x72800100, /* movk w0, #8 */
    0xd4000002, /* hvc  #0 */
    0x14000000, /* b    . */
};

/* The RAM before a run, and the pages of it that are reported as written. */
typedef struct watch {
    uint8_t before[HOSTILE_RAM_SIZE];
    uint8_t after[HOSTILE_RAM_SIZE];
    bool written[HOSTILE_RAM_SIZE / PAGE];
    unsigned runs;
} watch_t;

static int take_written(vm_t *vm, uintptr_t addr, size_t size, void *cookie)
{
    watch_t *watch = cookie;
    assert_int_equal(size, PAGE);
    watch->written[(addr - HOSTILE_RAM) / PAGE] = true;
    return 0;
}

static void track(hostile_t *hostile, uintptr_t at)
{
    assert_int_equal(guestmem_track_written(&hostile->vm,
                                            guestmem_find_reservation(&hostile->vm, at),
                                            GUESTMEM_TRACK_FRAMES),
                     0);
}

static void report_written(hostile_t *hostile)
{
    assert_int_equal(guestmem_written(&hostile->vm,
                                      guestmem_find_reservation(&hostile->vm, HOSTILE_RAM),
                                      take_written, hostile->watch),
                     0);
}

/* Read the RAM without the VMM, so that none of it is mapped there for this. */
static void read_ram(hostile_t *hostile, uint8_t *bytes)
{
    for (uintptr_t offset = 0; offset < HOSTILE_RAM_SIZE; offset += PAGE) {
        hosted_stage2_mapping_t mapping;
        assert_true(hosted_stage2_translate(hostile->system, hostile->vm.mem.vm_vspace_root.cptr,
                                            HOSTILE_RAM + offset, &mapping));
        memcpy(bytes + offset, hosted_physical_memory(hostile->system, mapping.paddr, PAGE), PAGE);
    }
}

static void watch_begin(hostile_t *hostile)
{
    watch_t *watch = hostile->watch;
    report_written(hostile);
    memset(watch->written, 0, sizeof(watch->written));
    read_ram(hostile, watch->before);
}

static void watch_end(hostile_t *hostile)
{
    watch_t *watch = hostile->watch;
    report_written(hostile);
    read_ram(hostile, watch->after);
    for (size_t i = 0; i < ARRAY_SIZE(watch->written); i++) {
        if (!watch->written[i]) {
            assert_memory_equal(watch->before + i * PAGE, watch->after + i * PAGE, PAGE);
        }
    }
}

static void count_line(void *cookie, int level, const char *line)
{
    hostile_t *hostile = cookie;
    assert_null(strchr(line, '\n'));
    hostile->log_lines += level >= ZF_LOG_ERROR;
}

static memory_fault_result_t answer(vm_vcpu_t *vcpu, answer_t how)
{
    switch (how) {
    case ANSWER_RESTART:
        return FAULT_RESTART;
    case ANSWER_IGNORE:
        return FAULT_IGNORE;
    case ANSWER_UNHANDLED:
        return FAULT_UNHANDLED;
    case ANSWER_ERROR:
        return FAULT_ERROR;
    case ANSWER_FORGET:
        return FAULT_HANDLED;
    case ANSWER_NONSENSE:
        return (memory_fault_result_t)(FAULT_ERROR + 94);
    default:
        break;
    }
    advance_vcpu_fault(vcpu);
    if (how == ANSWER_ADVANCE_TWICE) {
        advance_vcpu_fault(vcpu);
    } else if (how == ANSWER_ADVANCE_THEN_RESTART) {
        return FAULT_RESTART;
    } else if (how == ANSWER_ADVANCE_THEN_ERROR) {
        return FAULT_ERROR;
    }
    return FAULT_HANDLED;
}

static memory_fault_result_t on_device(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t address, size_t length,
                                       void *cookie)
{
    hostile_t *hostile = cookie;
    guestmem_reservation_info_t info;
    hostile->calls++;
    assert_ptr_equal(vm, &hostile->vm);
    assert_ptr_equal(vcpu, hostile->vcpu);
    assert_int_equal(get_vcpu_fault_address(vcpu), address);
    assert_int_equal(guestmem_reservation_info(vm, guestmem_find_reservation(vm, address), &info),
                     0);
    assert_true(length == 0 || length - 1 <= info.last - address);
    assert_true(length <= 64 && get_vcpu_fault_size(vcpu) <= 8);
    if (hostile->watch != NULL) {
        report_written(hostile);
    }
    seL4_Word data = get_vcpu_fault_data(vcpu);
    if (is_vcpu_read_fault(vcpu)) {
        assert_int_equal(data, 0);
        set_vcpu_fault_data(vcpu, emulate_vcpu_fault(vcpu, UINT64_MAX));
    }
    return answer(vcpu, hostile->answer);
}

static void add_device(hostile_t *hostile, uintptr_t base, size_t size, const char *name)
{
    vm_memory_reservation_t *reservation =
        vm_reserve_memory_at(&hostile->vm, base, size, on_device, hostile);
    assert_non_null(reservation);
    assert_int_equal(guestmem_name_reservation(&hostile->vm, reservation, name), 0);
}

static uint8_t *frame_bytes(const hostile_t *hostile, const vka_object_t *frame)
{
    seL4_Word paddr = seL4_ARM_Page_GetAddress(frame->cptr).paddr;
    uint8_t *bytes = hosted_physical_memory(hostile->system, paddr, PAGE);
    assert_non_null(bytes);
    return bytes;
}

/* A page that may be read and one that may not be accessed, of capabilities of the VMM. */
static void add_protected(hostile_t *hostile)
{
    vka_t *vka = hosted_vka(hostile->system);
    const seL4_CapRights_t rights[2] = {seL4_CanRead, seL4_NoRights};
    for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
        cspacepath_t from = {0};
        cspacepath_t to = {0};
        assert_int_equal(vka_alloc_frame(vka, seL4_PageBits, &hostile->frames[i]), 0);
        memset(frame_bytes(hostile, &hostile->frames[i]), FRAME_PATTERN, PAGE);
        vka_cspace_make_path(vka, hostile->frames[i].cptr, &from);
        assert_int_equal(vka_cspace_alloc_path(vka, &to), 0);
        assert_int_equal(vka_cnode_copy(&to, &from, rights[i]), 0);
        vm_memory_reservation_t *reservation = vm_reserve_memory_at(
            &hostile->vm, HOSTILE_READ_ONLY + i * PAGE, PAGE, on_device, hostile);
        assert_non_null(reservation);
        assert_int_equal(
            vm_map_reservation_frames(&hostile->vm, reservation, &to.capPtr, 1, seL4_PageBits), 0);
    }
}

/* What the guest may not write is as it was; then it goes, with the copies of its capabilities. */
static void end_protected(hostile_t *hostile)
{
    vka_t *vka = hosted_vka(hostile->system);
    for (size_t i = 0; i < ARRAY_SIZE(hostile->frames); i++) {
        const uint8_t *bytes = frame_bytes(hostile, &hostile->frames[i]);
        for (size_t byte = 0; byte < PAGE; byte++) {
            assert_int_equal(bytes[byte], FRAME_PATTERN);
        }
        cspacepath_t slot = {0};
        seL4_CPtr copy =
            vspace_get_cap(&hostile->vm.mem.vm_vspace, (void *)(HOSTILE_READ_ONLY + i * PAGE));
        assert_int_not_equal(copy, seL4_CapNull);
        vm_memory_reservation_t *reservation =
            guestmem_find_reservation(&hostile->vm, HOSTILE_READ_ONLY + i * PAGE);
        assert_int_equal(vm_free_reserved_memory(&hostile->vm, reservation), 0);
        vka_cspace_make_path(vka, copy, &slot);
        assert_int_equal(vka_cnode_delete(&slot), 0);
        vka_cspace_free_path(vka, slot);
        vka_free_object(vka, &hostile->frames[i]);
    }
}

static vm_vcpu_t *make_vm(hostile_t *hostile, vm_t *vm, const char *name)
{
    assert_int_equal(vm_init(vm, hosted_vka(hostile->system), hosted_simple(hostile->system),
                             *hosted_vmm_vspace(hostile->system), hosted_io_ops(hostile->system),
                             hosted_host_endpoint(hostile->system), name),
                     0);
    vm_vcpu_t *vcpu = vm_create_vcpu(vm, 100);
    assert_non_null(vcpu);
    assert_int_equal(vm_assign_vcpu_target(vcpu, 0), 0);
    return vcpu;
}

static void make_hostile_vm(hostile_t *hostile)
{
    hostile->vcpu = make_vm(hostile, &hostile->vm, "hostile");
    vm_t *vm = &hostile->vm;
    if (hostile->watch != NULL) {
        assert_int_equal(guestmem_set_largest_frame(vm, seL4_PageBits), 0);
    }
    assert_int_equal(vm_ram_register_at(vm, HOSTILE_RAM, HOSTILE_RAM_SIZE, false), 0);
    hostile->next_code = HOSTILE_CODE;
    add_device(hostile, HOSTILE_DEVICE, HOSTILE_SMALL - HOSTILE_DEVICE, "device");
    add_device(hostile, HOSTILE_SMALL, 0x800, "small");
    add_device(hostile, HOSTILE_LAST, 2 * PAGE, "last");
    add_device(hostile, HOSTILE_TOP, PAGE, "top");
    add_protected(hostile);
    vm_memory_reservation_t *lazy =
        vm_reserve_memory_at(vm, HOSTILE_LAZY, HOSTILE_LAZY_SIZE, on_device, hostile);
    assert_non_null(lazy);
    assert_int_equal(guestmem_set_map_time(vm, GUESTMEM_MAP_ON_FAULT), 0);
    assert_int_equal(map_frame_alloc_reservation(vm, lazy), 0);
    if (hostile->watch != NULL) {
        track(hostile, HOSTILE_RAM);
        track(hostile, HOSTILE_LAZY);
    }
}

void hostile_renew(hostile_t *hostile)
{
    end_protected(hostile);
    vm_destroy(&hostile->vm);
    make_hostile_vm(hostile);
}

/* The bystander adds up the words of its RAM behind the first page, which holds its code. */
static void make_bystander(hostile_t *hostile)
{
    static const uint32_t sum[] = {
        0xd280000a, /* mov  x10, #0 */
        0xf8408403, /* ldr  x3, [x0], #8 */
        0x8b03014a, /* add  x10, x10, x3 */
        0xf1000421, /* subs x1, x1, #1 */
        0x54ffffa1, /* b.ne the load */
    };
    vm_t *vm = &hostile->bystander;
    hostile->bystander_vcpu = make_vm(hostile, vm, "bystander");
    assert_int_equal(vm_ram_register_at(vm, HOSTILE_RAM, BYSTANDER_BYTES, false), 0);
    uint8_t *bytes = malloc(BYSTANDER_BYTES);
    assert_non_null(bytes);
    memset(bytes, 1, BYSTANDER_BYTES);
    memcpy(bytes, sum, sizeof(sum));
    memcpy(bytes + sizeof(sum), switch_off, sizeof(switch_off));
    assert_int_equal(
        vm_ram_touch(vm, HOSTILE_RAM, BYSTANDER_BYTES, vm_guest_ram_write_callback, bytes), 0);
    free(bytes);
}

void hostile_check_bystander(hostile_t *hostile)
{
    const seL4_Word words = (BYSTANDER_BYTES - PAGE) / 8;
    seL4_UserContext regs;
    assert_int_equal(
        hosted_vm_set_entry(hostile->bystander_vcpu, HOSTILE_RAM, HOSTILE_RAM + PAGE, words, 0, 0),
        0);
    assert_int_equal(vcpu_start(hostile->bystander_vcpu), 0);
    assert_int_equal(vm_run(&hostile->bystander), 0);
    assert_int_equal(hosted_vm_get_report(&hostile->bystander)->reason, HOSTED_VM_POWEROFF);
    assert_int_equal(vm_get_thread_context(hostile->bystander_vcpu, &regs), 0);
    assert_int_equal(regs.x10, words * 0x0101010101010101);
}

int hostile_make(void **state)
{
    char error[256] = "";
    hostile_t *hostile = calloc(1, sizeof(*hostile));
    assert_non_null(hostile);
    hostile->system = hosted_system_create_from_file(BOARD_DTB, error, sizeof(error));
    if (hostile->system == NULL) {
        fail_msg("%s", error);
    }
    if (getenv("TRACKED") != NULL) {
        hostile->watch = calloc(1, sizeof(*hostile->watch));
        assert_non_null(hostile->watch);
    }
    hosted_log_to(count_line, hostile);
    hosted_census_take(hostile->system, &hostile->before);
    make_bystander(hostile);
    make_hostile_vm(hostile);
    *state = hostile;
    return 0;
}

int hostile_end(void **state)
{
    hostile_t *hostile = *state;
    hosted_census_t after;
    hostile_check_bystander(hostile);
    end_protected(hostile);
    vm_destroy(&hostile->vm);
    hostile_check_bystander(hostile);
    vm_destroy(&hostile->bystander);
    hosted_census_take(hostile->system, &after);
    hosted_census_print_difference(stderr, &hostile->before, &after);
    assert_true(hosted_census_equal(&hostile->before, &after));
    hosted_system_destroy(hostile->system);
    hosted_log_to(NULL, NULL);
    free(hostile->watch);
    free(hostile);
    return 0;
}

uintptr_t hostile_load(hostile_t *hostile, const uint32_t *code, size_t words)
{
    size_t bytes = words * sizeof(*code);
    uintptr_t at = hostile->next_code;
    hostile->next_code = ROUND_UP(at + bytes + sizeof(switch_off), 64);
    assert_true(hostile->next_code <= HOSTILE_RAM_END);
    assert_int_equal(
        vm_ram_touch(&hostile->vm, at, bytes, vm_guest_ram_write_callback, (void *)(uintptr_t)code),
        0);
    assert_int_equal(vm_ram_touch(&hostile->vm, at + bytes, sizeof(switch_off),
                                  vm_guest_ram_write_callback, (void *)(uintptr_t)switch_off),
                     0);
    return at;
}

int hostile_go_on(hostile_t *hostile)
{
    hostile->log_lines = 0;
    bool watched = hostile->watch != NULL && hostile->watch->runs++ < WATCHED_RUNS;
    if (watched) {
        watch_begin(hostile);
    }
    int result = vm_run(&hostile->vm);
    if (watched) {
        watch_end(hostile);
    }
    const hosted_vm_report_t *report = hostile_report(hostile);
    bool ended_itself = report->reason == HOSTED_VM_POWEROFF || report->reason == HOSTED_VM_RESET;
    if (result != (ended_itself ? 0 : -1) || report->reason == HOSTED_VM_NOT_RUN ||
        report->reason == HOSTED_VM_ERROR || strncmp(report->text, "VM hostile, pc 0x", 17) != 0 ||
        strchr(report->text, '\n') != NULL) {
        fail_msg("vm_run() answered %d: %s: %s", result, hosted_vm_reason_name(report->reason),
                 report->text);
    }
    return result;
}

int hostile_run(hostile_t *hostile, uintptr_t pc, const seL4_Word x[4], uint64_t budget)
{
    assert_int_equal(hosted_vm_set_entry(hostile->vcpu, pc, x[0], x[1], x[2], x[3]), 0);
    assert_int_equal(hosted_vm_set_budget(&hostile->vm, budget, 0), 0);
    assert_int_equal(vcpu_start(hostile->vcpu), 0);
    return hostile_go_on(hostile);
}

int hostile_try(hostile_t *hostile, uint32_t instruction, const seL4_Word x[4])
{
    return hostile_run(hostile, hostile_load(hostile, &instruction, 1), x, 50);
}

const hosted_vm_report_t *hostile_report(const hostile_t *hostile)
{
    return hosted_vm_get_report(&hostile->vm);
}

seL4_UserContext hostile_registers(const hostile_t *hostile)
{
    seL4_UserContext regs;
    assert_int_equal(vm_get_thread_context(hostile->vcpu, &regs), 0);
    return regs;
}

uint64_t hostile_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

uint64_t hostile_number(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}
