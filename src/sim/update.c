/* pool_update.*: updates that lie in the pool, put on its hosts. The old classes, host_patch and
 * pool_patch, show what is applied, as XAPI's do. */
#include "sim/inner.h"

#include <string.h>

static Obj *patch_of(const Obj *update)
{
    Sim *sim = obj_sim(update);
    for (Obj *patch = obj_first(sim, "pool_patch"); patch; patch = obj_next(patch))
        if (strcmp(obj_str(patch, "pool_update"), obj_ref(update)) == 0)
            return patch;
    Obj *patch = obj_new(sim, "pool_patch");
    obj_put_str(patch, "name_label", obj_str(update, "name_label"));
    obj_put_str(patch, "version", obj_str(update, "version"));
    obj_put_ref(patch, "pool_update", update);
    return patch;
}

/* other_config of the update says "sim:precheck-fails": an error of XAPI. */
static bool may_apply(const Obj *update, const Obj *host, GError **error)
{
    const char *fails = obj_map_get(update, "other_config", "sim:precheck-fails");
    if (obj_set_has(update, "hosts", obj_ref(host)))
        sim_error(error, "UPDATE_ALREADY_APPLIED", obj_ref(update), NULL);
    else if (fails)
        sim_error(error, fails, obj_ref(update), NULL);
    else
        return true;
    return false;
}

static bool put_on(Obj *update, Obj *host, GError **error)
{
    if (!may_apply(update, host, error))
        return false;
    Obj *done = obj_new(obj_sim(update), "host_patch");
    obj_put_str(done, "name_label", obj_str(update, "name_label"));
    obj_put_str(done, "version", obj_str(update, "version"));
    obj_put_bool(done, "applied", true);
    obj_put_ref(done, "host", host);
    obj_put_ref(done, "pool_patch", patch_of(update));
    obj_set_add(update, "hosts", obj_ref(host));
    return true;
}

static json_t *precheck(Call *call, GError **error)
{
    const Obj *update = call_obj(call, 0, "pool_update", error);
    const Obj *host = update ? call_obj(call, 1, "host", error) : NULL;
    return host && may_apply(update, host, error) ? json_string("ok") : NULL;
}

static json_t *apply(Call *call, GError **error)
{
    Obj *update = call_obj(call, 0, "pool_update", error);
    Obj *host = update ? call_obj(call, 1, "host", error) : NULL;
    return host && put_on(update, host, error) ? call_void() : NULL;
}

/* On all that do not have it. */
static json_t *pool_apply(Call *call, GError **error)
{
    Obj *update = call_obj(call, 0, "pool_update", error);
    if (!update)
        return NULL;
    for (Obj *host = obj_first(call_sim(call), "host"); host; host = obj_next(host))
        if (!obj_set_has(update, "hosts", obj_ref(host)) && !put_on(update, host, error))
            return NULL;
    return call_void();
}

const Method update_methods[] = {
    { "pool_update.precheck", precheck },
    { "pool_update.apply", apply },
    { "pool_update.pool_apply", pool_apply },
    { NULL, NULL },
};
