/* How far a VM's transfer is: a journal of its own beside the run's, which holds what the next
 * worker must know of the VM, then the rows of every disk at every target as they become durable.
 * It goes with the VM's intent. */
#include "work/private.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

struct Progress {
    gint n_refs;
    pthread_mutex_t lock;
    Journal *journal; /* NULL: closed */
    bool broken;      /* a write failed: what follows would have a hole before it */
    json_t *plan;
    GHashTable *begun; /* "<disk> <target>" → Begun, of earlier workers */
};

typedef struct {
    char *place, *base;
    GByteArray *rows;
} Begun;

/* Who tells: lives as long as the writer, which may outlive the VM's run. */
typedef struct {
    Progress *progress;
    char *disk, *target;
} Teller;

static void begun_free(gpointer data)
{
    Begun *begun = data;
    g_free(begun->place);
    g_free(begun->base);
    g_byte_array_unref(begun->rows);
    g_free(begun);
}

static Progress *progress_new(Journal *journal)
{
    Progress *progress = g_new0(Progress, 1);
    progress->n_refs = 1;
    progress->journal = journal;
    pthread_mutex_init(&progress->lock, NULL);
    progress->begun = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, begun_free);
    return progress;
}

static void unref(Progress *progress)
{
    if (!g_atomic_int_dec_and_test(&progress->n_refs))
        return;
    journal_close(progress->journal);
    json_decref(progress->plan);
    g_hash_table_unref(progress->begun);
    pthread_mutex_destroy(&progress->lock);
    g_free(progress);
}

static char *path_of(Journal *journal, const char *intent)
{
    return g_strdup_printf("%s.%s", journal_path(journal), intent);
}

static bool tell(Progress *progress, const char *type, json_t *fields)
{
    g_autoptr(GError) error = NULL;
    pthread_mutex_lock(&progress->lock);
    bool wanted = progress->journal && !progress->broken;
    if (!wanted)
        json_decref(fields);
    else if (!journal_add(progress->journal, type, fields, &error))
        progress->broken = true;
    pthread_mutex_unlock(&progress->lock);
    if (error)
        log_warning("work", "an interruption would lose what follows: %s", error->message);
    return wanted && !error;
}

/* --- Writing --- */

static json_t *plan_disk(const VmRun *run, const VmDisk *disk)
{
    json_t *parents = json_object();
    for (unsigned i = 0; disk->base && i < run->n_targets; i++)
        if (disk->parents && disk->parents[i])
            json_object_set_new(parents, run->targets[i].target->id, json_string(disk->parents[i]));
    return json_pack("{ss ss so}", "vdi", disk->uuid, "base", disk->base ? disk->base->uuid : "",
                     "parents", parents);
}

static json_t *plan_of(const VmRun *run)
{
    json_t *disks = json_array();
    for (guint i = 0; i < run->disks->len; i++)
        json_array_append_new(disks, plan_disk(run, run->disks->pdata[i]));
    return json_pack("{sI ss sO sI so}", "time", (json_int_t) run->time_ms, "snapshot",
                     json_text(run->snapshot, "uuid"), "vm", run->vm, "chainLength",
                     (json_int_t) run->chain_length, "disks", disks);
}

void progress_begin(VmRun *run)
{
    g_autofree char *path = path_of(run->context->journal, run->intent);
    g_autoptr(GError) error = NULL;
    Journal *journal = journal_open(path, &error);
    if (journal) {
        run->progress = progress_new(journal);
        run->progress->plan = plan_of(run);
        tell(run->progress, "vm", json_incref(run->progress->plan));
    } else {
        task_warning(run->task, "this backup could not go on after an interruption",
                     json_pack("{ss}", "error", error->message));
    }
}

static void on_mark(const void *rows, gsize n_bytes, void *user)
{
    Teller *teller = user;
    g_autofree char *base64 = g_base64_encode(rows, n_bytes);
    tell(teller->progress, "mark",
         json_pack("{ss ss ss}", "disk", teller->disk, "target", teller->target, "rows", base64));
}

static void teller_free(gpointer data)
{
    Teller *teller = data;
    unref(teller->progress);
    g_free(teller->disk);
    g_free(teller->target);
    g_free(teller);
}

