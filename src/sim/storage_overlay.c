/* Free slots are a stack of numbers; the file grows by one slot when the stack is empty. */
#include "sim/storage_overlay.h"

#include "base/error.h"
#include "sim/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct Overlay {
    int fd;
    guint32 n_slots; /* ever taken */
    GArray *free;    /* guint32 */
};

static int open_unnamed(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    g_autofree char *path = g_build_filename(folder, "overlay-XXXXXX", NULL);
    fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlink(path);
    return fd;
}

Overlay *overlay_new(const char *folder, GError **error)
{
    int fd = open_unnamed(folder);
    if (fd < 0) {
        err_set_errno(error, errno, "creating the overlay file in %s", folder);
        return NULL;
    }
    Overlay *overlay = g_new0(Overlay, 1);
    overlay->fd = fd;
    overlay->free = g_array_new(FALSE, FALSE, sizeof(guint32));
    return overlay;
}

void overlay_free(Overlay *overlay)
{
    if (!overlay)
        return;
    close(overlay->fd);
    g_array_unref(overlay->free);
    g_free(overlay);
}

bool overlay_take(Overlay *overlay, guint32 *slot, GError **error)
{
    if (overlay->free->len) {
        *slot = g_array_index(overlay->free, guint32, overlay->free->len - 1);
        g_array_set_size(overlay->free, overlay->free->len - 1);
        return true;
    }
    if (overlay->n_slots == OVERLAY_MAX_SLOTS) {
        err_set(error, ERR_LIMIT, "the overlay file holds its maximum of %u cells",
                OVERLAY_MAX_SLOTS);
        return false;
    }
    *slot = overlay->n_slots++;
    return true;
}

static off_t slot_offset(guint32 slot)
{
    return (off_t) slot * SEED_CELL_BYTES;
}

void overlay_give(Overlay *overlay, guint32 slot)
{
    g_array_append_val(overlay->free, slot);
    /* Only to save room: a file system that cannot punch keeps the bytes until the slot is reused.
     */
    (void) !fallocate(overlay->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, slot_offset(slot),
                      SEED_CELL_BYTES);
}

bool overlay_write(Overlay *overlay, guint32 slot, const void *cell, GError **error)
{
    const char *data = cell;
    for (gsize done = 0; done < SEED_CELL_BYTES;) {
        ssize_t n = pwrite(overlay->fd, data + done, SEED_CELL_BYTES - done,
                           slot_offset(slot) + (off_t) done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err_set_errno(error, n ? errno : ENOSPC, "writing cell %u of the overlay file", slot);
            return false;
        }
        done += (gsize) n;
    }
    return true;
}

bool overlay_read(Overlay *overlay, guint32 slot, void *cell, GError **error)
{
    char *data = cell;
    for (gsize done = 0; done < SEED_CELL_BYTES;) {
        ssize_t n = pread(overlay->fd, data + done, SEED_CELL_BYTES - done,
                          slot_offset(slot) + (off_t) done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err_set_errno(error, n ? errno : EIO, "reading cell %u of the overlay file", slot);
            return false;
        }
        done += (gsize) n;
    }
    return true;
}

guint32 overlay_n_held(const Overlay *overlay)
{
    return overlay->n_slots - overlay->free->len;
}
