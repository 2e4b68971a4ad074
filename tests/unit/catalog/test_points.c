/* Listing what a real XO wrote, as XO lists it; the cache believed only when it agrees. */
#include "fixture.h"

#include "base/error.h"
#include "remote/fault.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define VM "1cc62ff4-f5c3-44d7-a0ce-513fda1d1168" /* of the flat fixture */

static json_t *views_of(Repo *repo, const char *vm, const char *remote_id)
{
    g_autoptr(GError) error = NULL;
    json_t *problems, *points = catalog_points(repo->catalog, vm, &problems, &error),
                      *views = json_array(), *point;
    assert_non_null(points);
    assert_int_equal(json_array_size(problems), 0);
    gsize i;
    json_array_foreach (points, i, point)
        json_array_append_new(views, catalog_view(point, remote_id));
    json_decref(points);
    json_decref(problems);
    return views;
}

static void assert_same(json_t *ours, json_t *theirs)
{
    char *left = json_dumps(ours, JSON_INDENT(1) | JSON_SORT_KEYS);
    char *right = json_dumps(theirs, JSON_INDENT(1) | JSON_SORT_KEYS);
    assert_string_equal(left, right);
    free(left);
    free(right);
}

static json_t *find_view(json_t *views, const char *id)
{
    gsize i;
    json_t *view;
    json_array_foreach (views, i, view)
        if (g_strcmp0(json_string_value(json_object_get(view, "id")), id) == 0)
            return view;
    return NULL;
}

/* XO's answer is of several remotes, and of another moment: what is still there must be shown
 * alike. */
static unsigned compare_listing(Repo *repo, json_t *answer)
{
    const char *remote_id, *vm;
    json_t *vms, *theirs, *view;
    unsigned n_compared = 0;
    gsize i;
    json_object_foreach (answer, remote_id, vms)
        json_object_foreach (vms, vm, theirs) {
            json_t *ours = views_of(repo, vm, remote_id);
            json_array_foreach (theirs, i, view) {
                json_t *same = find_view(ours, json_string_value(json_object_get(view, "id")));
                if (same)
                    assert_same(same, view);
                n_compared += same != NULL;
            }
            json_decref(ours);
        }
    return n_compared;
}

static void test_as_xo(void **state)
{
    static const char *const names[] = { "flat", "flat-unmerged", "directory", "full" };
    json_t *document = fixture_json("rpc/backupNg.listVmBackups.json");
    unsigned n_compared = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Repo) repo = repo_fixture(names[i]);
        n_compared += compare_listing(repo, json_object_get(document, "result"));
    }
    assert_true(n_compared >= 3);
    json_decref(document);
}

static unsigned n_points(Repo *repo, unsigned n_problems)
{
    json_t *problems, *points = catalog_points(repo->catalog, VM, &problems, NULL);
    assert_non_null(points);
    assert_int_equal(json_array_size(problems), n_problems);
    unsigned n = (unsigned) json_array_size(points);
    json_decref(points);
    json_decref(problems);
    return n;
}

/* With the cache in agreement no file is read. */
static void test_cache(void **state)
{
    g_autoptr(Repo) repo = repo_fixture("flat");
    g_autofree char *first =
        g_build_filename(repo->folder, "xo-vm-backups", VM, "20261122T021659Z.json", NULL);
    g_autofree char *extra =
        g_build_filename(repo->folder, "xo-vm-backups", VM, "20261122T021700Z.json", NULL);
    struct stat st;
    assert_int_equal(stat(first, &st), 0);
    struct timespec times[2] = { st.st_atim, st.st_mtim };
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(first, &text, NULL, NULL));
    assert_true(g_file_set_contents(first, "{torn", -1, NULL));
    utimensat(AT_FDCWD, first, times, 0);
    assert_int_equal(n_points(repo, 0), 2); /* the cache answers */
    utimensat(AT_FDCWD, first, NULL, 0);
    assert_int_equal(n_points(repo, 1), 1); /* newer than the cache: read, and found torn */
    assert_true(g_file_set_contents(first, text, -1, NULL));
    utimensat(AT_FDCWD, first, times, 0);
    assert_int_equal(n_points(repo, 0), 2);
    unlink(first);
    assert_int_equal(n_points(repo, 0), 1); /* deleted behind XO's back: not invented */
    assert_true(g_file_set_contents(extra, text, -1, NULL));
    assert_int_equal(n_points(repo, 0), 2);
}

