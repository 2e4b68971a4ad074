/* GET /export: a whole VM as an archive (XVA); GET /export_metadata: its description alone.
 *
 * The answer has no length and ends with the connection. A VM must be halted or suspended, or a
 * snapshot; meanwhile it shows the operation, and dom0 has its disks. */
#include "sim/handler.h"

#include "base/log.h"
#include "sim/archive_out.h"
#include "sim/export_ova.h"
#include "sim/fault.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"
#include "sim/storage_io.h"
#include "sim/task.h"

#include <string.h>

enum { DETACH_MS = 100, CHUNK_BYTES = 1 << 20 };

typedef struct {
    Sim *sim;
    HttpRequest *request;
    char *task, *vm, *uuid;
    const char *codec, *op;
    bool metadata;
    Ova *ova;
    GPtrArray *vbds; /* of dom0 */
    ArchiveOut *out;
    FaultStream *fault;
    guint64 total_bytes, done_bytes;
    double shown;
} Export;

static void export_clear(Export *export)
{
    g_free(export->task);
    g_free(export->vm);
    g_free(export->uuid);
    ova_free(export->ova);
    g_ptr_array_unref(export->vbds);
    archive_out_free(export->out);
    g_clear_pointer(&export->fault, fault_stream_close);
}

/* --- What is asked for --- */

static const struct {
    const char *asked, *codec;
} codecs[] = { { "false", "none" }, { "true", "gzip" }, { "gzip", "gzip" }, { "zstd", "zstd" } };

static bool find_codec(Export *export, GError **error)
{
    const char *asked = handler_param(export->request, "use_compression");
    export->codec = asked ? NULL : "none";
    for (gsize i = 0; asked && i < G_N_ELEMENTS(codecs); i++)
        if (strcmp(asked, codecs[i].asked) == 0)
            export->codec = codecs[i].codec;
    if (!export->codec)
        sim_error(error, "INTERNAL_ERROR", "this compression is not known", NULL);
    return export->codec != NULL;
}

static bool asked_for(HttpRequest *request, const char *name, bool otherwise)
{
    const char *value = handler_param(request, name);
    return value ? strcmp(value, "true") == 0 : otherwise;
}

/* With the lock. */
static bool find_vm(Export *export, GError **error)
{
    const char *uuid = handler_param(export->request, "uuid");
    const char *text = uuid ? uuid : handler_param(export->request, "ref");
    Obj *vm = text ? obj_find_any(export->sim, "VM", text) : NULL;
    if (!vm) {
        sim_error(error, "HANDLE_INVALID", "VM", text ? text : "", NULL);
        return false;
    }
    export->op = export->metadata ? "metadata_export" : "export";
    if (!vm_may(vm, export->op, error))
        return false;
    export->vm = g_strdup(obj_ref(vm));
    export->uuid = g_strdup(obj_uuid(vm));
    export->ova = ova_new(vm, export->metadata,
                          export->metadata && asked_for(export->request, "export_snapshots", true));
    obj_map_put(vm, "current_operations", export->task, export->op);
    vm_refresh(vm);
    return true;
}

static bool attach_disks(Export *export, GError **error)
{
    for (guint i = 0; i < export->ova->disks->len; i++) {
        const OvaDisk *disk = &g_array_index(export->ova->disks, OvaDisk, i);
        char *vbd = storage_attach(export->sim, disk->vdi, false, error);
        if (!vbd)
            return false;
        g_ptr_array_add(export->vbds, vbd);
        export->total_bytes += (guint64) disk->size_bytes;
    }
    return true;
}

/* --- Sending --- */

/* FlowSink: what the archive is made of goes to the client. */
static bool send_bytes(const void *data, gsize n, void *user, GError **error)
{
    Export *export = user;
    return handler_send(export->request, export->fault, data, n, error);
}

static bool is_zero(const guint8 *data, gsize n)
{
    return n == 0 || (data[0] == 0 && memcmp(data, data + 1, n - 1) == 0);
}

