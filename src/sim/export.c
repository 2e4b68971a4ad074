/* GET /export_raw_vdi: a disk as raw bytes, as a full VHD, or as what differs from another disk.
 *
 * The answer has no length and ends with the connection. Errors before its first byte are answers
 * of their own; later ones only cut the connection. The task tells the truth in both cases. */
#include "sim/handler.h"

#include "base/log.h"
#include "sim/export_vhd.h"
#include "sim/fault.h"
#include "sim/storage_disk.h"
#include "sim/storage_io.h"
#include "sim/task.h"

#include <string.h>

enum { DETACH_MS = 100 };

typedef struct {
    Sim *sim;
    HttpRequest *request;
    char *task, *vdi, *uuid, *vbd;
    bool is_vhd;
    guint64 size_bytes;
    char *base; /* ref, NULL: a full export */
    /* Of a VHD: */
    guint8 *present;
    guint32 n_present;
    guint8 uid[16], base_uid[16];
    char *base_name;
    /* On the way: */
    FaultStream *fault;
    guint64 total_bytes, sent_bytes;
    double shown;
} Export;

static void export_clear(Export *export)
{
    g_free(export->task);
    g_free(export->vdi);
    g_free(export->uuid);
    g_free(export->vbd);
    g_free(export->base);
    g_free(export->present);
    g_free(export->base_name);
    g_clear_pointer(&export->fault, fault_stream_close);
}

/* --- What is asked for --- */

static bool find_base(Export *export, const char *text, GError **error)
{
    Obj *base = obj_find_any(export->sim, "VDI", text);
    if (!base) {
        sim_error(error, "HANDLE_INVALID", "VDI", text, NULL);
        return false;
    }
    const StoredDisk *disk = storage_disk_with_data(export->sim, obj_ref(base), error);
    if (!disk)
        return false;
    if (disk->is_file || !export->is_vhd) {
        sim_error(error, "INTERNAL_ERROR", "a difference can be taken of VHD disks only", NULL);
        return false;
    }
    export->base = g_strdup(obj_ref(base));
    export->base_name = g_strdup_printf("%s.vhd", obj_uuid(base));
    memcpy(export->base_uid, vhd_node_uid(disk->node), 16);
    return true;
}

/* With the lock. */
static bool find_disk(Export *export, const char *vdi, const char *base, GError **error)
{
    Obj *record = vdi ? obj_find_any(export->sim, "VDI", vdi) : NULL;
    if (!record) {
        sim_error(error, vdi ? "HANDLE_INVALID" : "VDI_MISSING", vdi ? "VDI" : "", vdi, NULL);
        return false;
    }
    const StoredDisk *disk = storage_disk_with_data(export->sim, obj_ref(record), error);
    if (!disk || (base && !find_base(export, base, error)))
        return false;
    export->vdi = g_strdup(obj_ref(record));
    export->uuid = g_strdup(obj_uuid(record));
    export->size_bytes = vhd_node_size_bytes(disk->node);
    if (export->is_vhd && export->size_bytes > VHD_MAX_SIZE_BYTES) {
        sim_error(error, "VDI_TOO_LARGE", export->vdi, G_STRINGIFY(2190433320960), NULL);
        return false;
    }
    memcpy(export->uid, vhd_node_uid(disk->node), 16);
    return true;
}

/* Once the disk is attached, so that the map is that of what will be read. */
static bool map_disk(Export *export, GError **error)
{
    sim_lock(export->sim);
    const StoredDisk *disk = storage_disk_with_data(export->sim, export->vdi, error);
    const StoredDisk *base =
        disk && export->base ? storage_disk_with_data(export->sim, export->base, error) : NULL;
    bool ok = disk && (base || !export->base);
    if (ok)
        export->present = vhd_chain_diff(disk->node, base ? base->node : NULL, &export->n_present);
    sim_unlock(export->sim);
    return ok;
}

/* --- Sending --- */

static bool send_bytes(Export *export, const void *data, gsize n, GError **error)
{
    export->sent_bytes += n;
    return handler_send(export->request, export->fault, data, n, error);
}

/* Between blocks. */
static bool look_up(Export *export, GError **error)
{
    return handler_step(export->sim, export->task, export->sent_bytes, export->total_bytes,
                        &export->shown, error);
}

static bool send_raw(Export *export, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(VHD_BLOCK_BYTES);
    export->total_bytes = export->size_bytes;
    for (guint64 at = 0; at < export->size_bytes; at += VHD_BLOCK_BYTES) {
        gsize n = (gsize) MIN(export->size_bytes - at, VHD_BLOCK_BYTES);
        if (!look_up(export, error) ||
            !storage_read(export->sim, export->vdi, at, buffer, n, error) ||
            !send_bytes(export, buffer, n, error))
            return false;
    }
    return true;
}

