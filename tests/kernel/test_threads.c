/*
 * Copyright 2026, the guestmem authors
 * SPDX-License-Identifier: BSD-2-Clause
 */

/* Systems one after another and side by side, and one system used by several threads. */

#include "world.h"

#include <dirent.h>
#include <pthread.h>
#include <string.h>

enum { THREADS = 4, ROUNDS = 200 };

static int open_files(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder)) {
        count++;
    }
    closedir(folder);
    return count;
}

static void systems_leave_no_file_open(void **state)
{
    int before = open_files();
    for (int i = 0; i < 20; i++) {
        char error[128];
        hosted_system_t *system = hosted_system_create_from_file(BOARD_DTB, error, sizeof(error));
        assert_non_null(system);
        assert_non_null(vspace_new_pages(hosted_vmm_vspace(system), seL4_AllRights, 3, 12));
        hosted_system_destroy(system);
    }
    assert_int_equal(open_files(), before);
}

/* cmocka's assertions are for the main thread only, so a thread answers whether all was well. */
static bool use(hosted_system_t *system, char mark)
{
    for (int i = 0; i < ROUNDS; i++) {
        char *pages = vspace_new_pages(hosted_vmm_vspace(system), seL4_AllRights, 2, 12);
        if (!pages) {
            return false;
        }
        memset(pages, mark, 0x2000);
        sched_yield();
        for (int byte = 0; byte < 0x2000; byte += 64) {
            if (pages[byte] != mark) {
                return false;
            }
        }
        vspace_unmap_pages(hosted_vmm_vspace(system), pages, 2, 12, VSPACE_FREE);
    }
    return true;
}

static void *own_system(void *argument)
{
    char error[128];
    hosted_system_t *system = hosted_system_create_from_file(BOARD_DTB, error, sizeof(error));
    bool good = system && use(system, (char)(intptr_t)argument);
    good = good && hosted_system_current() == system;
    hosted_system_destroy(system);
    return (void *)(intptr_t)good;
}

static void *shared_system(void *argument)
{
    hosted_system_enter(world);
    return (void *)(intptr_t)use(world, (char)(intptr_t)argument);
}

static void run_threads(void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, body, (void *)(intptr_t)(i + 1)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_non_null(good);
    }
}

static void systems_side_by_side_do_not_meet(void **state)
{
    hosted_census_t before = census();
    run_threads(own_system);
    assert_census(&before);
}

static void threads_share_one_system(void **state)
{
    hosted_census_t before = census();
    run_threads(shared_system);
    assert_census(&before);
}

WORLD_MAIN(cmocka_unit_test(systems_leave_no_file_open),
           WORLD_TEST(systems_side_by_side_do_not_meet), WORLD_TEST(threads_share_one_system), )
