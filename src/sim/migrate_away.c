/* A VM sent to another pool: its disks are made and filled there, its record is imported with its
 * uuid, it runs there, and then it is gone here. The other pool is spoken to as any client does.
 *
 * Called with the lock, which is dropped while the other side works. Snapshots go along, each disk
 * of theirs whole. Not simulated: a guest whose memory is kept; it starts anew over there. */
#include "sim/archive_out.h"
#include "sim/export_ova.h"
#include "sim/guest.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"
#include "sim/migrate.h"
#include "sim/other_pool.h"
#include "sim/storage_disk.h"
#include "sim/storage_io.h"
#include "sim/vm.h"

#include "http/client.h"

#include <string.h>

enum { COPY_SHARE_PERCENT = 80 };

/* --- Calls to the other pool --- */

/* Without the lock; the array of params lacks the session and is taken. */
static json_t *ask(const Migration *migration, const char *method, json_t *params, GError **error)
{
    g_autoptr(GError) cause = NULL;
    json_t *result = other_pool_ask(migration->url, migration->session, method, params, &cause);
    if (cause && err_is(cause, ERR_XAPI))
        g_propagate_error(error, g_steal_pointer(&cause));
    else if (cause)
        sim_error(error, "VM_MIGRATE_FAILED", migration->vm, "", migration->host, cause->message,
                  NULL);
    return result;
}

static char *ask_text(const Migration *migration, const char *method, json_t *params,
                      GError **error)
{
    json_t *value = ask(migration, method, params, error);
    char *text = value ? g_strdup(json_is_string(value) ? json_string_value(value) : "") : NULL;
    json_decref(value);
    return text;
}

static bool tell(const Migration *migration, const char *method, json_t *params, GError **error)
{
    json_t *value = ask(migration, method, params, error);
    json_decref(value);
    return value != NULL;
}

/* --- Checks --- */

static bool all_there(const Migration *migration, json_t *map, const char *method, GError **error)
{
    const char *ref;
    json_t *there;
    json_object_foreach (map, ref, there)
        if (!tell(migration, method, json_pack("[O]", there), error))
            return false;
    return true;
}

static bool host_is_ready(const Migration *migration, GError **error)
{
    json_t *enabled = ask(migration, "host.get_enabled", json_pack("[s]", migration->host), error);
    bool ready = json_is_true(enabled);
    if (enabled && !ready)
        sim_error(error, "HOST_DISABLED", migration->host, NULL);
    json_decref(enabled);
    return ready;
}

bool migrate_away_check(const Migration *migration, GError **error)
{
    sim_unlock(migration->sim);
    bool ok = host_is_ready(migration, error) &&
              all_there(migration, migration->vdi_map, "SR.get_uuid", error) &&
              all_there(migration, migration->vif_map, "network.get_uuid", error);
    sim_lock(migration->sim);
    return ok;
}

/* --- Bytes --- */

typedef struct {
    char *here, *uuid, *there; /* ref and uuid of the disk, ref of its copy */
    char *of;                  /* ref of the disk that it is a snapshot of, or NULL */
    guint64 size_bytes;
} Sent;

static void sent_free(void *data)
{
    Sent *sent = data;
    g_free(sent->here);
    g_free(sent->uuid);
    g_free(sent->there);
    g_free(sent->of);
    g_free(sent);
}

typedef struct {
    const Migration *migration;
    const Sent *disk;
    guint64 at;
    guint64 done_bytes, total_bytes; /* of all disks */
} Sending;

static ssize_t next_bytes(void *data, size_t n, void *user, GError **error)
{
    Sending *sending = user;
    Sim *sim = sending->migration->sim;
    gsize part = (gsize) MIN(n, sending->disk->size_bytes - sending->at);
    sim_lock(sim);
    bool alive = call_alive(sending->migration->call, error);
    if (alive && sending->total_bytes)
        call_progress(sending->migration->call, COPY_SHARE_PERCENT / 100.0 *
                                                    (double) (sending->done_bytes + sending->at) /
                                                    (double) sending->total_bytes);
    sim_unlock(sim);
    if (!alive || (part && !storage_read(sim, sending->disk->here, sending->at, data, part, error)))
        return -1;
    sending->at += part;
    return (ssize_t) part;
}

/* The task of a PUT knows how it went. */
static bool settle(const Migration *migration, const char *task, GError **error)
{
    g_autofree char *status = ask_text(migration, "task.get_status", json_pack("[s]", task), error);
    if (!status || strcmp(status, "success") == 0)
        return status != NULL;
    json_t *info = ask(migration, "task.get_error_info", json_pack("[s]", task), error);
    const char *why = json_string_value(json_array_get(info, 0));
    if (info)
        sim_error(error, "VM_MIGRATE_FAILED", migration->vm, "", migration->host,
                  why ? why : status, NULL);
    json_decref(info);
    return false;
}

