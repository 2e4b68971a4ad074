/* One window of the file is collected and written at once. O_DIRECT is switched on for whole blocks
 * and off for edges: the kernel keeps both views of a file the same. */
#include "remote/direct.h"

#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PUSH_EVERY_BYTES = 8 << 20 };

void direct_init(DirectFile *file, int fd, bool possible)
{
    *file = (DirectFile){ .fd = fd, .possible = possible };
}

void direct_clear(DirectFile *file)
{
    g_clear_pointer(&file->window, g_aligned_free);
}

static guint64 block_down(guint64 at)
{
    return at & ~(guint64) (DIRECT_BLOCK_BYTES - 1);
}

static guint64 block_up(guint64 at)
{
    return block_down(at + DIRECT_BLOCK_BYTES - 1);
}

static bool is_aligned(const void *memory)
{
    return ((gsize) memory & (DIRECT_BLOCK_BYTES - 1)) == 0;
}

static void make_window(DirectFile *file)
{
    if (!file->window)
        file->window = g_aligned_alloc(1, DIRECT_WINDOW_BYTES, DIRECT_BLOCK_BYTES);
}

static bool switch_direct(DirectFile *file, bool on)
{
    int flags = fcntl(file->fd, F_GETFL);
    return flags >= 0 && fcntl(file->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* Of memory and file alike; whole blocks where the kernel does not tell. */
static gsize sector_of(DirectFile *file)
{
    struct statx st = { 0 };
    if (file->sector_bytes)
        return file->sector_bytes;
    file->sector_bytes = DIRECT_BLOCK_BYTES;
    if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 &&
        st.stx_mask & STATX_DIOALIGN && st.stx_dio_mem_align && st.stx_dio_offset_align)
        file->sector_bytes = MAX(st.stx_dio_mem_align, st.stx_dio_offset_align);
    return file->sector_bytes;
}

/* --- Writing --- */

static bool write_all(int fd, const guint8 *data, gsize n, guint64 offset)
{
    while (n > 0) {
        ssize_t done = pwrite(fd, data, n, (off_t) offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = ENOSPC;
        if (done <= 0)
            return false;
        data += done;
        offset += (guint64) done;
        n -= (gsize) done;
    }
    return true;
}

/* The disk works while more is collected; pages that have reached it are let go. Hints: a failure
 * shows at the sync. */
static void push(DirectFile *file, guint64 end)
{
    if (end < file->pushed || end - file->pushed < PUSH_EVERY_BYTES)
        return;
    guint64 last = file->pushed > PUSH_EVERY_BYTES ? file->pushed - PUSH_EVERY_BYTES : 0;
    sync_file_range(file->fd, (off_t) file->pushed, (off_t) (end - file->pushed),
                    SYNC_FILE_RANGE_WRITE);
    sync_file_range(file->fd, (off_t) last, (off_t) (file->pushed - last),
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                        SYNC_FILE_RANGE_WAIT_AFTER);
    posix_fadvise(file->fd, (off_t) last, (off_t) (file->pushed - last), POSIX_FADV_DONTNEED);
    file->pushed = end;
}

static bool write_cached(DirectFile *file, const guint8 *data, gsize n, guint64 offset)
{
    if (!write_all(file->fd, data, n, offset))
        return false;
    if (n > 0 && !file->possible)
        push(file, offset + n);
    return true;
}

/* Whole blocks from aligned memory. */
static bool write_blocks(DirectFile *file, const guint8 *data, gsize n, guint64 offset)
{
    if (n == 0)
        return true;
    if (file->possible) {
        bool ok = switch_direct(file, true) && write_all(file->fd, data, n, offset);
        int failed = ok ? 0 : errno;
        switch_direct(file, false);
        errno = failed;
        if (ok || failed != EINVAL)
            return ok;
        file->possible = false;
    }
    return write_cached(file, data, n, offset);
}

bool direct_flush(DirectFile *file)
{
    if (file->n == 0)
        return true;
    guint64 at = file->at, end = at + file->n;
    const guint8 *data = file->window + (at - block_down(at));
    guint64 from = MIN(block_up(at), end), to = MAX(block_down(end), from);
    file->n = 0;
    return write_cached(file, data, from - at, at) &&
           write_blocks(file, data + (from - at), to - from, from) &&
           (MUTANT(direct_loses_edge) || /* mutant: remote_direct */
            write_cached(file, data + (to - at), end - to, to));
}

static gsize room_after(const DirectFile *file)
{
    return DIRECT_WINDOW_BYTES - (gsize) (file->at - block_down(file->at)) - file->n;
}

static bool collect(DirectFile *file, guint64 offset, const guint8 *data, gsize n)
{
    make_window(file);
    while (n > 0) {
        if (file->n == 0)
            file->at = offset;
        gsize part = MIN(n, room_after(file));
        memcpy(file->window + (file->at - block_down(file->at)) + file->n, data, part);
        file->n += part;
        data += part;
        offset += part;
        n -= part;
        if (room_after(file) == 0 && !direct_flush(file))
            return false;
    }
    return true;
}

/* What is collected and what comes, up to the last whole block, in one write and without a copy. */
static bool write_gathered(DirectFile *file, const guint8 *data, gsize n)
{
    struct iovec parts[2] = { { file->window, file->n }, { (void *) data, n } };
    gssize want = (gssize) (file->n + n);
    gssize done = switch_direct(file, true)
                      ? pwritev(file->fd, parts, G_N_ELEMENTS(parts), (off_t) file->at)
                      : -1;
    switch_direct(file, false);
    if (done != want) /* refused, or cut short: again, and then it tells */
        return write_blocks(file, file->window, file->n, file->at) &&
               write_cached(file, data, n, file->at + file->n);
    return true;
}

/* From a whole block of the file on, and memory as the device wants it. */
static bool can_gather(DirectFile *file, guint64 offset, const guint8 *data, gsize n)
{
    guint64 at = file->n ? file->at : offset;
    return file->possible && n >= DIRECT_MIN_BYTES && at == block_down(at) &&
           (((gsize) data | file->n) & (sector_of(file) - 1)) == 0;
}

/* The edge before the first whole block. */
static bool write_edge(DirectFile *file, guint64 *offset, const guint8 **data, gsize *n)
{
    guint64 at = file->n ? file->at : *offset;
    if (*n < DIRECT_MIN_BYTES || !file->possible || at == block_down(at))
        return true;
    gsize edge = (gsize) (block_up(*offset) - *offset);
    if (!direct_flush(file) || !write_cached(file, *data, edge, *offset))
        return false;
    *offset += edge;
    *data += edge;
    *n -= edge;
    return true;
}

bool direct_write(DirectFile *file, guint64 offset, const void *data, gsize n)
{
    const guint8 *next = data;
    if (file->n > 0 && offset != file->at + file->n && !direct_flush(file))
        return false;
    if (!write_edge(file, &offset, &next, &n))
        return false;
    if (can_gather(file, offset, next, n)) {
        make_window(file);
        file->at = offset - file->n;
        gsize whole = (gsize) block_down(file->n + n) - file->n;
        if (!write_gathered(file, next, whole))
            return false;
        file->n = 0;
        offset += whole;
        next += whole;
        n -= whole;
    }
    if (!file->possible && file->n == 0)
        return write_cached(file, next, n, offset);
    return collect(file, offset, next, n);
}

bool direct_write_whole(DirectFile *file, const void *data, gsize n)
{
    gsize whole = is_aligned(data) && n >= DIRECT_MIN_BYTES ? (gsize) block_down(n) : 0;
    if (whole > 0 || n < DIRECT_MIN_BYTES)
        return write_blocks(file, data, whole, 0) &&
               write_cached(file, (const guint8 *) data + whole, n - whole, whole);
    return direct_write(file, 0, data, n) && direct_flush(file);
}

/* --- Reading --- */

static gssize read_all(int fd, guint8 *buffer, gsize n, guint64 offset)
{
    gsize n_read = 0;
    while (n_read < n) {
        ssize_t done = pread(fd, buffer + n_read, n - n_read, (off_t) (offset + n_read));
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        if (done == 0)
            break;
        n_read += (gsize) done;
        if (n_read % DIRECT_BLOCK_BYTES) /* past the cache only the end of the file is not whole */
            break;
    }
    return (gssize) n_read;
}

/* By whole blocks into the window, and from there what is wanted. */
static gssize read_direct(DirectFile *file, guint64 offset, guint8 *buffer, gsize n)
{
    gsize n_read = 0;
    make_window(file);
    while (n_read < n) {
        guint64 at = offset + n_read, from = block_down(at);
        gsize want = (gsize) MIN(block_up(offset + n) - from, DIRECT_WINDOW_BYTES);
        bool straight = at == from && is_aligned(buffer + n_read) && n - n_read >= want;
        if (straight)
            want = (gsize) block_down(n - n_read);
        gssize got = read_all(file->fd, straight ? buffer + n_read : file->window, want, from);
        if (got < 0)
            return -1;
        gsize skip = (gsize) (at - from), use = (gsize) got > skip ? (gsize) got - skip : 0;
        use = MIN(use, n - n_read);
        if (!straight)
            memcpy(buffer + n_read, file->window + skip, use);
        n_read += use;
        if ((gsize) got < want)
            break;
    }
    return (gssize) n_read;
}

static gssize read_cached(DirectFile *file, guint64 offset, guint8 *buffer, gsize n)
{
    gsize n_read = 0;
    while (n_read < n) {
        ssize_t done = pread(file->fd, buffer + n_read, n - n_read, (off_t) (offset + n_read));
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        if (done == 0)
            break;
        n_read += (gsize) done;
    }
    return (gssize) n_read;
}

gssize direct_read(DirectFile *file, guint64 offset, void *buffer, gsize n)
{
    if (n < DIRECT_MIN_BYTES || !file->possible || !switch_direct(file, true))
        return read_cached(file, offset, buffer, n);
    gssize got = read_direct(file, offset, buffer, n);
    int failed = errno;
    switch_direct(file, false);
    errno = failed;
    if (got >= 0 || failed != EINVAL)
        return got;
    file->possible = false;
    return read_cached(file, offset, buffer, n);
}

gssize direct_read_split(DirectFile *file, guint64 offset, void *head, gsize n_head, void *buffer,
                         gsize n)
{
    gsize odd = file->possible ? sector_of(file) - 1 : 0;
    if (!file->possible || ((offset | (gsize) head | n_head | (gsize) buffer | n) & odd) ||
        !switch_direct(file, true))
        return 0;
    struct iovec parts[2] = { { head, n_head }, { buffer, n } };
    gssize got = preadv(file->fd, parts, G_N_ELEMENTS(parts), (off_t) offset);
    int failed = errno;
    switch_direct(file, false);
    errno = failed;
    return got == (gssize) (n_head + n)                     ? got
           : got < 0 && failed != EINVAL && failed != EINTR ? -1
                                                            : 0;
}
