/* Items that are records of the server: what the methods that list them give this caller, in the
 * shape that XO has over REST. */
#include "api/call.h"
#include "api/rest_collection.h"
#include "base/pattern.h"

#include <string.h>

/* --- Results of methods --- */

static bool see(RestRequest *request, const RestCollection *collection, json_t *record,
                RestSeen seen, void *user)
{
    if (collection->adapt)
        collection->adapt(request, record);
    const char *id = json_string_value(json_object_get(record, "id"));
    g_autofree char *text = id ? json_dumps(record, JSON_COMPACT) : NULL;
    return !text || seen(id, text, strlen(text), user);
}

/* False: enough. */
static bool see_all(RestRequest *request, const RestCollection *collection, json_t *records,
                    RestSeen seen, void *user)
{
    size_t i;
    const char *key;
    json_t *record;
    json_array_foreach (records, i, record)
        if (!see(request, collection, record, seen, user))
            return false;
    json_object_foreach (records, key, record)
        if (!see(request, collection, record, seen, user))
            return false;
    return true;
}

bool rest_each_record(RestRequest *request, const RestCollection *collection, RestSeen seen,
                      void *user, GError **error)
{
    bool goes_on = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(collection->methods) && collection->methods[i] && goes_on;
         i++) {
        json_t *records = rest_call(request, collection->methods[i], NULL, error);
        if (!records)
            return false;
        goes_on = see_all(request, collection, records, seen, user);
        json_decref(records);
    }
    return true;
}

bool rest_each_none(RestRequest *request, const RestCollection *collection, RestSeen seen,
                    void *user, GError **error)
{
    return true;
}

/* --- Shapes --- */

void rest_adapt_user(RestRequest *request, json_t *record)
{
    json_object_set(record, "name", json_object_get(record, "email"));
    json_object_set_new(record, "pw_hash", json_string("***obfuscated***"));
}

void rest_adapt_group(RestRequest *request, json_t *record)
{
    if (!json_object_get(record, "aclRoleIds"))
        json_object_set_new(record, "aclRoleIds", json_array());
}

/* --- Logs of runs --- */

/* "backup" or "restore", from "backup-log". */
static bool is_kind(const RestCollection *collection, json_t *log)
{
    const char *message = json_string_value(json_object_get(log, "message"));
    return message && g_str_has_prefix(collection->type, message) &&
           collection->type[strlen(message)] == '-';
}

static bool may_see_logs(RestRequest *request, GError **error)
{
    if (!request->is_admin)
        api_error_unauthorized(error, "admin", NULL);
    return request->is_admin;
}

/* One log at a time: all together may be large. */
bool rest_each_backup_log(RestRequest *request, const RestCollection *collection, RestSeen seen,
                          void *user, GError **error)
{
    g_autoptr(GPtrArray)
        ids = may_see_logs(request, error) ? runs_log_ids(request->parts->runs, 0, 0, error) : NULL;
    bool goes_on = true;
    for (unsigned i = 0; ids && i < ids->len && goes_on; i++) {
        json_t *log = runs_log(request->parts->runs, ids->pdata[i], NULL);
        if (log && is_kind(collection, log))
            goes_on = see(request, collection, log, seen, user);
        json_decref(log);
    }
    return ids != NULL;
}

char *rest_one_log(RestRequest *request, const char *id, GError **error)
{
    if (!may_see_logs(request, error))
        return NULL;
    const RestCollection *collection = request->route->with;
    json_t *log = runs_log(request->parts->runs, id, NULL);
    char *text = log && is_kind(collection, log) ? json_dumps(log, JSON_COMPACT) : NULL;
    if (!text)
        api_error_no_such(error, id, collection->type);
    json_decref(log);
    return text;
}

/* --- Backups --- */

/* The values of backup-repository in the query, or the repository of the {id} of the route. */
static json_t *asked_repositories(RestRequest *request)
{
    json_t *ids = json_array();
    const char *id = rest_arg(request, "id");
    if (id) {
        json_array_append_new(ids, json_stringn(id, strcspn(id, "/")));
        return ids;
    }
    g_auto(GStrv) words = g_strsplit(http_query_text(request->http), "&", -1);
    for (unsigned i = 0; words[i]; i++) {
        g_autofree char *value = g_str_has_prefix(words[i], "backup-repository=")
                                     ? g_uri_unescape_string(strchr(words[i], '=') + 1, NULL)
                                     : NULL;
        if (value && *value)
            json_array_append_new(ids, json_string(value));
    }
    return ids;
}

bool rest_each_archive(RestRequest *request, const RestCollection *collection, RestSeen seen,
                       void *user, GError **error)
{
    json_t *params = json_pack("{s:o}", "remotes", asked_repositories(request));
    json_t *all = rest_call(request, "backupNg.listVmBackups", params, error);
    const char *repository, *vm;
    json_t *of_repository, *of_vm;
    json_object_foreach (all, repository, of_repository) {
        json_object_foreach (of_repository, vm, of_vm)
            if (!see_all(request, collection, of_vm, seen, user))
                goto enough;
    }
enough:
    json_decref(params);
    json_decref(all);
    return all != NULL;
}

/* --- The jobs of a machine --- */

typedef struct {
    json_t *vm;
    RestSeen seen;
    void *user;
} JobWalk;

static bool see_job(const char *id, const char *text, size_t n, void *user)
{
    JobWalk *walk = user;
    json_t *job = json_loadb(text, n, 0, NULL);
    json_t *pattern = json_object_get(job, "vms");
    bool goes_on = !pattern || !pattern_match(pattern, walk->vm) ||
                   walk->seen(id, text, n, walk->user);
    json_decref(job);
    return goes_on;
}

bool rest_each_own_job(RestRequest *request, const RestCollection *collection, RestSeen seen,
                       void *user, GError **error)
{
    JobWalk walk = { servers_object(request->parts->servers, rest_arg(request, "id")), seen, user };
    bool ok = rest_each_record(request, rest_collection_find("backup-jobs"), see_job, &walk, error);
    json_decref(walk.vm);
    return ok;
}
