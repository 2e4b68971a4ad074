/* Paying is the same, whether the call that made the debt does it, or the server after a restart.
 */
#include "api/methods/host_return.h"
#include "base/json_text.h"
#include "base/log.h"

#include <string.h>

enum { LOOK_MS = 5000 };

/* --- Waiting --- */

static double number_of(const char *text)
{
    return text ? g_ascii_strtod(text, NULL) : 0;
}

static double start_in(json_t *record)
{
    return number_of(json_text(json_object_get(record, "other_config"), "agent_start_time"));
}

double host_agent_start(Xapi *xapi, const char *host, GError **error)
{
    json_t *record = xapi_call(xapi, "host.get_record", json_pack("[s]", host), error);
    double start = record ? start_in(record) : -1;
    json_decref(record);
    return start;
}

static bool gone_down(const ApiObject *host, const char *method, GError **error)
{
    g_autoptr(GError) failure = NULL;
    if (api_object_do(host, method, NULL, &failure) || err_is(failure, ERR_NETWORK) ||
        err_is(failure, ERR_TRUNCATED))
        return true;
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

bool host_go_down(const ApiObject *host, const char *method, GError **error)
{
    g_autoptr(GError) failure = NULL;
    if (gone_down(host, method, &failure))
        return true;
    if (g_str_equal(err_xapi_code(failure), "HOST_NOT_DISABLED"))
        return api_object_do(host, "host.disable", NULL, error) && gone_down(host, method, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

static bool is_live(Xapi *xapi, json_t *record)
{
    json_t *live = xapi_call(xapi, "host_metrics.get_live",
                             json_pack("[O]", json_object_get(record, "metrics")), NULL);
    bool is = json_is_true(live);
    json_decref(live);
    return is;
}

static bool enable_host(Xapi *xapi, const char *ref, json_t *record, GError **error)
{
    return json_is_true(json_object_get(record, "enabled")) ||
           xapi_do(xapi, "host.enable", json_pack("[s]", ref), error);
}

/* One look; the pool may not answer, when it is its master that is away. */
static bool is_back(Xapi *xapi, const char *ref, double since, bool enable, GError **error)
{
    json_t *record = xapi_call(xapi, "host.get_record", json_pack("[s]", ref), error);
    bool back = record && start_in(record) > since && is_live(xapi, record) &&
                (!enable || enable_host(xapi, ref, record, error));
    json_decref(record);
    return back;
}

gint64 host_patience_ms(ApiCall *call, gint64 usual_ms)
{
    gint64 told_ms = call_parts(call)->host_wait_ms;
    return told_ms ? told_ms : usual_ms;
}

bool host_wait_back(Xapi *xapi, const ApiObject *host, double since, bool enable, gint64 timeout_ms,
                    GError **error)
{
    gint64 until_us = g_get_monotonic_time() + timeout_ms * 1000;
    g_autoptr(GError) last = NULL;
    do {
        g_clear_error(&last);
        if (is_back(xapi, host->ref, since, enable, &last))
            return true;
        if (err_is(last, ERR_CANCELLED)) {
            g_propagate_error(error, g_steal_pointer(&last));
            return false;
        }
        g_usleep(HOST_POLL_MS * 1000);
    } while (g_get_monotonic_time() < until_us);
    err_set(error, ERR_TIMEOUT, "host %s has not come back for %" G_GINT64_FORMAT " s%s%s",
            api_object_text(host, "name_label"), timeout_ms / 1000, last ? ": " : "",
            last ? last->message : "");
    return false;
}

void host_settle(const ApiObject *object)
{
    Pool *pool = link_pool(object->link);
    gint64 until_us = g_get_monotonic_time() + (gint64) HOST_SETTLE_MS * 1000;
    while (!pool_barrier(pool, API_BARRIER_MS, NULL) && g_get_monotonic_time() < until_us) {
        g_autoptr(GError) gone = NULL;
        json_decref(xapi_call(pool_xapi(pool), "pool.get_all", NULL, &gone));
        if (err_is(gone, ERR_CANCELLED)) /* the server is ending */
            return;
        g_usleep(HOST_POLL_MS * 1000);
    }
}

/* --- The debt --- */

json_t *host_debt_new(const char *pool, const char *words)
{
    return json_pack("{s:s, s:s, s:[], s:[], s:[], s:{}}", "pool", pool, "words", words, "hosts",
                     "resume", "start", "homes");
}

char *host_debt_begin(ApiCall *call, json_t *debt, GError **error)
{
    return duty_add(call_parts(call)->duties, &host_return_duty, debt, true, error);
}

static char *ref_of(Xapi *xapi, const char *cls, const char *uuid, GError **error)
{
    g_autofree char *method = g_strdup_printf("%s.get_by_uuid", cls);
    return xapi_call_string(xapi, method, json_pack("[s]", uuid), error);
}

static bool pay_host(Xapi *xapi, const char *uuid, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *ref = ref_of(xapi, "host", uuid, &failure);
    json_t *record = ref ? xapi_call(xapi, "host.get_record", json_pack("[s]", ref), &failure)
                         : NULL;
    bool live = record && is_live(xapi, record);
    bool paid = live && enable_host(xapi, ref, record, &failure);
    if (record && !live)
        err_set(&failure, ERR_STATE, "host %s is still down", json_text(record, "name_label"));
    json_decref(record);
    if (paid || xapi_is_gone(failure))
        return true;
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

/* A machine in this state gets this call; in another state somebody else has decided. */
static bool pay_vm(Xapi *xapi, const char *uuid, const char *state, const char *method,
                   GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *ref = ref_of(xapi, "VM", uuid, &failure);
    g_autofree char *now =
        ref ? xapi_call_string(xapi, "VM.get_power_state", json_pack("[s]", ref), &failure) : NULL;
    bool wanted = now && g_str_equal(now, state);
    bool paid = now &&
                (!wanted || xapi_do(xapi, method, json_pack("[s, b, b]", ref, 0, 0), &failure));
    if (paid || xapi_is_gone(failure))
        return true;
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

/* Back to where it ran, when it still runs, elsewhere, and nothing is against it. */
static bool pay_home(Xapi *xapi, const char *uuid, const char *home, GError **error)
{
    g_autofree char *vm = ref_of(xapi, "VM", uuid, NULL), *host = ref_of(xapi, "host", home, NULL);
    json_t *record = vm && host ? xapi_call(xapi, "VM.get_record", json_pack("[s]", vm), NULL)
                                : NULL;
    bool away = g_str_equal(json_text(record, "power_state"), "Running") &&
                !g_str_equal(json_text(record, "resident_on"), host);
    json_decref(record);
    return !away || xapi_do(xapi, "VM.pool_migrate",
                            json_pack("[s, s, {s:s}]", vm, host, "live", "true"), error);
}

/* Each of a list, those that are paid taken off it; *error is the first failure. */
static void pay_list(Xapi *xapi, json_t *list, const char *state, const char *method,
                     GError **error)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        g_autoptr(GError) failure = NULL;
        const char *uuid = json_string_value(json_array_get(list, i));
        if (state ? pay_vm(xapi, uuid, state, method, &failure) : pay_host(xapi, uuid, &failure))
            json_array_remove(list, i);
        else if (error && !*error)
            g_propagate_error(error, g_steal_pointer(&failure));
    }
}

/* A machine that cannot go home stays where it is well: that is told, and no debt any more. */
static void pay_homes(Xapi *xapi, json_t *homes, GError **error)
{
    const char *vm;
    json_t *home;
    json_object_foreach (homes, vm, home) {
        g_autoptr(GError) failure = NULL;
        if (!pay_home(xapi, vm, json_string_value(home), &failure))
            log_warning("api", "VM %s stays on another host: %s", vm, failure->message);
        if (failure && error && !*error)
            g_propagate_error(error, g_steal_pointer(&failure));
    }
    json_object_clear(homes);
}

static void pay_auto_poweron(Xapi *xapi, json_t *debt)
{
    json_t *pools =
        json_object_get(debt, "autoPoweron") ? xapi_call(xapi, "pool.get_all", NULL, NULL) : NULL;
    json_t *pool = json_array_get(pools, 0);
    if (pool) {
        xapi_do(xapi, "pool.remove_from_other_config", json_pack("[O, s]", pool, "auto_poweron"),
                NULL);
        if (xapi_do(xapi, "pool.add_to_other_config",
                    json_pack("[O, s, s]", pool, "auto_poweron", "true"), NULL))
            json_object_del(debt, "autoPoweron");
    }
    json_decref(pools);
}

static bool is_paid(json_t *debt)
{
    return json_array_size(json_object_get(debt, "hosts")) == 0 &&
           json_array_size(json_object_get(debt, "resume")) == 0 &&
           json_array_size(json_object_get(debt, "start")) == 0 &&
           !json_object_get(debt, "autoPoweron");
}

static void pay(Xapi *xapi, json_t *debt, GError **error)
{
    pay_list(xapi, json_object_get(debt, "hosts"), NULL, NULL, error);
    if (json_array_size(json_object_get(debt, "hosts")) > 0)
        return; /* the others need the hosts */
    pay_list(xapi, json_object_get(debt, "resume"), "Suspended", "VM.resume", error);
    pay_list(xapi, json_object_get(debt, "start"), "Halted", "VM.start", error);
    pay_auto_poweron(xapi, debt);
    pay_homes(xapi, json_object_get(debt, "homes"), error);
}

bool host_debt_pay(ApiCall *call, const char *id, json_t *debt, GError **error)
{
    Duties *duties = call_parts(call)->duties;
    g_autofree char *pool = g_strdup(json_text(debt, "pool"));
    g_autoptr(Inventory) inventory = NULL;
    g_autoptr(Link) link = servers_find(call_parts(call)->servers, pool, &inventory);
    g_autoptr(GError) failure = NULL;
    json_t *left = json_deep_copy(debt);
    if (link)
        pay(pool_xapi(link_pool(link)), left, &failure);
    bool paid = link && is_paid(left);
    json_decref(left);
    if (paid)
        duty_drop(duties, id);
    else
        duty_release(duties, id);
    if (!paid || failure)
        err_set(error, ERR_STATE, "%s%s%s",
                failure ? failure->message : "the pool is not connected", paid ? "" : ": ",
                paid ? "" : "it is brought back as soon as that is possible");
    return !failure && paid;
}

/* --- After a restart --- */

/* People look at the pool, not into our log. */
static void tell(Xapi *xapi, json_t *debt)
{
    log_warning("api", "%s was interrupted: its hosts are brought back into service",
                json_text(debt, "words"));
    g_autofree char *body = g_strdup_printf(
        "%s was interrupted by the end of the server. The hosts are brought back into "
        "service and the virtual machines to where they were; what had not been done "
        "by then was not done: start it again.",
        json_text(debt, "words"));
    xapi_do(xapi, "message.create",
            json_pack("[s, i, s, s, s]", "CADENZA_INTERRUPTED", 3, "Pool", json_text(debt, "pool"),
                      body),
            NULL);
}

static unsigned look(const ApiParts *parts, json_t *record, gint64 now_ms)
{
    g_autoptr(Inventory) inventory = NULL;
    g_autoptr(Link) link = servers_find(parts->servers, json_text(record, "pool"), &inventory);
    g_autoptr(GError) failure = NULL;
    if (!link || pool_status(link_pool(link)) != POOL_CONNECTED)
        return LOOK_MS;
    Xapi *xapi = pool_xapi(link_pool(link));
    if (!json_object_get(record, "told"))
        tell(xapi, record);
    json_object_set_new(record, "told", json_true());
    pay(xapi, record, &failure);
    if (is_paid(record)) {
        log_info("api", "%s: everything is back", json_text(record, "words"));
        return DUTY_DONE;
    }
    if (failure && !g_str_equal(failure->message, json_text(record, "last"))) {
        log_warning("api", "%s: %s", json_text(record, "words"), failure->message);
        json_object_set_new(record, "last", json_string(failure->message));
    }
    return LOOK_MS;
}

const DutyKind host_return_duty = { "host.return", look };
