/* The place file://: the conformance suite, and what is its own. Run a second time through the
 * wrapper that injects faults, which must add nothing when nothing is ordered. */
#include "conformance.h"

#include "base/error.h"
#include "remote/fault.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static int setup(void **state)
{
    *state = g_dir_make_tmp("cadenza-remote-XXXXXX", NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", (char *) *state);
    g_free(*state);
    return system(command);
}

static Remote *open_at(const char *folder)
{
    g_autofree char *url = g_strdup_printf("file://%s/sub/remote?useVhdDirectory=true", folder);
    Remote *remote = remote_open(url, NULL);
    assert_non_null(remote);
    return remote;
}

static void test_conformance(void **state)
{
    g_autoptr(Remote) remote = open_at(*state);
    remote_conform(remote);
    json_t *option = remote_option(remote, "useVhdDirectory");
    assert_true(json_is_true(option));
    json_decref(option);
    assert_null(remote_option(remote, "none"));
}

static void test_conformance_wrapped(void **state)
{
    RemoteFault plan = *REMOTE_FAULT_NONE;
    g_autoptr(Remote) remote = remote_new_faulty(open_at(*state), &plan);
    remote_conform(remote);
}

static void test_faults(void **state)
{
    RemoteFault plan = { .verb = "put", .nth = 2, .room_bytes = -1 };
    g_autoptr(Remote) remote = remote_new_faulty(open_at(*state), &plan);
    g_autoptr(GError) error = NULL;
    assert_true(remote_put(remote, "a", "1", 1, REMOTE_PUT_OVER, NULL));
    assert_false(remote_put(remote, "a", "2", 1, REMOTE_PUT_OVER, &error));
    assert_true(err_is(error, ERR_IO));
    g_clear_error(&error);
    assert_true(remote_put(remote, "a", "3", 1, REMOTE_PUT_OVER, NULL));
    plan = (RemoteFault){ .room_bytes = 5, .torn = true };
    Bytes *bytes = remote_bytes(remote, "b", REMOTE_CREATE, NULL);
    assert_true(bytes->ops->write(bytes, 0, "1234", 4, NULL));
    assert_false(bytes->ops->write(bytes, 4, "5678", 4, &error));
    assert_true(err_is(error, ERR_NO_SPACE));
    assert_int_equal(bytes->ops->size(bytes, NULL), 6);
    bytes->ops->close(bytes);
}

static void test_modes(void **state)
{
    g_autoptr(Remote) remote = open_at(*state);
    struct stat st;
    umask(022);
    assert_true(remote_make_folder(remote, "vm", NULL));
    assert_true(remote_make_private_folder(remote, "vm/vdis/job/vdi", NULL));
    assert_true(remote_put(remote, "vm/vdis/job/vdi/a", "", 0, REMOTE_PUT_OVER, NULL));
    g_autofree char *vm = g_strdup_printf("%s/sub/remote/vm", (char *) *state);
    g_autofree char *vdi = g_strdup_printf("%s/vdis/job/vdi", vm);
    assert_true(stat(vm, &st) == 0 && (st.st_mode & 0777) == 0755);
    assert_true(stat(vdi, &st) == 0 && (st.st_mode & 0777) == 0700);
}

/* Killed before the rename, the old content is there; after it, the new. */
static void killed_at(Remote *remote, const char *point, const char *expected)
{
    assert_true(remote_put(remote, "k", "old", 3, REMOTE_PUT_OVER, NULL));
    pid_t pid = fork();
    if (pid == 0) {
        setenv("CADENZA_CRASH", point, 1);
        remote_put(remote, "k", "new", 3, REMOTE_PUT_OVER, NULL);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 99);
    g_autoptr(GBytes) data = remote_get(remote, "k", 100, NULL);
    assert_memory_equal(g_bytes_get_data(data, NULL), expected, 3);
}

static void test_killed(void **state)
{
    g_autoptr(Remote) remote = open_at(*state);
    killed_at(remote, "remote_put_written", "old");
    killed_at(remote, "remote_put_named", "new");
}

static void test_open(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *file = g_strdup_printf("%s/file", (char *) *state);
    g_autofree char *url = g_strdup_printf("file://%s", file);
    assert_true(g_file_set_contents(file, "x", 1, NULL));
    assert_null(remote_open(url, &error));
    assert_non_null(strstr(error->message, file));
    g_clear_error(&error);
    g_autofree char *sealed = g_strdup_printf("%s/encryption.json", (char *) *state);
    g_autofree char *root = g_strdup_printf("file://%s", (char *) *state);
    g_file_set_contents(sealed, "{\"algorithm\":\"chacha20-poly1305\"}", -1, NULL);
    assert_null(remote_open(root, &error));
    assert_true(err_is(error, ERR_UNSUPPORTED));
    g_file_set_contents(sealed, "{\"algorithm\":\"none\"}", -1, NULL);
    g_autoptr(Remote) remote = remote_open(root, NULL);
    assert_non_null(remote);
}

static void test_no_space(void **state)
{
    if (access("/dev/full", W_OK) != 0)
        skip();
    g_autoptr(Remote) remote = open_at(*state);
    g_autoptr(GError) error = NULL;
    g_autofree char *target = g_strdup_printf("%s/sub/remote/full", (char *) *state);
    if (symlink("/dev/full", target) != 0)
        skip();
    assert_null(remote_bytes(remote, "full", REMOTE_UPDATE, &error)); /* a device is no file */
    assert_non_null(strstr(error->message, "full"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_conformance, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conformance_wrapped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_space, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