/* `what` is path and query without session and task; a source, or bytes. */
static bool put(const Migration *migration, const char *what, HttpCall call, GError **error)
{
    g_autofree char *task =
        ask_text(migration, "task.create", json_pack("[s, s]", "migration", ""), error);
    if (!task)
        return false;
    g_autofree char *url = g_strdup_printf("%s%s&session_id=%s&task_id=%s", migration->url, what,
                                           migration->session, task);
    call.method = "PUT";
    call.url = url;
    g_autoptr(GError) cause = NULL;
    bool ok = http_call(&call, &cause) != 0 && settle(migration, task, error);
    if (cause && err_is(cause, ERR_XAPI))
        g_propagate_error(error, g_steal_pointer(&cause));
    else if (cause)
        sim_error(error, "VM_MIGRATE_FAILED", migration->vm, "", migration->host, cause->message,
                  NULL);
    tell(migration, "task.destroy", json_pack("[s]", task), NULL);
    return ok;
}

/* --- Disks --- */

/* With the lock: the record of the copy. */
static json_t *record_of(const Obj *vdi, const char *sr)
{
    static const char *const fields[] = { "name_label",   "name_description", "virtual_size",
                                          "type",         "sharable",         "read_only",
                                          "other_config", "xenstore_data",    "tags" };
    json_t *record = json_pack("{s:s, s:{}}", "SR", sr, "sm_config");
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
        json_object_set_new(record, fields[i], obj_field_json(vdi, fields[i]));
    return record;
}

static bool send_disk(const Migration *migration, Sending *sending, Sent *disk, json_t *record,
                      GError **error)
{
    disk->there = ask_text(migration, "VDI.create", json_pack("[o]", record), error);
    if (!disk->there)
        return false;
    g_autofree char *what = g_strdup_printf("import_raw_vdi?format=raw&vdi=%s", disk->there);
    sending->disk = disk;
    sending->at = 0;
    HttpCall call = { .source = next_bytes,
                      .source_bytes = (gint64) disk->size_bytes,
                      .user = sending };
    bool ok = put(migration, what, call, error);
    sending->done_bytes += disk->size_bytes;
    return ok;
}

/* With the lock. */
static void add_disks(GPtrArray *disks, const Obj *vm)
{
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++) {
        const Obj *vbd = obj_follow_nth(vm, "VBDs", i), *vdi = obj_follow(vbd, "VDI");
        if (!vdi || strcmp(obj_str(vbd, "type"), "Disk") != 0)
            continue;
        Sent *sent = g_new0(Sent, 1);
        sent->here = g_strdup(obj_ref(vdi));
        sent->uuid = g_strdup(obj_uuid(vdi));
        sent->size_bytes = (guint64) obj_int(vdi, "virtual_size");
        if (obj_bool(vdi, "is_a_snapshot"))
            sent->of = g_strdup(obj_str(vdi, "snapshot_of"));
        g_ptr_array_add(disks, sent);
    }
}

/* The VM's, then those of its snapshots. */
static GPtrArray *disks_of(const Obj *vm)
{
    GPtrArray *disks = g_ptr_array_new_with_free_func(sent_free);
    add_disks(disks, vm);
    for (guint i = 0; i < obj_set_size(vm, "snapshots"); i++)
        add_disks(disks, obj_follow_nth(vm, "snapshots", i));
    return disks;
}

/* Its own, that of the disk it is a snapshot of, else any: a snapshot's disk may have no other. */
static const char *sr_for(const Migration *migration, const Sent *disk)
{
    json_t *map = migration->vdi_map, *to = json_object_get(map, disk->here);
    if (!to && disk->of)
        to = json_object_get(map, disk->of);
    if (!to)
        to = json_object_iter_value(json_object_iter(map));
    return json_string_value(to);
}

static bool send_disks(const Migration *migration, GPtrArray *disks, GError **error)
{
    Sending sending = { .migration = migration };
    for (guint i = 0; i < disks->len; i++)
        sending.total_bytes += ((Sent *) disks->pdata[i])->size_bytes;
    for (guint i = 0; i < disks->len; i++) {
        Sent *disk = disks->pdata[i];
        const Obj *vdi = obj_get(migration->sim, "VDI", disk->here, error);
        const char *sr = sr_for(migration, disk);
        json_t *record = vdi ? record_of(vdi, sr ? sr : REF_NULL) : NULL;
        if (!record)
            return false;
        sim_unlock(migration->sim);
        bool ok = send_disk(migration, &sending, disk, record, error);
        sim_lock(migration->sim);
        if (!ok)
            return false;
    }
    return true;
}

