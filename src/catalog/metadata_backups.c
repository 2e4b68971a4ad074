/* Two trees of dated folders, walked alike. */
#include "catalog/metadata_backups.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

enum { MAX_METADATA_BYTES = 16 << 20 };

typedef struct {
    Remote *remote;
    const char *remote_id, *type;
    json_t *problems;
} Walk;

/* Names that are folders' ids or dates; an absent folder has none. */
static GPtrArray *names_in(Walk *walk, const char *folder, GError **error)
{
    g_autoptr(GError) problem = NULL;
    GPtrArray *names = remote_list(walk->remote, folder, &problem);
    if (names)
        return names;
    if (err_is(problem, ERR_NOT_FOUND))
        return g_ptr_array_new();
    g_propagate_error(error, g_steal_pointer(&problem));
    return NULL;
}

static bool is_date(const char *name)
{
    return g_regex_match_simple("^\\d{8}T\\d{6}Z$", name, 0, 0);
}

/* One backup as it is shown; NULL after the problem was noted. */
static json_t *read_one(Walk *walk, const char *folder)
{
    g_autoptr(GError) problem = NULL;
    g_autofree char *path = g_strdup_printf("%s/metadata.json", folder);
    g_autoptr(GBytes) text = remote_get(walk->remote, path, MAX_METADATA_BYTES, &problem);
    json_error_t where;
    json_t *backup =
        text ? json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, &where) : NULL;
    if (!json_is_object(backup)) {
        json_array_append_new(walk->problems, json_sprintf("%s: %s", path,
                                                           problem  ? problem->message
                                                           : backup ? "no object"
                                                                    : where.text));
        json_decref(backup);
        return NULL;
    }
    json_object_set_new(backup, "id", json_sprintf("%s/%s", walk->remote_id, folder));
    json_object_set_new(backup, "backupRepository", json_string(walk->remote_id));
    json_object_set_new(backup, "type", json_string(walk->type));
    return backup;
}

/* The dated folders of `folder`, into `list`. */
static bool read_dates(Walk *walk, const char *folder, json_t *list, GError **error)
{
    g_autoptr(GPtrArray) names = names_in(walk, folder, error);
    for (guint i = 0; names && i < names->len; i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", folder, (char *) names->pdata[i]);
        json_t *backup = is_date(names->pdata[i]) ? read_one(walk, path) : NULL;
        if (backup)
            json_array_append_new(list, backup);
    }
    return names != NULL;
}

static int by_timestamp(const void *a, const void *b)
{
    double x = json_number_value(json_object_get(*(json_t *const *) a, "timestamp"));
    double y = json_number_value(json_object_get(*(json_t *const *) b, "timestamp"));
    return x < y ? -1 : x > y;
}

/* Several schedules' backups in the order of time. */
static void sort(json_t *list)
{
    size_t n = json_array_size(list);
    g_autofree json_t **items = g_new(json_t *, n + 1);
    if (MUTANT(metadata_by_schedule)) /* mutant: system:test_machines.Machines.test_metadata */
        return;
    for (size_t i = 0; i < n; i++)
        items[i] = json_incref(json_array_get(list, i));
    qsort(items, n, sizeof *items, by_timestamp);
    json_array_clear(list);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, items[i]);
}

static json_t *list_of(json_t *map, const char *key)
{
    if (!json_object_get(map, key))
        json_object_set_new(map, key, json_array());
    return json_object_get(map, key);
}

static bool read_pools(Walk *walk, const char *folder, json_t *pools, GError **error)
{
    g_autoptr(GPtrArray) names = names_in(walk, folder, error);
    for (guint i = 0; names && i < names->len; i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", folder, (char *) names->pdata[i]);
        json_t *found = json_array();
        bool ok = read_dates(walk, path, found, error);
        if (json_array_size(found) > 0)
            json_array_extend(list_of(pools, names->pdata[i]), found);
        json_decref(found);
        if (!ok)
            return false;
    }
    return names != NULL;
}

static bool read_tree(Walk *walk, const char *root, bool by_pool, json_t *into, GError **error)
{
    g_autoptr(GPtrArray) schedules = names_in(walk, root, error);
    for (guint i = 0; schedules && i < schedules->len; i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", root, (char *) schedules->pdata[i]);
        if (!(by_pool ? read_pools(walk, path, into, error) : read_dates(walk, path, into, error)))
            return false;
    }
    return schedules != NULL;
}

json_t *metadata_backups_list(Remote *remote, const char *remote_id, json_t **problems,
                              GError **error)
{
    json_t *xo = json_array(), *pools = json_object(), *list;
    Walk walk = { remote, remote_id, "xo-config-backup", json_array() };
    const char *pool;
    bool ok = read_tree(&walk, "xo-config-backups", false, xo, error);
    walk.type = "xo-pool-metadata-backup";
    ok = ok && read_tree(&walk, "xo-pool-metadata-backups", true, pools, error);
    sort(xo);
    json_object_foreach (pools, pool, list)
        sort(list);
    if (problems)
        *problems = json_incref(walk.problems);
    json_decref(walk.problems);
    json_t *result = ok ? json_pack("{s:O, s:O}", "xo", xo, "pool", pools) : NULL;
    json_decref(xo);
    json_decref(pools);
    return result;
}
