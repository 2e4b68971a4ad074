/* Intents: what is about to be done to a pool, journaled before and closed after. */
#include "work/private.h"

char *intent_begin(const WorkContext *context, const char *kind, json_t *fields, GError **error)
{
    char *id = g_uuid_string_random();
    json_object_set_new(fields, "intent", json_string(id));
    json_object_set_new(fields, "kind", json_string(kind));
    if (journal_add(context->journal, "work.begin", fields, error))
        return id;
    g_free(id);
    return NULL;
}

bool intent_note(Journal *journal, const char *intent, json_t *fields, GError **error)
{
    json_object_set_new(fields, "intent", json_string(intent));
    return journal_add(journal, "work.note", fields, error);
}

bool intent_end(Journal *journal, const char *intent, GError **error)
{
    return journal_add(journal, "work.end", json_pack("{ss}", "intent", intent), error);
}