/* --- The record --- */

static bool collect(const void *data, gsize n, void *user, GError **error)
{
    g_byte_array_append(user, data, (guint) n);
    return true;
}

/* With the lock: the archive of the record alone. */
static GByteArray *archive_of(Obj *vm, GError **error)
{
    GByteArray *bytes = g_byte_array_new();
    g_autoptr(Ova) ova = ova_new(vm, true, false);
    g_autoptr(ArchiveOut) out = archive_out_new("none", false, collect, bytes);
    if (archive_out_entry(out, "ova.xml", ova->xml, strlen(ova->xml), error) &&
        archive_out_end(out, error))
        return bytes;
    g_byte_array_unref(bytes);
    return NULL;
}

static const Sent *sent_of(const GPtrArray *disks, const char *here)
{
    for (guint i = 0; here && i < disks->len; i++)
        if (strcmp(((const Sent *) disks->pdata[i])->here, here) == 0)
            return disks->pdata[i];
    return NULL;
}

static char *uuid_there(const Migration *migration, const Sent *disk, GError **error)
{
    return ask_text(migration, "VDI.get_uuid", json_pack("[s]", disk->there), error);
}

/* Without the lock. `of`: the uuid of the VM that it is a snapshot of, or NULL. */
static bool send_record(const Migration *migration, const GByteArray *archive,
                        const GPtrArray *disks, const char *of, GError **error)
{
    g_autoptr(GString) what = g_string_new("import_metadata?restore=true");
    if (of)
        g_string_append_printf(what, "&snapshot_of=%s", of);
    for (guint i = 0; i < disks->len; i++) {
        const Sent *disk = disks->pdata[i], *live = sent_of(disks, disk->of);
        g_autofree char *uuid = uuid_there(migration, disk, error);
        g_autofree char *live_uuid = uuid && live ? uuid_there(migration, live, error) : NULL;
        if (!uuid || (live && !live_uuid))
            return false;
        g_string_append_printf(what, "&vdi:%s=%s", disk->uuid, uuid);
        if (live)
            g_string_append_printf(what, "&of:%s=%s", uuid, live_uuid);
    }
    return put(migration, what->str,
               (HttpCall){ .body = archive->data, .body_bytes = archive->len }, error);
}

/* Networks by the device numbers of the interfaces. */
typedef struct {
    GHashTable *networks; /* device to ref there */
    char *uuid;           /* of the VM */
    GPtrArray *snapshots; /* their uuids … */
    GPtrArray *records;   /* … and archives, GByteArray */
    bool running;
} Plan;

static void plan_clear(Plan *plan)
{
    g_hash_table_unref(plan->networks);
    g_ptr_array_unref(plan->snapshots);
    g_ptr_array_unref(plan->records);
    g_free(plan->uuid);
}

static Plan plan_of(const Migration *migration, const Obj *vm)
{
    Plan plan = { g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                  g_strdup(obj_uuid(vm)), g_ptr_array_new_with_free_func(g_free),
                  g_ptr_array_new_with_free_func((GDestroyNotify) g_byte_array_unref),
                  strcmp(obj_str(vm, "power_state"), "Running") == 0 };
    for (guint i = 0; i < obj_set_size(vm, "VIFs"); i++) {
        const Obj *vif = obj_follow_nth(vm, "VIFs", i);
        json_t *to = json_object_get(migration->vif_map, obj_ref(vif));
        g_hash_table_insert(plan.networks, g_strdup(obj_str(vif, "device")),
                            g_strdup(json_string_value(to)));
    }
    return plan;
}

static bool place_vifs(const Migration *migration, const Plan *plan, const char *vm, GError **error)
{
    json_t *vifs = ask(migration, "VM.get_VIFs", json_pack("[s]", vm), error), *vif;
    bool ok = vifs != NULL;
    size_t i;
    json_array_foreach (vifs, i, vif) {
        g_autofree char *device =
            ok ? ask_text(migration, "VIF.get_device", json_pack("[O]", vif), error) : NULL;
        const char *network = device ? g_hash_table_lookup(plan->networks, device) : NULL;
        ok = device &&
             (!network || tell(migration, "VIF.move", json_pack("[O, s]", vif, network), error));
    }
    json_decref(vifs);
    return ok;
}

/* With the lock. */
static bool plan_snapshots(Plan *plan, const Obj *vm, GError **error)
{
    for (guint i = 0; i < obj_set_size(vm, "snapshots"); i++) {
        Obj *snapshot = obj_follow_nth(vm, "snapshots", i);
        GByteArray *archive = archive_of(snapshot, error);
        if (!archive)
            return false;
        g_ptr_array_add(plan->records, archive);
        g_ptr_array_add(plan->snapshots, g_strdup(obj_uuid(snapshot)));
    }
    return true;
}