/* The first and the last chunk always, between them those that are not all zeros. */
static bool send_disk(Export *export, const OvaDisk *disk, guint8 *buffer, GError **error)
{
    for (gint64 at = 0; at < disk->size_bytes; at += CHUNK_BYTES) {
        gsize n = (gsize) MIN(disk->size_bytes - at, CHUNK_BYTES);
        bool ends = at == 0 || at + CHUNK_BYTES >= disk->size_bytes;
        if (!handler_step(export->sim, export->task, export->done_bytes, export->total_bytes,
                          &export->shown, error) ||
            !storage_read(export->sim, disk->vdi, (guint64) at, buffer, n, error))
            return false;
        export->done_bytes += n;
        if ((ends || !is_zero(buffer, n)) &&
            !archive_out_chunk(export->out, disk->id, (guint) (at / CHUNK_BYTES), buffer, n, error))
            return false;
    }
    return true;
}

static bool send_archive(Export *export, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(CHUNK_BYTES);
    http_reply_header(export->request, "Content-Disposition",
                      "attachment; filename=\"export.xva\"");
    http_reply_close(export->request);
    if (!http_reply_begin(export->request, 200, "application/octet-stream", HTTP_LENGTH_UNTIL_CLOSE,
                          error) ||
        !archive_out_entry(export->out, "ova.xml", export->ova->xml, strlen(export->ova->xml),
                           error))
        return false;
    for (guint i = 0; i < export->ova->disks->len; i++)
        if (!send_disk(export, &g_array_index(export->ova->disks, OvaDisk, i), buffer, error))
            return false;
    return archive_out_end(export->out, error) && http_reply_end(export->request, error);
}

/* --- The request --- */

static void give_back(Export *export)
{
    for (guint i = 0; i < export->vbds->len; i++)
        storage_detach(export->sim, export->vbds->pdata[i], i ? 0 : DETACH_MS);
    sim_lock(export->sim);
    Obj *vm = obj_find(export->sim, "VM", export->vm);
    if (vm) {
        obj_map_remove(vm, "current_operations", export->task);
        vm_refresh(vm);
    }
    sim_unlock(export->sim);
}

/* The disks go back before the task ends, and the task says how it went. */
static void finish(Export *export, const GError *error)
{
    if (error)
        http_abort(export->request);
    give_back(export);
    sim_lock(export->sim);
    if (!error) {
        sim_task_succeed(export->sim, export->task, NULL);
    } else if (err_is(error, ERR_XAPI)) {
        sim_task_fail(export->sim, export->task, error);
    } else {
        g_autoptr(GError) cause = NULL;
        sim_error(&cause, "INTERNAL_ERROR", error->message, NULL);
        sim_task_fail(export->sim, export->task, cause);
        log_info("sim", "export of VM %s: %s", export->uuid, error->message);
    }
    sim_unlock(export->sim);
}

/* All that can be refused with an answer. */
static bool prepare(Export *export, GError **error)
{
    if (!find_codec(export, error))
        return false;
    sim_lock(export->sim);
    bool found = find_vm(export, error);
    sim_unlock(export->sim);
    if (!found)
        return false;
    if (attach_disks(export, error))
        return true;
    give_back(export);
    return false;
}

static void serve(HttpRequest *request, Sim *sim, bool metadata)
{
    g_autofree char *session = handler_login(request, sim);
    if (!session)
        return;
    g_autoptr(GError) error = NULL;
    Export export = { .sim = sim, .request = request, .metadata = metadata };
    export.vbds = g_ptr_array_new_with_free_func(g_free);
    export.task = handler_task(request, sim, session, "Export of VM");
    if (!prepare(&export, &error)) {
        handler_fail(request, sim, export.task, 500, error);
    } else {
        export.fault =
            fault_stream_open(sim, metadata ? "/export_metadata" : "/export", export.uuid);
        export.out = archive_out_new(metadata ? "none" : export.codec,
                                     sim_options(sim)->old_checksums, send_bytes, &export);
        send_archive(&export, &error);
        finish(&export, error);
    }
    export_clear(&export);
}

static void export_vm(HttpRequest *request, Sim *sim)
{
    serve(request, sim, false);
}

static void export_metadata(HttpRequest *request, Sim *sim)
{
    serve(request, sim, true);
}

const Handler export_vm_handlers[] = {
    { "GET", "/export", export_vm },
    { "GET", "/export_metadata", export_metadata },
    { NULL, NULL, NULL },
};
