/* The drivers read the setting when a storage is attached. */
#include "api/methods/host_multipathing.h"

/* The references of its attached PBDs, detached; false with the first refusal, *unplugged is what
 * was detached by then. */
static bool detach_all(const ApiObject *host, json_t *unplugged, GError **error)
{
    Xapi *xapi = api_object_xapi(host);
    json_t *record = xapi_call(xapi, "host.get_record", json_pack("[s]", host->ref), error), *pbd;
    size_t i;
    bool ok = record != NULL;
    json_array_foreach (json_object_get(record, "PBDs"), i, pbd) {
        json_t *attached =
            ok ? xapi_call(xapi, "PBD.get_currently_attached", json_pack("[O]", pbd), error) : NULL;
        bool is = json_is_true(attached);
        ok = attached && (!is || xapi_do(xapi, "PBD.unplug", json_pack("[O]", pbd), error));
        if (ok && is)
            json_array_append(unplugged, pbd);
        json_decref(attached);
    }
    json_decref(record);
    return ok;
}

static bool attach_all(const ApiObject *host, json_t *pbds, GError **error)
{
    size_t i;
    json_t *pbd;
    bool ok = true;
    json_array_foreach (pbds, i, pbd)
        ok = xapi_do(api_object_xapi(host), "PBD.plug", json_pack("[O]", pbd), ok ? error : NULL) &&
             ok;
    return ok;
}

bool host_set_multipathing(const ApiObject *host, bool multipathing, GError **error)
{
    bool was_enabled = json_is_true(json_object_get(host->view, "enabled"));
    json_t *unplugged = json_array();
    bool ok = (!was_enabled || api_object_do(host, "host.disable", NULL, error)) &&
              detach_all(host, unplugged, error) &&
              api_object_do(host, "host.set_multipathing", json_pack("[b]", multipathing), error);
    ok = attach_all(host, unplugged, ok ? error : NULL) && ok;
    if (was_enabled)
        ok = api_object_do(host, "host.enable", NULL, ok ? error : NULL) && ok;
    json_decref(unplugged);
    return ok;
}
