/* A guest writes: cells get a new generation, and nothing is stored. */
#include "sim/storage_disk.h"

#include "sim/seed.h"

#include <string.h>

/* One write request on its way over a disk. */
typedef struct {
    Sim *sim;
    StoredDisk *disk;
    Obj *sr;
    VhdSource generation;
} GuestWrite;

static bool write_cell(GuestWrite *write, guint64 cell, GError **error)
{
    guint32 block = (guint32) (cell / VHD_BLOCK_CELLS);
    bool held = vhd_node_holds(write->disk->node, block);
    if (!held && storage_sr_is_thin(write->sr) &&
        !storage_check_space(write->sr, VHD_BLOCK_BYTES + 512, error))
        return false;
    vhd_node_put(write->disk->node, cell, write->generation);
    cbt_log_mark(write->disk->cbt, cell);
    if (!held)
        storage_count(write->sim, write->disk);
    return true;
}

static bool write_blocks(GuestWrite *write, const guint32 *blocks, guint n_blocks, GError **error)
{
    for (guint i = 0; i < n_blocks; i++) {
        if (blocks[i] >= vhd_node_n_blocks(write->disk->node)) {
            g_autofree char *text = g_strdup_printf("%u", blocks[i]);
            sim_error(error, "INVALID_VALUE", "block", text, NULL);
            return false;
        }
        for (guint cell = 0; cell < VHD_BLOCK_CELLS; cell++)
            if (!write_cell(write, (guint64) blocks[i] * VHD_BLOCK_CELLS + cell, error))
                return false;
    }
    return true;
}

/* Runs of 1 to 32 cells at random places: guests write files, not single sectors. */
static bool write_random(GuestWrite *write, guint64 n_cells, guint64 seed, GError **error)
{
    guint64 total = vhd_node_size_bytes(write->disk->node) / SEED_CELL_BYTES;
    GRand *random =
        g_rand_new_with_seed_array((guint32[]){ (guint32) seed, (guint32) (seed >> 32) }, 2);
    bool ok = total > 0;
    while (ok && n_cells) {
        guint64 at = ((guint64) g_rand_int(random) << 32 | g_rand_int(random)) % total;
        guint64 run = 1 + g_rand_int(random) % VHD_BLOCK_CELLS;
        run = MIN(run, n_cells);
        for (guint64 i = 0; ok && i < run; i++, n_cells--)
            ok = write_cell(write, (at + i) % total, error);
    }
    g_rand_free(random);
    return ok;
}

bool storage_guest_write(Sim *sim, const char *vdi, guint64 n_bytes, const guint32 *blocks,
                         guint n_blocks, guint64 seed, GError **error)
{
    StoredDisk *disk = storage_disk_with_data(sim, vdi, error);
    Obj *record = disk ? obj_get(sim, "VDI", vdi, error) : NULL;
    Obj *sr = record ? obj_get(sim, "SR", disk->sr, error) : NULL;
    if (!sr)
        return false;
    if (disk->hidden || obj_bool(record, "is_a_snapshot") || obj_bool(record, "read_only")) {
        sim_error(error, "VDI_READONLY", vdi, NULL);
        return false;
    }
    GuestWrite write = { sim, disk, sr, vhd_tree_next_generation(storage_tree(sim_storage(sim))) };
    guint64 n_cells = (n_bytes + SEED_CELL_BYTES - 1) / SEED_CELL_BYTES;
    bool ok = n_blocks ? write_blocks(&write, blocks, n_blocks, error)
                       : write_random(&write, n_cells, seed, error);
    storage_publish(sim, disk);
    return ok;
}
