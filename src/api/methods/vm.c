/* vm.*: power and snapshots. Each call returns once the inventory has seen what it did. */
#include "api/method.h"
#include "api/objects.h"
#include "base/date.h"

#include <string.h>
#include <unistd.h>

enum { MAX_FORCE_DELAY_MS = 3600000, STATE_POLL_MS = 500 };

/* Runs Async.<verb>; its parameters' reference is taken. */
static bool run(const ApiObject *vm, const char *verb, json_t *params, GError **error)
{
    g_autofree char *result =
        xapi_call_task(api_object_xapi(vm), verb, params, NULL, NULL, NULL, error);
    return result != NULL;
}

static bool run_simple(const ApiObject *vm, const char *verb, GError **error)
{
    return run(vm, verb, json_pack("[s]", vm->ref), error);
}

static json_t *act(ApiCall *call, const char *verb, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    if (run_simple(vm, verb, error))
        api_object_barrier(vm);
    return NULL;
}

/* --- Blocked operations --- */

static const char *block_reason(const ApiObject *vm, const char *operation)
{
    return json_string_value(
        json_object_get(json_object_get(vm->view, "blockedOperations"), operation));
}

/* Lifts the blocks of `operations` that are set; what was lifted, by operation, for put_back. */
static json_t *lift_blocks(const ApiObject *vm, const char *const *operations)
{
    json_t *lifted = json_object();
    for (unsigned i = 0; operations[i]; i++) {
        const char *reason = block_reason(vm, operations[i]);
        if (reason && xapi_do(api_object_xapi(vm), "VM.remove_from_blocked_operations",
                              json_pack("[s, s]", vm->ref, operations[i]), NULL))
            json_object_set_new(lifted, operations[i], json_string(reason));
    }
    return lifted;
}

/* The blocks come back whatever happened; the reference is taken. */
static void put_back(const ApiObject *vm, json_t *lifted)
{
    const char *operation;
    json_t *reason;
    json_object_foreach (lifted, operation, reason)
        xapi_do(api_object_xapi(vm), "VM.add_to_blocked_operations",
                json_pack("[s, s, O]", vm->ref, operation, reason), NULL);
    json_decref(lifted);
}

/* --- Starting --- */

static bool start_halted(ApiCall *call, const ApiObject *vm, bool force, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    json_t *params = host ? json_pack("[s, s, b, b]", vm->ref, host->ref, 0, 0)
                          : json_pack("[s, b, b]", vm->ref, 0, 0);
    const char *const operations[] = { "start", "start_on", NULL };
    json_t *lifted = force ? lift_blocks(vm, operations) : json_object();
    bool ok = run(vm, host ? "VM.start_on" : "VM.start", params, error);
    put_back(vm, lifted);
    return ok;
}

static bool start_vm(ApiCall *call, const ApiObject *vm, GError **error)
{
    const char *state = api_object_text(vm, "power_state");
    if (g_str_equal(state, "Paused"))
        return run_simple(vm, "VM.unpause", error);
    if (g_str_equal(state, "Suspended"))
        return run(vm, "VM.resume", json_pack("[s, b, b]", vm->ref, 0, 0), error);
    return start_halted(call, vm, call_bool(call, "force"), error);
}

