/* What a job and a schedule must look like. Settings are checked by one table; keys that it does
 * not know are kept, as XO keeps them. */
#include "job/private.h"
#include "job/vector.h"

#include "base/cron.h"
#include "base/error.h"
#include "base/mutant.h"
#include "base/pattern.h"

#include <string.h>

enum { MAX_NAME_BYTES = 1024 };

const char *job_text(json_t *record, const char *name)
{
    const char *value = json_string_value(json_object_get(record, name));
    return value ? value : "";
}

static bool invalid(GError **error, const char *field, const char *expected)
{
    err_set(error, ERR_INVALID, "%s: expected %s", field, expected);
    return false;
}

/* --- Settings --- */

typedef enum { NATURAL, POSITIVE, FLAG, TEXT, TEXTS, OBJECT } Kind;

static const struct {
    const char *words;
} kinds[] = { [NATURAL] = { "a number from 0" }, [POSITIVE] = { "a whole number from 1" },
              [FLAG] = { "true or false" },      [TEXT] = { "text" },
              [TEXTS] = { "a list of texts" },   [OBJECT] = { "an object" } };

static const struct {
    const char *name;
    Kind kind;
} settings[] = {
    { "reportWhen", TEXT },
    { "reportRecipients", TEXTS },
    { "backupReportTpl", TEXT },
    { "hideSuccessfulItems", FLAG },
    { "concurrency", NATURAL },
    { "nRetriesVmBackupFailures", NATURAL },
    { "maxExportRate", NATURAL },
    { "poolRetries", NATURAL },
    { "timeout", NATURAL },
    { "vmTimeout", NATURAL },
    { "stallTimeout", NATURAL },          /* ours: ms; who takes or gives nothing is given up */
    { "spoolBlocks", NATURAL },           /* ours: by so many a slow target may lag */
    { "vdiExportConcurrency", POSITIVE }, /* XO's configuration: disks at a time in a run */
    { "exportRetention", NATURAL },
    { "copyRetention", NATURAL },
    { "snapshotRetention", NATURAL },
    { "longTermRetention", OBJECT },
    { "timezone", TEXT },
    { "fullInterval", NATURAL },
    { "deleteFirst", FLAG },
    { "healthCheckSr", TEXT },
    { "healthCheckVmsWithTags", TEXTS },
    { "offlineBackup", FLAG },
    { "offlineSnapshot", FLAG },
    { "checkpointSnapshot", FLAG },
    { "unconditionalSnapshot", FLAG },
    { "bypassVdiChainsCheck", FLAG },
    { "preferNbd", FLAG },
    { "nbdConcurrency", POSITIVE },
    { "cbtDestroySnapshotData", FLAG },
    { "diskPerVmConcurrency", NATURAL },
    { "maxMergedDeltasPerRun", NATURAL },
    { "mergeBackupsSynchronously", FLAG },
    { "distributeBackups", FLAG },
    { "distributeReplications", FLAG },
    { "retentionPoolMetadata", NATURAL },
    { "retentionXoMetadata", NATURAL },
    { "onFailureCommand", TEXTS }, /* ours: a program and its arguments, run when a run failed */
    { "onBusyVm", TEXT },          /* ours: "wait" (default) or "fail" */
    { "readBack", TEXT },          /* ours: blocks read back after writing; see texts */
};

static const struct {
    const char *name, *values[4], *words;
} texts[] = {
    { "onBusyVm", { "wait", "fail" }, "\"wait\" or \"fail\"" },
    { "readBack", { "sample", "all", "none" }, "\"sample\", \"all\" or \"none\"" },
};

static bool all_texts(json_t *value)
{
    gsize i;
    json_t *item;
    json_array_foreach (value, i, item)
        if (!json_is_string(item))
            return false;
    return json_is_array(value);
}

static bool is_kind(json_t *value, Kind kind)
{
    switch (kind) {
    case NATURAL:
        return json_is_number(value) && json_number_value(value) >= 0;
    case POSITIVE:
        return json_is_integer(value) && json_integer_value(value) >= 1;
    case FLAG:
        return json_is_boolean(value);
    case TEXT:
        return json_is_string(value);
    case TEXTS:
        return all_texts(value);
    default:
        return json_is_object(value);
    }
}

static bool check_chosen(const char *field, const char *name, json_t *value, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        if (strcmp(name, texts[i].name) == 0 &&
            !g_strv_contains(texts[i].values, json_string_value(value)))
            return invalid(error, field, texts[i].words);
    return true;
}

