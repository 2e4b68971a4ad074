/* Rows of the object store: making, finding, dropping them, and their order.
 *
 * Each class keeps two lists through its rows: by creation, for iteration, and by last change, so
 * that the changes since a generation are the head of a list and an idle client costs nothing. */
#include "sim/rows.h"

#include "base/mutant.h"
#include "sim/row.h"

#include <pthread.h>
#include <string.h>

enum { MAX_GONE = 100000 };

struct Rows {
    Sim *sim;
    Datamodel *model;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    Table *tables;
    GHashTable *by_ref;
    guint64 generation, forgotten;
    GQueue gone;   /* Gone *, the latest first */
    GRand *random; /* while populating */
};

static void gone_free(gpointer data)
{
    Gone *gone = data;
    g_free(gone->ref);
    g_free(gone);
}

Rows *rows_new(Sim *sim, guint64 seed)
{
    Rows *rows = g_new0(Rows, 1);
    rows->sim = sim;
    rows->model = datamodel_new();
    rows->by_ref = g_hash_table_new(g_str_hash, g_str_equal);
    rows->generation = 1;
    guint32 parts[2] = { (guint32) seed, (guint32) (seed >> 32) };
    rows->random = g_rand_new_with_seed_array(parts, 2);
    pthread_mutex_init(&rows->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&rows->changed, &attr);
    pthread_condattr_destroy(&attr);
    g_queue_init(&rows->gone);
    guint n = datamodel_n_classes(rows->model);
    rows->tables = g_new0(Table, n);
    for (guint i = 0; i < n; i++)
        table_init(&rows->tables[i], rows, datamodel_nth_class(rows->model, i));
    return rows;
}

void rows_free(Rows *rows)
{
    for (guint i = 0; i < datamodel_n_classes(rows->model); i++)
        table_clear(&rows->tables[i]);
    g_free(rows->tables);
    g_hash_table_unref(rows->by_ref);
    g_queue_clear_full(&rows->gone, gone_free);
    g_clear_pointer(&rows->random, g_rand_free);
    datamodel_free(rows->model);
    pthread_cond_destroy(&rows->changed);
    pthread_mutex_destroy(&rows->mutex);
    g_free(rows);
}

const Datamodel *rows_datamodel(const Rows *rows)
{
    return rows->model;
}

void rows_lock(Rows *rows)
{
    pthread_mutex_lock(&rows->mutex);
}

void rows_unlock(Rows *rows)
{
    pthread_mutex_unlock(&rows->mutex);
}

void rows_wake(Rows *rows)
{
    pthread_cond_broadcast(&rows->changed);
}

bool rows_wait(Rows *rows, gint64 until_us)
{
    struct timespec until = { until_us / G_USEC_PER_SEC, until_us % G_USEC_PER_SEC * 1000 };
    return pthread_cond_timedwait(&rows->changed, &rows->mutex, &until) == 0;
}

guint64 rows_generation(const Rows *rows)
{
    return rows->generation;
}

void rows_populated(Rows *rows)
{
    g_clear_pointer(&rows->random, g_rand_free);
}

char *rows_uuid(Rows *rows)
{
    if (rows->random == NULL)
        return g_uuid_string_random();
    guint32 a = g_rand_int(rows->random), b = g_rand_int(rows->random);
    guint32 c = g_rand_int(rows->random), d = g_rand_int(rows->random);
    return g_strdup_printf("%08x-%04x-4%03x-%04x-%04x%08x", a, b >> 16, b & 0xfff,
                           0x8000 | (c >> 16 & 0x3fff), c & 0xffff, d);
}

/* --- Rows --- */

static Table *table_of(Rows *rows, const char *name)
{
    const Class *cls = datamodel_class(rows->model, name);
    if (cls == NULL)
        g_error("no class %s", name);
    return &rows->tables[cls->index];
}

void rows_stamp(Rows *rows, Obj *obj)
{
    Table *table = obj->table;
    obj->changed = ++rows->generation;
    if (table->latest != obj) {
        if (obj->later != NULL || obj->earlier != NULL) {
            obj->later->earlier = obj->earlier;
            if (obj->earlier != NULL)
                obj->earlier->later = obj->later;
        }
        obj->earlier = table->latest;
        if (table->latest != NULL)
            table->latest->later = obj;
        obj->later = NULL;
        table->latest = obj;
    }
    pthread_cond_broadcast(&rows->changed);
}

