/* What all formats share: holes are zeros, clusters come in order, the end is checked. */
#include "disk/image_in_format.h"

#include "base/error.h"

#include <string.h>

static const struct image_in_format *const formats[] = { &image_in_raw, &image_in_vmdk,
                                                         &image_in_qcow2 };

static const struct image_in_format *find(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++)
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

static bool check_size(const ImageIn *in, GError **error)
{
    if (in->size_bytes && in->size_bytes <= IMAGE_IN_MAX_BYTES)
        return true;
    err_set(error, ERR_LIMIT,
            "the %s image has a disk of %" G_GUINT64_FORMAT " bytes: from 1 to %" G_GUINT64_FORMAT
            " are possible",
            in->format->name, in->size_bytes, IMAGE_IN_MAX_BYTES);
    return false;
}

ImageIn *image_in_new(const char *name, gint64 file_bytes, ImageSource source, void *user,
                      const char *folder, GError **error)
{
    const struct image_in_format *format = find(name);
    if (!format) {
        err_set(error, ERR_UNSUPPORTED, "no image format \"%s\": there are raw, vmdk, qcow2", name);
        return NULL;
    }
    ImageIn *in = g_new0(ImageIn, 1);
    in->format = format;
    in->source = source;
    in->user = user;
    in->file_bytes = file_bytes;
    in->folder = g_strdup(folder);
    if (format->open(in, error) && check_size(in, error)) {
        in->cluster = g_malloc(in->cluster_bytes);
        return in;
    }
    image_in_free(in);
    return NULL;
}

void image_in_free(ImageIn *in)
{
    if (!in)
        return;
    in->format->close(in);
    g_free(in->cluster);
    g_free(in->folder);
    g_free(in);
}

guint64 image_in_bytes(const ImageIn *in)
{
    return in->size_bytes;
}

/* --- The file --- */

bool image_in_take_some(ImageIn *in, void *data, gsize *n, GError **error)
{
    gsize done = 0;
    while (done < *n) {
        gssize got = in->source((guint8 *) data + done, *n - done, in->user, error);
        if (got < 0)
            return false;
        if (got == 0)
            break;
        done += (gsize) got;
    }
    in->position += done;
    *n = done;
    return true;
}

bool image_in_take(ImageIn *in, void *data, gsize n, GError **error)
{
    gsize got = n;
    if (!image_in_take_some(in, data, &got, error))
        return false;
    if (got < n)
        err_set(error, ERR_TRUNCATED, "the %s image ends after %" G_GUINT64_FORMAT " bytes",
                in->format->name, in->position);
    return got == n;
}

bool image_in_skip(ImageIn *in, guint64 n, GError **error)
{
    guint8 nothing[4096];
    for (; n > 0; n -= MIN(n, sizeof nothing))
        if (!image_in_take(in, nothing, (gsize) MIN(n, sizeof nothing), error))
            return false;
    return true;
}

/* --- The disk --- */

static bool load(ImageIn *in, GError **error)
{
    if (in->ended || in->place_bytes)
        return true;
    in->used = 0;
    if (!in->format->next(in, error))
        return false;
    if (in->ended)
        return true;
    if (in->place >= in->size_bytes || in->place_bytes > in->cluster_bytes) {
        err_set(error, ERR_CORRUPT, "the %s image has data beyond the end of its disk",
                in->format->name);
        return false;
    }
    in->place_bytes = MIN(in->place_bytes, in->size_bytes - in->place);
    if (in->place >= in->given_bytes)
        return true;
    err_set(error, ERR_UNSUPPORTED,
            "the %s image is not in order, so that it cannot be read as it arrives: write it anew "
            "with `qemu-img convert`",
            in->format->name);
    return false;
}

gssize image_in_read(ImageIn *in, void *data, gsize n, GError **error)
{
    if (!load(in, error))
        return -1;
    guint64 left = in->size_bytes - in->given_bytes;
    guint64 hole = in->place_bytes ? in->place - in->given_bytes : left;
    gsize part = (gsize) MIN(n, hole ? hole : in->place_bytes);
    if (hole) {
        memset(data, 0, part);
    } else {
        memcpy(data, in->cluster + in->used, part);
        in->used += part;
        in->place += part;
        in->place_bytes -= part;
    }
    in->given_bytes += part;
    return (gssize) part;
}
