/* A pool speaks VHD and raw. Other formats are made of the VHD that it sends, through a pipe, and
 * come in as the raw bytes that they stand for. */
#include "api/disk_flow.h"
#include "api/conduit.h"
#include "api/methods/vm_devices.h"
#include "api/vhd_arrival.h"
#include "base/error.h"
#include "base/log.h"
#include "disk/image.h"
#include "disk/image_in.h"

#include <string.h>

enum { ZEROS_BYTES = 64 << 10, MAX_PIECE_BYTES = 1 << 20 };

/* --- Out --- */

static bool feed(Conduit *conduit, void *user, GError **error)
{
    const DiskOut *out = user;
    return xapi_export_vdi(out->xapi, out->vdi, NULL, "vhd", conduit_write, conduit, NULL, error);
}

static bool give_piece(const DiskOut *out, const ImagePiece *piece, GError **error)
{
    static const guint8 zeros[ZEROS_BYTES];
    guint64 left = piece->n_bytes;
    for (const guint8 *at = piece->data; left > 0;) {
        gsize n = (gsize) MIN(left, at ? MAX_PIECE_BYTES : ZEROS_BYTES);
        if (!out->sink(at ? at : zeros, n, out->user, error))
            return false;
        at = at ? at + n : NULL;
        left -= n;
    }
    return true;
}

static bool give_image(const DiskOut *out, Image *image, GError **error)
{
    ImagePiece piece;
    if (out->length)
        out->length((gint64) image_bytes(image), out->user);
    do {
        if (!image_next(image, &piece, error) || !give_piece(out, &piece, error))
            return false;
    } while (piece.n_bytes);
    return true;
}

static bool give_converted(const DiskOut *out, GError **error)
{
    g_autoptr(Conduit) conduit = conduit_new(feed, (void *) out, error);
    if (!conduit)
        return false;
    g_autoptr(Disk) disk = vhd_pull_open(conduit_read, conduit, error);
    g_autoptr(Image) image = disk ? image_new(out->format, disk, error) : NULL;
    return image && give_image(out, image, error) && vhd_pull_finish(disk, error);
}

bool disk_give(const DiskOut *out, GError **error)
{
    bool raw = g_str_equal(out->format, "raw");
    if (!raw && !g_str_equal(out->format, "vhd"))
        return give_converted(out, error);
    if (out->length)
        out->length(raw ? (gint64) out->size_bytes : -1, out->user);
    return xapi_export_vdi(out->xapi, out->vdi, NULL, out->format, out->sink, out->user, NULL,
                           error);
}

/* --- In --- */

static ssize_t read_image(void *data, size_t n, void *user, GError **error)
{
    return image_in_read(user, data, n, error);
}

/* What is left of the file after the end of the disk. */
static bool drain(const DiskIn *in, GError **error)
{
    g_autofree char *nothing = g_malloc(ZEROS_BYTES);
    ssize_t n;
    while ((n = in->source(nothing, ZEROS_BYTES, in->user, error)) > 0)
        ;
    return n == 0;
}

/* Fills the disk that was made for it, or destroys it again. */
static char *fill_or_drop(Xapi *xapi, char *vdi, const char *format, HttpSource source,
                          gint64 n_bytes, void *user, GError **error)
{
    if (vdi && xapi_import_vdi(xapi, vdi, format, source, n_bytes, user, NULL, error))
        return vdi;
    g_autoptr(GError) stays = NULL;
    if (vdi && !disk_drop(xapi, vdi, &stays))
        log_warning("api", "half-filled disk %s stays: %s", vdi, stays->message);
    g_free(vdi);
    return NULL;
}

static char *take_vhd(Xapi *xapi, NewDisk *disk, const DiskIn *in, GError **error)
{
    VhdArrival vhd = { .source = in->source, .user = in->user };
    disk->size_bytes = vhd_arrival_bytes(&vhd, error);
    if (disk->size_bytes < 0)
        return NULL;
    char *vdi = disk_create(xapi, disk, error);
    return fill_or_drop(xapi, vdi, "vhd", vhd_arrival_read, in->n_bytes, &vhd, error);
}

/* After the last byte the file must have ended well, too: image_in_read tells. */
static bool ended_well(ImageIn *image, const DiskIn *in, GError **error)
{
    char more;
    gssize n = image_in_read(image, &more, 1, error);
    return n == 0 && drain(in, error);
}

static char *take_image(Xapi *xapi, NewDisk *disk, const DiskIn *in, GError **error)
{
    const char *format = g_str_equal(in->format, "iso") ? "raw" : in->format;
    g_autoptr(ImageIn)
        image = image_in_new(format, in->n_bytes, in->source, in->user, in->folder, error);
    if (!image)
        return NULL;
    disk->size_bytes = (gint64) image_in_bytes(image);
    char *vdi = disk_create(xapi, disk, error);
    vdi = fill_or_drop(xapi, vdi, "raw", read_image, (gint64) image_in_bytes(image), image, error);
    if (!vdi || ended_well(image, in, error))
        return vdi;
    disk_drop(xapi, vdi, NULL);
    g_free(vdi);
    return NULL;
}

char *disk_take(Xapi *xapi, const char *sr, const char *name, const char *description,
                const DiskIn *in, GError **error)
{
    NewDisk disk = { .name_label = name, .name_description = description, .sr = sr };
    return g_str_equal(in->format, "vhd") ? take_vhd(xapi, &disk, in, error)
                                          : take_image(xapi, &disk, in, error);
}

bool disk_fill(Xapi *xapi, const char *vdi, const DiskIn *in, GError **error)
{
    return xapi_import_vdi(xapi, vdi, in->format, in->source, in->n_bytes, in->user, NULL, error);
}
