/* What an earlier worker of the same run had begun: the intents of the journal that were opened and
 * not ended. Whoever takes one answers for it from then on. */
#include "work/private.h"

#include "base/error.h"

#include <pthread.h>
#include <string.h>

struct WorkPast {
    pthread_mutex_t lock;
    GHashTable *open; /* intent's id → its record, with the later ones about it in "notes" */
};

static void add_note(WorkPast *past, const char *id, json_t *record)
{
    json_t *intent = g_hash_table_lookup(past->open, id);
    if (intent)
        json_array_append(json_object_get(intent, "notes"), record);
}

static void take_record(WorkPast *past, json_t *record)
{
    const char *type = json_text(record, "type"), *id = json_text(record, "intent");
    if (strcmp(type, "work.begin") == 0) {
        json_object_set_new(record, "notes", json_array());
        g_hash_table_replace(past->open, g_strdup(id), json_incref(record));
    } else if (strcmp(type, "work.end") == 0) {
        g_hash_table_remove(past->open, id);
    } else if (strcmp(type, "work.note") == 0) {
        add_note(past, id, record);
    }
}

WorkPast *work_past_read(Journal *journal, GError **error)
{
    json_t *records = journal_records(journal, error), *record;
    size_t i;
    if (!records)
        return NULL;
    WorkPast *past = g_new0(WorkPast, 1);
    pthread_mutex_init(&past->lock, NULL);
    past->open =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) json_decref);
    json_array_foreach (records, i, record)
        take_record(past, record);
    json_decref(records);
    return past;
}

void work_past_free(WorkPast *past)
{
    if (!past)
        return;
    g_hash_table_unref(past->open);
    pthread_mutex_destroy(&past->lock);
    g_free(past);
}

static bool fits(json_t *intent, const char *kind, const char *vm, const char *remote)
{
    return (!kind || strcmp(json_text(intent, "kind"), kind) == 0) &&
           (!vm || strcmp(json_text(intent, "vm"), vm) == 0) &&
           (!remote || strcmp(json_text(intent, "remote"), remote) == 0);
}

json_t *past_take(WorkPast *past, const char *kind, const char *vm, const char *remote)
{
    GHashTableIter iter;
    gpointer id, intent;
    json_t *found = NULL;
    if (!past)
        return NULL;
    pthread_mutex_lock(&past->lock);
    g_hash_table_iter_init(&iter, past->open);
    while (!found && g_hash_table_iter_next(&iter, &id, &intent))
        if (fits(intent, kind, vm, remote)) {
            found = json_incref(intent);
            g_hash_table_iter_remove(&iter);
        }
    pthread_mutex_unlock(&past->lock);
    return found;
}
