/* The attachments of a storage to hosts: as the pool has them now, not as the inventory saw them.
 */
#include "api/methods/sr_pbds.h"
#include "base/mutant.h"

static json_t *pbds_of(const ApiObject *sr, GError **error)
{
    return xapi_call(api_object_xapi(sr), "SR.get_PBDs", json_pack("[s]", sr->ref), error);
}

static bool is_attached(Xapi *xapi, json_t *pbd)
{
    json_t *answer = xapi_call(xapi, "PBD.get_currently_attached", json_pack("[O]", pbd), NULL);
    bool attached = json_is_true(answer);
    json_decref(answer);
    return attached;
}

bool sr_plug(const ApiObject *sr, json_t *pbds, GError **error)
{
    size_t i;
    json_t *pbd;
    g_autoptr(GError) first = NULL;
    json_array_foreach (pbds, i, pbd)
        xapi_do(api_object_xapi(sr), "PBD.plug", json_pack("[O]", pbd), first ? NULL : &first);
    if (!first)
        return true;
    g_propagate_error(error, g_steal_pointer(&first));
    return false;
}

bool sr_plug_all(const ApiObject *sr, GError **error)
{
    json_t *pbds = pbds_of(sr, error);
    bool ok = pbds && sr_plug(sr, pbds, error);
    json_decref(pbds);
    return ok;
}

json_t *sr_unplug_all(const ApiObject *sr, GError **error)
{
    Xapi *xapi = api_object_xapi(sr);
    json_t *pbds = pbds_of(sr, error), *unplugged = json_array(), *pbd;
    size_t i;
    bool ok = pbds != NULL;
    json_array_foreach (pbds, i, pbd) {
        if (!ok || !is_attached(xapi, pbd))
            continue;
        ok = xapi_do(xapi, "PBD.unplug", json_pack("[O]", pbd), error);
        if (ok)
            json_array_append(unplugged, pbd);
    }
    json_decref(pbds);
    if (ok)
        return unplugged;
    if (!MUTANT(
            sr_stays_detached)) /* mutant: system:test_storages.Storages.test_detach_is_undone */
        sr_plug(sr, unplugged, NULL);
    json_decref(unplugged);
    return NULL;
}

char *sr_attached_host(const ApiObject *sr, GError **error)
{
    Xapi *xapi = api_object_xapi(sr);
    json_t *pbds = pbds_of(sr, error), *pbd;
    char *host = NULL;
    size_t i;
    json_array_foreach (pbds, i, pbd)
        if (!host && is_attached(xapi, pbd))
            host = xapi_call_string(xapi, "PBD.get_host", json_pack("[O]", pbd), NULL);
    if (pbds && !host)
        err_set(error, ERR_STATE, "SR %s is attached to no host: attach it first",
                api_object_text(sr, "name_label"));
    json_decref(pbds);
    return host;
}
