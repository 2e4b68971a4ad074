/* Records go into the tries at once; the views they touch are only noted, and written at the
 * commit, when all that came together is there to be linked. Who uses whose content is noted while
 * a view is written, as "tell me once": a change tells them, they are written again, and note it
 * anew. */
#include "pool/writer.h"

#include "base/mutant.h"
#include "pool/inventory.h"
#include "pool/packer.h"
#include "pool/view.h"

#include <string.h>

enum { WAITING_PER_OBJECT = 8, WAITING_AT_LEAST = 4096 };

struct InventoryWriter {
    Cells *cells;
    Packer *packer;
    Trie *by_ref, *by_id;
    GHashTable *shapes;  /* class → Shape */
    GHashTable *counts;  /* class → number of objects */
    GHashTable *waiters; /* reference or id → GSList of references */
    guint n_waiting;     /* references in all lists of waiters */
    GHashTable *dirty;   /* references whose view must be written, which lie in dirty_refs */
    GPtrArray *dirty_refs;
    GHashTable *left; /* ids that went since the last commit */
    char *pool_id;
    Record *pool;
    unsigned n_objects;
};

static const char *const classes[] = {
#define V(cls, type, type_of, table) #cls,
#define N(cls)                       #cls,
#include "pool/views.def"
#undef V
#undef N
    NULL,
};

const char *const *inventory_classes(void)
{
    return classes;
}

const char *inventory_class(const char *name)
{
    for (unsigned i = 0; classes[i]; i++)
        if (g_ascii_strcasecmp(classes[i], name) == 0)
            return classes[i];
    return NULL;
}

static void free_waiters(gpointer list)
{
    g_slist_free_full(list, (GDestroyNotify) g_ref_string_release);
}

InventoryWriter *inventory_writer_new(void)
{
    InventoryWriter *writer = g_new0(InventoryWriter, 1);
    writer->cells = cells_new();
    writer->packer = packer_new(writer->cells);
    writer->shapes =
        g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, (GDestroyNotify) shape_unref);
    writer->counts = g_hash_table_new(g_direct_hash, g_direct_equal);
    writer->waiters = g_hash_table_new_full(g_str_hash, g_str_equal,
                                            (GDestroyNotify) g_ref_string_release, free_waiters);
    writer->dirty = g_hash_table_new(g_str_hash, g_str_equal);
    writer->dirty_refs = g_ptr_array_new_with_free_func(g_free);
    writer->left = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    writer->pool_id = g_strdup("");
    return writer;
}

void inventory_writer_free(InventoryWriter *writer)
{
    if (!writer)
        return;
    trie_unref(writer->by_ref);
    trie_unref(writer->by_id);
    g_hash_table_unref(writer->shapes);
    g_hash_table_unref(writer->counts);
    g_hash_table_unref(writer->waiters);
    g_hash_table_unref(writer->dirty);
    g_ptr_array_unref(writer->dirty_refs);
    g_hash_table_unref(writer->left);
    g_free(writer->pool_id);
    record_unref(writer->pool);
    packer_free(writer->packer);
    cells_unref(writer->cells);
    g_free(writer);
}

static void count(InventoryWriter *writer, const char *cls, int change)
{
    guint n = inventory_writer_count(writer, cls) + (guint) change;
    g_hash_table_insert(writer->counts, (gpointer) cls, GUINT_TO_POINTER(n));
}

unsigned inventory_writer_count(const InventoryWriter *writer, const char *cls)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(writer->counts, cls));
}

/* --- who is told --- */

static void depend(InventoryWriter *writer, const char *on, const char *dependent)
{
    GSList *list = g_hash_table_lookup(writer->waiters, on);
    for (GSList *item = list; item; item = item->next)
        if (strcmp(item->data, dependent) == 0)
            return;
    char *ref = g_ref_string_new_intern(dependent);
    writer->n_waiting++;
    if (list)
        list->next = g_slist_prepend(list->next, ref);
    else
        g_hash_table_insert(writer->waiters, g_ref_string_new_intern(on),
                            g_slist_prepend(NULL, ref));
}

static void mark_dirty(InventoryWriter *writer, const char *ref)
{
    if (g_hash_table_contains(writer->dirty, ref))
        return;
    char *copy = g_strdup(ref);
    g_ptr_array_add(writer->dirty_refs, copy);
    g_hash_table_add(writer->dirty, copy);
}

static void tell(InventoryWriter *writer, const char *key)
{
    gpointer stolen_key, list;
    if (g_hash_table_size(writer->waiters) == 0 || /* as with all of a first reading */
        !g_hash_table_steal_extended(writer->waiters, key, &stolen_key, &list))
        return;
    for (GSList *item = list; item; item = item->next) {
        mark_dirty(writer, item->data);
        writer->n_waiting--;
    }
    free_waiters(list);
    g_ref_string_release(stolen_key);
}