static void test_errors(void **state)
{
    g_autoptr(Repo) repo = repo_fixture("flat");
    g_autoptr(GError) error = NULL;
    json_t *point =
        catalog_point(repo->catalog, "/xo-vm-backups/" VM "/20261122T021659Z.json", &error);
    assert_non_null(point);
    json_decref(point);
    assert_null(catalog_point(repo->catalog, "/xo-vm-backups/" VM "/none.json", &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    g_clear_error(&error);
    assert_null(catalog_point(repo->catalog, "/xo-vm-backups/../x/a.json", &error));
    assert_true(err_is(error, ERR_INVALID));
    g_clear_error(&error);
    assert_null(catalog_points(repo->catalog, "../x", NULL, &error));
    assert_true(err_is(error, ERR_INVALID));
    g_clear_error(&error);
    json_t *none = catalog_points(repo->catalog, "no-such-vm", NULL, &error);
    assert_int_equal(json_array_size(none), 0);
    json_decref(none);
    g_autoptr(GPtrArray) vms = catalog_vms(repo->catalog, NULL);
    assert_int_equal(vms->len, 2); /* neither .queue nor locks */
}

/* A listing that fails is an error, not an empty folder. */
static void test_failed_listing(void **state)
{
    RemoteFault plan = { .verb = "list", .nth = 1, .room_bytes = -1 };
    g_autoptr(Repo) repo = repo_fixture("flat");
    g_autofree char *url = g_strdup_printf("file://%s", repo->folder);
    g_autoptr(Remote) faulty = remote_new_faulty(remote_open(url, NULL), &plan);
    g_autoptr(Catalog) catalog = catalog_open(faulty, NULL);
    g_autoptr(GError) error = NULL;
    assert_null(catalog_points(catalog, VM, NULL, &error));
    assert_true(err_is(error, ERR_IO));
}

/* One file that cannot be read hides no other backup from who looks, and stops who may delete. */
static void test_one_unreadable(void **state)
{
    g_autoptr(Repo) repo = repo_fixture("flat");
    g_autoptr(GError) error = NULL;
    json_t *problems, *plain = catalog_views(repo->catalog, VM, "remote", &problems, NULL);
    json_decref(problems);
    g_autofree char *path =
        g_strdup_printf("%s/xo-vm-backups/" VM "/20300101T000000Z.json", repo->folder);
    assert_int_equal(symlink("20300101T000000Z.json", path), 0); /* ELOOP */
    json_t *views = catalog_views(repo->catalog, VM, "remote", &problems, &error);
    assert_non_null(views);
    assert_same(views, plain);
    assert_int_equal(json_array_size(problems), 1);
    assert_non_null(strstr(json_string_value(json_array_get(problems, 0)), "20300101T000000Z"));
    json_decref(problems);
    json_decref(views);
    assert_null(catalog_points(repo->catalog, VM, NULL, &error));
    assert_true(err_is(error, ERR_IO));
    g_clear_error(&error);
    g_autofree char *alone = g_strdup_printf("%s/xo-vm-backups/alone", repo->folder),
                    *only = g_strconcat(alone, "/20300101T000000Z.json", NULL);
    assert_int_equal(g_mkdir_with_parents(alone, 0755), 0);
    assert_int_equal(symlink("20300101T000000Z.json", only), 0);
    assert_null(catalog_views(repo->catalog, "alone", "remote", &problems, &error));
    assert_true(err_is(error, ERR_IO));
    json_decref(problems);
    json_decref(plain);
}

/* The index is believed only while every metadata file is as it was. */
static json_t *indexed_views(Repo *repo)
{
    json_t *problems, *views = catalog_views(repo->catalog, VM, "remote", &problems, NULL);
    assert_non_null(views);
    assert_int_equal(json_array_size(problems), 0);
    json_decref(problems);
    return views;
}

/* Every metadata file gets that time. */
static GPtrArray *set_times(Repo *repo, gint64 unix_s)
{
    g_autofree char *folder = g_strdup_printf("%s/xo-vm-backups/" VM, repo->folder);
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;
    struct timespec times[2] = { { .tv_sec = unix_s }, { .tv_sec = unix_s } };
    while ((name = g_dir_read_name(dir)))
        if (g_str_has_suffix(name, ".json"))
            g_ptr_array_add(found, g_build_filename(folder, name, NULL));
    g_dir_close(dir);
    for (guint i = 0; i < found->len; i++)
        utimensat(AT_FDCWD, found->pdata[i], times, 0);
    return found;
}

/* In place, without another size, as XO changes metadata. */
static void rename_job(const char *path)
{
    g_autofree char *text = NULL;
    gsize n;
    assert_true(g_file_get_contents(path, &text, &n, NULL));
    char *job = strstr(text, "\"jobId\"");
    assert_non_null(job);
    job = strchr(job, ':') + 1;
    job = strchr(job, '"') + 1;
    *job = *job == 'f' ? 'e' : 'f';
    int fd = open(path, O_WRONLY);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
}

/* As a power cut may leave what was not synced. */
static void tear(const char *path, unsigned way)
{
    enum { SECTOR_BYTES = 512 };
    g_autofree char *text = NULL;
    gsize n;
    assert_true(g_file_get_contents(path, &text, &n, NULL));
    gsize at = MIN(n / 2, SECTOR_BYTES);
    if (way == 0)
        memset(text + at, 0, n - at);
    else if (way == 1)
        memset(text, 0, at);
    assert_true(g_file_set_contents(path, text,
                                    way < 2    ? (gssize) n
                                    : way == 2 ? (gssize) at
                                               : 0,
                                    NULL));
}

static void test_torn_index(void **state)
{
    g_autoptr(Repo) repo = repo_fixture("flat");
    g_autofree char *index = g_strdup_printf("%s/.cadenza/index/" VM ".points.json", repo->folder);
    json_t *plain = views_of(repo, VM, "remote");
    g_autoptr(GPtrArray) paths = set_times(repo, 1700000000);
    for (unsigned way = 0; way < 4; way++) {
        json_decref(indexed_views(repo));
        tear(index, way);
        json_t *views = indexed_views(repo);
        assert_same(views, plain);
        json_decref(views);
    }
    json_decref(plain);
}

static void test_index(void **state)
{
    g_autoptr(Repo) repo = repo_fixture("flat");
    g_autofree char *index = g_strdup_printf("%s/.cadenza/index/" VM ".points.json", repo->folder);
    json_t *plain = views_of(repo, VM, "remote");
    g_autoptr(GPtrArray) fresh = set_times(repo, g_get_real_time() / 1000000);
    json_decref(indexed_views(repo)); /* changed just now: it could change again unnoticed */
    assert_false(g_file_test(index, G_FILE_TEST_EXISTS));
    g_autoptr(GPtrArray) paths = set_times(repo, 1700000000);
    for (unsigned i = 0; i < 2; i++) {
        json_t *views = indexed_views(repo);
        assert_same(views, plain);
        json_decref(views);
        assert_true(g_file_test(index, G_FILE_TEST_EXISTS));
    }
    for (guint i = 0; i < paths->len; i++)
        rename_job(paths->pdata[i]);
    json_t *now = views_of(repo, VM, "remote"), *views = indexed_views(repo);
    assert_same(views, now);
    assert_false(json_equal(views, plain));
    json_decref(views);
    json_decref(now);
    json_decref(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_xo),          cmocka_unit_test(test_cache),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_failed_listing),
        cmocka_unit_test(test_one_unreadable), cmocka_unit_test(test_index),
        cmocka_unit_test(test_torn_index)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