static bool send_snapshots(const Migration *migration, const Plan *plan, const GPtrArray *disks,
                           GError **error)
{
    for (guint i = 0; i < plan->records->len; i++)
        if (!send_record(migration, plan->records->pdata[i], disks, plan->uuid, error))
            return false;
    return true;
}

/* Without the disks. */
static void forget_there(const Migration *migration, const char *uuid)
{
    g_autofree char *vm = ask_text(migration, "VM.get_by_uuid", json_pack("[s]", uuid), NULL);
    if (vm)
        tell(migration, "VM.destroy", json_pack("[s]", vm), NULL);
}

/* Without the lock; the VM's ref there. */
static char *arrive(const Migration *migration, const Plan *plan, const GByteArray *archive,
                    const GPtrArray *disks, GError **error)
{
    if (!send_record(migration, archive, disks, NULL, error))
        return NULL;
    char *vm = ask_text(migration, "VM.get_by_uuid", json_pack("[s]", plan->uuid), error);
    json_t *start = json_pack("[s, s, b, b]", vm ? vm : "", migration->host, 0, 0);
    bool ok = vm && place_vifs(migration, plan, vm, error) &&
              send_snapshots(migration, plan, disks, error) &&
              (!plan->running || tell(migration, "VM.start_on", json_incref(start), error));
    json_decref(start);
    if (ok)
        return vm;
    for (guint i = 0; i < plan->snapshots->len; i++)
        forget_there(migration, plan->snapshots->pdata[i]);
    forget_there(migration, plan->uuid);
    g_free(vm);
    return NULL;
}

/* --- The whole --- */

/* A transfer that was cut holds its disk for a moment. */
static void destroy_there(const Migration *migration, const char *vdi)
{
    enum { TRIES = 100, STEP_MS = 100 };
    for (guint i = 0; i < TRIES; i++) {
        g_autoptr(GError) cause = NULL;
        if (tell(migration, "VDI.destroy", json_pack("[s]", vdi), &cause) ||
            strcmp(err_xapi_code(cause), "VDI_IN_USE") != 0)
            return;
        g_usleep(STEP_MS * 1000);
    }
}

static void undo(const Migration *migration, const GPtrArray *disks)
{
    for (guint i = 0; i < disks->len; i++)
        if (((Sent *) disks->pdata[i])->there)
            destroy_there(migration, ((Sent *) disks->pdata[i])->there);
}

/* With the lock: the VM, its snapshots and all their disks. */
static void leave(const Migration *migration)
{
    Obj *vm = obj_find(migration->sim, "VM", migration->vm);
    g_autoptr(GPtrArray) machines = g_ptr_array_new(),
                         disks = g_ptr_array_new_with_free_func(g_free);
    if (!vm)
        return;
    if (obj_follow(vm, "resident_on"))
        guest_stop(vm, "Halted");
    for (guint i = 0; i < obj_set_size(vm, "snapshots"); i++)
        g_ptr_array_add(machines, obj_follow_nth(vm, "snapshots", i));
    g_ptr_array_add(machines, vm);
    for (guint i = 0; i < machines->len; i++) {
        for (guint k = 0; k < obj_set_size(machines->pdata[i], "VBDs"); k++) {
            const Obj *vbd = obj_follow_nth(machines->pdata[i], "VBDs", k);
            if (strcmp(obj_str(vbd, "type"), "Disk") == 0)
                g_ptr_array_add(disks, g_strdup(obj_str(vbd, "VDI")));
        }
        vm_forget(machines->pdata[i]);
    }
    for (guint i = 0; i < disks->len; i++)
        storage_drop(migration->sim, disks->pdata[i], NULL);
}

char *migrate_away(const Migration *migration, GError **error)
{
    Obj *vm = obj_get(migration->sim, "VM", migration->vm, error);
    if (!vm)
        return NULL;
    Plan plan = plan_of(migration, vm);
    g_autoptr(GPtrArray) disks = disks_of(vm);
    bool ok = send_disks(migration, disks, error);
    vm = ok ? obj_get(migration->sim, "VM", migration->vm, error) : NULL;
    g_autoptr(GByteArray) archive = vm && plan_snapshots(&plan, vm, error) ? archive_of(vm, error)
                                                                           : NULL;
    sim_unlock(migration->sim);
    char *there = archive ? arrive(migration, &plan, archive, disks, error) : NULL;
    if (!there)
        undo(migration, disks);
    sim_lock(migration->sim);
    if (there)
        leave(migration);
    plan_clear(&plan);
    return there;
}
