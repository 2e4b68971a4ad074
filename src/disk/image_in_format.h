/* A format of arriving images. For the files image_in*.c only. */
#pragma once

#include "disk/image_in.h"

struct image_in_format {
    const char *name;
    /* Reads what comes before the data: sets size_bytes and cluster_bytes. */
    bool (*open)(ImageIn *in, GError **error);
    /* Puts the next cluster into in->cluster, its place on the disk and its length into in; false
     * with an error, or in->ended. */
    bool (*next)(ImageIn *in, GError **error);
    void (*close)(ImageIn *in);
};

extern const struct image_in_format image_in_raw, image_in_vmdk, image_in_qcow2;

struct ImageIn {
    const struct image_in_format *format;
    ImageSource source;
    void *user;
    gint64 file_bytes;
    char *folder;     /* for what has to wait; NULL: none */
    guint64 position; /* in the file */
    guint64 size_bytes, given_bytes;
    guint8 *cluster;
    gsize cluster_bytes;        /* room for one */
    guint64 place, place_bytes; /* of the present one; no bytes: none */
    gsize used;                 /* of the present one */
    bool ended;
    void *state; /* the format's */
};

/* All n bytes; TRUNCATED when the file ends before. */
bool image_in_take(ImageIn *in, void *data, gsize n, GError **error);
/* The same, for nothing. */
bool image_in_skip(ImageIn *in, guint64 n, GError **error);
/* *n: fewer at the end of the file. */
bool image_in_take_some(ImageIn *in, void *data, gsize *n, GError **error);
