/* A VHD that arrives as a stream: its footer stands at the beginning, too, and is looked at before
 * the disk is made, then passed on with the rest. */
#pragma once

#include "disk/vhd_format.h"
#include "http/client.h"

typedef struct {
    HttpSource source; /* of the file, with its user */
    void *user;
    guint8 head[VHD_FOOTER_BYTES];
    gsize n_head, at;
} VhdArrival;

/* Size of the disk in bytes; -1: INVALID when the stream is too short, CORRUPT, or the source's
 * error. Blocks as the source does. */
gint64 vhd_arrival_bytes(VhdArrival *arrival, GError **error);
/* An HttpSource of the whole file; the user is the VhdArrival. */
ssize_t vhd_arrival_read(void *data, size_t n, void *arrival, GError **error);
