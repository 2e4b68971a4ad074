/* XO's lock: exclusive, refreshed, and taken over when stale. */
#include "base/error.h"
#include "remote/remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct {
    char *folder, *lock;
    Remote *remote;
} Fixture;

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    f->folder = g_dir_make_tmp("cadenza-lock-XXXXXX", NULL);
    f->lock = g_build_filename(f->folder, "xo-vm-backups", "vm.lock", NULL);
    g_autofree char *url = g_strdup_printf("file://%s", f->folder);
    f->remote = remote_open(url, NULL);
    *state = f;
    return f->remote ? 0 : -1;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", f->folder);
    remote_close(f->remote);
    g_free(f->folder);
    g_free(f->lock);
    g_free(f);
    return system(command);
}

static void set_age(const char *path, int seconds)
{
    struct timespec times[2] = { { .tv_sec = time(NULL) - seconds },
                                 { .tv_sec = time(NULL) - seconds } };
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_exclusive(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;
    struct stat st;
    g_autoptr(RemoteLock) lock = remote_lock(f->remote, "xo-vm-backups/vm", 0, &error);
    assert_non_null(lock);
    assert_true(stat(f->lock, &st) == 0 && S_ISDIR(st.st_mode));
    assert_null(remote_lock(f->remote, "xo-vm-backups/vm", 250, &error));
    assert_true(err_is(error, ERR_BUSY));
    assert_non_null(strstr(error->message, "Lock file is already being held"));
    assert_true(remote_lock_held(lock));
    remote_unlock(g_steal_pointer(&lock));
    assert_int_not_equal(stat(f->lock, &st), 0);
    lock = remote_lock(f->remote, "xo-vm-backups/vm", 0, NULL);
    assert_non_null(lock);
}

static void test_stale(void **state)
{
    Fixture *f = *state;
    assert_int_equal(g_mkdir_with_parents(f->lock, 0755), 0);
    set_age(f->lock, 8);
    assert_null(remote_lock(f->remote, "xo-vm-backups/vm", 0, NULL));
    set_age(f->lock, 12);
    g_autoptr(RemoteLock) lock = remote_lock(f->remote, "xo-vm-backups/vm", 0, NULL);
    assert_non_null(lock);
    g_autoptr(GPtrArray) names = remote_list(f->remote, "xo-vm-backups", NULL);
    assert_int_equal(names->len, 1); /* nothing is left of the stale one */
}

/* 5 s later the folder's time is fresh; when another took the lock, ours says so and leaves it. */
static void test_refresh_and_loss(void **state)
{
    Fixture *f = *state;
    struct stat before, after;
    g_autoptr(RemoteLock) lock = remote_lock(f->remote, "xo-vm-backups/vm", 0, NULL);
    g_autoptr(RemoteLock) lost = remote_lock(f->remote, "xo-vm-backups/other", 0, NULL);
    g_autofree char *other = g_build_filename(f->folder, "xo-vm-backups", "other.lock", NULL);
    stat(f->lock, &before);
    assert_int_equal(rmdir(other), 0);
    assert_int_equal(mkdir(other, 0755), 0);
    set_age(other, 1);
    g_usleep(5600 * 1000);
    stat(f->lock, &after);
    assert_true(after.st_mtim.tv_sec >= before.st_mtim.tv_sec + 4);
    assert_true(remote_lock_held(lock));
    assert_false(remote_lock_held(lost));
    remote_unlock(g_steal_pointer(&lost));
    assert_int_equal(stat(other, &after), 0);
}

/* Only the very folder that the journal named goes. */
static void test_of_the_dead(void **state)
{
    Fixture *f = *state;
    struct stat st;
    RemoteLockId id, other;
    g_autoptr(RemoteLock) lock = remote_lock(f->remote, "xo-vm-backups/vm", 0, NULL);
    assert_true(remote_lock_id(lock, &id));
    other = id;
    other.birth_ns++;
    assert_true(remote_unlock_dead(f->remote, "xo-vm-backups/vm", &other, NULL));
    assert_int_equal(stat(f->lock, &st), 0);
    assert_true(remote_unlock_dead(f->remote, "xo-vm-backups/vm", &id, NULL));
    assert_int_not_equal(stat(f->lock, &st), 0);
    assert_true(remote_unlock_dead(f->remote, "xo-vm-backups/vm", &id, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exclusive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refresh_and_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_of_the_dead, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
