/* Reading resolves cells to sources under the lock and makes their bytes without it. Writing takes
 * slots of the overlay under the lock, fills them without it, and puts them in place at the end. */
#include "sim/storage_io.h"

#include "base/openssl.h"
#include "sim/seed.h"
#include "sim/storage_disk.h"

#include <string.h>

#define CELL SEED_CELL_BYTES

static bool resolve(Sim *sim, const char *vdi, guint32 block, VhdSource sources[VHD_BLOCK_CELLS],
                    GError **error)
{
    sim_lock(sim);
    const StoredDisk *disk = storage_disk_with_data(sim, vdi, error);
    if (disk)
        vhd_chain_sources(disk->node, block, sources);
    sim_unlock(sim);
    return disk != NULL;
}

/* Bytes of one cell, from its source. */
static bool read_cell(Sim *sim, VhdSource source, guint64 cell, gsize skip, guint8 *out, gsize n,
                      GError **error)
{
    const VhdTree *tree = storage_tree(sim_storage(sim));
    if (source == VHD_ZEROS) {
        memset(out, 0, n);
        return true;
    }
    if (n == CELL)
        return vhd_source_read(tree, source, cell, out, error);
    g_autofree guint8 *whole = g_malloc(CELL);
    if (!vhd_source_read(tree, source, cell, whole, error))
        return false;
    memcpy(out, whole + skip, n);
    return true;
}

bool storage_read(Sim *sim, const char *vdi, guint64 offset, void *out, gsize n, GError **error)
{
    guint8 *to = out;
    while (n) {
        VhdSource sources[VHD_BLOCK_CELLS];
        guint64 block = offset / VHD_BLOCK_BYTES;
        if (!resolve(sim, vdi, (guint32) block, sources, error))
            return false;
        for (; n && offset / VHD_BLOCK_BYTES == block;) {
            guint64 cell = offset / CELL;
            gsize skip = offset % CELL, part = MIN(n, CELL - skip);
            if (!read_cell(sim, sources[cell % VHD_BLOCK_CELLS], cell, skip, to, part, error))
                return false;
            offset += part;
            to += part;
            n -= part;
        }
    }
    return true;
}

/* --- Writing --- */

static bool is_zero(const guint8 *data, gsize n)
{
    return !data[0] && memcmp(data, data + 1, n - 1) == 0;
}

/* Cells of one block on their way into a file. */
typedef struct {
    Sim *sim;
    const char *vdi;
    guint32 block;
    guint first, n;                     /* of the block's cells */
    const guint8 *data;                 /* n cells */
    VhdSource sources[VHD_BLOCK_CELLS]; /* new ones; VHD_NOT_HERE: leave */
} Batch;

/* Chooses a source for each cell; with the lock. */
static bool batch_take(Batch *batch, GError **error)
{
    const StoredDisk *disk = storage_disk_with_data(batch->sim, batch->vdi, error);
    Obj *sr = disk ? obj_get(batch->sim, "SR", disk->sr, error) : NULL;
    if (!sr)
        return false;
    Overlay *overlay = storage_overlay(sim_storage(batch->sim));
    bool held = vhd_chain_holds(disk->node, batch->block);
    if (!vhd_node_holds(disk->node, batch->block) && storage_sr_is_thin(sr) &&
        !storage_check_space(sr, VHD_BLOCK_BYTES + 512, error))
        return false;
    for (guint i = 0; i < batch->n; i++) {
        guint32 slot;
        if (is_zero(batch->data + (gsize) i * CELL, CELL))
            batch->sources[i] = held ? VHD_ZEROS : VHD_NOT_HERE;
        else if (overlay_take(overlay, &slot, error))
            batch->sources[i] = vhd_source_overlay(slot);
        else
            return false;
    }
    return true;
}

static bool batch_fill(const Batch *batch, GError **error)
{
    Overlay *overlay = storage_overlay(sim_storage(batch->sim));
    for (guint i = 0; i < batch->n; i++)
        if (batch->sources[i] > VHD_ZEROS &&
            !overlay_write(overlay, vhd_source_slot(batch->sources[i]),
                           batch->data + (gsize) i * CELL, error))
            return false;
    return true;
}

/* With the lock. */
static bool batch_put(const Batch *batch, GError **error)
{
    StoredDisk *disk = storage_disk_with_data(batch->sim, batch->vdi, error);
    if (!disk)
        return false;
    for (guint i = 0; i < batch->n; i++) {
        guint64 cell = (guint64) batch->block * VHD_BLOCK_CELLS + batch->first + i;
        if (batch->sources[i] == VHD_NOT_HERE)
            continue;
        vhd_node_put(disk->node, cell, batch->sources[i]);
        cbt_log_mark(disk->cbt, cell);
    }
    storage_count(batch->sim, disk);
    return true;
}

