/* Which setting counts: built-in, job, schedule, VM, target, in that order, the last one wins. */
#include "job/private.h"

#include "base/mutant.h"

json_t *job_ids(json_t *pattern)
{
    json_t *id = json_object_get(pattern, "id"), *list = json_object_get(id, "__or"), *item;
    gsize i;
    if (!pattern || json_is_null(pattern))
        return json_array();
    if (json_object_size(pattern) != 1)
        return NULL;
    if (json_is_string(id))
        return json_pack("[O]", id);
    if (!json_is_array(list) || json_object_size(id) != 1)
        return NULL;
    json_array_foreach (list, i, item)
        if (!json_is_string(item))
            return NULL;
    return json_deep_copy(list);
}

json_t *job_default_settings(void)
{
    return json_pack(
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:b, s:b, s:b, s:b, s:b, s:b,"
        " s:i, s:i, s:b, s:b, s:b, s:[], s:s, s:s, s:i}",
        "reportWhen", "failure", "concurrency", 2, "nRetriesVmBackupFailures", 0, "maxExportRate",
        0, "timeout", 0, "vmTimeout", 0, "exportRetention", 0, "copyRetention", 0,
        "snapshotRetention", 0, "deleteFirst", 0, "offlineBackup", 0, "offlineSnapshot", 0,
        "checkpointSnapshot", 0, "unconditionalSnapshot", 0, "bypassVdiChainsCheck", 0, "preferNbd",
        0, "nbdConcurrency", 1, "diskPerVmConcurrency", 0, "cbtDestroySnapshotData", 0,
        "distributeBackups", 0, "distributeReplications", 0, "healthCheckVmsWithTags", "onBusyVm",
        "wait", "readBack", "sample", "fullInterval", 0);
}

/* Null takes a setting away, so that the weaker one counts. */
static void apply(json_t *settings, json_t *map, const char *scope)
{
    const char *name;
    json_t *value;
    json_object_foreach (json_object_get(map, scope), name, value)
        if (!json_is_null(value))
            json_object_set(settings, name, value);
}

json_t *job_settings(json_t *job, json_t *overrides, const char *schedule_id, const char *vm_id,
                     const char *target_id)
{
    const char *const scopes[] = { "", schedule_id, vm_id, target_id };
    json_t *settings = job_default_settings(), *map = json_object_get(job, "settings");
    for (gsize i = 0; i < G_N_ELEMENTS(scopes); i++) {
        gsize at = MUTANT(job_weakest_wins) ? G_N_ELEMENTS(scopes) - 1 - i : i; /* mutant: job */
        if (!scopes[at])
            continue;
        apply(settings, map, scopes[at]);
        apply(settings, overrides, scopes[at]);
    }
    json_t *copy = json_deep_copy(settings);
    json_decref(settings);
    return copy;
}
