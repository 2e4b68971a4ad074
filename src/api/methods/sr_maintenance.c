/* The maintenance mode of a storage: its machines are shut down, then it is detached everywhere.
 * What was done is written down in the storage's other_config, in XO's form, so that leaving the
 * mode, by us or by XO, brings back exactly that. */
#include "api/method.h"
#include "api/methods/sr_pbds.h"
#include "api/objects.h"
#include "base/date.h"
#include "base/json_list.h"

#include <string.h>

#define STATE_KEY "xo:maintenanceState"

/* --- Which machines --- */

/* Adds the machine of a VBD to {ref: {uuid, name, paused}} when it runs. */
static void add_running(Xapi *xapi, json_t *vbd, json_t *running)
{
    g_autofree char *vm = xapi_call_string(xapi, "VBD.get_VM", json_pack("[O]", vbd), NULL);
    if (!vm || json_object_get(running, vm))
        return;
    json_t *record = xapi_call(xapi, "VM.get_record", json_pack("[s]", vm), NULL);
    const char *state = json_string_value(json_object_get(record, "power_state"));
    bool paused = g_strcmp0(state, "Paused") == 0;
    if (paused || g_strcmp0(state, "Running") == 0)
        json_object_set_new(running, vm,
                            json_pack("{s:O, s:O, s:b}", "uuid", json_object_get(record, "uuid"),
                                      "name", json_object_get(record, "name_label"), "paused",
                                      paused));
    json_decref(record);
}

static json_t *running_vms(const ApiObject *sr)
{
    Xapi *xapi = api_object_xapi(sr);
    json_t *running = json_object(), *vdi, *vbd;
    json_t *vdis = xapi_call(xapi, "SR.get_VDIs", json_pack("[s]", sr->ref), NULL);
    size_t i, k;
    json_array_foreach (vdis, i, vdi) {
        json_t *vbds = xapi_call(xapi, "VDI.get_VBDs", json_pack("[O]", vdi), NULL);
        json_array_foreach (vbds, k, vbd)
            add_running(xapi, vbd, running);
        json_decref(vbds);
    }
    json_decref(vdis);
    return running;
}

/* Nobody's machine is shut down that the caller has not named. */
static bool check_named(ApiCall *call, json_t *running, GError **error)
{
    json_t *given = call_get(call, "vmsToShutdown"), *expected = json_array(), *vm;
    const char *ref, *missing = NULL;
    json_object_foreach (running, ref, vm) {
        json_array_append(expected, json_object_get(vm, "uuid"));
        if (!json_list_has_text(given, json_string_value(json_object_get(vm, "uuid"))))
            missing = json_string_value(json_object_get(vm, "name"));
    }
    if (missing)
        api_error_set(error, API_INCORRECT_STATE,
                      json_pack("{s:O, s:o, s:s, s:s}", "actual", given, "expected", expected,
                                "object", call_object(call, "id")->id, "property", "vmsToShutdown"),
                      "VM %s has disks on SR %s and runs: name it in vmsToShutdown, or stop it",
                      missing, api_object_text(call_object(call, "id"), "name_label"));
    else
        json_decref(expected);
    return !missing;
}

/* --- Down and up --- */

static bool shut_down(Xapi *xapi, const char *vm, GError **error)
{
    g_autofree char *clean =
        xapi_call_task(xapi, "VM.clean_shutdown", json_pack("[s]", vm), NULL, NULL, NULL, NULL);
    return clean || xapi_do(xapi, "VM.hard_shutdown", json_pack("[s]", vm), error);
}

/* Those in {uuid: paused}; false with the first refusal, the others are started all the same. */
static bool start_vms(Xapi *xapi, json_t *vms, GError **error)
{
    const char *uuid;
    json_t *paused;
    g_autoptr(GError) first = NULL;
    json_object_foreach (vms, uuid, paused) {
        g_autoptr(GError) failure = NULL;
        g_autofree char *vm =
            xapi_call_string(xapi, "VM.get_by_uuid", json_pack("[s]", uuid), &failure);
        if (vm)
            xapi_do(xapi, "VM.start", json_pack("[s, O, b]", vm, paused, 0), &failure);
        if (failure && !first)
            first = g_steal_pointer(&failure);
    }
    if (!first)
        return true;
    g_propagate_error(error, g_steal_pointer(&first));
    return false;
}

/* What was shut down comes into `down` {uuid: paused}. */
static bool shut_all_down(Xapi *xapi, json_t *running, json_t *down, GError **error)
{
    const char *ref;
    json_t *vm;
    json_object_foreach (running, ref, vm) {
        if (!shut_down(xapi, ref, error))
            return false;
        json_object_set(down, json_string_value(json_object_get(vm, "uuid")),
                        json_object_get(vm, "paused"));
    }
    return true;
}

