/* sr.*: what is done to a storage as a whole. */
#include "api/method.h"
#include "api/objects.h"
#include "api/methods/sr_pbds.h"

#include <string.h>

static json_t *set(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    static const struct {
        const char *param, *method;
    } fields[] = { { "name_label", "SR.set_name_label" },
                   { "name_description", "SR.set_name_description" } };
    bool ok = true;
    for (unsigned i = 0; ok && i < G_N_ELEMENTS(fields); i++)
        if (call_get(call, fields[i].param))
            ok = api_object_do(sr, fields[i].method,
                               json_pack("[O]", call_get(call, fields[i].param)), error);
    api_object_barrier(sr);
    return NULL;
}

static json_t *scan(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    if (api_object_do(sr, "SR.scan", NULL, error))
        api_object_barrier(sr);
    return NULL;
}

/* --- Attachments --- */

static json_t *connect_all(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    sr_plug_all(sr, error);
    api_object_barrier(sr);
    return NULL;
}

static json_t *disconnect_all(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    json_decref(sr_unplug_all(sr, error));
    api_object_barrier(sr);
    return NULL;
}

/* Detaches it everywhere, then calls the method; when that is refused it is attached again. */
static json_t *leave(ApiCall *call, const char *method, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    json_t *unplugged = sr_unplug_all(sr, error);
    if (unplugged && !api_object_do(sr, method, NULL, error))
        sr_plug(sr, unplugged, NULL);
    json_decref(unplugged);
    api_object_barrier(sr);
    return NULL;
}

static json_t *forget(ApiCall *call, GError **error)
{
    return leave(call, "SR.forget", error);
}

/* Asked before anything is detached: the pool would tell only afterwards. */
static json_t *destroy(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    size_t n = json_array_size(json_object_get(sr->view, "VDIs"));
    if (n > 0) {
        err_set(error, ERR_STATE,
                "SR %s has %zu disks: delete them, or move them to another storage, first",
                api_object_text(sr, "name_label"), n);
        return NULL;
    }
    return leave(call, "SR.destroy", error);
}

/* --- sr.reclaimSpace --- */

static char *between(const char *text, const char *from, const char *to)
{
    const char *start = strstr(text, from);
    const char *end = start ? strstr(start + strlen(from), to) : NULL;
    return end ? g_strndup(start + strlen(from), (gsize) (end - start) - strlen(from)) : NULL;
}

/* "True", or XML that says what is wrong. */
static bool check_trim(const ApiObject *sr, const char *answer, GError **error)
{
    g_autofree char *words = between(answer, "<key>errmsg</key><value>", "</value>");
    if (!strstr(answer, "<trim_response>") || !words)
        return true;
    err_set(error, ERR_STATE, "SR %s: %s", api_object_text(sr, "name_label"), words);
    return false;
}

/* On a host that has it attached: the master, or the one of a local storage. */
static json_t *reclaim(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    g_autofree char *host = sr_attached_host(sr, error);
    g_autofree char *answer = host ? api_object_task(sr, "host.call_plugin",
                                                     json_pack("[s, s, s, {s:s}]", host, "trim",
                                                               "do_trim", "sr_uuid", sr->id),
                                                     error)
                                   : NULL;
    if (answer && check_trim(sr, answer, error))
        api_object_barrier(sr);
    return NULL;
}

const Method methods_sr[] = {
    { "sr.set", set,
      PARAMS(REQ(ID("id", "SR", "operate")), OPT(STR("name_label")), OPT(STR0("name_description"))),
      .access = ACCESS_USER, .example = "id=$SR name_description='for the tests'",
      .summary = "Change the name or the description of a storage." },
    { "sr.scan", scan, PARAMS(REQ(ID("id", "SR", "operate"))), .access = ACCESS_USER,
      .long_running = true, .example = "id=$SR",
      .summary = "Look anew at what lies in a storage." },
    { "sr.destroy", destroy, PARAMS(REQ(ID("id", "SR", "administrate"))), .access = ACCESS_USER,
      .long_running = true, .example = "id=$SPARE_SR",
      .summary = "Wipe a storage, which must have no disks." },
    { "sr.forget", forget, PARAMS(REQ(ID("id", "SR", "administrate"))), .access = ACCESS_USER,
      .long_running = true, .example = "id=$SPARE_SR",
      .summary = "Detach a storage and forget it; its disks stay on it." },
    { "sr.connectAllPbds", connect_all, PARAMS(REQ(ID("id", "SR", "administrate"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$DETACHED_SR",
      .summary = "Attach a storage to all its hosts." },
    { "sr.disconnectAllPbds", disconnect_all, PARAMS(REQ(ID("id", "SR", "administrate"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$SPARE_SR",
      .summary = "Detach a storage from all its hosts." },
    { "sr.reclaimSpace", reclaim, PARAMS(REQ(ID("id", "SR", "administrate"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$BLOCK_SR",
      .summary = "Give space that is free in a storage back to the disk array." },
    { NULL },
};
