/* The child that touches one remote: reads a call, does it, answers, until the socket closes. */
#include "run/repository_worker.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "catalog/metadata_backups.h"
#include "remote/remote.h"
#include "run/protocol.h"

#include <string.h>
#include <unistd.h>

enum { LOCK_MS = 30000 };

/* What a call works with; the catalog is opened for those that need it. */
typedef struct {
    json_t *request;
    const char *remote_id;
    bool is_first; /* of this process */
    Remote *remote;
    Catalog *catalog;
} Call;

static json_t *call_space(Call *call, GError **error)
{
    RemoteSpace space;
    if (!remote_space(call->remote, &space, error))
        return NULL;
    return json_pack("{s:I, s:I, s:I}", "size", (json_int_t) space.size_bytes, "used",
                     (json_int_t) space.used_bytes, "available",
                     (json_int_t) space.available_bytes);
}

/* --- Listing --- */

static json_t *list_vm(Call *call, const char *vm, json_t *problems, GError **error)
{
    json_t *found = NULL;
    json_t *views = catalog_views(call->catalog, vm, call->remote_id, &found, error);
    json_array_extend(problems, found);
    json_decref(found);
    return views;
}

/* What cannot be read of one VM hides no other's; when nothing can be it is the storage. */
static bool list_vms(Call *call, GPtrArray *vms, json_t *points, json_t *problems, GError **error)
{
    g_autoptr(GError) first = NULL;
    for (guint i = 0; i < vms->len; i++) {
        g_autoptr(GError) failure = NULL;
        json_t *views = list_vm(call, vms->pdata[i], problems, &failure);
        if (json_array_size(views) > 0)
            json_object_set(points, vms->pdata[i], views);
        json_decref(views);
        if (failure)
            json_array_append_new(problems, json_text_of_bytes(failure->message));
        if (failure && (!first || err_is(failure, ERR_TIMEOUT))) {
            g_clear_error(&first);
            first = g_steal_pointer(&failure);
        }
    }
    if (!first || (json_object_size(points) > 0 && !err_is(first, ERR_TIMEOUT)))
        return true;
    g_propagate_error(error, g_steal_pointer(&first));
    return false;
}

static json_t *call_list(Call *call, GError **error)
{
    g_autoptr(GPtrArray) vms = catalog_vms(call->catalog, error);
    json_t *points = json_object(), *problems = json_array();
    bool listed = vms && list_vms(call, vms, points, problems, error);
    json_t *result = listed ? json_pack("{s:O, s:O}", "points", points, "problems", problems)
                            : NULL;
    json_decref(points);
    json_decref(problems);
    return result;
}

static json_t *call_metadata(Call *call, GError **error)
{
    json_t *problems = NULL;
    json_t *found = metadata_backups_list(call->remote, call->remote_id, &problems, error);
    json_t *result = found ? json_pack("{s:O, s:O}", "backups", found, "problems", problems) : NULL;
    json_decref(problems);
    json_decref(found);
    return result;
}

/* --- Deleting --- */

/* The VM of "/xo-vm-backups/<vm>/<date>.json", or NULL. */
static char *vm_of(const char *path, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    if (g_strv_length(parts) == 4 && !*parts[0] && strcmp(parts[1], "xo-vm-backups") == 0 &&
        *parts[2] && strcmp(parts[2], "..") != 0)
        return g_strdup(parts[2]);
    err_set(error, ERR_INVALID,
            "\"%.200s\" is not the path of a backup: /xo-vm-backups/<vm>/<date>.json", path);
    return NULL;
}

static bool delete_of_vm(Call *call, const char *vm, const char *const *paths, GError **error)
{
    g_autoptr(RemoteLock) lock = catalog_lock(call->catalog, vm, LOCK_MS, error);
    if (!lock || !catalog_delete(call->catalog, vm, paths, true, error))
        return false;
    CatalogCleaned cleaned = { 0 };
    g_autoptr(GError) problem = NULL;
    /* what cannot be cleaned now is cleaned by the next backup */
    catalog_clean(call->catalog, vm, false, true, &cleaned, &problem);
    json_decref(cleaned.warnings);
    return true;
}

/* VM → its paths. */
static GHashTable *group_by_vm(json_t *paths, GError **error)
{
    g_autoptr(GHashTable) groups =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
    gsize i;
    json_t *path;
    json_array_foreach (paths, i, path) {
        const char *name = json_is_string(path) ? json_string_value(path) : "";
        char *vm = vm_of(name, error);
        if (!vm)
            return NULL;
        GPtrArray *group = g_hash_table_lookup(groups, vm);
        if (group)
            g_free(vm);
        else
            g_hash_table_insert(groups, vm, group = g_ptr_array_new());
        g_ptr_array_add(group, (char *) name);
    }
    return g_steal_pointer(&groups);
}