void progress_follow(Progress *progress, const VmDisk *disk, const TargetRun *target,
                     CatalogDisk *end)
{
    if (!progress || !end || end->done)
        return;
    const char *base = disk->base ? disk->base->uuid : "", *id = target->target->id;
    g_autoptr(GBytes) rows = NULL;
    const char *known = progress_find(progress, disk, target, &rows);
    if (g_strcmp0(known, catalog_disk_place(end)) != 0)
        tell(progress, "disk",
             json_pack("{ss ss ss ss}", "disk", disk->uuid, "target", id, "base", base, "place",
                       catalog_disk_place(end)));
    Teller *teller = g_new0(Teller, 1);
    *teller = (Teller){ progress, g_strdup(disk->uuid), g_strdup(id) };
    g_atomic_int_inc(&progress->n_refs);
    catalog_disk_mark(end, on_mark, teller, teller_free);
}

void progress_end(Progress *progress, bool keep)
{
    if (!progress)
        return;
    g_autoptr(GError) error = NULL;
    pthread_mutex_lock(&progress->lock);
    Journal *journal = g_steal_pointer(&progress->journal);
    pthread_mutex_unlock(&progress->lock);
    if (keep)
        journal_close(journal);
    else if (journal && !journal_end(journal, &error))
        log_warning("work", "%s", error->message);
    unref(progress);
}

void progress_drop(Journal *journal, const char *intent)
{
    g_autofree char *path = path_of(journal, intent);
    if (unlink(path) != 0 && errno != ENOENT)
        log_warning("work", "removing %s: %s", path, g_strerror(errno));
}

/* --- Reading --- */

static char *key_of(const char *disk, const char *target)
{
    return g_strdup_printf("%s %s", disk, target);
}

static void take_disk(Progress *progress, json_t *record)
{
    Begun *begun = g_new0(Begun, 1);
    begun->place = g_strdup(json_text(record, "place"));
    begun->base = g_strdup(json_text(record, "base"));
    begun->rows = g_byte_array_new();
    g_hash_table_replace(progress->begun,
                         key_of(json_text(record, "disk"), json_text(record, "target")), begun);
}

static void take_mark(Progress *progress, json_t *record)
{
    g_autofree char *key = key_of(json_text(record, "disk"), json_text(record, "target"));
    Begun *begun = g_hash_table_lookup(progress->begun, key);
    gsize n;
    g_autofree guint8 *rows = g_base64_decode(json_text(record, "rows"), &n);
    if (begun)
        g_byte_array_append(begun->rows, rows, (guint) n);
}

static void take_all(Progress *progress, json_t *records)
{
    size_t i;
    json_t *record;
    json_array_foreach (records, i, record) {
        const char *type = json_text(record, "type");
        if (strcmp(type, "vm") == 0 && !progress->plan)
            progress->plan = json_incref(record);
        else if (strcmp(type, "disk") == 0)
            take_disk(progress, record);
        else if (strcmp(type, "mark") == 0)
            take_mark(progress, record);
    }
}

Progress *progress_open(Journal *of_run, const char *intent, GError **error)
{
    g_autofree char *path = path_of(of_run, intent);
    bool there = access(path, F_OK) == 0;
    Journal *journal = there ? journal_open(path, error) : NULL;
    json_t *records = journal ? journal_records(journal, error) : NULL;
    if (!there)
        err_set(error, ERR_STATE, "its transfer had not begun");
    if (!records) {
        journal_close(journal);
        return NULL;
    }
    Progress *progress = progress_new(journal);
    take_all(progress, records);
    json_decref(records);
    if (progress->plan)
        return progress;
    err_set(error, ERR_STATE, "its transfer had not begun");
    unref(progress);
    return NULL;
}

json_t *progress_plan(const Progress *progress)
{
    return progress->plan;
}

const char *progress_find(const Progress *progress, const VmDisk *disk, const TargetRun *target,
                          GBytes **rows)
{
    g_autofree char *key = key_of(disk->uuid, target->target->id);
    const Begun *begun = progress ? g_hash_table_lookup(progress->begun, key) : NULL;
    if (!begun || strcmp(begun->base, disk->base ? disk->base->uuid : "") != 0)
        return NULL;
    *rows = g_bytes_new(begun->rows->data, begun->rows->len);
    return begun->place;
}
