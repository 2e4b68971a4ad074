/* PUT /import_raw_vdi: bytes or a VHD into a disk.
 *
 * The answer 200 goes out before the body is read: whether it went well is in the task. An empty
 * body with no task is a client's probe and changes nothing. A length of 1 PiB stands for
 * "unknown": the data ends with the connection. */
#include "sim/handler.h"

#include "base/log.h"
#include "base/mutant.h"
#include "sim/fault.h"
#include "sim/import_vhd.h"
#include "sim/storage_disk.h"
#include "sim/storage_io.h"
#include "sim/task.h"

#include <string.h>

enum { DETACH_MS = 100 };

typedef struct {
    Sim *sim;
    HttpRequest *request;
    char *task; /* NULL: the client asked for none and may be probing */
    char *vdi, *uuid, *vbd;
    gint64 length;  /* HANDLER_UNKNOWN_BYTES when the client does not know */
    ImportVhd *vhd; /* NULL: raw */
    guint64 offset; /* raw: of the next byte */
    FaultStream *fault;
    guint64 received_bytes;
    double shown;
} Import;

static void import_clear(Import *import)
{
    g_free(import->task);
    g_free(import->vdi);
    g_free(import->uuid);
    g_free(import->vbd);
    g_clear_pointer(&import->vhd, import_vhd_free);
    g_clear_pointer(&import->fault, fault_stream_close);
}

/* --- Storing --- */

static bool check_vhd_size(guint64 size_bytes, void *user, GError **error)
{
    Import *import = user;
    sim_lock(import->sim);
    const StoredDisk *disk = storage_disk_with_data(import->sim, import->vdi, error);
    guint64 room = disk ? vhd_node_size_bytes(disk->node) : 0;
    sim_unlock(import->sim);
    if (disk && size_bytes > room)
        err_set(error, ERR_INVALID, "a VHD of %" G_GUINT64_FORMAT " bytes does not fit the disk",
                size_bytes);
    return disk && size_bytes <= room;
}

static bool write_vhd_data(guint64 offset, const void *data, gsize n, void *user, GError **error)
{
    Import *import = user;
    return storage_write(import->sim, import->vdi, offset, data, n, error);
}

static bool store(Import *import, const void *data, gsize n, GError **error)
{
    if (import->vhd)
        return import_vhd_feed(import->vhd, data, n, error);
    bool ok = storage_write(import->sim, import->vdi, import->offset, data, n, error);
    import->offset += n;
    return ok;
}

/* --- Receiving --- */

/* Fills the buffer from the body; less only at its end, -1 with an error. */
static gssize receive(Import *import, guint8 *buffer, gsize size, GError **error)
{
    gsize n = 0;
    while (n < size) {
        g_autoptr(GError) cause = NULL;
        ssize_t got = http_read(import->request, buffer + n, size - n, &cause);
        if (got < 0 && import->length < HANDLER_UNKNOWN_BYTES) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return -1;
        }
        if (got <= 0)
            break;
        if (fault_stream_pass(import->fault, (gsize) got) < (gsize) got) {
            err_set(error, ERR_IO, "the stream was cut by a fault");
            return -1;
        }
        n += (gsize) got;
    }
    import->received_bytes += n;
    return (gssize) n;
}

/* The rest, after the `n` bytes that are in the buffer already. */
static bool receive_all(Import *import, guint8 *buffer, gssize n, GError **error)
{
    for (; n >= 0; n = receive(import, buffer, VHD_BLOCK_BYTES, error)) {
        if (!handler_step(import->sim, import->task, (guint64) import->received_bytes,
                          (guint64) import->length, &import->shown, error) ||
            (n && !store(import, buffer, (gsize) n, error)))
            return false;
        if (import->vhd && import_vhd_is_complete(import->vhd))
            return true;
        if ((gsize) n < VHD_BLOCK_BYTES)
            break;
    }
    return n >= 0 && (!import->vhd ||
                      MUTANT(sim_import_accepts_truncated) || /* mutant: system:test_sim_data */
                      import_vhd_finish(import->vhd, error));
}

/* What the client still sends after the end of the VHD, so that it is not met by a reset. */
static void drain(Import *import)
{
    g_autofree guint8 *buffer = g_malloc(VHD_BLOCK_BYTES);
    while (http_read(import->request, buffer, VHD_BLOCK_BYTES, NULL) > 0)
        ;
}

static void finish(Import *import, const GError *error)
{
    const char *name = import->uuid ? import->uuid : "to be made";
    if (import->vbd) {
        storage_write_end(import->sim, import->vdi);
        storage_detach(import->sim, import->vbd, DETACH_MS);
    }
    sim_lock(import->sim);
    if (error && err_is(error, ERR_XAPI) && strcmp(err_xapi_code(error), "TASK_CANCELLED") == 0) {
        sim_task_fail(import->sim, import->task, error);
    } else if (error) {
        g_autoptr(GError) cause = NULL;
        sim_error(&cause, "VDI_IO_ERROR", "Device I/O errors", NULL);
        sim_task_fail(import->sim, import->task, cause);
        log_info("sim", "import into disk %s: %s", name, error->message);
    } else {
        json_t *result = json_string(import->vdi);
        sim_task_succeed(import->sim, import->task, result);
        json_decref(result);
    }
    sim_unlock(import->sim);
}

