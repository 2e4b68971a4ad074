/* host.getSystemStatus and pool.getSystemStatuses: what hosts tell of themselves for a bug report,
 * each an archive that the host makes while it is asked. */
#include "api/methods/content.h"

#include "disk/tar.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PATH   "/system-status?output=tar.bz2"
#define SUFFIX "tar.bz2"

/* --- One host --- */

static void give_one(HttpRequest *request, void *user)
{
    const Content *content = user;
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_strdup_printf("%s-system-status", content->name);
    Delivery delivery = { request, name, SUFFIX, -1, false };
    const char *address = json_string_value(json_object_get(content->data, "address"));
    bool ok = xapi_host_download(content_xapi(content), address, PATH, delivery_write, &delivery,
                                 NULL, &error);
    content_end(content, &delivery, ok, error);
}

static json_t *get_one(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    Content *content = content_new(call, host, SUFFIX);
    content->data = json_pack("{s:s}", "address", api_object_text(host, "address"));
    g_autofree char *name = g_strdup_printf("%s-system-status.%s", content->name, SUFFIX);
    return downloads_stream(call_parts(call)->downloads, name, give_one, content, content_free,
                            error);
}

/* --- All of a pool, in a plain archive: it names the length of a file before the file --- */

enum { PIECE_BYTES = 64 << 10 };
#define MAX_STATUS_BYTES ((guint64) 4 << 30)

typedef struct {
    int fd;
    guint64 n_bytes;
} Spool;

static bool keep(const void *data, size_t n, void *user, GError **error)
{
    Spool *spool = user;
    if (spool->n_bytes + n > MAX_STATUS_BYTES) {
        err_set(error, ERR_LIMIT, "the status of a host has more than %d GiB",
                (int) (MAX_STATUS_BYTES >> 30));
        return false;
    }
    for (size_t done = 0; done < n;) {
        ssize_t step = write(spool->fd, (const char *) data + done, n - done);
        if (step < 0 && errno != EINTR) {
            err_set(error, ERR_IO, "keeping the status of a host: %s", g_strerror(errno));
            return false;
        }
        done += step > 0 ? (size_t) step : 0;
    }
    spool->n_bytes += n;
    return true;
}

static bool copy_out(const Spool *spool, Delivery *delivery, GError **error)
{
    static const char zeros[TAR_SECTOR_BYTES];
    g_autofree char *piece = g_malloc(PIECE_BYTES);
    for (guint64 at = 0; at < spool->n_bytes;) {
        ssize_t n = pread(spool->fd, piece, PIECE_BYTES, (off_t) at);
        if (n <= 0) {
            err_set(error, ERR_IO, "reading the status of a host: %s",
                    n < 0 ? g_strerror(errno) : "it is shorter than it was");
            return false;
        }
        if (!delivery_write(piece, (size_t) n, delivery, error))
            return false;
        at += (guint64) n;
    }
    return delivery_write(zeros, tar_padding(spool->n_bytes), delivery, error);
}

/* `host` is {name, address}. */
static bool add_host(const Content *content, json_t *host, Delivery *delivery, GError **error)
{
    const char *address = json_string_value(json_object_get(host, "address"));
    g_autofree char *name = g_strdup_printf(
        "%.60s-system-status.%s", json_string_value(json_object_get(host, "name")), SUFFIX);
    g_autofree char *path = NULL;
    guint8 header[TAR_SECTOR_BYTES];
    Spool spool = { g_file_open_tmp("cadenza-status-XXXXXX", &path, error), 0 };
    if (spool.fd < 0)
        return false;
    unlink(path);
    g_strdelimit(name, "/", '_');
    bool ok = xapi_host_download(content_xapi(content), address, PATH, keep, &spool, NULL, error);
    /* a name that was cut to so many bytes always fits into a header */
    ok = ok && tar_header(header, name, spool.n_bytes) &&
         delivery_write(header, sizeof(header), delivery, error) &&
         copy_out(&spool, delivery, error);
    close(spool.fd);
    return ok;
}

static void give_all(HttpRequest *request, void *user)
{
    static const char end[2 * TAR_SECTOR_BYTES];
    const Content *content = user;
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_strdup_printf("%s-system-statuses", content->name);
    Delivery delivery = { request, name, "tar", -1, false };
    json_t *host;
    size_t i;
    bool ok = true;
    json_array_foreach (content->data, i, host)
        ok = ok && add_host(content, host, &delivery, &error);
    ok = ok && delivery_write(end, sizeof(end), &delivery, &error);
    content_end(content, &delivery, ok, error);
}

static void add_name(const char *id, const char *type, GBytes *text, void *user)
{
    json_t *host = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    json_array_append_new(user, json_pack("{s:O, s:O}", "name", json_object_get(host, "name_label"),
                                          "address", json_object_get(host, "address")));
    json_decref(host);
}

static json_t *get_all(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "id");
    Content *content = content_new(call, pool, "tar");
    content->data = json_array();
    inventory_each(pool->inventory, "host", add_name, content->data);
    g_autofree char *name = g_strdup_printf("%s-system-statuses.tar", content->name);
    return downloads_stream(call_parts(call)->downloads, name, give_all, content, content_free,
                            error);
}

const Method methods_system_status[] = {
    { "host.getSystemStatus", get_one, PARAMS(REQ(ID("id", "host", "administrate"))),
      .access = ACCESS_USER, .example = "id=$HOST @=status.tar.bz2",
      .summary = "What a host tells of itself for a bug report." },
    { "pool.getSystemStatuses", get_all, PARAMS(REQ(ID("id", "pool", "administrate"))),
      .access = ACCESS_USER, .example = "id=$POOL @=statuses.tar",
      .summary = "What all hosts of a pool tell of themselves for a bug report." },
    { NULL },
};