/* What could not be put in place; with the lock. */
static void batch_give(const Batch *batch)
{
    for (guint i = 0; i < batch->n; i++)
        if (batch->sources[i] > VHD_ZEROS)
            overlay_give(storage_overlay(sim_storage(batch->sim)),
                         vhd_source_slot(batch->sources[i]));
}

static bool write_cells(Batch *batch, GError **error)
{
    sim_lock(batch->sim);
    bool ok = batch_take(batch, error);
    sim_unlock(batch->sim);
    ok = ok && batch_fill(batch, error);
    sim_lock(batch->sim);
    ok = ok && batch_put(batch, error);
    if (!ok)
        batch_give(batch);
    sim_unlock(batch->sim);
    return ok;
}

static Batch batch_of(Sim *sim, const char *vdi, guint64 offset, gsize n, const guint8 *cells)
{
    return (Batch){ .sim = sim,
                    .vdi = vdi,
                    .block = (guint32) (offset / VHD_BLOCK_BYTES),
                    .first = (guint) (offset / CELL % VHD_BLOCK_CELLS),
                    .n = (guint) (n / CELL),
                    .data = cells };
}

/* A range within one block that does not begin and end with a cell: completed from the disk. */
static bool write_uneven(Sim *sim, const char *vdi, guint64 offset, const guint8 *data, gsize n,
                         GError **error)
{
    guint64 begin = offset / CELL * CELL, end = (offset + n + CELL - 1) / CELL * CELL;
    g_autofree guint8 *cells = g_malloc(end - begin);
    if (!storage_read(sim, vdi, begin, cells, end - begin, error))
        return false;
    memcpy(cells + (offset - begin), data, n);
    Batch batch = batch_of(sim, vdi, begin, end - begin, cells);
    return write_cells(&batch, error);
}

static bool check_range(Sim *sim, const char *vdi, guint64 offset, gsize n, GError **error)
{
    sim_lock(sim);
    const StoredDisk *disk = storage_disk_with_data(sim, vdi, error);
    bool fits = disk && offset + n <= vhd_node_size_bytes(disk->node);
    if (disk && !fits)
        storage_backend_error(error, 453, "tapdisk: write beyond the end of the disk");
    sim_unlock(sim);
    return fits;
}

bool storage_write(Sim *sim, const char *vdi, guint64 offset, const void *data, gsize n,
                   GError **error)
{
    const guint8 *from = data;
    if (!check_range(sim, vdi, offset, n, error))
        return false;
    while (n) {
        gsize part = (gsize) MIN((guint64) n, VHD_BLOCK_BYTES - offset % VHD_BLOCK_BYTES);
        Batch batch = batch_of(sim, vdi, offset, part, from);
        bool even = offset % CELL == 0 && part % CELL == 0;
        if (even ? !write_cells(&batch, error) : !write_uneven(sim, vdi, offset, from, part, error))
            return false;
        offset += part;
        from += part;
        n -= part;
    }
    return true;
}

void storage_write_end(Sim *sim, const char *vdi)
{
    sim_lock(sim);
    StoredDisk *disk = storage_disk(sim, vdi);
    if (disk)
        storage_publish(sim, disk);
    sim_unlock(sim);
}

/* --- Digest --- */

static bool digest_range(Sim *sim, const char *vdi, guint64 size_bytes, EVP_MD_CTX *sha,
                         GError **error)
{
    g_autofree guint8 *buffer = g_malloc(VHD_BLOCK_BYTES);
    for (guint64 at = 0; at < size_bytes; at += VHD_BLOCK_BYTES) {
        gsize n = (gsize) MIN(size_bytes - at, VHD_BLOCK_BYTES);
        if (!storage_read(sim, vdi, at, buffer, n, error))
            return false;
        EVP_DigestUpdate(sha, buffer, n);
    }
    return true;
}

static char *digest(Sim *sim, const char *vdi, guint64 size_bytes, GError **error)
{
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
    guint8 sum[32];
    GString *text = NULL;
    if (digest_range(sim, vdi, size_bytes, sha, error)) {
        EVP_DigestFinal_ex(sha, sum, NULL);
        text = g_string_new(NULL);
        for (guint i = 0; i < sizeof sum; i++)
            g_string_append_printf(text, "%02x", sum[i]);
    }
    EVP_MD_CTX_free(sha);
    return text ? g_string_free(text, FALSE) : NULL;
}

char *storage_vdi_digest(Sim *sim, const char *vdi, GError **error)
{
    const StoredDisk *disk = storage_disk_with_data(sim, vdi, error);
    if (!disk)
        return NULL;
    guint64 size_bytes = vhd_node_size_bytes(disk->node);
    g_autofree char *ref = g_strdup(vdi);
    sim_unlock(sim);
    char *sum = digest(sim, ref, size_bytes, error);
    sim_lock(sim);
    return sum;
}
