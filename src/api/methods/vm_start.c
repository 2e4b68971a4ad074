/* The first start of a VM that was just created: by an errand, or while the caller waits. */
#include "api/methods/vm_start.h"
#include "api/errands.h"
#include "base/log.h"

typedef struct {
    Link *link;
    char *ref, *id;
} Start;

static void start_free(void *data)
{
    Start *start = data;
    link_unref(start->link);
    g_free(start->ref);
    g_free(start->id);
    g_free(start);
}

static void start_vm(void *data, Cancel *cancel)
{
    Start *start = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *done = xapi_call_task(pool_xapi(link_pool(start->link)), "VM.start",
                                           json_pack("[s, b, b]", start->ref, 0, 0), cancel, NULL,
                                           NULL, &error);
    if (!done)
        log_warning("api", "VM %s was created but not started: %s", start->id, error->message);
}

/* Nobody waits for it, as with XO. */
static void start_later(ApiCall *call, const ApiObject *template, const char *ref, json_t *id)
{
    Start *start = g_new0(Start, 1);
    start->link = link_ref(template->link);
    start->ref = g_strdup(ref);
    start->id = g_strdup(json_string_value(id));
    errands_push(call_parts(call)->errands, start_vm, start, start_free);
}

/* REST waits for it, and is told why it does not start. */
static bool start_now(ApiCall *call, const ApiObject *template, const char *ref, GError **error)
{
    g_autofree char *done =
        api_object_task(template, "VM.start", json_pack("[s, b, b]", ref, 0, 0), error);
    if (done)
        api_object_barrier(template);
    return done != NULL;
}

bool vm_start_new(ApiCall *call, const ApiObject *template, const char *ref, json_t *id,
                  GError **error)
{
    if (!call_bool(call, "bootAfterCreate"))
        return true;
    if (call_bool(call, VM_AWAIT_BOOT))
        return start_now(call, template, ref, error);
    start_later(call, template, ref, id);
    return true;
}
