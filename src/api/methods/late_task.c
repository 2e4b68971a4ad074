/* One duty for each such task, until the task has ended. */
#include "api/methods/late_task.h"
#include "api/methods/vm_parts.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"

enum {
    LOOK_MS = 2000,
    PATIENCE_MS = 24 * 3600 * 1000, /* for a task without an end */
};

/* --- What they make --- */

static bool erase_vm(Xapi *xapi, const char *ref, GError **error)
{
    return vm_erase(xapi, ref, true, error);
}

/* A transfer that still holds it is waited for by looking again. */
static bool erase_vdi(Xapi *xapi, const char *ref, GError **error)
{
    return xapi_do(xapi, "VDI.destroy", json_pack("[s]", ref), error);
}

static const struct {
    const char *method;
    bool (*erase)(Xapi *xapi, const char *ref, GError **error);
} makers[] = {
    { "VM.snapshot", erase_vm }, { "VM.checkpoint", erase_vm }, { "VM.clone", erase_vm },
    { "VM.copy", erase_vm },     { "VDI.copy", erase_vdi },
};

static unsigned find(const char *method)
{
    unsigned i = 0;
    while (i < G_N_ELEMENTS(makers) && !g_str_equal(makers[i].method, method))
        i++;
    return i;
}

bool late_task_matters(const char *method)
{
    bool never = MUTANT(late_task_stays); /* mutant: system:test_rest.Tasks.test_abort_too_late */
    return find(method) < G_N_ELEMENTS(makers) && !never;
}

void late_task_add(ApiCall *call, const char *pool, const char *method, const char *task)
{
    g_autoptr(GError) error = NULL;
    json_t *record = json_pack("{s:s, s:s, s:s, s:I}", "pool", pool, "method", method, "task", task,
                               "begun", (json_int_t) (g_get_real_time() / 1000));
    g_autofree char *id =
        duty_add(call_parts(call)->duties, &late_task_duty, record, false, &error);
    if (!id)
        log_warning("api", "%s was aborted, what it makes may stay: %s", method, error->message);
}

/* --- Afterwards --- */

static bool take_away(Xapi *xapi, json_t *record)
{
    g_autofree char *made = NULL;
    g_autoptr(GError) error = NULL;
    const char *task = json_text(record, "task"), *method = json_text(record, "method");
    unsigned maker = find(method);
    bool ended;
    if (!xapi_task_outcome(xapi, task, &ended, &made, NULL) || !ended)
        return false;
    if (made && maker < G_N_ELEMENTS(makers) && !makers[maker].erase(xapi, made, &error) &&
        !xapi_is_gone(error)) {
        log_warning("api", "what %s made after it was aborted stays for now: %s", method,
                    error->message);
        return false;
    }
    if (made)
        log_info("api", "what %s made after it was aborted was taken away", method);
    xapi_do(xapi, "task.destroy", json_pack("[s]", task), NULL);
    return true;
}

static unsigned look(const ApiParts *parts, json_t *record, gint64 now_ms)
{
    g_autoptr(Inventory) inventory = NULL;
    g_autoptr(Link) link = servers_find(parts->servers, json_text(record, "pool"), &inventory);
    if (now_ms - json_integer_value(json_object_get(record, "begun")) > PATIENCE_MS)
        return DUTY_DONE;
    if (!link || pool_status(link_pool(link)) != POOL_CONNECTED)
        return LOOK_MS;
    return take_away(pool_xapi(link_pool(link)), record) ? DUTY_DONE : LOOK_MS;
}

const DutyKind late_task_duty = { "task.late", look };
