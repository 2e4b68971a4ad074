/* `cadenza repo verify`: reads everything and compares it with the manifests. */
#include "cmd/repo_verb.h"

#include "base/error.h"

#include <glib.h>

static json_t *verify_row(Repo *repo, const char *vm, const char *path, json_t *vdi)
{
    g_autoptr(GError) error = NULL;
    CatalogVerified verified;
    if (catalog_verify(repo->catalog, vm, path, &verified, &error))
        return json_pack("{s:s,s:i,s:i}", "path", path, "blocks", (int) verified.n_blocks,
                         "verified", (int) verified.n_verified);
    repo->n_problems++;
    return json_pack("{s:s,s:s}", "path", path, "error", error->message);
}

static void verify_point(Repo *repo, json_t *point, json_t *rows)
{
    if (repo_is_full(point))
        repo_each_archived(repo, point, false, rows);
    else
        repo_each_disk(repo, point, verify_row, rows);
}

static bool verify_vm(Repo *repo, const char *vm, json_t *rows, GError **error)
{
    json_t *points = catalog_points(repo->catalog, vm, NULL, error), *point;
    gsize i;
    json_array_foreach (points, i, point)
        verify_point(repo, point, rows);
    json_decref(points);
    return points != NULL;
}

static int verify(Repo *repo)
{
    g_autoptr(GError) error = NULL;
    json_t *rows = json_array();
    if (repo->n_words > 1) {
        json_t *point = repo_point(repo, repo->words[1], &error);
        if (point)
            verify_point(repo, point, rows);
        json_decref(point);
    } else {
        g_autoptr(GPtrArray) vms = catalog_vms(repo->catalog, &error);
        for (guint v = 0; vms && !error && v < vms->len; v++)
            verify_vm(repo, vms->pdata[v], rows, &error);
    }
    if (!error)
        return repo_end_rows(repo, rows);
    json_decref(rows);
    return repo_fail(g_steal_pointer(&error));
}

const struct repo_verb repo_verify = {
    .name = "verify",
    .words = "DIR [POINT]",
    .summary = "read everything, compare with the manifests or checksums",
    .min_words = 1,
    .max_words = 2,
    .run = verify,
};