/* A block as it stands in the file: a sector of ones, then its bytes. */
static bool send_block(Export *export, guint32 block, guint8 *buffer, GError **error)
{
    guint64 offset = (guint64) block * VHD_BLOCK_BYTES;
    gsize n = (gsize) MIN(export->size_bytes - offset, VHD_BLOCK_BYTES);
    memset(buffer, 0xff, VHD_SECTOR_BYTES);
    memset(buffer + VHD_SECTOR_BYTES + n, 0, VHD_BLOCK_BYTES - n);
    return look_up(export, error) &&
           storage_read(export->sim, export->vdi, offset, buffer + VHD_SECTOR_BYTES, n, error) &&
           send_bytes(export, buffer, VHD_SECTOR_BYTES + VHD_BLOCK_BYTES, error);
}

static bool send_vhd(Export *export, GError **error)
{
    const ExportVhd vhd = { .size_bytes = export->size_bytes,
                            .uid = export->uid,
                            .parent_uid = export->base ? export->base_uid : NULL,
                            .parent_name = export->base_name,
                            .present = export->present };
    g_autofree guint8 *buffer = g_malloc(VHD_SECTOR_BYTES + VHD_BLOCK_BYTES);
    g_autoptr(GByteArray) head = export_vhd_head(&vhd);
    guint8 footer[VHD_SECTOR_BYTES];
    export_vhd_footer(&vhd, footer);
    export->total_bytes = export_vhd_bytes(&vhd);
    if (!send_bytes(export, head->data, head->len, error))
        return false;
    for (guint32 block = 0; block < export_vhd_n_blocks(&vhd); block++)
        if (export_vhd_has(&vhd, block) && !send_block(export, block, buffer, error))
            return false;
    return send_bytes(export, footer, sizeof footer, error);
}

static bool send_disk(Export *export, GError **error)
{
    g_autofree char *name = g_strdup_printf("attachment; filename=\"%s.%s\"", export->uuid,
                                            export->is_vhd ? "vhd" : "raw");
    http_reply_header(export->request, "Content-Disposition", name);
    http_reply_close(export->request);
    if (!http_reply_begin(export->request, 200,
                          export->is_vhd ? "application/vhd" : "application/octet-stream",
                          HTTP_LENGTH_UNTIL_CLOSE, error))
        return false;
    bool ok = export->is_vhd ? send_vhd(export, error) : send_raw(export, error);
    return ok && http_reply_end(export->request, error);
}

/* The disk goes back before the task ends, and the task says how it went. */
static void finish(Export *export, const GError *error)
{
    if (error)
        http_abort(export->request);
    storage_detach(export->sim, export->vbd, DETACH_MS);
    sim_lock(export->sim);
    if (!error)
        sim_task_succeed(export->sim, export->task, NULL);
    else if (err_is(error, ERR_XAPI))
        sim_task_fail(export->sim, export->task, error);
    else {
        g_autoptr(GError) cause = NULL;
        sim_error(&cause, "VDI_IO_ERROR", "Device I/O errors", NULL);
        sim_task_fail(export->sim, export->task, cause);
        log_info("sim", "export of disk %s: %s", export->uuid, error->message);
    }
    sim_unlock(export->sim);
}

/* --- The request --- */

/* All that can be refused with an answer; 0 or the status of the refusal. */
static int prepare(Export *export, GError **error)
{
    const char *format = handler_param(export->request, "format");
    export->is_vhd = g_strcmp0(format, "vhd") == 0;
    if (format && !export->is_vhd && strcmp(format, "raw") != 0) {
        g_autofree char *text = g_strdup_printf("Unknown format %s", format);
        sim_error(error, "INTERNAL_ERROR", text, NULL);
        return 404;
    }
    sim_lock(export->sim);
    bool found = find_disk(export, handler_param(export->request, "vdi"),
                           handler_param(export->request, "base"), error);
    sim_unlock(export->sim);
    if (!found)
        return 500;
    export->vbd = storage_attach(export->sim, export->vdi, false, error);
    if (!export->vbd)
        return 500;
    if (!map_disk(export, error)) {
        storage_detach(export->sim, export->vbd, 0);
        return 500;
    }
    return 0;
}

static void export_raw_vdi(HttpRequest *request, Sim *sim)
{
    g_autofree char *session = handler_login(request, sim);
    if (!session)
        return;
    g_autoptr(GError) error = NULL;
    Export export = { .sim = sim, .request = request };
    export.task = handler_task(request, sim, session, "Exporting raw VDI");
    int status = prepare(&export, &error);
    if (status) {
        handler_fail(request, sim, export.task, status, error);
    } else {
        export.fault = fault_stream_open(sim, "/export_raw_vdi", export.uuid);
        send_disk(&export, &error);
        finish(&export, error);
    }
    export_clear(&export);
}

const Handler export_handlers[] = {
    { "GET", "/export_raw_vdi", export_raw_vdi },
    { NULL, NULL, NULL },
};
