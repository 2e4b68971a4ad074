/* Emptying a host, undone when it does not go. */
#include "api/methods/host_clear.h"
#include "base/mutant.h"

#include <string.h>

static const char *const moves[] = { "pool_migrate", "migrate_send" };

/* {VM reference: {operation: reason}} of what was lifted. */
static json_t *lift(Xapi *xapi, json_t *forced)
{
    json_t *lifted = json_object(), *id;
    size_t i;
    json_array_foreach (forced, i, id) {
        g_autofree char *vm = xapi_call_string(xapi, "VM.get_by_uuid", json_pack("[O]", id), NULL);
        json_t *blocked =
            vm ? xapi_call(xapi, "VM.get_blocked_operations", json_pack("[s]", vm), NULL) : NULL;
        json_t *of_vm = json_object();
        for (unsigned n = 0; n < G_N_ELEMENTS(moves); n++)
            if (json_object_get(blocked, moves[n]) &&
                xapi_do(xapi, "VM.remove_from_blocked_operations",
                        json_pack("[s, s]", vm, moves[n]), NULL))
                json_object_set(of_vm, moves[n], json_object_get(blocked, moves[n]));
        if (vm)
            json_object_set(lifted, vm, of_vm);
        json_decref(of_vm);
        json_decref(blocked);
    }
    return lifted;
}

static void put_back(Xapi *xapi, json_t *lifted)
{
    const char *vm, *operation;
    json_t *of_vm, *reason;
    json_object_foreach (lifted, vm, of_vm)
        json_object_foreach (of_vm, operation, reason)
            xapi_do(xapi, "VM.add_to_blocked_operations",
                    json_pack("[s, s, O]", vm, operation, reason), NULL);
    json_decref(lifted);
}

/* The name of the first machine that cannot leave, with the pool's code; NULL when all can. */
static char *who_stays(const ApiObject *host)
{
    Xapi *xapi = api_object_xapi(host);
    json_t *all =
        xapi_call(xapi, "host.get_vms_which_prevent_evacuation", json_pack("[s]", host->ref), NULL);
    const char *vm = json_object_iter_key(json_object_iter(all));
    g_autofree char *name =
        vm ? xapi_call_string(xapi, "VM.get_name_label", json_pack("[s]", vm), NULL) : NULL;
    json_t *reason = vm ? json_array_get(json_object_get(all, vm), 0) : NULL;
    char *words = name ? g_strdup_printf("VM %s cannot leave host %s (%s)", name,
                                         api_object_text(host, "name_label"),
                                         json_string_value(reason))
                       : NULL;
    json_decref(all);
    return words;
}

static bool evacuate(const ApiObject *host, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *done =
        api_object_task(host, "host.evacuate", json_pack("[s]", host->ref), &failure);
    if (done)
        return true;
    g_autofree char *words = who_stays(host);
    if (words)
        err_set_detail(error, ERR_XAPI, err_detail(failure), "%s: shut it down, or move it", words);
    else
        g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

bool host_clear(const ApiObject *host, json_t *forced, GError **error)
{
    bool was_enabled = json_is_true(json_object_get(host->view, "enabled"));
    if (!api_object_do(host, "host.disable", NULL, error))
        return false;
    json_t *lifted = lift(api_object_xapi(host), forced);
    bool ok = evacuate(host, error);
    put_back(api_object_xapi(host), lifted);
    if (!ok && was_enabled &&
        !MUTANT(host_stays_disabled)) /* mutant: system:test_hosts.Hosts.test_maintenance_refused */
        api_object_do(host, "host.enable", NULL, NULL);
    return ok;
}
