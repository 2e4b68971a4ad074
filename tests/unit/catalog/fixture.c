/* Finds, unpacks, removes. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* On the stack: skip() jumps out of the test, and would leak. */
typedef struct {
    char text[4096];
} Path;

static Path fixture_path(const char *folder, const char *name, const char *suffix)
{
    const char *set = g_getenv("CADENZA_FIXTURES"), *source = g_getenv("CADENZA_SOURCE");
    Path path;
    if (set)
        g_snprintf(path.text, sizeof path.text, "%s/%s%s%s", set, folder, name, suffix);
    else
        g_snprintf(path.text, sizeof path.text, "%s/../shared/fixtures/xo/%s%s%s",
                   source ? source : ".", folder, name, suffix);
    if (access(path.text, R_OK) != 0) {
        print_message("skipped: there is no %s (set CADENZA_FIXTURES)\n", path.text);
        skip();
    }
    return path;
}

void repo_reopen(Repo *repo)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL, *options = g_strdup_printf("%s/../options", repo->folder);
    g_file_get_contents(options, &text, NULL, NULL);
    g_autofree char *url =
        g_strdup_printf("file://%s%s%s", repo->folder, text ? "?" : "", text ? text : "");
    catalog_close(repo->catalog);
    remote_close(repo->remote);
    repo->remote = remote_open(url, &error);
    assert_non_null(repo->remote);
    repo->catalog = catalog_open(repo->remote, &error);
    assert_non_null(repo->catalog);
}

static Repo *repo_at(const char *name, const char *options)
{
    Repo *repo = g_new0(Repo, 1);
    /* in memory where that is possible: thousands of fsyncs test nothing there */
    g_autofree char *parent = g_strdup_printf(
        "%s/cadenza-catalog-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir());
    assert_non_null(g_mkdtemp(parent));
    g_autofree char *kept = g_build_filename(parent, "options", NULL);
    repo->folder = g_build_filename(parent, name, NULL);
    g_mkdir_with_parents(repo->folder, 0755);
    if (options)
        g_file_set_contents(kept, options, -1, NULL);
    return repo;
}

Repo *repo_new(const char *options)
{
    Repo *repo = repo_at("repo", options);
    repo_reopen(repo);
    return repo;
}

Repo *repo_fixture(const char *name)
{
    Path archive = fixture_path("repos/", name, ".tar.gz");
    Repo *repo = repo_at(name, strcmp(name, "directory") == 0 ? "useVhdDirectory=true" : NULL);
    g_autofree char *parent = g_path_get_dirname(repo->folder);
    g_autofree char *command = g_strdup_printf("tar -xzf '%s' -C '%s'", archive.text, parent);
    assert_int_equal(system(command), 0);
    repo_reopen(repo);
    return repo;
}

void repo_free(Repo *repo)
{
    g_autofree char *parent = g_path_get_dirname(repo->folder);
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", parent);
    catalog_close(repo->catalog);
    remote_close(repo->remote);
    assert_int_equal(system(command), 0);
    g_free(repo->folder);
    g_free(repo);
}

json_t *fixture_json(const char *name)
{
    Path path = fixture_path("", name, "");
    json_t *document = json_load_file(path.text, 0, NULL);
    assert_non_null(document);
    return document;
}

char *disk_sha256(Disk *disk)
{
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *buffer = g_malloc(DISK_BLOCK_BYTES);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    for (guint64 at = 0; at < disk->info.size_bytes; at += DISK_BLOCK_BYTES) {
        gsize n = MIN(DISK_BLOCK_BYTES, disk->info.size_bytes - at);
        if (!disk_read(disk, at, buffer, n, &error))
            fail_msg("%s", error->message);
        g_checksum_update(sum, buffer, (gssize) n);
    }
    return g_strdup(g_checksum_get_string(sum));
}
