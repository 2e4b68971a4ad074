/* The file has each byte at its own place, and holes for what was not kept. */
#include "disk/image_spool.h"

#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 256 << 10,
    MAX_GONE = 1 << 16, /* runs; from then on all is kept */
};

/* Of what arrived, this was not kept. */
typedef struct {
    guint64 from, to;
} Gone;

struct ImageSpool {
    ImageSource source;
    void *user;
    char *folder;
    guint64 max_bytes;
    int fd;           /* -1: not needed yet */
    guint64 position; /* of the source */
    guint64 n_kept;
    GArray *gone; /* in order, apart from each other */
    guint8 *piece;
};

ImageSpool *image_spool_new(ImageSource source, void *user, const char *folder, guint64 max_bytes)
{
    ImageSpool *spool = g_new0(ImageSpool, 1);
    spool->source = source;
    spool->user = user;
    spool->folder = g_strdup(folder);
    spool->max_bytes = max_bytes;
    spool->fd = -1;
    spool->gone = g_array_new(FALSE, FALSE, sizeof(Gone));
    return spool;
}

void image_spool_free(ImageSpool *spool)
{
    if (!spool)
        return;
    if (spool->fd >= 0)
        close(spool->fd);
    g_array_unref(spool->gone);
    g_free(spool->piece);
    g_free(spool->folder);
    g_free(spool);
}

guint64 image_spool_bytes(const ImageSpool *spool)
{
    return spool->n_kept;
}

/* --- The file --- */

/* Not all file systems know files without a name: there it loses its name at once. */
static int nameless(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    g_autofree char *path = g_build_filename(folder, ".arriving-XXXXXX", NULL);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static bool make_file(ImageSpool *spool, GError **error)
{
    if (spool->fd >= 0)
        return true;
    if (!spool->folder) {
        err_set(error, ERR_UNSUPPORTED,
                "the image is not in order: write it anew with "
                "`qemu-img convert -O qcow2`");
        return false;
    }
    spool->fd = nameless(spool->folder);
    spool->piece = g_malloc(PIECE_BYTES);
    if (spool->fd < 0)
        err_set_errno(error, errno, "%s: making a file for the image that arrives", spool->folder);
    return spool->fd >= 0;
}

static bool has_room(const ImageSpool *spool, gsize n, GError **error)
{
    struct statvfs room;
    guint64 after = spool->n_kept + n;
    bool limited = !MUTANT(spool_unlimited); /* mutant: disk_image_in */
    if (limited && after > spool->max_bytes) {
        err_set(error, ERR_LIMIT,
                "the image is not in order, and more than %" G_GUINT64_FORMAT
                " bytes of it would have to wait: write it anew with `qemu-img convert -O qcow2`",
                spool->max_bytes);
        return false;
    }
    if (fstatvfs(spool->fd, &room) != 0 || (guint64) room.f_bavail * room.f_frsize >= after)
        return true;
    err_set(error, ERR_NO_SPACE,
            "%s: the image is not in order, and there is no room for what would have to wait: "
            "write it anew with `qemu-img convert -O qcow2`",
            spool->folder);
    return false;
}

static bool keep(ImageSpool *spool, guint64 at, const guint8 *data, gsize n, GError **error)
{
    if (!make_file(spool, error) || !has_room(spool, n, error))
        return false;
    for (gsize done = 0; done < n;) {
        gssize step = pwrite(spool->fd, data + done, n - done, (off_t) (at + done));
        if (step < 0 && errno != EINTR) {
            err_set_errno(error, errno, "%s: keeping an image that arrives", spool->folder);
            return false;
        }
        done += (gsize) MAX(step, 0);
    }
    spool->n_kept += n;
    return true;
}

static bool load(const ImageSpool *spool, guint64 at, guint8 *data, gsize n, GError **error)
{
    for (gsize done = 0; done < n;) {
        gssize step = pread(spool->fd, data + done, n - done, (off_t) (at + done));
        if (step == 0 || (step < 0 && errno != EINTR)) {
            err_set_errno(error, step ? errno : EIO, "%s: reading an image that arrived",
                          spool->folder);
            return false;
        }
        done += (gsize) MAX(step, 0);
    }
    return true;
}

/* --- What was not kept --- */

static bool is_gone(const ImageSpool *spool, guint64 from, guint64 to)
{
    guint low = 0, high = spool->gone->len;
    while (low < high) { /* the first that ends behind `from` */
        guint middle = low + (high - low) / 2;
        if (g_array_index(spool->gone, Gone, middle).to > from)
            high = middle;
        else
            low = middle + 1;
    }
    return low < spool->gone->len && g_array_index(spool->gone, Gone, low).from < to;
}

/* False: there are too many holes already. */
static bool forget(ImageSpool *spool, guint64 from, guint64 to)
{
    GArray *gone = spool->gone;
    Gone *last = gone->len ? &g_array_index(gone, Gone, gone->len - 1) : NULL, run = { from, to };
    if (last && last->to == from)
        last->to = to;
    else if (gone->len < MAX_GONE)
        g_array_append_val(gone, run);
    else
        return false;
    return true;
}

/* --- The stream --- */

static bool take(ImageSpool *spool, guint8 *data, gsize *n, GError **error)
{
    gsize done = 0;
    while (done < *n) {
        gssize got = spool->source(data + done, *n - done, spool->user, error);
        if (got < 0)
            return false;
        if (got == 0)
            break;
        done += (gsize) got;
    }
    spool->position += done;
    *n = done;
    return true;
}

/* As far as `at`, or the end. */
static bool pass_to(ImageSpool *spool, guint64 at, GError **error)
{
    while (spool->position < at) {
        guint64 from = spool->position;
        gsize n = (gsize) MIN(at - from, PIECE_BYTES);
        if (!make_file(spool, error) || !take(spool, spool->piece, &n, error))
            return false;
        if (!n)
            break;
        if (!keep(spool, from, spool->piece, n, error))
            return false;
    }
    return true;
}

bool image_spool_read(ImageSpool *spool, guint64 at, void *data, gsize *n, bool for_good,
                      GError **error)
{
    if (!pass_to(spool, at, error))
        return false;
    gsize old = (gsize) MIN(*n, spool->position - MIN(at, spool->position));
    if (old && is_gone(spool, at, at + old) && !MUTANT(spool_zeros)) { /* mutant: disk_image_in */
        err_set(error, ERR_CORRUPT, "the image is damaged: two of its entries name the same place");
        return false;
    }
    if (old && !load(spool, at, data, old, error))
        return false;
    guint64 from = spool->position;
    gsize new = *n - old;
    if (from < at + old) { /* it has ended before */
        *n = 0;
        return true;
    }
    if (!take(spool, (guint8 *) data + old, &new, error))
        return false;
    *n = old + new;
    return !new || (for_good && forget(spool, from, from + new)) ||
           keep(spool, from, (guint8 *) data + old, new, error);
}
