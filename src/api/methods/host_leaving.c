/* The host restarts, which takes minutes. Until then it may still answer as a member, so that its
 * server looks like a second one of the pool: that is tried again for as long as a start takes. */
#include "api/methods/host_leaving.h"
#include "api/methods/host_return.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

enum { LOOK_MS = 3000 };

static void add_server(const ApiObject *host, const char *address)
{
    const ApiParts *parts = call_parts(host->call);
    g_autoptr(GError) error = NULL;
    g_autofree char *server = servers_add_beside(parts->servers, host->link, address, &error);
    g_autofree char *duty = server ? duty_add(parts->duties, &host_leaving_duty,
                                              json_pack("{s:s, s:I}", "server", server, "begun",
                                                        (json_int_t) (g_get_real_time() / 1000)),
                                              false, &error)
                                   : NULL;
    if (!duty)
        log_warning("api", "host %s (%s) has left its pool, and is no server yet: %s",
                    api_object_text(host, "name_label"), address, error->message);
}

bool host_detach(const ApiObject *host, GError **error)
{
    if (!api_object_do(host, "pool.eject", NULL, error))
        return false;
    const char *address = api_object_text(host, "address");
    if (*address && !MUTANT(host_leaves_alone)) /* mutant: system:test_hosts.Leaving.test_leaving */
        add_server(host, address);
    return true;
}

/* --- Until it is its own master --- */

static json_t *server_now(const ApiParts *parts, const char *id)
{
    json_t *list = servers_list(parts->servers, NULL), *record, *found = NULL;
    size_t i;
    json_array_foreach (list, i, record)
        if (g_str_equal(json_text(record, "id"), id))
            found = json_incref(record);
    json_decref(list);
    return found;
}

static unsigned look(const ApiParts *parts, json_t *record, gint64 now_ms)
{
    const char *id = json_text(record, "server");
    json_t *server = server_now(parts, id);
    bool enabled = json_is_true(json_object_get(server, "enabled"));
    bool connected = strcmp(json_text(server, "status"), "connected") == 0;
    bool twin = strcmp(json_text(json_object_get(server, "error"), "code"), "EXISTS") == 0;
    bool late = now_ms - json_integer_value(json_object_get(record, "begun")) > HOST_BACK_MS;
    json_decref(server);
    if (!enabled || connected || late)
        return DUTY_DONE;
    if (twin)
        servers_look_again(parts->servers, id);
    return LOOK_MS;
}

const DutyKind host_leaving_duty = { "host.leaving", look };
