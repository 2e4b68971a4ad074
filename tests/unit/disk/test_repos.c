/* Against others: repositories that XO wrote must give the digests taken from their pool, and
 * qemu-img must read our flat files as we do. Skipped when the fixtures or the program are not
 * there. */
#include "sample.h"

#include "codec/hash.h"

#include <glib/gstdio.h>
#include <jansson.h>
#include <fcntl.h>
#include <unistd.h>

static char *fixtures(void)
{
    const char *set = g_getenv("CADENZA_FIXTURES"), *source = g_getenv("CADENZA_SOURCE");
    return set ? g_strdup(set)
               : g_build_filename(source ? source : ".", "..", "shared", "fixtures", "xo", NULL);
}

static bool run(char **argv, char **out)
{
    int status = -1;
    return g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, out, NULL, &status,
                        NULL) &&
           g_spawn_check_wait_status(status, NULL);
}

static char *temporary(void)
{
    return g_dir_make_tmp("cadenza-disk-XXXXXX", NULL);
}

static void remove_tree(const char *path)
{
    char *argv[] = { "rm", "-rf", (char *) path, NULL };
    run(argv, NULL);
}

/* --- Chunks of a local folder, to read --- */

typedef struct {
    Chunks base;
    char *folder;
} Folder;

static GBytes *folder_get(Chunks *chunks, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(((Folder *) chunks)->folder, name, NULL);
    char *data;
    gsize n;
    if (g_file_get_contents(path, &data, &n, NULL))
        return g_bytes_new_take(data, n);
    err_set(error, ERR_NOT_FOUND, "no chunk %s", name);
    return NULL;
}

static void folder_close(Chunks *chunks)
{
    g_free(((Folder *) chunks)->folder);
    g_free(chunks);
}

static Chunks *folder_chunks(const char *path)
{
    static const struct chunks_ops ops = { .get = folder_get, .close = folder_close };
    Folder *folder = g_new0(Folder, 1);
    folder->base.ops = &ops;
    folder->folder = g_strdup(path);
    return &folder->base;
}

/* --- XO's repositories --- */

static Disk *open_member(const char *path)
{
    g_autoptr(GError) error = NULL;
    Disk *disk;
    if (g_str_has_suffix(path, ".alias.vhd")) {
        g_autofree char *target = NULL, *folder = g_path_get_dirname(path);
        assert_true(g_file_get_contents(path, &target, NULL, NULL));
        g_autofree char *full = g_build_filename(folder, g_strstrip(target), NULL);
        disk = vhd_directory_open(folder_chunks(full), &error);
    } else {
        disk = vhd_open(bytes_new_fd(open(path, O_RDONLY | O_CLOEXEC), path), &error);
    }
    if (!disk)
        fail_msg("%s: %s", path, error->message);
    return disk;
}

static Disk *open_chain(const char *tip)
{
    g_autoptr(GPtrArray) members = g_ptr_array_new();
    g_autofree char *path = g_strdup(tip);
    for (;;) {
        Disk *disk = open_member(path);
        g_ptr_array_insert(members, 0, disk);
        if (!disk->info.differencing)
            break;
        g_autofree char *folder = g_path_get_dirname(path);
        g_free(path);
        path = g_build_filename(folder, disk->info.parent_name, NULL);
    }
    Disk *chain = chain_open((Disk **) members->pdata, members->len, NULL);
    assert_non_null(chain);
    return chain;
}

static char *digest(Disk *disk)
{
    g_autoptr(Hash) hash = hash_new(HASH_SHA256);
    g_autofree guint8 *data = g_malloc(DISK_BLOCK_BYTES);
    for (guint64 at = 0; at < disk->info.size_bytes; at += DISK_BLOCK_BYTES) {
        gsize n = MIN(DISK_BLOCK_BYTES, disk->info.size_bytes - at);
        assert_ok(disk_read(disk, at, data, n, e_));
        hash_add(hash, data, n);
    }
    return hash_end_hex(hash);
}