static json_t *start(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    g_autoptr(GError) failure = NULL;
    if (start_vm(call, vm, &failure))
        api_object_barrier(vm);
    else if (g_str_equal(err_xapi_code(failure), "OPERATION_BLOCKED"))
        api_error_set(
            error, API_FORBIDDEN_OPERATION,
            json_pack("{s:s, s:s*}", "operation", "Start", "reason", block_reason(vm, "start")),
            "forbidden operation: Start");
    else
        g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

/* --- Stopping --- */

static bool lacks_drivers(const GError *error)
{
    const char *const codes[] = { "VM_MISSING_PV_DRIVERS", "VM_LACKS_FEATURE",
                                  "VM_LACKS_FEATURE_SHUTDOWN", "VM_LACKS_FEATURE_SUSPEND", NULL };
    return g_strv_contains(codes, err_xapi_code(error));
}

static bool shut_down_cleanly(const ApiObject *vm, const char *verb, GError **error)
{
    g_autoptr(GError) failure = NULL;
    if (run_simple(vm, verb, &failure))
        return true;
    if (lacks_drivers(failure))
        api_error_invalid(error, "clean shutdown requires PV drivers");
    else
        g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

typedef struct {
    const ApiObject *vm;
    gint done;
    gint64 until_us;
} Deadline;

/* Waits in a thread of its own for the deadline of a clean shutdown, then does the hard one. */
static void *enforce(void *user)
{
    Deadline *deadline = user;
    while (!g_atomic_int_get(&deadline->done)) {
        if (g_get_monotonic_time() >= deadline->until_us) {
            run_simple(deadline->vm, "VM.hard_shutdown", NULL);
            break;
        }
        g_usleep(STATE_POLL_MS * 100);
    }
    return NULL;
}

static bool is_halted(const ApiObject *vm)
{
    g_autofree char *state = xapi_call_string(api_object_xapi(vm), "VM.get_power_state",
                                              json_pack("[s]", vm->ref), NULL);
    return g_strcmp0(state, "Halted") == 0;
}

static bool stop_within(const ApiObject *vm, gint64 delay_ms, GError **error)
{
    Deadline deadline = { vm, 0,
                          g_get_monotonic_time() + MIN(delay_ms, MAX_FORCE_DELAY_MS) * 1000 };
    GThread *thread = g_thread_new("vm-stop", enforce, &deadline);
    g_autoptr(GError) failure = NULL;
    bool ok = shut_down_cleanly(vm, "VM.clean_shutdown", &failure);
    g_atomic_int_set(&deadline.done, ok);
    g_thread_join(thread);
    if (ok || is_halted(vm))
        return true;
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

/* A guest that never shuts down holds its call no longer. */
#define MAX_SHUTDOWN_DELAY_MS ((gint64) 24 * 3600 * 1000)

static bool bypasses(ApiCall *call)
{
    json_t *bypass = call_get(call, "bypassBlockedOperation");
    return bypass ? json_is_true(bypass) : call_bool(call, "force");
}

static json_t *stop(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    const char *const operations[] = { "shutdown", "clean_shutdown", "hard_shutdown", NULL };
    json_t *lifted = bypasses(call) ? lift_blocks(vm, operations) : json_object();
    gint64 delay_ms = MIN(call_integer(call, "forceShutdownDelay"), MAX_SHUTDOWN_DELAY_MS);
    bool ok = call_bool(call, "force") ? run_simple(vm, "VM.hard_shutdown", error)
              : delay_ms > 0           ? stop_within(vm, delay_ms, error)
                                       : shut_down_cleanly(vm, "VM.clean_shutdown", error);
    put_back(vm, lifted);
    if (ok)
        api_object_barrier(vm);
    return NULL;
}

static json_t *restart(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    const char *const operations[] = { "reboot", "clean_reboot", "hard_reboot", NULL };
    json_t *lifted = bypasses(call) ? lift_blocks(vm, operations) : json_object();
    bool ok = call_bool(call, "force") ? run_simple(vm, "VM.hard_reboot", error)
                                       : shut_down_cleanly(vm, "VM.clean_reboot", error);
    put_back(vm, lifted);
    if (ok)
        api_object_barrier(vm);
    return NULL;
}

static json_t *suspend(ApiCall *call, GError **error)
{
    return act(call, "VM.suspend", error);
}

static json_t *pause_vm(ApiCall *call, GError **error)
{
    return act(call, "VM.pause", error);
}

static json_t *resume(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    if (g_str_equal(api_object_text(vm, "power_state"), "Paused"))
        return act(call, "VM.unpause", error);
    if (run(vm, "VM.resume", json_pack("[s, b, b]", vm->ref, 0, 0), error))
        api_object_barrier(vm);
    return NULL;
}

/* --- Snapshots --- */

static char *snapshot_name(ApiCall *call, const ApiObject *vm)
{
    const char *given = call_string(call, "name");
    g_autofree char *now = date_format_iso(g_get_real_time() / 1000);
    return given ? g_strdup(given)
                 : g_strdup_printf("%s_%s", api_object_text(vm, "name_label"), now);
}

static json_t *snapshot(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    const char *verb = call_bool(call, "saveMemory") ? "VM.checkpoint" : "VM.snapshot";
    g_autofree char *name = snapshot_name(call, vm);
    g_autofree char *ref = xapi_call_task(
        api_object_xapi(vm), verb, json_pack("[s, s]", vm->ref, name), NULL, NULL, NULL, error);
    const char *description = call_string(call, "description");
    if (!ref || (description && !xapi_do(api_object_xapi(vm), "VM.set_name_description",
                                         json_pack("[s, s]", ref, description), error)))
        return NULL;
    g_autofree char *uuid =
        xapi_call_string(api_object_xapi(vm), "VM.get_uuid", json_pack("[s]", ref), error);
    if (!uuid)
        return NULL;
    api_object_barrier(vm);
    return json_string(uuid);
}

static json_t *revert(ApiCall *call, GError **error)
{
    const ApiObject *snapshot_object = call_object(call, "snapshot");
    const char *vm_id = api_object_text(snapshot_object, "$snapshot_of");
    const ApiObject *vm = *vm_id ? call_find(call, vm_id, "VM", "operate", error) : NULL;
    if (!*vm_id)
        api_error_invalid(error, "the VM of snapshot %s is gone", snapshot_object->id);
    if (!vm || !run_simple(snapshot_object, "VM.revert", error))
        return NULL;
    api_object_barrier(vm);
    return NULL;
}

const Method methods_vm[] = {
    { "vm.start", start,
      PARAMS(OPT(BOOL("bypassMacAddressesCheck")), OPT(BOOL("force")),
             OPT(ID("host", "host", "operate")), REQ(ID("id", "VM", "operate"))),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/start",
      .summary = "Start, unpause or resume a virtual machine." },
    { "vm.stop", stop,
      PARAMS(REQ(ID("id", "VM", "operate")), OPT(BOOL("force")),
             DEF("0", NUM("forceShutdownDelay"),
                 .words = "milliseconds before a clean shutdown becomes a hard one; 0: never"),
             OPT(BOOL("bypassBlockedOperation"))),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/clean_shutdown",
      .summary = "Shut a virtual machine down." },
    { "vm.restart", restart,
      PARAMS(REQ(ID("id", "VM", "operate")), OPT(BOOL("force")),
             OPT(BOOL("bypassBlockedOperation"))),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/clean_reboot",
      .summary = "Restart a virtual machine." },
    { "vm.suspend", suspend, PARAMS(REQ(ID("id", "VM", "operate"))), .access = ACCESS_USER,
      .long_running = true, .rest = "POST /vms/{id}/actions/suspend",
      .summary = "Suspend a virtual machine to disk." },
    { "vm.pause", pause_vm, PARAMS(REQ(ID("id", "VM", "operate"))), .access = ACCESS_USER,
      .long_running = true, .rest = "POST /vms/{id}/actions/pause",
      .summary = "Pause a virtual machine." },
    { "vm.resume", resume, PARAMS(REQ(ID("id", "VM", "operate"))), .access = ACCESS_USER,
      .long_running = true, .rest = "POST /vms/{id}/actions/resume",
      .summary = "Resume a suspended virtual machine." },
    { "vm.snapshot", snapshot,
      PARAMS(REQ(ID("id", "VM", "operate")), OPT(STR("name")), OPT(STR0("description")),
             OPT(BOOL("saveMemory"))),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/snapshot",
      .summary = "Take a snapshot of a virtual machine." },
    { "vm.revert", revert, PARAMS(REQ(ID("snapshot", "VM-snapshot", "view"))),
      .access = ACCESS_USER, .long_running = true,
      .summary = "Bring a virtual machine back to a snapshot." },
    { NULL },
};
