/* The garbage collector of the storage: after deletions it removes hidden files that nobody needs,
 * and merges chains, one file at a time, in a thread of its own.
 *
 * A hidden file without children goes. A hidden file whose only child is hidden takes the child's
 * data; the child's record disappears. A hidden file whose only child is a disk becomes that disk's
 * file ("leaf coalesce"). Each step waits as long as the rules of fault.h say. */
#include "sim/storage_disk.h"

#include "base/mutant.h"
#include "sim/fault.h"

#include <string.h>

struct StorageGc {
    Sim *sim;
    GThread *thread;
    GMutex mutex;
    GCond cond;
    bool kicked, stopped;
};

enum { TICK_MS = 50 };

/* False when stopped meanwhile. */
static bool pause_before_step(StorageGc *gc)
{
    gint64 began = g_get_monotonic_time();
    g_mutex_lock(&gc->mutex);
    while (!gc->stopped) {
        double waited_s = (double) (g_get_monotonic_time() - began) / G_USEC_PER_SEC;
        g_mutex_unlock(&gc->mutex);
        double delay_s = fault_coalesce_delay_s(gc->sim);
        g_mutex_lock(&gc->mutex);
        if (waited_s >= delay_s)
            break;
        gint64 tick = (gint64) (MIN(delay_s - waited_s, TICK_MS / 1000.0) * G_USEC_PER_SEC) + 1;
        g_cond_wait_until(&gc->cond, &gc->mutex, g_get_monotonic_time() + tick);
    }
    bool go = !gc->stopped;
    g_mutex_unlock(&gc->mutex);
    return go;
}

static void drop_record(Sim *sim, StoredDisk *disk)
{
    Obj *record = obj_find(sim, "VDI", disk->vdi);
    storage_remove(sim, disk);
    if (record)
        obj_drop(record);
}

/* The hidden child's data goes into its hidden parent. */
static void merge_hidden(Sim *sim, StoredDisk *parent, StoredDisk *child)
{
    vhd_node_merge(child->node);
    child->node = NULL;
    drop_record(sim, child);
    for (const VhdNode *node = vhd_node_first_child(parent->node); node;
         node = vhd_node_next_sibling(node))
        storage_publish_parent(sim, vhd_node_owner(node));
    storage_publish(sim, parent);
}

/* The disk's data goes into its hidden parent, whose file becomes the disk's. */
static void merge_leaf(Sim *sim, StoredDisk *parent, StoredDisk *leaf)
{
    VhdNode *file = parent->node;
    vhd_node_merge(leaf->node);
    parent->node = NULL;
    storage_bind(leaf, file);
    drop_record(sim, parent);
    storage_publish_parent(sim, leaf);
    storage_publish(sim, leaf);
}

typedef enum { STEP_DELETE, STEP_MERGE, STEP_LEAF, N_STEPS } Step;

/* The step that a hidden file is ready for; N_STEPS: none. */
static Step step_of(const StoredDisk *disk)
{
    guint n = vhd_node_n_children(disk->node);
    if (n == 0)
        return STEP_DELETE;
    if (n > 1 && !MUTANT(sim_gc_merges_shared)) /* mutant: sim_storage */
        return N_STEPS;
    const StoredDisk *child = vhd_node_owner(vhd_node_first_child(disk->node));
    return child->hidden ? STEP_MERGE : STEP_LEAF;
}

static StoredDisk *find_work(Sim *sim, Step *step)
{
    GHashTableIter iter;
    gpointer value;
    StoredDisk *best = NULL;
    *step = N_STEPS;
    g_hash_table_iter_init(&iter, storage_hidden(sim_storage(sim)));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Step ready = step_of(value);
        if (ready < *step) {
            best = value;
            *step = ready;
        }
    }
    return best;
}

/* One step, with the lock; false when there is none to do. */
static bool run_step(Sim *sim)
{
    Step step;
    StoredDisk *disk = find_work(sim, &step);
    if (!disk)
        return false;
    if (step == STEP_DELETE) {
        drop_record(sim, disk);
        return true;
    }
    StoredDisk *child = vhd_node_owner(vhd_node_first_child(disk->node));
    if (step == STEP_MERGE)
        merge_hidden(sim, disk, child);
    else
        merge_leaf(sim, disk, child);
    return true;
}

static bool has_work(Sim *sim)
{
    Step step;
    sim_lock(sim);
    bool found = find_work(sim, &step) != NULL;
    sim_unlock(sim);
    return found;
}

static gpointer gc_run(gpointer data)
{
    StorageGc *gc = data;
    for (;;) {
        g_mutex_lock(&gc->mutex);
        while (!gc->kicked && !gc->stopped)
            g_cond_wait(&gc->cond, &gc->mutex);
        bool stopped = gc->stopped;
        gc->kicked = false;
        g_mutex_unlock(&gc->mutex);
        if (stopped)
            return NULL;
        while (has_work(gc->sim) && pause_before_step(gc)) {
            sim_lock(gc->sim);
            run_step(gc->sim);
            sim_unlock(gc->sim);
        }
    }
}

StorageGc *storage_gc_new(Sim *sim)
{
    StorageGc *gc = g_new0(StorageGc, 1);
    gc->sim = sim;
    g_mutex_init(&gc->mutex);
    g_cond_init(&gc->cond);
    gc->thread = g_thread_new("storage-gc", gc_run, gc);
    return gc;
}

void storage_gc_free(StorageGc *gc)
{
    g_mutex_lock(&gc->mutex);
    gc->stopped = true;
    g_cond_signal(&gc->cond);
    g_mutex_unlock(&gc->mutex);
    g_thread_join(gc->thread);
    g_mutex_clear(&gc->mutex);
    g_cond_clear(&gc->cond);
    g_free(gc);
}

void storage_gc_wake(StorageGc *gc)
{
    g_mutex_lock(&gc->mutex);
    gc->kicked = true;
    g_cond_signal(&gc->cond);
    g_mutex_unlock(&gc->mutex);
}