/* raw + sr_id: the disk is made for the bytes. */
static bool make_disk(Import *import, GError **error)
{
    sim_lock(import->sim);
    import->vdi = storage_create(import->sim, handler_param(import->request, "sr_id"),
                                 "Imported VDI", "user", import->length, error);
    if (import->vdi)
        import->uuid = g_strdup(obj_uuid(obj_find(import->sim, "VDI", import->vdi)));
    sim_unlock(import->sim);
    return import->vdi != NULL;
}

static bool attach(Import *import, GError **error)
{
    if (!import->vbd)
        import->vbd = storage_attach(import->sim, import->vdi, true, error);
    return import->vbd != NULL;
}

/* Answers, then takes the data. A probe is known by what does not come. */
static void transfer(Import *import, bool may_be_probe)
{
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *buffer = g_malloc(VHD_BLOCK_BYTES);
    import->fault =
        fault_stream_open(import->sim, "/import_raw_vdi", import->uuid ? import->uuid : "");
    http_reply_close(import->request);
    gssize n = -1;
    if (http_reply_begin(import->request, 200, NULL, HTTP_LENGTH_UNTIL_CLOSE, &error))
        n = receive(import, buffer, VHD_BLOCK_BYTES, &error);
    if (may_be_probe && !n) {
        http_reply_end(import->request, NULL);
        return;
    }
    if (n >= 0 && (import->vdi || make_disk(import, &error)) && attach(import, &error))
        receive_all(import, buffer, n, &error);
    finish(import, error);
    if (error) {
        http_abort(import->request);
        return;
    }
    drain(import);
    http_reply_end(import->request, NULL);
}

/* --- The request --- */

static bool find_disk(Import *import, const char *text, GError **error)
{
    Obj *record = obj_find_any(import->sim, "VDI", text);
    if (!record) {
        sim_error(error, "HANDLE_INVALID", "VDI", text, NULL);
        return false;
    }
    import->vdi = g_strdup(obj_ref(record));
    import->uuid = g_strdup(obj_uuid(record));
    return storage_disk_with_data(import->sim, import->vdi, error) != NULL;
}

/* All that can be refused with an answer; 0 or the status of the refusal. */
static int check_request(Import *import, GError **error)
{
    const char *format = handler_param(import->request, "format");
    bool is_vhd = g_strcmp0(format, "vhd") == 0;
    bool is_raw = !format || strcmp(format, "raw") == 0;
    bool chunked = handler_param(import->request, "chunked") != NULL;
    if ((!is_vhd && !is_raw) || chunked || import->length < 0) {
        sim_error(error, "INTERNAL_ERROR", "this format or transfer coding is not supported", NULL);
        return 404;
    }
    bool makes = is_raw && handler_param(import->request, "sr_id");
    if (!handler_param(import->request, "vdi") && !makes) {
        sim_error(error, "VDI_MISSING", "", "", NULL);
        return 400;
    }
    const ImportVhdOps ops = { check_vhd_size, write_vhd_data };
    if (is_vhd)
        import->vhd = import_vhd_new(&ops, import);
    return 0;
}

static int prepare(Import *import, bool may_be_probe, GError **error)
{
    int status = check_request(import, error);
    if (status)
        return status;
    const char *vdi = handler_param(import->request, "vdi");
    sim_lock(import->sim);
    bool ok = !vdi || find_disk(import, vdi, error);
    sim_unlock(import->sim);
    if (ok && !may_be_probe)
        ok = (vdi || make_disk(import, error)) && attach(import, error);
    return ok ? 0 : 500;
}

static void import_raw_vdi(HttpRequest *request, Sim *sim)
{
    g_autofree char *session = handler_login(request, sim);
    if (!session)
        return;
    g_autoptr(GError) error = NULL;
    Import import = { .sim = sim, .request = request, .length = http_body_bytes(request) };
    bool may_be_probe = !handler_param(request, "task_id") &&
                        (!import.length || import.length >= HANDLER_UNKNOWN_BYTES);
    if (!may_be_probe)
        import.task = handler_task(request, sim, session, "Importing raw VDI");
    int status = prepare(&import, may_be_probe, &error);
    if (status)
        handler_fail(request, sim, import.task, status, error);
    else
        transfer(&import, may_be_probe);
    import_clear(&import);
}

const Handler import_handlers[] = {
    { "PUT", "/import_raw_vdi", import_raw_vdi },
    { NULL, NULL, NULL },
};
