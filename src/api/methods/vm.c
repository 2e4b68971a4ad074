/* vm.*: power. Each call returns once the inventory has seen what it did. */
#include "api/method.h"
#include "api/methods/vm_power.h"

#include "base/log.h"

#include <string.h>
#include <unistd.h>

enum { MAX_FORCE_DELAY_MS = 3600000, STATE_POLL_MS = 500 };

/* Runs Async.<verb>; its parameters' reference is taken. */
static bool run(const ApiObject *vm, const char *verb, json_t *params, GError **error)
{
    g_autofree char *result = api_object_task(vm, verb, params, error);
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

static bool start_halted(const ApiObject *vm, const ApiObject *host, bool force, GError **error)
{
    json_t *params = host ? json_pack("[s, s, b, b]", vm->ref, host->ref, 0, 0)
                          : json_pack("[s, b, b]", vm->ref, 0, 0);
    const char *const operations[] = { "start", "start_on", NULL };
    json_t *lifted = force ? lift_blocks(vm, operations) : json_object();
    bool ok = run(vm, host ? "VM.start_on" : "VM.start", params, error);
    put_back(vm, lifted);
    return ok;
}

static bool start_in_state(const ApiObject *vm, const char *state, const ApiObject *host,
                           bool force, GError **error)
{
    if (g_str_equal(state, "Paused"))
        return run_simple(vm, "VM.unpause", error);
    if (g_str_equal(state, "Suspended"))
        return run(vm, "VM.resume", json_pack("[s, b, b]", vm->ref, 0, 0), error);
    return start_halted(vm, host, force, error);
}

/* A block is told by its reason. */
static void refuse_start(const ApiObject *vm, GError *failure, GError **error)
{
    if (g_str_equal(err_xapi_code(failure), "OPERATION_BLOCKED"))
        api_error_set(
            error, API_FORBIDDEN_OPERATION,
            json_pack("{s:s, s:s*}", "operation", "Start", "reason", block_reason(vm, "start")),
            "forbidden operation: Start");
    else
        g_propagate_error(error, g_error_copy(failure));
}

bool vm_power_on(const ApiObject *vm, const ApiObject *host, bool force, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *state = xapi_call_string(api_object_xapi(vm), "VM.get_power_state",
                                              json_pack("[s]", vm->ref), error);
    if (!state)
        return false;
    if (start_in_state(vm, state, host, force, &failure))
        return true;
    refuse_start(vm, failure, error);
    return false;
}

static json_t *start(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    if (vm_power_on(vm, call_object(call, "host"), call_bool(call, "force"), error))
        api_object_barrier(vm);
    return NULL;
}

/* Boots from the drive once: the order is as before when the call returns. */
static bool start_from_drive(const ApiObject *vm, json_t *params, GError **error)
{
    const char *before = json_string_value(json_object_get(params, "order"));
    g_autofree char *order = g_strdup(before ? before : "");
    json_object_set_new(params, "order", json_string("d"));
    bool ok = api_object_do(vm, "VM.set_HVM_boot_params", json_pack("[O]", params), error) &&
              vm_power_on(vm, NULL, false, error);
    if (before)
        json_object_set_new(params, "order", json_string(order));
    else
        json_object_del(params, "order");
    g_autoptr(GError) kept = NULL;
    if (!api_object_do(vm, "VM.set_HVM_boot_params", json_pack("[O]", params), &kept))
        log_warning("api", "VM %s keeps booting from its drive: %s", vm->id, kept->message);
    return ok;
}

static json_t *recovery_start(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    json_t *params =
        xapi_call(api_object_xapi(vm), "VM.get_HVM_boot_params", json_pack("[s]", vm->ref), error);
    if (!params)
        return NULL;
    if (g_str_equal(api_object_text(vm, "virtualizationMode"), "pv"))
        api_error_invalid(error,
                          "VM %s (%s) is paravirtualized and boots from no drive: change its "
                          "virtualization mode first",
                          api_object_text(vm, "name_label"), vm->id);
    else
        start_from_drive(vm, params, error);
    json_decref(params);
    api_object_barrier(vm);
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
    g_atomic_int_set(&deadline.done, ok || xapi_has_left(api_object_xapi(vm)));
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

bool vm_power_off(const ApiObject *vm, const PowerOff *how, GError **error)
{
    const char *const operations[] = { "shutdown", "clean_shutdown", "hard_shutdown", NULL };
    json_t *lifted = how->lift_blocks ? lift_blocks(vm, operations) : json_object();
    bool ok = how->hard           ? run_simple(vm, "VM.hard_shutdown", error)
              : how->delay_ms > 0 ? stop_within(vm, how->delay_ms, error)
                                  : shut_down_cleanly(vm, "VM.clean_shutdown", error);
    put_back(vm, lifted);
    return ok;
}

static json_t *stop(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    PowerOff how = { .hard = call_bool(call, "force"),
                     .lift_blocks = bypasses(call),
                     .delay_ms =
                         MIN(call_integer(call, "forceShutdownDelay"), MAX_SHUTDOWN_DELAY_MS) };
    if (vm_power_off(vm, &how, error))
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

const Method methods_vm[] = {
    { "vm.start", start,
      PARAMS(OPT(BOOL("bypassMacAddressesCheck")), OPT(BOOL("force")),
             OPT(ID("host", "host", "operate")), REQ(ID("id", "VM", "operate"))),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/start",
      .example = "id=$HALTED_VM", .summary = "Start, unpause or resume a virtual machine." },
    { "vm.stop", stop,
      PARAMS(REQ(ID("id", "VM", "operate")), OPT(BOOL("force")),
             DEF("0", NUM("forceShutdownDelay"),
                 .words = "milliseconds before a clean shutdown becomes a hard one; 0: never"),
             OPT(BOOL("bypassBlockedOperation"))),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/clean_shutdown",
      .example = "id=$RUNNING_VM", .summary = "Shut a virtual machine down." },
    { "vm.restart", restart,
      PARAMS(REQ(ID("id", "VM", "operate")), OPT(BOOL("force")),
             OPT(BOOL("bypassBlockedOperation"))),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/clean_reboot",
      .example = "id=$RUNNING_VM force=true", .summary = "Restart a virtual machine." },
    { "vm.suspend", suspend, PARAMS(REQ(ID("id", "VM", "operate"))), .access = ACCESS_USER,
      .long_running = true, .rest = "POST /vms/{id}/actions/suspend", .example = "id=$RUNNING_VM",
      .summary = "Suspend a virtual machine to disk." },
    { "vm.pause", pause_vm, PARAMS(REQ(ID("id", "VM", "operate"))), .access = ACCESS_USER,
      .long_running = true, .rest = "POST /vms/{id}/actions/pause", .example = "id=$RUNNING_VM",
      .summary = "Pause a virtual machine." },
    { "vm.resume", resume, PARAMS(REQ(ID("id", "VM", "operate"))), .access = ACCESS_USER,
      .long_running = true, .rest = "POST /vms/{id}/actions/resume", .example = "id=$SUSPENDED_VM",
      .summary = "Resume a suspended virtual machine." },
    { "vm.recoveryStart", recovery_start, PARAMS(REQ(ID("id", "VM", "operate"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$HALTED_VM",
      .summary = "Start a virtual machine from the image in its drive, this once." },
    { NULL },
};