/* --- records --- */

static Object *get(const InventoryWriter *writer, const char *ref)
{
    return trie_get(writer->by_ref, inventory_key_ref, ref);
}

static void drop_id(InventoryWriter *writer, Object *object)
{
    const char *id = object_id(object);
    Object *owner = *id ? trie_get(writer->by_id, inventory_key_id, id) : NULL;
    if (!owner || strcmp(object_key(owner), object_key(object)) != 0)
        return;
    g_autofree char *copy = g_strdup(id);
    if (object_text(object))
        g_hash_table_add(writer->left, g_strdup(id));
    writer->by_id = trie_drop(writer->by_id, inventory_key_id, copy);
}

/* Puts the object, whose reference is taken, into both tries. */
static void put_object(InventoryWriter *writer, Object *object)
{
    if (*object_id(object))
        writer->by_id = trie_put(writer->by_id, inventory_key_id, object_ref(object));
    writer->by_ref = trie_put(writer->by_ref, inventory_key_ref, object);
}

static Record *pack(InventoryWriter *writer, const char *cls, const char *ref, json_t *json)
{
    Shape *shape = NULL;
    g_hash_table_steal_extended(writer->shapes, cls, NULL, (gpointer *) &shape);
    Record *record = record_pack(writer->packer, cls, ref, json, &shape);
    g_hash_table_insert(writer->shapes, (gpointer) cls, shape);
    return record;
}

static void note_pool(InventoryWriter *writer, Record *record)
{
    char scratch[VALUE_SCRATCH];
    g_free(writer->pool_id);
    writer->pool_id = g_strdup(value_text(record_value(record, "uuid"), scratch));
    record_unref(writer->pool);
    writer->pool = record_ref(record);
}

static Object *make_object(InventoryWriter *writer, Record *record, Object *old)
{
    const ViewType *type = view_type_of_class(record_class(record));
    g_autoptr(GString) id = g_string_new(NULL);
    if (!type || !view_id(record, writer->pool_id, id))
        return object_new(writer->cells, record, NULL, NULL, NULL);
    bool same = old && strcmp(object_id(old), id->str) == 0;
    if (old && !same)
        drop_id(writer, old);
    GBytes *text = same && object_text(old) ? g_bytes_ref(object_text(old)) : NULL;
    return object_new(writer->cells, record, view_type_of(type, record), id->str, text);
}

/* Takes the record. */
static void put_record(InventoryWriter *writer, const char *cls, const char *ref, Record *record)
{
    Object *old = get(writer, ref);
    if (old && record_equal(object_record(old), record)) {
        record_unref(record);
        return;
    }
    if (strcmp(cls, "pool") == 0)
        note_pool(writer, record);
    if (!old) {
        count(writer, cls, 1);
        writer->n_objects++;
    }
    Object *object = make_object(writer, record, old);
    if (*object_id(object)) {
        mark_dirty(writer, ref);
        tell(writer, object_id(object));
    }
    put_object(writer, object);
    tell(writer, ref);
}

void inventory_writer_put(InventoryWriter *writer, const char *cls, const char *ref, json_t *json)
{
    put_record(writer, cls, ref, pack(writer, cls, ref, json));
}

gsize inventory_writer_take(InventoryWriter *writer, const char *cls, const char *ref,
                            const char *text, gsize n)
{
    Shape *shape = g_hash_table_lookup(writer->shapes, cls);
    Record *record = shape ? record_take(writer->packer, ref, text, &n, shape) : NULL;
    if (!record)
        return 0;
    put_record(writer, cls, ref, record);
    return n;
}

void inventory_writer_drop(InventoryWriter *writer, const char *ref)
{
    Object *object = get(writer, ref);
    if (!object)
        return;
    object_ref(object);
    count(writer, record_class(object_record(object)), -1);
    writer->n_objects--;
    drop_id(writer, object);
    writer->by_ref = trie_drop(writer->by_ref, inventory_key_ref, object_key(object));
    g_hash_table_remove(writer->dirty, object_key(object));
    g_autofree char *gone = g_strconcat("!", object_key(object), NULL);
    tell(writer, gone);
    tell(writer, object_key(object));
    tell(writer, object_id(object));
    object_unref(object);
}

typedef struct {
    const char *cls;
    GHashTable *keep;
    GPtrArray *drop;
} Sweep;

static void sweep(Object *object, void *user)
{
    Sweep *all = user;
    bool ours = !all->cls || strcmp(record_class(object_record(object)), all->cls) == 0;
    if (ours && !(all->keep && g_hash_table_contains(all->keep, object_key(object))))
        g_ptr_array_add(all->drop, g_strdup(object_key(object)));
}

