/* One duty for each VM that is being made. */
#include "api/methods/vm_birth.h"
#include "api/methods/vm_parts.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"

enum {
    LOOK_MS = 2000,
    /* After a restart the pool may still be copying disks for a server that is gone. */
    PATIENCE_MS = 3600 * 1000,
    NAME_CHARACTERS = 200,
};

bool vm_birth_begin(VmBirth *birth, Duties *duties, const char *pool, const char *name,
                    GError **error)
{
    g_autofree char *key = g_uuid_string_random();
    g_autofree char *start =
        g_utf8_substring(name, 0, MIN(g_utf8_strlen(name, -1), NAME_CHARACTERS));
    bool plain = MUTANT(vm_birth_plain); /* mutant: system:test_many.Half.test_killed */
    *birth =
        (VmBirth){ duties, NULL,
                   plain ? g_strdup(name) : g_strdup_printf("%s (being made: %.8s)", start, key) };
    json_t *record = json_pack("{s:s, s:s, s:I}", "pool", pool, "name", birth->name, "begun",
                               (json_int_t) (g_get_real_time() / 1000));
    birth->id = duty_add(birth->duties, &vm_birth_duty, record, true, error);
    return birth->id != NULL;
}

void vm_birth_done(VmBirth *birth)
{
    duty_drop(birth->duties, birth->id);
}

void vm_birth_undo(VmBirth *birth, Xapi *xapi, const char *ref)
{
    g_autoptr(GError) error = NULL;
    if (ref && vm_erase(xapi, ref, true, &error)) {
        duty_drop(birth->duties, birth->id);
        return;
    }
    if (error)
        log_warning("api", "half-made VM %s stays for now: %s", birth->name, error->message);
    duty_release(birth->duties, birth->id);
}

void vm_birth_clear(VmBirth *birth)
{
    g_clear_pointer(&birth->id, g_free);
    g_clear_pointer(&birth->name, g_free);
}

/* --- After a failure --- */

typedef struct {
    const char *id;
    GPtrArray *disks; /* uuids of marked disks that belong to no VM */
} Search;

static void see_disk(const char *id, const char *type, GBytes *text, void *user)
{
    Search *search = user;
    gsize n;
    const char *data = g_bytes_get_data(text, &n);
    if (!memmem(data, n, VM_BIRTH_MARK, sizeof VM_BIRTH_MARK - 1))
        return;
    json_t *disk = json_loadb(data, n, 0, NULL);
    const char *mark = json_text(json_object_get(disk, "other_config"), VM_BIRTH_MARK);
    if (g_str_equal(mark, search->id) && json_array_size(json_object_get(disk, "$VBDs")) == 0)
        g_ptr_array_add(search->disks, g_strdup(id));
    json_decref(disk);
}

static bool erase_disks(const char *birth_id, Inventory *inventory, Xapi *xapi)
{
    g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func(g_free);
    Search search = { birth_id, disks };
    bool ok = true;
    inventory_each(inventory, "VDI", see_disk, &search);
    for (unsigned i = 0; i < disks->len; i++) {
        g_autofree char *ref =
            xapi_call_string(xapi, "VDI.get_by_uuid", json_pack("[s]", disks->pdata[i]), NULL);
        ok = ref && xapi_do(xapi, "VDI.destroy", json_pack("[s]", ref), NULL) && ok;
    }
    return ok;
}

/* The name is nobody else's. The number of VMs found, or -1. */
static int erase_vms(const char *name, Xapi *xapi)
{
    json_t *refs = xapi_call(xapi, "VM.get_by_name_label", json_pack("[s]", name), NULL), *ref;
    int n = refs ? 0 : -1;
    size_t i;
    json_array_foreach (refs, i, ref) {
        g_autoptr(GError) error = NULL;
        if (vm_erase(xapi, json_string_value(ref), true, &error))
            log_info("api", "%s: taken down, its making had ended in the middle", name);
        else
            log_warning("api", "half-made VM %s stays for now: %s", name, error->message);
        n = n < 0 || error ? -1 : n + 1;
    }
    json_decref(refs);
    return n;
}

static unsigned look(const ApiParts *parts, json_t *record, gint64 now_ms)
{
    g_autoptr(Inventory) inventory = NULL;
    g_autoptr(Link) link = servers_find(parts->servers, json_text(record, "pool"), &inventory);
    gint64 first = json_integer_value(json_object_get(record, "first"));
    if (!link || pool_status(link_pool(link)) != POOL_CONNECTED)
        return LOOK_MS;
    if (!first) {
        first = now_ms;
        json_object_set_new(record, "first", json_integer(first));
    }
    Xapi *xapi = pool_xapi(link_pool(link));
    int n = erase_vms(json_text(record, "name"), xapi);
    bool clean = erase_disks(json_text(record, "id"), inventory, xapi);
    return (n > 0 && clean) || (n == 0 && clean && now_ms - first > PATIENCE_MS) ? DUTY_DONE
                                                                                 : LOOK_MS;
}

const DutyKind vm_birth_duty = { "vm.birth", look };
