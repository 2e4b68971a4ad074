/* The readers of a pool take the classes one after the other from one list, each over a connection
 * of its own. They share the writer, which belongs to whoever holds the lock. The pool's own record
 * comes before all, for ids depend on it. */
#include "pool/reading.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

enum { N_READERS = 2 };

typedef struct {
    Pool *pool;
    pthread_mutex_t lock; /* of the pool's writer, and of what follows */
    const char *const *next;
    bool failed;
    GError *error; /* the first */
} Readers;

/* One class being read. */
typedef struct {
    Readers *readers;
    InventoryWriter *writer;
    GHashTable *refs; /* what came; NULL: none was held before, and events tell what goes */
} Reading;

static void note(Reading *reading, const char *ref)
{
    if (reading->refs)
        g_hash_table_add(reading->refs, g_strdup(ref));
}

static void take_record(const char *cls, const char *ref, json_t *record, void *user)
{
    Reading *reading = user;
    if (json_is_object(record)) {
        pthread_mutex_lock(&reading->readers->lock);
        inventory_writer_put(reading->writer, cls, ref, record);
        pthread_mutex_unlock(&reading->readers->lock);
        note(reading, ref);
    }
    json_decref(record);
}

static size_t take_record_text(const char *cls, const char *ref, const char *text, size_t n,
                               void *user)
{
    Reading *reading = user;
    pthread_mutex_lock(&reading->readers->lock);
    size_t taken = inventory_writer_take(reading->writer, cls, ref, text, n);
    pthread_mutex_unlock(&reading->readers->lock);
    if (taken)
        note(reading, ref);
    return taken;
}

static bool is_missing_class(const GError *error)
{
    static const char *const codes[] = { "MESSAGE_METHOD_UNKNOWN", "MESSAGE_REMOVED",
                                         "NOT_IMPLEMENTED", "MESSAGE_DEPRECATED" };
    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++)
        if (strcmp(err_xapi_code(error), codes[i]) == 0)
            return true;
    return false;
}

static bool read_class(Readers *readers, const char *cls, GError **error)
{
    Pool *pool = readers->pool;
    g_autoptr(GHashTable) refs = NULL;
    g_autoptr(GError) failure = NULL;
    pthread_mutex_lock(&readers->lock);
    if (inventory_writer_count(pool->writer, cls) > 0)
        refs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    pthread_mutex_unlock(&readers->lock);
    Reading reading = { readers, pool->writer, refs };
    if (xapi_all_record_texts(pool->xapi, cls, take_record_text, take_record, &reading, &failure)) {
        pthread_mutex_lock(&readers->lock);
        if (refs)
            inventory_writer_keep_only(pool->writer, cls, refs);
        pthread_mutex_unlock(&readers->lock);
        return true;
    }
    if (is_missing_class(failure))
        return true;
    if (err_is(failure, ERR_XAPI) && strcmp(cls, "pool") != 0) {
        log_warning("pool", "objects of class %s are not shown: %s", cls, failure->message);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

static const char *next_class(Readers *readers)
{
    pthread_mutex_lock(&readers->lock);
    const char *cls = readers->failed ? NULL : *readers->next;
    readers->next += cls != NULL;
    pthread_mutex_unlock(&readers->lock);
    return cls;
}

static void fail(Readers *readers, GError *error)
{
    pthread_mutex_lock(&readers->lock);
    if (readers->failed)
        g_error_free(error);
    else
        readers->error = error;
    readers->failed = true;
    pthread_mutex_unlock(&readers->lock);
}

static void *read_some(void *user)
{
    Readers *readers = user;
    for (const char *cls; (cls = next_class(readers));) {
        GError *error = NULL;
        if (cancel_check(readers->pool->cancel, "the connection", &error) ||
            !read_class(readers, cls, &error))
            fail(readers, error);
        if (strcmp(cls, "pool") == 0)
            break;
    }
    return NULL;
}

/* With what cannot be started, one reads all. */
static void read_rest(Readers *readers)
{
    pthread_t threads[N_READERS - 1];
    unsigned n = 0;
    while (n < G_N_ELEMENTS(threads) &&
           !MUTANT(pool_reads_one_by_one) && /* mutant: pool_events:test_classes_side_by_side */
           pthread_create(&threads[n], NULL, read_some, readers) == 0)
        n++;
    read_some(readers);
    while (n > 0)
        pthread_join(threads[--n], NULL);
}

bool pool_read_class(Pool *pool, const char *cls, GError **error)
{
    Readers readers = { .pool = pool, .lock = PTHREAD_MUTEX_INITIALIZER };
    bool ok = read_class(&readers, cls, error);
    pthread_mutex_destroy(&readers.lock);
    return ok;
}

bool pool_read_classes(Pool *pool, GError **error)
{
    Readers readers = { .pool = pool,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .next = inventory_classes() };
    read_some(&readers); /* the pool's record alone */
    read_rest(&readers);
    pthread_mutex_destroy(&readers.lock);
    if (readers.failed)
        g_propagate_error(error, readers.error);
    return !readers.failed;
}
