/* The bus: a list of listeners. Saying holds a read lock, so listeners may say in turn; dropping
 * waits until no callback runs. */
#include "base/bus.h"

#include <pthread.h>
#include <string.h>

typedef struct {
    guint handle;
    char *prefix;
    BusHeard heard;
    void *user;
} Listener;

struct Bus {
    pthread_rwlock_t lock;
    GPtrArray *listeners;
    guint last;
};

static void listener_free(void *data)
{
    Listener *listener = data;
    g_free(listener->prefix);
    g_free(listener);
}

Bus *bus_new(void)
{
    Bus *bus = g_new0(Bus, 1);
    pthread_rwlock_init(&bus->lock, NULL);
    bus->listeners = g_ptr_array_new_with_free_func(listener_free);
    return bus;
}

void bus_free(Bus *bus)
{
    if (!bus)
        return;
    g_ptr_array_unref(bus->listeners);
    pthread_rwlock_destroy(&bus->lock);
    g_free(bus);
}

guint bus_add(Bus *bus, const char *prefix, BusHeard heard, void *user)
{
    if (!bus)
        return 0;
    Listener *listener = g_new0(Listener, 1);
    listener->prefix = g_strdup(prefix);
    listener->heard = heard;
    listener->user = user;
    pthread_rwlock_wrlock(&bus->lock);
    guint handle = listener->handle = ++bus->last;
    g_ptr_array_add(bus->listeners, listener);
    pthread_rwlock_unlock(&bus->lock);
    return handle;
}

void bus_drop(Bus *bus, guint handle)
{
    if (!bus)
        return;
    pthread_rwlock_wrlock(&bus->lock);
    for (guint i = 0; i < bus->listeners->len; i++) {
        Listener *listener = bus->listeners->pdata[i];
        if (listener->handle == handle) {
            g_ptr_array_remove_index(bus->listeners, i);
            break;
        }
    }
    pthread_rwlock_unlock(&bus->lock);
}

void bus_say(Bus *bus, const char *topic, json_t *news)
{
    if (bus) {
        pthread_rwlock_rdlock(&bus->lock);
        for (guint i = 0; i < bus->listeners->len; i++) {
            Listener *listener = bus->listeners->pdata[i];
            if (strncmp(topic, listener->prefix, strlen(listener->prefix)) == 0)
                listener->heard(topic, news, listener->user);
        }
        pthread_rwlock_unlock(&bus->lock);
    }
    json_decref(news);
}