static void drop_all(InventoryWriter *writer, const char *cls, GHashTable *keep)
{
    Sweep all = { cls, keep, g_ptr_array_new_with_free_func(g_free) };
    trie_each(writer->by_ref, sweep, &all);
    for (guint i = 0; i < all.drop->len; i++)
        inventory_writer_drop(writer, all.drop->pdata[i]);
    g_ptr_array_unref(all.drop);
}

void inventory_writer_keep_only(InventoryWriter *writer, const char *cls, GHashTable *refs)
{
    if (inventory_writer_count(writer, cls) == g_hash_table_size(refs))
        return; /* they are all held, and so nothing else is */
    drop_all(writer, cls, refs);
}

void inventory_writer_clear(InventoryWriter *writer)
{
    drop_all(writer, NULL, NULL);
    g_hash_table_remove_all(writer->waiters);
    writer->n_waiting = 0;
    g_clear_pointer(&writer->pool, record_unref);
}

/* --- views --- */

typedef struct {
    InventoryWriter *writer;
    const char *ref; /* of the object being written */
} Writing;

static Record *find_ref(const char *ref, void *user)
{
    Writing *writing = user;
    Object *object = get(writing->writer, ref);
    return object ? object_record(object) : NULL;
}

static Record *find_id(const char *id, void *user)
{
    Writing *writing = user;
    Object *object = trie_get(writing->writer->by_id, inventory_key_id, id);
    return object ? object_record(object) : NULL;
}

static void note_dependency(const char *on, void *user)
{
    Writing *writing = user;
    depend(writing->writer, on, writing->ref);
}

static GBytes *write_view(InventoryWriter *writer, Object *object)
{
    Writing writing = { writer, object_key(object) };
    ViewWorld world = {
        .find = find_ref,
        .find_id = find_id,
        .depend = note_dependency,
        .pool_id = writer->pool_id,
        .pool = writer->pool,
        .user = &writing,
    };
    const ViewType *type = view_type_of_class(record_class(object_record(object)));
    return view_write(writer->cells, type, object_record(object), &world);
}

/* Writes the view anew; whether it changed. */
static bool renew(InventoryWriter *writer, Object *object)
{
    GBytes *text = write_view(writer, object), *old = object_text(object);
    if (!old) { /* new since the last commit: in no snapshot */
        object_set_text(object, text);
        return true;
    }
    bool same = g_bytes_equal(text, old) && !MUTANT(inventory_tells_unchanged);
    if (same) { /* mutant: pool_inventory */
        g_bytes_unref(text);
        return false;
    }
    put_object(writer, object_new(writer->cells, record_ref(object_record(object)),
                                  object_type(object), object_id(object), text));
    return true;
}

static void report_left(InventoryWriter *writer, GPtrArray *left)
{
    GHashTableIter iter;
    gpointer id;
    g_hash_table_iter_init(&iter, writer->left);
    while (g_hash_table_iter_next(&iter, &id, NULL))
        if (!trie_get(writer->by_id, inventory_key_id, id))
            g_ptr_array_add(left, g_strdup(id));
    g_hash_table_remove_all(writer->left);
}

static void renew_later(Object *object, void *user)
{
    if (*object_id(object))
        mark_dirty(user, object_key(object));
}

/* Some wait for what never comes, or are gone themselves: when these are too many, all views are
 * written once more, and only those that must wait do. */
static void forget_vain_waiters(InventoryWriter *writer)
{
    if (writer->n_waiting <= WAITING_PER_OBJECT * writer->n_objects + WAITING_AT_LEAST ||
        MUTANT(inventory_waits_for_ever)) /* mutant: pool_inventory */
        return;
    g_hash_table_remove_all(writer->waiters);
    writer->n_waiting = 0;
    trie_each(writer->by_ref, renew_later, writer);
}

unsigned inventory_writer_waiting(const InventoryWriter *writer)
{
    return writer->n_waiting;
}

Inventory *inventory_writer_commit(InventoryWriter *writer, GPtrArray *entered, GPtrArray *left)
{
    forget_vain_waiters(writer);
    /* In the order in which they came, which is how they lie in memory. */
    g_autoptr(GPtrArray) refs = g_steal_pointer(&writer->dirty_refs);
    g_hash_table_remove_all(writer->dirty);
    writer->dirty_refs = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < refs->len; i++) {
        Object *object = get(writer, refs->pdata[i]);
        if (!object || !*object_id(object))
            continue;
        object_ref(object);
        if (renew(writer, object))
            g_ptr_array_add(entered, g_strdup(object_id(object)));
        object_unref(object);
    }
    report_left(writer, left);
    return inventory_new(writer->by_ref, writer->by_id, writer->pool_id, writer->n_objects);
}