static bool check_setting(const char *scope, const char *name, json_t *value, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++) {
        if (strcmp(name, settings[i].name) != 0 || json_is_null(value))
            continue;
        g_autofree char *field = g_strdup_printf("settings[\"%s\"].%s", scope, name);
        if (!is_kind(value, settings[i].kind))
            return invalid(error, field, kinds[settings[i].kind].words);
        if (!check_chosen(field, name, value, error))
            return false;
    }
    return true;
}

static bool check_settings(json_t *map, GError **error)
{
    const char *scope, *name;
    json_t *values, *value;
    if (!json_is_object(map))
        return invalid(error, "settings", "an object");
    json_object_foreach (map, scope, values) {
        if (!json_is_object(values)) {
            err_set(error, ERR_INVALID, "settings[\"%s\"]: expected an object", scope);
            return false;
        }
        json_object_foreach (values, name, value)
            if (!check_setting(scope, name, value, error))
                return false;
    }
    return true;
}

/* --- Jobs --- */

static bool check_choice(json_t *job, const char *name, const char *const *choices,
                         const char *words, GError **error)
{
    json_t *value = json_object_get(job, name);
    if (json_is_string(value) && g_strv_contains(choices, json_string_value(value)))
        return true;
    return invalid(error, name, words);
}

static bool check_ids(json_t *job, const char *name, GError **error)
{
    json_t *pattern = json_object_get(job, name);
    json_t *ids = job_ids(pattern);
    bool ok = ids != NULL || MUTANT(job_any_pattern); /* mutant: job */
    json_decref(ids);
    return ok || invalid(error, name, "{\"id\": \"…\"} or {\"id\": {\"__or\": [\"…\", …]}}");
}

static bool check_name(json_t *record, GError **error)
{
    json_t *name = json_object_get(record, "name");
    if (!name || (json_is_string(name) && json_string_length(name) <= MAX_NAME_BYTES))
        return true;
    return invalid(error, "name", "a text of at most 1024 bytes");
}

bool job_check(json_t *job, GError **error)
{
    static const char *const modes[] = { "full", "delta", NULL };
    static const char *const codecs[] = { "", "native", "zstd", NULL };
    json_t *vms = json_object_get(job, "vms");
    if (!check_name(job, error) ||
        !check_choice(job, "mode", modes, "\"full\" or \"delta\"", error))
        return false;
    if (json_object_get(job, "compression") &&
        !check_choice(job, "compression", codecs, "\"\", \"native\" or \"zstd\"", error))
        return false;
    if (!json_is_object(vms))
        return invalid(error, "vms",
                       "a pattern such as {\"id\": \"…\"} or {\"power_state\": \"Running\"}");
    if (!pattern_check(vms, error)) {
        g_prefix_error(error, "vms: ");
        return false;
    }
    return check_ids(job, "remotes", error) && check_ids(job, "srs", error) &&
           check_settings(json_object_get(job, "settings"), error);
}

static bool check_text(json_t *job, const char *name, bool needed, GError **error)
{
    json_t *value = json_object_get(job, name);
    if ((!value && !needed) || (json_is_string(value) && json_string_length(value) > 0))
        return true;
    return invalid(error, name, "text");
}

bool call_job_check(json_t *job, GError **error)
{
    json_t *timeout = json_object_get(job, "timeout");
    if (!check_name(job, error) || !check_text(job, "method", true, error) ||
        !check_text(job, "key", false, error) || !check_text(job, "userId", false, error))
        return false;
    if (timeout && !(json_is_number(timeout) && json_number_value(timeout) >= 0))
        return invalid(error, "timeout", "milliseconds from 0");
    return vector_check(json_object_get(job, "paramsVector"), error);
}

/* --- Schedules --- */

bool schedule_check(json_t *schedule, GError **error)
{
    json_t *cron = json_object_get(schedule, "cron"), *zone = json_object_get(schedule, "timezone");
    if (!json_is_string(cron))
        return invalid(error, "cron", "five fields: minute hour dayOfMonth month dayOfWeek");
    if (zone && !json_is_string(zone))
        return invalid(error, "timezone", "the name of a time zone, such as \"Europe/Paris\"");
    if (!json_is_boolean(json_object_get(schedule, "enabled")))
        return invalid(error, "enabled", "true or false");
    if (!check_name(schedule, error))
        return false;
    g_autoptr(Cron) parsed = cron_parse(json_string_value(cron), json_string_value(zone), error);
    return parsed && cron_next(parsed, g_get_real_time() / 1000, error) > 0;
}
