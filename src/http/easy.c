/* One share object for DNS and TLS sessions; never the connection cache, which libcurl cannot share
 * between threads safely. */
#include "http/easy.h"

#include "base/sigpipe.h"

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

enum {
    MAX_HANDLES = 4, /* of a thread */
    MAX_IDLE_CONNECTIONS = 4,
    MAX_IDLE_S = 30, /* an older connection is not used again */
};

typedef struct {
    struct {
        CURL *easy;
        char *trust;
        bool busy;
    } slots[MAX_HANDLES];
    unsigned next;
} ThreadHandles;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static CURLSH *share;
static pthread_mutex_t locks[CURL_LOCK_DATA_LAST];

static void on_lock(CURL *easy, curl_lock_data data, curl_lock_access access, void *user)
{
    pthread_mutex_lock(&locks[data]);
}

static void on_unlock(CURL *easy, curl_lock_data data, void *user)
{
    pthread_mutex_unlock(&locks[data]);
}

static void thread_ends(void *user)
{
    ThreadHandles *handles = user;
    for (unsigned i = 0; i < MAX_HANDLES; i++) {
        curl_easy_cleanup(handles->slots[i].easy);
        g_free(handles->slots[i].trust);
    }
    g_free(handles);
}

static void init(void)
{
    sigpipe_ignore();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (unsigned i = 0; i < G_N_ELEMENTS(locks); i++)
        pthread_mutex_init(&locks[i], NULL);
    share = curl_share_init();
    curl_share_setopt(share, CURLSHOPT_LOCKFUNC, on_lock);
    curl_share_setopt(share, CURLSHOPT_UNLOCKFUNC, on_unlock);
    curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    pthread_key_create(&key, thread_ends);
}

static CURL *prepare(CURL *easy)
{
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_SHARE, share);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, (long) MAX_IDLE_CONNECTIONS);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long) MAX_IDLE_S);
    return easy;
}

static ThreadHandles *of_thread(void)
{
    pthread_once(&once, init);
    ThreadHandles *handles = pthread_getspecific(key);
    if (!handles) {
        handles = g_new0(ThreadHandles, 1);
        pthread_setspecific(key, handles);
    }
    return handles;
}

CURL *easy_take(const char *trust)
{
    ThreadHandles *handles = of_thread();
    int chosen = -1;
    for (unsigned i = 0; i < MAX_HANDLES && chosen < 0; i++)
        if (!handles->slots[i].busy && g_strcmp0(handles->slots[i].trust, trust) == 0)
            chosen = (int) i;
    for (unsigned i = 0; i < MAX_HANDLES && chosen < 0; i++) {
        unsigned at = (handles->next + i) % MAX_HANDLES;
        if (!handles->slots[at].busy)
            chosen = (int) at;
    }
    if (chosen < 0) /* calls within calls within calls */
        return prepare(curl_easy_init());
    if (g_strcmp0(handles->slots[chosen].trust, trust) != 0) {
        curl_easy_cleanup(handles->slots[chosen].easy);
        g_free(handles->slots[chosen].trust);
        handles->slots[chosen].easy = curl_easy_init();
        handles->slots[chosen].trust = g_strdup(trust);
        handles->next = (unsigned) (chosen + 1) % MAX_HANDLES;
    }
    handles->slots[chosen].busy = true;
    return prepare(handles->slots[chosen].easy);
}

void easy_give(CURL *easy)
{
    ThreadHandles *handles = of_thread();
    for (unsigned i = 0; i < MAX_HANDLES; i++)
        if (handles->slots[i].easy == easy) {
            handles->slots[i].busy = false;
            curl_easy_reset(easy); /* drops pointers to the caller's memory */
            return;
        }
    curl_easy_cleanup(easy);
}
