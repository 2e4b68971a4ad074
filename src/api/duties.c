/* A table of records in memory, and the same in the store. The lock is not held during a look. */
#include "api/duties.h"
#include "api/methods/host_leaving.h"
#include "api/methods/host_return.h"
#include "api/methods/late_task.h"
#include "api/methods/passing_disks.h"
#include "api/methods/vm_birth.h"
#include "api/methods/vm_cloud.h"
#include "api/parts.h"
#include "base/log.h"

#define DUTIES "duties"

static const DutyKind *const kinds[] = { &host_leaving_duty, &host_return_duty,
                                         &late_task_duty,    &passing_disks_duty,
                                         &vm_birth_duty,     &vm_cloud_drive_duty };

typedef struct {
    const DutyKind *kind;
    json_t *record;
    gint64 look_ms; /* not before; wall clock */
    bool held;
} Duty;

struct Duties {
    const ApiParts *parts;
    GMutex mutex;
    GCond changed;
    GHashTable *all; /* id → Duty */
    GThread *thread;
    bool stopping;
};

static gint64 now_ms(void)
{
    return g_get_real_time() / 1000;
}

static void duty_free(void *data)
{
    Duty *duty = data;
    json_decref(duty->record);
    g_free(duty);
}

/* Takes the reference. */
static Duty *duty_new(const DutyKind *kind, json_t *record, bool held)
{
    Duty *duty = g_new0(Duty, 1);
    *duty = (Duty){ kind, record, 0, held };
    return duty;
}

Duties *duties_new(const ApiParts *parts)
{
    Duties *duties = g_new0(Duties, 1);
    duties->parts = parts;
    g_mutex_init(&duties->mutex);
    g_cond_init(&duties->changed);
    duties->all = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, duty_free);
    return duties;
}

/* --- Looking after them --- */

/* The next to look at, its record copied, or NULL; *wait_ms until there is one. Locked. */
static char *next(Duties *duties, json_t **record, const DutyKind **kind, gint64 *wait_ms)
{
    GHashTableIter iter;
    void *id, *value;
    gint64 now = now_ms();
    *wait_ms = G_MAXINT32;
    g_hash_table_iter_init(&iter, duties->all);
    while (g_hash_table_iter_next(&iter, &id, &value)) {
        const Duty *duty = value;
        if (duty->held)
            continue;
        *wait_ms = MIN(*wait_ms, duty->look_ms - now);
        if (duty->look_ms <= now) {
            *record = json_deep_copy(duty->record);
            *kind = duty->kind;
            return g_strdup(id);
        }
    }
    return NULL;
}

static void keep(Duties *duties, const char *id, json_t *record, unsigned again_ms)
{
    g_autoptr(GError) error = NULL;
    g_mutex_lock(&duties->mutex);
    Duty *duty = g_hash_table_lookup(duties->all, id);
    if (duty) {
        duty->look_ms = now_ms() + again_ms;
        if (!json_equal(duty->record, record) &&
            !store_put(duties->parts->store, DUTIES, id, record, &error))
            log_warning("api", "%s", error->message);
        json_decref(duty->record);
        duty->record = json_incref(record);
    }
    g_mutex_unlock(&duties->mutex);
}

/* Unlocked. */
static void look(Duties *duties, const char *id, const DutyKind *kind, json_t *record)
{
    unsigned again_ms = kind->look(duties->parts, record, now_ms());
    if (again_ms == DUTY_DONE)
        duty_drop(duties, id);
    else
        keep(duties, id, record, again_ms);
}

static void *work(void *user)
{
    Duties *duties = user;
    const DutyKind *kind = NULL;
    json_t *record = NULL;
    gint64 wait_ms;
    g_mutex_lock(&duties->mutex);
    while (!duties->stopping) {
        g_autofree char *id = next(duties, &record, &kind, &wait_ms);
        if (!id) {
            g_cond_wait_until(&duties->changed, &duties->mutex,
                              g_get_monotonic_time() + wait_ms * 1000);
            continue;
        }
        g_mutex_unlock(&duties->mutex);
        look(duties, id, kind, record);
        g_clear_pointer(&record, json_decref);
        g_mutex_lock(&duties->mutex);
    }
    g_mutex_unlock(&duties->mutex);
    return NULL;
}

/* --- The table --- */

static const DutyKind *kind_of(json_t *record)
{
    const char *name = json_string_value(json_object_get(record, "kind"));
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (g_strcmp0(name, kinds[i]->name) == 0)
            return kinds[i];
    log_warning("api", "a duty of the unknown kind %s stays", name ? name : "?");
    return NULL;
}

bool duties_start(Duties *duties, GError **error)
{
    json_t *records = store_list(duties->parts->store, DUTIES, error), *record;
    size_t i;
    if (!records)
        return false;
    json_array_foreach (records, i, record) {
        const DutyKind *kind = kind_of(record);
        if (kind)
            g_hash_table_insert(duties->all,
                                g_strdup(json_string_value(json_object_get(record, "id"))),
                                duty_new(kind, json_incref(record), false));
    }
    json_decref(records);
    duties->thread = g_thread_new("duties", work, duties);
    return true;
}

void duties_free(Duties *duties)
{
    if (!duties)
        return;
    g_mutex_lock(&duties->mutex);
    duties->stopping = true;
    g_cond_signal(&duties->changed);
    g_mutex_unlock(&duties->mutex);
    if (duties->thread)
        g_thread_join(duties->thread);
    g_hash_table_unref(duties->all);
    g_cond_clear(&duties->changed);
    g_mutex_clear(&duties->mutex);
    g_free(duties);
}

char *duty_add(Duties *duties, const DutyKind *kind, json_t *record, bool held, GError **error)
{
    g_autofree char *id = g_uuid_string_random();
    json_object_set_new(record, "id", json_string(id));
    json_object_set_new(record, "kind", json_string(kind->name));
    if (!store_put(duties->parts->store, DUTIES, id, record, error)) {
        json_decref(record);
        return NULL;
    }
    g_mutex_lock(&duties->mutex);
    g_hash_table_insert(duties->all, g_strdup(id), duty_new(kind, record, held));
    g_cond_signal(&duties->changed);
    g_mutex_unlock(&duties->mutex);
    return g_steal_pointer(&id);
}

void duty_release(Duties *duties, const char *id)
{
    g_mutex_lock(&duties->mutex);
    Duty *duty = g_hash_table_lookup(duties->all, id);
    if (duty)
        duty->held = false;
    g_cond_signal(&duties->changed);
    g_mutex_unlock(&duties->mutex);
}

void duty_drop(Duties *duties, const char *id)
{
    g_autoptr(GError) error = NULL;
    if (!store_drop(duties->parts->store, DUTIES, id, NULL, &error))
        log_warning("api", "%s", error->message); /* it is looked at again after a restart */
    g_mutex_lock(&duties->mutex);
    g_hash_table_remove(duties->all, id);
    g_mutex_unlock(&duties->mutex);
}
