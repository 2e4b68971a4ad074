/* A run belongs to a pool when its job's pattern matches a machine of the pool. */
#include "api/methods/backup_guard.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/pattern.h"

typedef struct {
    json_t *pattern;
    bool found;
} Search;

static void see_vm(const char *id, const char *type, GBytes *text, void *user)
{
    Search *search = user;
    if (search->found)
        return;
    json_t *vm = json_loads(g_bytes_get_data(text, NULL), 0, NULL);
    search->found = vm && pattern_match(search->pattern, vm);
    json_decref(vm);
}

static bool is_about(json_t *job, Inventory *inventory)
{
    Search search = { json_object_get(job, "vms"), false };
    if (search.pattern)
        inventory_each(inventory, "VM", see_vm, &search);
    return search.found;
}

static void refuse(json_t *job, const ApiObject *of_pool, GError **error)
{
    const char *name = json_string_value(json_object_get(job, "name"));
    api_error_set(
        error, API_FORBIDDEN_OPERATION,
        json_pack("{s:s, s:s*}", "operation", "Backup is running", "reason", name),
        "forbidden operation: the backup job %s is running on the pool: wait until it has "
        "ended, cancel it, or give bypassBackupCheck",
        name ? name : json_string_value(json_object_get(job, "id")));
}

bool backup_guard(ApiCall *call, const ApiObject *of_pool, GError **error)
{
    const ApiParts *parts = call_parts(call);
    if (call_bool(call, "bypassBackupCheck")) {
        log_warning("api", "%s: not looked whether backups run, as asked", call_name(call));
        return true;
    }
    g_autoptr(GPtrArray) runs = runs_going(parts->runs);
    bool free = true;
    for (guint i = 0; i < runs->len && free; i++) {
        json_t *log = runs_log(parts->runs, runs->pdata[i], NULL);
        const char *id = json_string_value(json_object_get(log, "jobId"));
        json_t *job = id ? jobs_get(parts->jobs, id, NULL, NULL) : NULL;
        if (job && is_about(job, of_pool->inventory) &&
            !MUTANT(guard_lets_pass)) { /* mutant: system:test_hosts.Hosts.test_backup_guard */
            refuse(job, of_pool, error);
            free = false;
        }
        json_decref(job);
        json_decref(log);
    }
    return free;
}
