/* The head is kept until it has been read again. */
#include "api/vhd_arrival.h"

#include "base/error.h"

#include <string.h>

gint64 vhd_arrival_bytes(VhdArrival *arrival, GError **error)
{
    VhdFooter footer;
    while (arrival->n_head < sizeof arrival->head) {
        ssize_t n = arrival->source(arrival->head + arrival->n_head,
                                    sizeof arrival->head - arrival->n_head, arrival->user, error);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        arrival->n_head += (gsize) n;
    }
    if (arrival->n_head < sizeof arrival->head) {
        err_set(error, ERR_INVALID, "this is no VHD: it has %zu bytes", arrival->n_head);
        return -1;
    }
    return vhd_footer_parse(arrival->head, &footer, error) ? (gint64) footer.current_size : -1;
}

ssize_t vhd_arrival_read(void *data, size_t n, void *user, GError **error)
{
    VhdArrival *arrival = user;
    gsize left = arrival->n_head - arrival->at;
    if (!left)
        return arrival->source(data, n, arrival->user, error);
    gsize part = MIN(left, n);
    memcpy(data, arrival->head + arrival->at, part);
    arrival->at += part;
    return (ssize_t) part;
}
