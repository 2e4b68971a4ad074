/* One duty for the disks of a call. */
#include "api/methods/passing_disks.h"
#include "api/methods/vm_devices.h"
#include "api/objects.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"

enum {
    LOOK_MS = 2000,
    /* The pool may still be making the disk for a server that is gone. */
    PATIENCE_MS = 10 * 60 * 1000,
};

bool passing_disks_begin(PassingDisks *disks, Duties *duties, const char *pool, const char *name,
                         GError **error)
{
    g_autofree char *key = g_uuid_string_random();
    *disks = (PassingDisks){ duties, NULL, g_strdup_printf("%s (%.8s)", name, key) };
    json_t *record = json_pack("{s:s, s:s}", "pool", pool, "name", disks->name);
    disks->id = duty_add(duties, &passing_disks_duty, record, true, error);
    return disks->id != NULL;
}

static bool destroy(Xapi *xapi, const char *ref, GError **error)
{
    return xapi_do(xapi, "VDI.destroy", json_pack("[s]", ref), error);
}

/* How many went, or -1 when one stays. */
static int drop_all(Xapi *xapi, const char *name,
                    bool (*drop)(Xapi *xapi, const char *ref, GError **error))
{
    g_autoptr(GError) error = NULL;
    json_t *refs = xapi_call(xapi, "VDI.get_by_name_label", json_pack("[s]", name), &error), *ref;
    int n = refs ? (int) json_array_size(refs) : -1;
    size_t i;
    json_array_foreach (refs, i, ref)
        if (!error && !drop(xapi, json_string_value(ref), &error))
            n = -1;
    json_decref(refs);
    if (error)
        log_warning("api", "the disk %s stays for now: %s", name, error->message);
    return n;
}

void passing_disks_end(PassingDisks *disks, Xapi *xapi)
{
    bool stays = MUTANT(pack_stays); /* mutant: system:test_pool_methods.Methods.test_packs */
    if (stays)
        return;
    if (drop_all(xapi, disks->name, disk_drop) > 0)
        duty_drop(disks->duties, disks->id);
    else
        duty_release(disks->duties, disks->id);
}

void passing_disks_clear(PassingDisks *disks)
{
    g_clear_pointer(&disks->id, g_free);
    g_clear_pointer(&disks->name, g_free);
}

/* --- After the call, or the server --- */

static unsigned look(const ApiParts *parts, json_t *record, gint64 now_ms)
{
    g_autoptr(Inventory) inventory = NULL;
    g_autoptr(Link) link = servers_find(parts->servers, json_text(record, "pool"), &inventory);
    gint64 first = json_integer_value(json_object_get(record, "first"));
    if (MUTANT(passing_disks_forgotten)) /* mutant: system:test_many.Half.test_killed_installing */
        return DUTY_DONE;
    if (!link || pool_status(link_pool(link)) != POOL_CONNECTED)
        return LOOK_MS;
    if (!first) {
        first = now_ms;
        json_object_set_new(record, "first", json_integer(first));
    }
    int n = drop_all(pool_xapi(link_pool(link)), json_text(record, "name"), destroy);
    return n > 0 || (n == 0 && now_ms - first > PATIENCE_MS) ? DUTY_DONE : LOOK_MS;
}

const DutyKind passing_disks_duty = { "disks.passing", look };
