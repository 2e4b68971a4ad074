/* A table of lines: the first of each holds the VM, the others wait. */
#include "run/leases.h"

#include "base/error.h"
#include "base/mutant.h"
#include "run/private.h"

#include <string.h>

typedef struct {
    Run *run; /* borrowed: leases_drop comes before its last reference goes */
    gint64 ask_id;
} Place;

struct Leases {
    pthread_mutex_t lock;
    GHashTable *lines; /* VM → GQueue of Place */
};

static void line_free(void *line)
{
    g_queue_free_full(line, g_free);
}

Leases *leases_new(void)
{
    Leases *leases = g_new0(Leases, 1);
    pthread_mutex_init(&leases->lock, NULL);
    leases->lines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, line_free);
    return leases;
}

void leases_free(Leases *leases)
{
    g_hash_table_destroy(leases->lines);
    pthread_mutex_destroy(&leases->lock);
    g_free(leases);
}

/* A dead worker's channel refuses; its run drops its leases soon. */
static void grant(const Place *place)
{
    channel_send(place->run->channel,
                 json_pack("{s:s, s:I}", "type", "answer", "id", (json_int_t) place->ask_id), NULL);
}

static void refuse(const Place *place, const char *vm, const char *holder)
{
    g_autoptr(GError) error = NULL;
    err_set(&error, ERR_BUSY, "VM %s is being backed up by run %s", vm, holder);
    channel_send(place->run->channel,
                 json_pack("{s:s, s:I, s:o}", "type", "answer", "id", (json_int_t) place->ask_id,
                           "error", protocol_error(error)),
                 NULL);
}

static void put_off(const Place *place, const char *holder)
{
    channel_send(place->run->channel,
                 json_pack("{s:s, s:I, s:s}", "type", "waiting", "id", (json_int_t) place->ask_id,
                           "holder", holder),
                 NULL);
}

void leases_ask(Leases *leases, Run *run, gint64 ask_id, const char *vm, bool wait)
{
    Place asking = { run, ask_id };
    pthread_mutex_lock(&leases->lock);
    GQueue *line = g_hash_table_lookup(leases->lines, vm);
    if (!line) {
        line = g_queue_new();
        g_hash_table_insert(leases->lines, g_strdup(vm), line);
    }
    Place *holder = MUTANT(lease_always_granted) ? NULL : g_queue_peek_head(line); /* mutant: run */
    if (!holder)
        grant(&asking);
    else if (wait)
        put_off(&asking, holder->run->id);
    else
        refuse(&asking, vm, holder->run->id);
    if (!holder || wait)
        g_queue_push_tail(line, g_memdup2(&asking, sizeof asking));
    pthread_mutex_unlock(&leases->lock);
}

/* Takes the run out of the line; the next one gets the VM when it was at the head. True when nobody
 * is left. */
static bool leave(GQueue *line, Run *run)
{
    bool was_head = false;
    for (GList *link = line->head; link;) {
        GList *next = link->next;
        if (((Place *) link->data)->run == run) {
            was_head |= link == line->head;
            g_free(link->data);
            g_queue_delete_link(line, link);
        }
        link = next;
    }
    if (was_head && line->head)
        grant(line->head->data);
    return line->head == NULL;
}

void leases_release(Leases *leases, Run *run, const char *vm)
{
    pthread_mutex_lock(&leases->lock);
    GQueue *line = g_hash_table_lookup(leases->lines, vm);
    if (line && leave(line, run))
        g_hash_table_remove(leases->lines, vm);
    pthread_mutex_unlock(&leases->lock);
}

void leases_drop(Leases *leases, Run *run)
{
    GHashTableIter iter;
    gpointer line;
    pthread_mutex_lock(&leases->lock);
    g_hash_table_iter_init(&iter, leases->lines);
    while (g_hash_table_iter_next(&iter, NULL, &line))
        if (leave(line, run))
            g_hash_table_iter_remove(&iter);
    pthread_mutex_unlock(&leases->lock);
}
