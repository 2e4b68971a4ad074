/* PUT /import: a VM from an archive (XVA); PUT /import_metadata: from its description alone.
 *
 * The answer 200 goes out before the body is read: whether it went well is in the task, whose
 * result is the set of new VMs. An empty body with no task is a client's probe. A length of 1 PiB
 * stands for "unknown": the archive says where it ends. What a failed import made is taken away. */
#include "sim/handler.h"

#include "base/log.h"
#include "base/mutant.h"
#include "sim/fault.h"
#include "sim/import_ova.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"
#include "sim/storage_io.h"
#include "sim/task.h"

#include <string.h>

enum { DETACH_MS = 100, PIECE_BYTES = 256 << 10 };

typedef struct {
    Sim *sim;
    HttpRequest *request;
    bool metadata;
    char *task; /* NULL: the client asked for none and may be probing */
    char *sr;   /* ref */
    gint64 length;
    XvaStream *stream;
    OvaMade *made;
    GPtrArray *vbds; /* of dom0, by disk */
    FaultStream *fault;
    guint64 received_bytes;
    double shown;
} Import;

static void import_clear(Import *import)
{
    g_free(import->task);
    g_free(import->sr);
    xva_stream_free(import->stream);
    ova_made_free(import->made);
    g_ptr_array_unref(import->vbds);
    g_clear_pointer(&import->fault, fault_stream_close);
}

static bool asked_for(const Import *import, const char *name)
{
    return g_strcmp0(handler_param(import->request, name), "true") == 0;
}

/* --- The archive --- */

static const char *mapped_vdi(const char *uuid, void *user)
{
    g_autofree char *name = g_strconcat("vdi:", uuid, NULL);
    return handler_param(((Import *) user)->request, name);
}

/* With the lock. What another simulator sends as a snapshot of a machine that it has just sent:
 * snapshot_of=<uuid>, and of:<uuid of a disk>=<uuid of the disk that it is a snapshot of>. */
static void mark_snapshot(const Import *import, const XvaInfo *info)
{
    static const char *const fields[] = { "snapshot_time", "snapshot_info", "snapshot_metadata" };
    const char *of = handler_param(import->request, "snapshot_of");
    const Obj *parent = of ? obj_find_uuid(import->sim, "VM", of) : NULL;
    Obj *vm = parent ? obj_find(import->sim, "VM", import->made->vm) : NULL;
    if (!vm)
        return;
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
        if (json_object_get(info->vm, fields[i]))
            obj_put_json(vm, fields[i], json_object_get(info->vm, fields[i]), NULL);
    obj_put_bool(vm, "is_a_snapshot", true);
    obj_put_ref(vm, "snapshot_of", parent);
    for (guint i = 0; i < import->made->vdis->len; i++) {
        Obj *vdi = obj_find(import->sim, "VDI", import->made->vdis->pdata[i]);
        g_autofree char *name = vdi ? g_strconcat("of:", obj_uuid(vdi), NULL) : NULL;
        const char *uuid = name ? handler_param(import->request, name) : NULL;
        if (!vdi)
            continue;
        obj_put_bool(vdi, "is_a_snapshot", true);
        obj_put_int(vdi, "snapshot_time", obj_int(vm, "snapshot_time"));
        obj_put_ref(vdi, "snapshot_of", uuid ? obj_find_uuid(import->sim, "VDI", uuid) : NULL);
    }
    vm_refresh(vm);
}

/* The records appear before the data, and the task says so. */
static bool see_head(const XvaInfo *info, void *user, GError **error)
{
    Import *import = user;
    OvaImport how = { .sr = import->sr,
                      .task = import->task,
                      .restore = asked_for(import, "restore"),
                      .force = asked_for(import, "force"),
                      .vdi_for = mapped_vdi,
                      .user = import };
    if (import->metadata && asked_for(import, "dry_run"))
        return true;
    sim_lock(import->sim);
    import->made = ova_make(import->sim, info, &how, error);
    if (import->made)
        mark_snapshot(import, info);
    Obj *task = obj_find(import->sim, "task", import->task);
    if (import->made && task)
        obj_map_put(task, "other_config", "object_creation", "complete");
    sim_unlock(import->sim);
    for (guint i = 0; import->made && import->sr && i < import->made->vdis->len; i++) {
        char *vbd = storage_attach(import->sim, import->made->vdis->pdata[i], true, error);
        if (!vbd)
            return false;
        g_ptr_array_add(import->vbds, vbd);
    }
    return import->made != NULL;
}