static json_t *call_delete(Call *call, GError **error)
{
    g_autoptr(GHashTable) groups = group_by_vm(json_object_get(call->request, "paths"), error);
    GHashTableIter iter;
    gpointer vm, group;
    if (!groups)
        return NULL;
    g_hash_table_iter_init(&iter, groups);
    while (g_hash_table_iter_next(&iter, &vm, &group)) {
        g_ptr_array_add(group, NULL);
        if (!delete_of_vm(call, vm, (const char *const *) ((GPtrArray *) group)->pdata, error))
            return NULL;
    }
    return json_true();
}

/* --- The table --- */

static const struct {
    const char *name;
    bool needs_catalog;
    json_t *(*run)(Call *call, GError **error);
} calls[] = {
    { "list", true, call_list },
    { "delete", true, call_delete },
    { "metadata", false, call_metadata },
    { "space", false, call_space },
};

/* The test tells a failure as its result: it is what was asked. */
static json_t *call_test(const char *url, unsigned patience_ms, bool *stuck)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Remote) remote = remote_open_patient(url, patience_ms, &error);
    double read_rate = 0, write_rate = 0;
    const char *step = "open";
    if (remote && remote_test(remote, &read_rate, &write_rate, &step, &error))
        return json_pack("{s:b, s:f, s:f}", "success", 1, "readRate", read_rate, "writeRate",
                         write_rate);
    *stuck = remote && remote_is_stuck(remote);
    return json_pack("{s:b, s:s, s:o}", "success", 0, "step", step ? step : "", "error",
                     protocol_error(error));
}

/* Once per process: earlier ones may have been killed while they wrote. */
static Catalog *open_catalog(Call *call, GError **error)
{
    g_autoptr(GError) litter = NULL;
    Catalog *catalog = catalog_open(call->remote, error);
    if (catalog && call->is_first && !catalog_sweep_stale(catalog, &litter))
        log_warning("run", "remote %s: %s", call->remote_id, litter->message);
    return catalog;
}

static json_t *dispatch(Call *call, GError **error)
{
    const char *name = json_text(call->request, "call");
    for (gsize i = 0; i < G_N_ELEMENTS(calls); i++) {
        if (strcmp(name, calls[i].name) != 0)
            continue;
        g_autoptr(Catalog) catalog = calls[i].needs_catalog ? open_catalog(call, error) : NULL;
        call->catalog = catalog;
        return catalog || !calls[i].needs_catalog ? calls[i].run(call, error) : NULL;
    }
    err_set(error, ERR_UNSUPPORTED, "repository worker: call \"%s\"", name);
    return NULL;
}

/* *stuck: a call to the repository has not come back. */
static json_t *handle(json_t *request, bool is_first, bool *stuck, GError **error)
{
    unsigned patience_ms = (unsigned) json_integer_value(json_object_get(request, "patience"));
    json_t *record = json_object_get(request, "remote");
    if (json_integer_value(json_object_get(request, "version")) != PROTOCOL_VERSION) {
        err_set(error, ERR_TOO_NEW,
                "the server and its worker are of different versions: restart the server");
        return NULL;
    }
    if (strcmp(json_text(request, "call"), "test") == 0)
        return call_test(json_text(record, "url"), patience_ms, stuck);
    g_autoptr(Remote) remote = remote_open_patient(json_text(record, "url"), patience_ms, error);
    Call call = { .request = request,
                  .remote_id = json_text(record, "id"),
                  .is_first = is_first,
                  .remote = remote };
    json_t *result = remote ? dispatch(&call, error) : NULL;
    *stuck = remote ? remote_is_stuck(remote) : error && err_is(*error, ERR_TIMEOUT);
    return result;
}

int repository_worker_main(int fd)
{
    g_autoptr(Channel) channel = channel_new(fd);
    bool is_first = true;
    for (json_t *request; (request = channel_receive(channel, -1, NULL)); is_first = false) {
        g_autoptr(GError) error = NULL;
        bool stuck = false;
        json_t *result = handle(request, is_first, &stuck, &error);
        json_t *answer = result ? json_pack("{s:o}", "result", result)
                                : json_pack("{s:o}", "error", protocol_error(error));
        json_object_set_new(answer, "stuck", json_boolean(stuck));
        json_decref(request);
        if (!channel_send(channel, answer, NULL))
            break;
        if (stuck)
            _exit(0); /* as far as that goes with a thread that hangs */
    }
    return 0;
}
