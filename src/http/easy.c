/* One share object for DNS and TLS sessions; never the connection cache, which libcurl cannot share
 * between threads safely.
 *
 * Connections are kept by multi handles, and every call gets an easy handle of its own: in one that
 * was used before, libcurl 7.88 keeps a pointer to a freed header of the last answer, and takes an
 * answer whose first header line begins with a blank for that header's continuation. */
#include "http/easy.h"

#include "base/sigpipe.h"

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

enum {
    MAX_HANDLES = 4, /* of a thread */
    MAX_IDLE_CONNECTIONS = 4,
    MAX_IDLE_S = 30, /* an older connection is not used again */
    POLL_MS = 1000,  /* at most: libcurl knows when it has to look again */
};

typedef struct {
    CURLM *kept; /* with the connections */
    char *trust;
    CURL *easy; /* in use; NULL: free */
} Slot;

typedef struct {
    Slot slots[MAX_HANDLES];
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
        curl_multi_cleanup(handles->slots[i].kept);
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

static CURL *make(void)
{
    CURL *easy = curl_easy_init();
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

/* A free one that trusts like this, else any free one, else NULL: calls within calls within calls.
 */
static Slot *choose(ThreadHandles *handles, const char *trust)
{
    for (unsigned i = 0; i < MAX_HANDLES; i++)
        if (!handles->slots[i].easy && g_strcmp0(handles->slots[i].trust, trust) == 0)
            return &handles->slots[i];
    for (unsigned i = 0; i < MAX_HANDLES; i++) {
        unsigned at = (handles->next + i) % MAX_HANDLES;
        if (handles->slots[at].easy)
            continue;
        handles->next = (at + 1) % MAX_HANDLES;
        return &handles->slots[at];
    }
    return NULL;
}

/* Its connections were made under another trust. */
static void renew(Slot *slot, const char *trust)
{
    curl_multi_cleanup(slot->kept);
    g_free(slot->trust);
    slot->kept = curl_multi_init();
    slot->trust = g_strdup(trust);
    curl_multi_setopt(slot->kept, CURLMOPT_MAXCONNECTS, (long) MAX_IDLE_CONNECTIONS);
}

static Slot *slot_of(CURL *easy)
{
    ThreadHandles *handles = of_thread();
    for (unsigned i = 0; i < MAX_HANDLES; i++)
        if (handles->slots[i].easy == easy)
            return &handles->slots[i];
    return NULL;
}

CURL *easy_take_new(void)
{
    of_thread();
    return make();
}

CURL *easy_take(const char *trust)
{
    Slot *slot = choose(of_thread(), trust);
    CURL *easy = make();
    if (!slot)
        return easy;
    if (g_strcmp0(slot->trust, trust) != 0)
        renew(slot, trust);
    slot->easy = easy;
    return easy;
}

/* As curl_easy_perform, which would take its connections with it. */
static CURLcode drive(CURLM *kept, CURL *easy)
{
    int n_running = 1, n_left;
    while (n_running) {
        CURLMcode code = curl_multi_perform(kept, &n_running);
        if (code == CURLM_OK && n_running)
            code = curl_multi_poll(kept, NULL, 0, POLL_MS, NULL);
        if (code != CURLM_OK)
            return code == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_FAILED_INIT;
    }
    const CURLMsg *message = curl_multi_info_read(kept, &n_left);
    return message && message->easy_handle == easy ? message->data.result : CURLE_FAILED_INIT;
}

CURLcode easy_perform(CURL *easy)
{
    const Slot *slot = slot_of(easy);
    if (!slot)
        return curl_easy_perform(easy);
    if (curl_multi_add_handle(slot->kept, easy) != CURLM_OK)
        return CURLE_FAILED_INIT;
    CURLcode code = drive(slot->kept, easy);
    curl_multi_remove_handle(slot->kept, easy);
    return code;
}

void easy_give(CURL *easy)
{
    Slot *slot = slot_of(easy);
    if (slot)
        slot->easy = NULL;
    curl_easy_cleanup(easy);
}