static bool see_data(guint disk, guint64 offset, const void *data, gsize n, void *user,
                     GError **error)
{
    Import *import = user;
    return storage_write(import->sim, import->made->vdis->pdata[disk], offset, data, n, error);
}

/* --- Receiving --- */

/* Some bytes, 0 at the end, -1 with an error. */
static gssize receive(Import *import, guint8 *buffer, GError **error)
{
    g_autoptr(GError) cause = NULL;
    ssize_t n = http_read(import->request, buffer, PIECE_BYTES, &cause);
    if (n < 0 && import->length < HANDLER_UNKNOWN_BYTES) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return -1;
    }
    n = MAX(n, 0);
    if (fault_stream_pass(import->fault, (gsize) n) < (gsize) n) {
        err_set(error, ERR_IO, "the stream was cut by a fault");
        return -1;
    }
    import->received_bytes += (guint64) n;
    return n;
}

static bool receive_all(Import *import, guint8 *buffer, gssize n, GError **error)
{
    for (; n > 0; n = receive(import, buffer, error))
        if (!handler_step(import->sim, import->task, (guint64) import->received_bytes,
                          (guint64) import->length, &import->shown, error) ||
            !xva_stream_feed(import->stream, buffer, (gsize) n, error))
            return false;
    return n == 0 &&
           (MUTANT(
                sim_import_takes_cut) || /* mutant:
                                            system:test_sim_xva.Imports.test_failures_leave_nothing
                                          */
            xva_stream_finish(import->stream, error));
}

/* --- The end --- */

static const struct {
    ErrCode code;
    const char *told;
    bool with_text;
} failures[] = {
    { ERR_TRUNCATED, "IMPORT_ERROR_PREMATURE_EOF", false },
    { ERR_CORRUPT, "IMPORT_ERROR", true },
    { ERR_LIMIT, "IMPORT_ERROR", true },
    { ERR_UNSUPPORTED, "IMPORT_INCOMPATIBLE_VERSION", false },
};

/* XAPI's name for what went wrong. */
static void fail_task(Import *import, const GError *error)
{
    g_autoptr(GError) cause = NULL;
    const char *const *detail = err_detail(error);
    if (err_is(error, ERR_XAPI)) {
        sim_task_fail(import->sim, import->task, error);
        return;
    }
    if (detail && strcmp(detail[0], "checksum") == 0)
        sim_error(&cause, "IMPORT_ERROR_SOME_CHECKSUMS_FAILED", NULL);
    for (guint i = 0; !cause && i < G_N_ELEMENTS(failures); i++)
        if (err_is(error, failures[i].code))
            sim_error(&cause, failures[i].told, failures[i].with_text ? error->message : NULL,
                      NULL);
    if (!cause)
        sim_error(&cause, "IMPORT_ERROR", error->message, NULL);
    sim_task_fail(import->sim, import->task, cause);
    log_info("sim", "import: %s", error->message);
}

static json_t *result_of(const Import *import)
{
    json_t *vms = json_array();
    if (import->made)
        json_array_append_new(vms, json_string(import->made->vm));
    return vms;
}

static void give_back(Import *import)
{
    for (guint i = 0; i < import->vbds->len; i++) {
        storage_write_end(import->sim, import->made->vdis->pdata[i]);
        storage_detach(import->sim, import->vbds->pdata[i], i ? 0 : DETACH_MS);
    }
}

static void finish(Import *import, const GError *error)
{
    give_back(import);
    sim_lock(import->sim);
    Obj *vm = import->made ? obj_find(import->sim, "VM", import->made->vm) : NULL;
    if (vm) {
        obj_map_remove(vm, "current_operations", import->task);
        vm_refresh(vm);
    }
    if (error && import->made)
        ova_unmake(import->made);
    if (error) {
        fail_task(import, error);
    } else {
        json_t *result = fault_answer(import->sim, "/import");
        if (result == NULL)
            result = result_of(import);
        sim_task_succeed(import->sim, import->task, result);
        json_decref(result);
    }
    sim_unlock(import->sim);
}

