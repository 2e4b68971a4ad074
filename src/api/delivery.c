/* Names of files are cut down to what every browser and file system takes. */
#include "api/delivery.h"

static bool begin(Delivery *delivery, GError **error)
{
    g_autofree char *name = g_strdup(delivery->name);
    g_strcanon(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", '_');
    g_autofree char *disposition =
        g_strdup_printf("attachment; filename=\"%s.%s\"", name, delivery->suffix);
    http_reply_header(delivery->request, "Content-Disposition", disposition);
    delivery->begun = true;
    const char *type = delivery->type ? delivery->type : "application/octet-stream";
    return http_reply_begin(delivery->request, 200, type,
                            delivery->n_bytes < 0 ? HTTP_LENGTH_CHUNKED : delivery->n_bytes, error);
}

bool delivery_write(const void *data, size_t n, void *user, GError **error)
{
    Delivery *delivery = user;
    return (delivery->begun || begin(delivery, error)) &&
           http_reply_write(delivery->request, data, n, error);
}

bool delivery_end(Delivery *delivery, bool ok)
{
    if (!delivery->begun && ok)
        begin(delivery, NULL);
    if (!delivery->begun)
        return false;
    if (!ok || !http_reply_end(delivery->request, NULL))
        http_abort(delivery->request);
    return true;
}
