/* Items that are objects of pools: as the inventories hold them, and messages, which XO divides
 * into alarms and the rest. */
#include "api/rest_collection.h"
#include "base/json_pick.h"
#include "base/mutant.h"

#include <string.h>

bool rest_may_view(RestRequest *request, const char *id, const char *type, GBytes *text)
{
    const char *resource = request->grants ? rest_resource_of(type) : NULL;
    return !request->viewer ||
           MUTANT(rest_views_all) || /* mutant: system:test_rest.People.test_others */
           viewer_sees(request->viewer, id, type, text) ||
           (resource && grants_allow(request->grants, resource, "read", text));
}

typedef struct {
    RestRequest *request;
    RestSeen seen;
    void *user;
    bool full;
    const char *about; /* of messages: the object; NULL: all */
    bool alarms;
} Walk;

/* --- Objects --- */

static void see(const char *id, const char *type, GBytes *text, void *user)
{
    Walk *walk = user;
    if (!walk->full && rest_may_view(walk->request, id, type, text))
        walk->full =
            !walk->seen(id, g_bytes_get_data(text, NULL), g_bytes_get_size(text), walk->user);
}

bool rest_each_object(RestRequest *request, const RestCollection *collection, RestSeen seen,
                      void *user, GError **error)
{
    Walk walk = { request, seen, user, false, NULL, false };
    servers_each(request->parts->servers, collection->type, see, &walk);
    return true;
}

/* --- Messages and alarms --- */

static bool member_is(const char *text, size_t n, const char *name, const char *const *values)
{
    JsonPick pick = { name };
    json_pick(text, n, &pick, 1);
    for (; pick.value && *values; values++)
        if (strlen(*values) + 2 == pick.n && memcmp(*values, pick.value + 1, pick.n - 2) == 0)
            return true;
    return false;
}

bool rest_is_alarm(const char *text, size_t n)
{
    static const char *const names[] = { "ALARM", "BOND_STATUS_CHANGED", "MULTIPATH_PERIODIC_ALERT",
                                         NULL };
    return member_is(text, n, "name", names);
}

/* XAPI writes "value: 0.97\nconfig:\n<variable>\n<name value="cpu_usage"/>…"; a usage is a share
 * there and percent in XO. */
static json_t *alarm_body(json_t *message)
{
    const char *body = json_string_value(json_object_get(message, "body"));
    const char *value = body ? strstr(body, "value: ") : NULL;
    const char *name = body ? strstr(body, "<name value=\"") : NULL;
    if (value != body || !name)
        return json_pack("{s:O*, s:O*}", "value", json_object_get(message, "body"), "name",
                         json_object_get(message, "name"));
    value += strlen("value: ");
    name += strlen("<name value=\"");
    g_autofree char *word = g_strndup(name, strcspn(name, "\""));
    g_autofree char *number = g_strndup(value, strcspn(value, "\n"));
    bool is_share = g_str_has_suffix(word, "_usage") && !g_str_has_prefix(word, "network") &&
                    !g_str_has_prefix(word, "disk");
    g_autofree char *percent = g_strdup_printf("%.1f", 100 * g_ascii_strtod(number, NULL));
    return json_pack("{s:s, s:s}", "value", is_share ? percent : number, "name", word);
}

static json_t *alarm_object(const ApiParts *parts, json_t *message)
{
    const char *id = json_string_value(json_object_get(message, "$object"));
    json_t *object = id ? servers_object(parts->servers, id) : NULL;
    const char *type = json_string_value(json_object_get(object, "type"));
    const RestCollection *collection = type ? rest_collection_of_type(type) : NULL;
    g_autofree char *path = collection ? g_strdup_printf(REST_BASE "/%s/%s", collection->name, id)
                                       : NULL;
    json_t *shown =
        json_pack("{s:s, s:s*, s:s*}", "type", type ? type : "unknown", "uuid", id, "href", path);
    json_decref(object);
    return shown;
}

char *rest_alarm_text(const ApiParts *parts, const char *text, size_t n)
{
    json_t *message = json_loadb(text, n, JSON_ALLOW_NUL, NULL);
    double time_s = json_number_value(json_object_get(message, "time"));
    json_object_set_new(message, "body", alarm_body(message));
    json_object_set_new(message, "object", alarm_object(parts, message));
    json_object_set_new(message, "time", json_integer((json_int_t) time_s * 1000));
    json_object_del(message, "$object");
    char *shown = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    return shown;
}

static void see_message(const char *id, const char *type, GBytes *bytes, void *user)
{
    Walk *walk = user;
    const char *text = g_bytes_get_data(bytes, NULL);
    size_t n = g_bytes_get_size(bytes);
    const char *const about[] = { walk->about, NULL };
    if (walk->full || rest_is_alarm(text, n) != walk->alarms ||
        (walk->about && !member_is(text, n, "$object", about)) ||
        !rest_may_view(walk->request, id, type, bytes))
        return;
    g_autofree char *alarm = walk->alarms ? rest_alarm_text(walk->request->parts, text, n) : NULL;
    walk->full = !walk->seen(id, alarm ? alarm : text, alarm ? strlen(alarm) : n, walk->user);
}

static bool each_message(RestRequest *request, const char *about, bool alarms, RestSeen seen,
                         void *user)
{
    Walk walk = { request, seen, user, false, about, alarms };
    servers_each(request->parts->servers, "message", see_message, &walk);
    return true;
}

bool rest_each_message(RestRequest *request, const RestCollection *collection, RestSeen seen,
                       void *user, GError **error)
{
    return each_message(request, NULL, false, seen, user);
}

bool rest_each_alarm(RestRequest *request, const RestCollection *collection, RestSeen seen,
                     void *user, GError **error)
{
    return each_message(request, NULL, true, seen, user);
}

bool rest_each_own_message(RestRequest *request, const RestCollection *collection, RestSeen seen,
                           void *user, GError **error)
{
    return each_message(request, rest_arg(request, "id"), false, seen, user);
}

bool rest_each_own_alarm(RestRequest *request, const RestCollection *collection, RestSeen seen,
                         void *user, GError **error)
{
    return each_message(request, rest_arg(request, "id"), true, seen, user);
}

/* --- The disks of a machine --- */

static bool see_disk(RestRequest *request, const char *wanted, const char *vbd_id, RestSeen seen,
                     void *user)
{
    json_t *vbd = servers_object(request->parts->servers, vbd_id);
    const char *id = json_string_value(json_object_get(vbd, "VDI")), *type = NULL;
    bool is_cd = json_is_true(json_object_get(vbd, "is_cd_drive"));
    g_autoptr(GBytes) text = id && !is_cd ? servers_text(id, &type, request->parts->servers) : NULL;
    bool shown = text && g_strcmp0(type, wanted) == 0 && rest_may_view(request, id, type, text);
    bool goes_on = !shown || seen(id, g_bytes_get_data(text, NULL), g_bytes_get_size(text), user);
    json_decref(vbd);
    return goes_on;
}

bool rest_each_own_vdi(RestRequest *request, const RestCollection *collection, RestSeen seen,
                       void *user, GError **error)
{
    json_t *vm = servers_object(request->parts->servers, rest_arg(request, "id"));
    size_t i;
    json_t *vbd;
    json_array_foreach (json_object_get(vm, "$VBDs"), i, vbd)
        if (json_is_string(vbd) &&
            !see_disk(request, collection->type, json_string_value(vbd), seen, user))
            break;
    json_decref(vm);
    return true;
}