Obj *obj_new_uuid(Sim *sim, const char *cls, const char *uuid)
{
    Rows *rows = sim_rows(sim);
    Table *table = table_of(rows, cls);
    g_autofree char *id = rows_uuid(rows);
    g_autofree char *ref = g_strconcat("OpaqueRef:", id, NULL);
    Obj *obj = row_new(table, ref, uuid);
    g_hash_table_insert(rows->by_ref, (gpointer) obj->ref, obj);
    rows_stamp(rows, obj);
    obj->created = obj->changed;
    return obj;
}

Obj *obj_new(Sim *sim, const char *cls)
{
    g_autofree char *uuid = rows_uuid(sim_rows(sim));
    return obj_new_uuid(sim, cls, uuid);
}

static void gone_add(Rows *rows, Obj *obj)
{
    Gone *gone = g_new(Gone, 1);
    *gone = (Gone){ obj->table->cls, g_strdup(obj->ref), obj->created, ++rows->generation };
    g_queue_push_head(&rows->gone, gone);
    if (rows->gone.length > MAX_GONE) {
        Gone *oldest = g_queue_pop_tail(&rows->gone);
        rows->forgotten = oldest->dropped;
        gone_free(oldest);
    }
}

void obj_drop(Obj *obj)
{
    Rows *rows = obj->table->rows;
    row_leave_relations(obj);
    if (!MUTANT(sim_drop_silent)) /* mutant: sim_api */
        gone_add(rows, obj);
    g_hash_table_remove(rows->by_ref, obj->ref);
    row_free(obj);
    pthread_cond_broadcast(&rows->changed);
}

/* --- Finding --- */

Obj *rows_find(Rows *rows, const char *ref)
{
    return ref == NULL ? NULL : g_hash_table_lookup(rows->by_ref, ref);
}

Obj *obj_find(Sim *sim, const char *cls, const char *ref)
{
    Obj *obj = rows_find(sim_rows(sim), ref);
    return obj != NULL && strcmp(obj->table->cls->name, cls) == 0 ? obj : NULL;
}

Obj *obj_get(Sim *sim, const char *cls, const char *ref, GError **error)
{
    Obj *obj = obj_find(sim, cls, ref);
    if (obj == NULL)
        sim_error(error, "HANDLE_INVALID", cls, ref == NULL ? "" : ref, NULL);
    return obj;
}

Obj *obj_find_uuid(Sim *sim, const char *cls, const char *uuid)
{
    Table *table = table_of(sim_rows(sim), cls);
    return uuid == NULL ? NULL : g_hash_table_lookup(table->by_uuid, uuid);
}

Obj *obj_find_any(Sim *sim, const char *cls, const char *ref_or_uuid)
{
    Obj *obj = obj_find(sim, cls, ref_or_uuid);
    return obj != NULL ? obj : obj_find_uuid(sim, cls, ref_or_uuid);
}

const Class *rows_class(Rows *rows, const char *name)
{
    return datamodel_class(rows->model, name);
}

guint rows_count(Rows *rows, const Class *cls)
{
    return rows->tables[cls->index].n;
}

guint obj_count(Sim *sim, const char *cls)
{
    return table_of(sim_rows(sim), cls)->n;
}

Obj *rows_latest(Rows *rows, const Class *cls)
{
    return rows->tables[cls->index].latest;
}

Obj *obj_first(Sim *sim, const char *cls)
{
    return table_of(sim_rows(sim), cls)->first;
}

Obj *obj_next(Obj *obj)
{
    return obj->next;
}

Obj *obj_earlier(const Obj *obj)
{
    return obj->earlier;
}

guint64 obj_created(const Obj *obj)
{
    return obj->created;
}

guint64 obj_changed(const Obj *obj)
{
    return obj->changed;
}

const GList *rows_gone(const Rows *rows)
{
    return rows->gone.head;
}

guint64 rows_gone_forgotten(const Rows *rows)
{
    return rows->forgotten;
}

Sim *obj_sim(const Obj *obj)
{
    return obj->table->rows->sim;
}

const Class *obj_table(const Obj *obj)
{
    return obj->table->cls;
}

const char *obj_class(const Obj *obj)
{
    return obj->table->cls->name;
}

const char *obj_ref(const Obj *obj)
{
    return obj->ref;
}

const char *obj_uuid(const Obj *obj)
{
    return obj->slots[obj->table->cls->uuid].text;
}

void obj_touch(Obj *obj)
{
    rows_stamp(obj->table->rows, obj);
}