static void check_point(const char *root, json_t *point)
{
    g_autofree char *path =
        g_build_filename(root, json_string_value(json_object_get(point, "path")), NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    json_t *metadata = json_load_file(path, 0, NULL), *want;
    assert_non_null(metadata);
    size_t i;
    json_array_foreach (json_object_get(point, "disks"), i, want) {
        const char *live = json_string_value(json_object_get(want, "vdiUuid")), *ref,
                   *relative = NULL;
        json_t *vdi;
        json_object_foreach (json_object_get(metadata, "vdis"), ref, vdi)
            if (!strcmp(live, json_string_value(json_object_get(vdi, "$snapshot_of$uuid"))))
                relative =
                    json_string_value(json_object_get(json_object_get(metadata, "vhds"), ref));
        assert_non_null(relative);
        g_autofree char *tip = g_build_filename(folder, relative, NULL);
        g_autoptr(Disk) disk = open_chain(tip);
        g_autofree char *have = digest(disk);
        assert_string_equal(have, json_string_value(json_object_get(want, "sha256")));
        assert_int_equal(disk->info.size_bytes, json_integer_value(json_object_get(want, "size")));
    }
    json_decref(metadata);
}

/* Skipping jumps out: nothing may be held. */
static bool have_fixtures(void)
{
    g_autofree char *base = fixtures();
    if (g_file_test(base, G_FILE_TEST_IS_DIR))
        return true;
    print_message("skipped: no fixtures at %s\n", base);
    return false;
}

static void check_repo(const char *repo, unsigned n_points)
{
    if (!have_fixtures())
        skip();
    g_autofree char *base = fixtures();
    g_autofree char *archive = g_strdup_printf("%s/repos/%s.tar.gz", base, repo);
    g_autofree char *list = g_build_filename(base, "repos", "expected.json", NULL);
    json_t *all = json_load_file(list, 0, NULL), *point;
    assert_non_null(all);
    g_autofree char *temp = temporary();
    char *argv[] = { "tar", "-xzf", archive, "-C", temp, NULL };
    assert_true(run(argv, NULL));

    unsigned n = 0;
    size_t i;
    json_array_foreach (all, i, point) {
        if (strcmp(json_string_value(json_object_get(point, "repo")), repo))
            continue;
        check_point(temp, point);
        n++;
    }
    assert_int_equal(n, n_points);
    json_decref(all);
    remove_tree(temp);
}

static void test_flat(void **state)
{
    check_repo("flat", 4);
}

static void test_flat_unmerged(void **state)
{
    check_repo("flat-unmerged", 6);
}

static void test_directory(void **state)
{
    check_repo("directory", 4);
}

/* --- qemu-img --- */

static bool have_program(const char *name)
{
    g_autofree char *path = g_find_program_in_path(name);
    if (!path)
        print_message("skipped: no %s\n", name);
    return path;
}

static void check_qemu(const char *temp, guint64 size, const int *list)
{
    g_autofree char *vhd = g_build_filename(temp, "disk.vhd", NULL);
    g_autofree char *raw = g_build_filename(temp, "disk.raw", NULL);
    DiskInfo info = sample_info(size, 1);
    int fd = open(vhd, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    sample_write(vhd_create(bytes_new_fd(fd, vhd), &info, NULL), 1, list);
    g_autofree char *image =
        g_strdup_printf("driver=vpc,force_size_calc=current_size,file.driver=file,"
                        "file.filename=%s",
                        vhd);
    char *argv[] = { "qemu-img", "convert", "--image-opts", "-O", "raw", image, raw, NULL };
    assert_true(run(argv, NULL));
    g_autoptr(Disk) disk = open_member(vhd);
    g_autofree char *have = digest(disk), *theirs = NULL;
    char *sha[] = { "sha256sum", raw, NULL };
    assert_true(run(sha, &theirs));
    assert_memory_equal(have, theirs, 64);
}

static void test_qemu(void **state)
{
    if (!have_program("qemu-img"))
        skip();
    g_autofree char *temp = temporary();
    static const int none[] = { -1 }, some[] = { 7, 0, 12, -1 };
    check_qemu(temp, 96 * MIB, some);
    check_qemu(temp, 131 * MIB, none);
    check_qemu(temp, 300 * MIB, some);
    remove_tree(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat),
        cmocka_unit_test(test_flat_unmerged),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_qemu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