/* --- Written down --- */

static bool write_state(const ApiObject *sr, json_t *state, GError **error)
{
    g_autofree char *text = json_dumps(state, JSON_COMPACT);
    return api_object_do(sr, "SR.remove_from_other_config", json_pack("[s]", STATE_KEY), error) &&
           api_object_do(sr, "SR.add_to_other_config", json_pack("[s, s]", STATE_KEY, text), error);
}

static json_t *uuids_of(Xapi *xapi, json_t *pbds)
{
    json_t *uuids = json_array(), *pbd;
    size_t i;
    json_array_foreach (pbds, i, pbd) {
        g_autofree char *uuid = xapi_call_string(xapi, "PBD.get_uuid", json_pack("[O]", pbd), NULL);
        json_array_append_new(uuids, json_string(uuid ? uuid : ""));
    }
    return uuids;
}

static bool enter(ApiCall *call, json_t *running, json_t *down, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    Xapi *xapi = api_object_xapi(sr);
    json_t *unplugged = shut_all_down(xapi, running, down, error) ? sr_unplug_all(sr, error) : NULL;
    if (!unplugged)
        return false;
    json_t *state = json_pack("{s:I, s:O, s:o}", "timestamp",
                              (json_int_t) (g_get_real_time() / 1000), "shutdownVms", down,
                              "unpluggedPbds", uuids_of(xapi, unplugged));
    bool ok = write_state(sr, state, error);
    if (!ok)
        sr_plug(sr, unplugged, NULL);
    json_decref(state);
    json_decref(unplugged);
    return ok;
}

static bool is_in_maintenance(const ApiObject *sr)
{
    return json_is_true(json_object_get(sr->view, "inMaintenanceMode"));
}

static void wrong_state(const ApiObject *sr, bool now, GError **error)
{
    api_error_set(error, API_INCORRECT_STATE,
                  json_pack("{s:b, s:b, s:s, s:s}", "actual", now, "expected", !now, "object",
                            sr->id, "property", "inMaintenanceMode"),
                  "SR %s is %s maintenance mode", api_object_text(sr, "name_label"),
                  now ? "already in" : "not in");
}

static json_t *enable(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    if (is_in_maintenance(sr)) {
        wrong_state(sr, true, error);
        return NULL;
    }
    json_t *running = running_vms(sr), *down = json_object();
    if (check_named(call, running, error) && !enter(call, running, down, error))
        start_vms(api_object_xapi(sr), down, NULL);
    json_decref(running);
    json_decref(down);
    api_object_barrier(sr);
    return NULL;
}

static bool plug_by_uuid(const ApiObject *sr, json_t *uuids, GError **error)
{
    json_t *pbds = json_array(), *uuid;
    size_t i;
    json_array_foreach (uuids, i, uuid) {
        g_autofree char *ref =
            xapi_call_string(api_object_xapi(sr), "PBD.get_by_uuid", json_pack("[O]", uuid), NULL);
        if (ref) /* others were deleted meanwhile */
            json_array_append_new(pbds, json_string(ref));
    }
    bool ok = sr_plug(sr, pbds, error);
    json_decref(pbds);
    return ok;
}

static json_t *disable(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    json_t *config = json_object_get(sr->view, "other_config");
    const char *text = json_string_value(json_object_get(config, STATE_KEY));
    json_t *state = text ? json_loads(text, 0, NULL) : NULL;
    if (!text)
        wrong_state(sr, false, error);
    else if (plug_by_uuid(sr, json_object_get(state, "unpluggedPbds"), error) &&
             start_vms(api_object_xapi(sr), json_object_get(state, "shutdownVms"), error))
        api_object_do(sr, "SR.remove_from_other_config", json_pack("[s]", STATE_KEY), error);
    json_decref(state);
    api_object_barrier(sr);
    return NULL;
}

const Method methods_sr_maintenance[] = {
    { "sr.enableMaintenanceMode", enable,
      PARAMS(REQ(ID("id", "SR", "operate")),
             DEF("[]", ARR("vmsToShutdown", P_STRING),
                 .words = "those that run and use it: all of them")),
      .access = ACCESS_USER, .long_running = true, .example = "id=$SPARE_SR",
      .summary = "Shut the machines of a storage down and detach it." },
    { "sr.disableMaintenanceMode", disable, PARAMS(REQ(ID("id", "SR", "operate"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$MAINTAINED_SR",
      .summary = "Attach a storage again and start its machines." },
    { NULL },
};