/* Answers, then takes the data. A probe is known by what does not come. */
static void transfer(Import *import, bool may_be_probe)
{
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *buffer = g_malloc(PIECE_BYTES);
    const XvaStreamOps ops = { see_head, import->metadata ? NULL : see_data, import };
    import->stream = xva_stream_new(&ops);
    if (import->metadata)
        xva_stream_allow_no_disks(import->stream);
    import->fault =
        fault_stream_open(import->sim, import->metadata ? "/import_metadata" : "/import", "");
    http_reply_close(import->request);
    gssize n = -1;
    if (http_reply_begin(import->request, 200, NULL, HTTP_LENGTH_UNTIL_CLOSE, &error))
        n = receive(import, buffer, &error);
    if (may_be_probe && !n) {
        http_reply_end(import->request, NULL);
        return;
    }
    if (!import->task) { /* no probe after all */
        sim_lock(import->sim);
        import->task = g_strdup(sim_task_new(import->sim, NULL, "VM import"));
        sim_unlock(import->sim);
    }
    if (n >= 0)
        receive_all(import, buffer, n, &error);
    finish(import, error);
    if (error)
        http_abort(import->request);
    else
        http_reply_end(import->request, NULL);
}

/* --- The request --- */

static Obj *find_sr(Import *import, GError **error)
{
    const char *ref = handler_param(import->request, "sr_id");
    const char *uuid = handler_param(import->request, "sr_uuid");
    Obj *pool = sim_pool(import->sim);
    if (!ref && !uuid) {
        Obj *sr = obj_follow(pool, "default_SR");
        if (!sr)
            sim_error(error, "DEFAULT_SR_NOT_FOUND", obj_str(pool, "default_SR"), NULL);
        return sr;
    }
    Obj *sr = obj_find_any(import->sim, "SR", ref ? ref : uuid);
    if (!sr)
        sim_error(error, "HANDLE_INVALID", "SR", ref ? ref : uuid, NULL);
    return sr;
}

/* All that can be refused with an answer; 0 or the status of the refusal. */
static int check_request(Import *import, GError **error)
{
    if (import->length < 0) {
        sim_error(error, "IMPORT_ERROR_CANNOT_HANDLE_CHUNKED", NULL);
        return 403;
    }
    if (import->metadata)
        return 0;
    sim_lock(import->sim);
    const Obj *sr = find_sr(import, error);
    bool iso = sr && strcmp(obj_str(sr, "content_type"), "iso") == 0;
    if (iso)
        sim_error(error, "SR_OPERATION_NOT_SUPPORTED", obj_ref(sr), NULL);
    if (sr && !iso)
        import->sr = g_strdup(obj_ref(sr));
    sim_unlock(import->sim);
    return import->sr ? 0 : iso ? 400 : 500;
}

static void serve(HttpRequest *request, Sim *sim, bool metadata)
{
    g_autofree char *session = handler_login(request, sim);
    if (!session)
        return;
    g_autoptr(GError) error = NULL;
    Import import = { .sim = sim, .request = request, .metadata = metadata };
    import.length = http_body_bytes(request);
    import.vbds = g_ptr_array_new_with_free_func(g_free);
    bool may_be_probe = !handler_param(request, "task_id") &&
                        (!import.length || import.length >= HANDLER_UNKNOWN_BYTES);
    if (!may_be_probe)
        import.task = handler_task(request, sim, session, "VM import");
    int status = check_request(&import, &error);
    if (status)
        handler_fail(request, sim, import.task, status, error);
    else
        transfer(&import, may_be_probe);
    import_clear(&import);
}

static void import_vm(HttpRequest *request, Sim *sim)
{
    serve(request, sim, false);
}

static void import_metadata(HttpRequest *request, Sim *sim)
{
    serve(request, sim, true);
}

const Handler import_vm_handlers[] = {
    { "PUT", "/import", import_vm },
    { "PUT", "/import_metadata", import_metadata },
    { NULL, NULL, NULL },
};
