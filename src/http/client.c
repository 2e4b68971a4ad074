/* A call is put into an easy handle, performed, and its outcome told in our error codes. */
#include "http/client.h"

#include "base/error.h"
#include "base/mutant.h"
#include "http/easy.h"
#include "http/pin.h"
#include "http/straight.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum {
    CONNECT_TIMEOUT_MS = 20000,
    STALL_TIMEOUT_MS = 300000,
    RECEIVE_BYTES = 128 << 10,
    SEND_BYTES = 256 << 10,
    CUT_WAIT_MS = 30000, /* for a server to take what was sent before a cut */
};

/* What the library offers, but first what costs least where processors have AES. */
#define TLS13_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

typedef struct {
    const HttpCall *call;
    int socket;   /* the last one made, -1: none */
    char *server; /* "https://host:port", for messages */
    HttpPin pin;
    GError *error; /* of a callback */
    char cause[CURL_ERROR_SIZE];
    struct curl_slist *headers;
    int status; /* of the answer whose headers arrive */
    bool body_begun, stalled, cut, source_done;
    guint64 n_sent;
    curl_off_t seen_bytes;
    gint64 progress_us;
} Transfer;

/* --- libcurl's callbacks --- */

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    Transfer *t = user;
    n *= size;
    t->body_begun = true;
    if (n == 0 || !t->call->sink)
        return n;
    bool taken = t->call->sink(data, n, t->call->user, &t->error);
    t->progress_us = g_get_monotonic_time(); /* a slow sink is no stall of the peer */
    if (!taken && !t->error)
        err_set(&t->error, ERR_INTERNAL, "the reader of %s gave no reason", t->server);
    return taken ? n : 0;
}

static void show_status(const Transfer *t)
{
    g_autofree char *value = g_strdup_printf("%d", t->status);
    if (t->call->header_seen && t->status >= 200)
        t->call->header_seen(":status", value, t->call->user);
}

static size_t on_header(char *data, size_t size, size_t n, void *user)
{
    Transfer *t = user;
    n *= size;
    if (n > 5 && memcmp(data, "HTTP/", 5) == 0) {
        const char *blank = memchr(data, ' ', n);
        t->status = blank ? atoi(blank + 1) : 0;
        show_status(t);
        return n;
    }
    const char *colon = memchr(data, ':', n);
    if (!colon || !t->call->header_seen || t->status < 200)
        return n;
    g_autofree char *name = g_ascii_strdown(data, colon - data);
    g_autofree char *value = g_strndup(colon + 1, (size_t) (data + n - colon - 1));
    t->call->header_seen(name, g_strstrip(value), t->call->user);
    return n;
}

static int on_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
    ((Transfer *) user)->socket = fd;
    return CURL_SOCKOPT_OK;
}

/* Says that nothing more will come and lets the server take the rest: a close with an answer unread
 * would be a reset, which throws away what is on its way. */
static void half_close(const Transfer *t)
{
    int fd = t->socket;
    char trash[4096];
    gint64 end_us = g_get_monotonic_time() + CUT_WAIT_MS * 1000;
    if (fd < 0 || shutdown(fd, SHUT_WR) != 0)
        return;
    while (!cancel_is_set(t->call->cancel) && g_get_monotonic_time() < end_us) {
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        if (poll(&waiting, 1, 500) > 0 && recv(fd, trash, sizeof trash, 0) <= 0)
            return;
    }
}

/* The source has no more. */
static size_t source_ends(Transfer *t)
{
    gint64 announced = t->call->source_bytes;
    t->source_done = true;
    if (announced < 0 || t->n_sent >= (guint64) announced)
        return 0;
    if (t->call->cut_at_end) {
        half_close(t);
        t->cut = true;
    } else {
        err_set(&t->error, ERR_TRUNCATED,
                "the data for %s ended after %" G_GUINT64_FORMAT " of %" G_GINT64_FORMAT " bytes",
                t->server, t->n_sent, announced);
    }
    return CURL_READFUNC_ABORT;
}

static size_t on_source(char *data, size_t size, size_t n, void *user)
{
    Transfer *t = user;
    n *= size;
    if (t->call->source_bytes >= 0)
        n = (size_t) MIN((guint64) n, (guint64) t->call->source_bytes - t->n_sent);
    if (n == 0)
        return source_ends(t);
    ssize_t got = t->call->source(data, n, t->call->user, &t->error);
    t->progress_us = g_get_monotonic_time();
    if (got < 0) {
        if (!t->error)
            err_set(&t->error, ERR_INTERNAL, "the source for %s gave no reason", t->server);
        return CURL_READFUNC_ABORT;
    }
    t->n_sent += (guint64) got;
    return got ? (size_t) got : source_ends(t);
}

/* Called at least once a second: cancellation and stalls. */
static int on_progress(void *user, curl_off_t n_down, curl_off_t have_down, curl_off_t n_up,
                       curl_off_t have_up)
{
    Transfer *t = user;
    gint64 now_us = g_get_monotonic_time();
    unsigned stall_ms = t->call->stall_timeout_ms ? t->call->stall_timeout_ms : STALL_TIMEOUT_MS;
    if (have_down + have_up != t->seen_bytes) {
        t->seen_bytes = have_down + have_up;
        t->progress_us = now_us;
    }
    t->stalled = now_us - t->progress_us > (gint64) stall_ms * 1000;
    return t->stalled || cancel_is_set(t->call->cancel);
}

/* --- the call --- */

/* "https://host:port" of a URL; NULL with INVALID. */
static char *name_server(const char *url, GError **error)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *name = NULL;
    if (curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0))
        name = g_strdup_printf("%s://%s:%s", scheme, host, port);
    else
        err_set(error, ERR_INVALID, "not an HTTP address%s%s", host ? ": " : "", host ? host : "");
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return name;
}

static bool has_header(const HttpCall *call, const char *name)
{
    size_t n = strlen(name);
    for (const char *const *header = call->headers; header && *header; header++)
        if (g_ascii_strncasecmp(*header, name, n) == 0 && strchr(":;", (*header)[n]))
            return true;
    return false;
}

static void add_header(Transfer *t, const char *line)
{
    t->headers = curl_slist_append(t->headers, line);
}

static void set_headers(Transfer *t, CURL *easy)
{
    const HttpCall *call = t->call;
    for (const char *const *header = call->headers; header && *header; header++)
        add_header(t, *header);
    if (!has_header(call, "expect"))
        add_header(t, "Expect:"); /* pools do not answer it, and libcurl would wait a second */
    if (!has_header(call, "content-type"))
        add_header(t, "Content-Type:");
    if (call->source && call->source_bytes < 0 && !has_header(call, "transfer-encoding"))
        add_header(t, "Transfer-Encoding: chunked");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "Cadenza/" CADENZA_VERSION);
}

static bool sends_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

static void set_body(Transfer *t, CURL *easy)
{
    const HttpCall *call = t->call;
    const char *method = call->method ? call->method : "GET";
    if (call->source) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) call->source_bytes);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_source);
        curl_easy_setopt(easy, CURLOPT_READDATA, t);
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L); /* a stream cannot be sent twice */
    } else if (call->body || sends_body(method)) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) call->body_bytes);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body ? call->body : "");
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_trust(Transfer *t, CURL *easy)
{
    if (t->call->trust == HTTP_TRUST_FINGERPRINT) {
        t->pin.wanted = t->call->fingerprint;
        pin_set(easy, &t->pin);
    } else if (t->call->trust == HTTP_TRUST_ANY) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void set_callbacks(Transfer *t, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, t);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->cause);
}

static void set_wire(const HttpCall *call, CURL *easy)
{
    unsigned connect_ms = call->connect_timeout_ms ? call->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_PROXY, call->proxy ? call->proxy : "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) call->total_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, call->once ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long) RECEIVE_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long) SEND_BYTES);
    curl_easy_setopt(easy, CURLOPT_TLS13_CIPHERS, TLS13_CIPHERS);
}

/* --- the outcome --- */

static const struct {
    CURLcode code;
    ErrCode ours;
} codes[] = {
    { CURLE_PARTIAL_FILE, ERR_TRUNCATED },
    { CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT },
    { CURLE_SSL_CONNECT_ERROR, ERR_TLS },
    { CURLE_PEER_FAILED_VERIFICATION, ERR_TLS },
    { CURLE_SSL_CERTPROBLEM, ERR_TLS },
    { CURLE_SSL_CACERT_BADFILE, ERR_TLS },
    { CURLE_SSL_CIPHER, ERR_TLS },
    { CURLE_UNSUPPORTED_PROTOCOL, ERR_PROTOCOL }, /* an answer that is not HTTP */
    { CURLE_WEIRD_SERVER_REPLY, ERR_PROTOCOL },
    { CURLE_BAD_CONTENT_ENCODING, ERR_PROTOCOL },
    { CURLE_URL_MALFORMAT, ERR_INVALID },
};

static ErrCode code_of(const Transfer *t, CURLcode code)
{
    if (code == CURLE_RECV_ERROR && (t->body_begun || t->status))
        return ERR_TRUNCATED;
    /* A handshake that breaks off says nothing about the certificate. */
    if (code == CURLE_SSL_CONNECT_ERROR &&
        (strstr(t->cause, "SYSCALL") || strstr(t->cause, "unexpected eof")))
        return ERR_NETWORK;
    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++)
        if (codes[i].code == code)
            return codes[i].ours;
    return ERR_NETWORK;
}

static void tell(Transfer *t, CURL *easy, CURLcode code, GError **error)
{
    const HttpCall *call = t->call;
    long errnum = 0; /* only asked where it says more */
    if (code == CURLE_COULDNT_CONNECT)
        curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &errnum);
    if (t->error)
        g_propagate_error(error, g_steal_pointer(&t->error));
    else if (cancel_check(call->cancel, t->server, error))
        return;
    else if (t->stalled)
        err_set(error, ERR_TIMEOUT, "%s has neither sent nor taken a byte for %u ms", t->server,
                call->stall_timeout_ms ? call->stall_timeout_ms : STALL_TIMEOUT_MS);
    else if (t->pin.refused)
        err_set(error, ERR_TLS, "%s presents the certificate %s, expected was %s", t->server,
                t->pin.seen, t->pin.wanted);
    else
        err_set(error, code_of(t, code), "%s: %s%s%s", t->server,
                *t->cause ? t->cause : curl_easy_strerror(code), errnum ? ": " : "",
                errnum ? g_strerror((int) errnum) : "");
}

/* A server that answers early with a length lets libcurl stop sending: no success. */
static bool was_all_sent(const Transfer *t, long status, GError **error)
{
    const HttpCall *call = t->call;
    if (!call->source || status >= 300 || t->source_done ||
        t->n_sent == (guint64) call->source_bytes)
        return true;
    err_set(error, ERR_TRUNCATED,
            "%s answered %ld after %" G_GUINT64_FORMAT " bytes, before the end", t->server, status,
            t->n_sent);
    return false;
}

static const char *trust_name(const HttpCall *call)
{
    switch (call->trust) {
    case HTTP_TRUST_FINGERPRINT:
        return call->fingerprint;
    case HTTP_TRUST_ANY:
        return "any";
    default:
        return "system";
    }
}

static bool is_straight(const HttpCall *call)
{
    return call->straight && g_strcmp0(call->method ? call->method : "GET", "GET") == 0 &&
           !call->proxy && !call->source && !call->body;
}

static CURLcode perform_straight(Transfer *t, CURL *easy)
{
    const HttpCall *call = t->call;
    StraightTls tls = { 0 };
    if (call->trust == HTTP_TRUST_FINGERPRINT)
        tls = (StraightTls){ pin_context, &t->pin };
    straight_prepare(easy, &tls);
    CURLcode code = curl_easy_perform(easy);
    if (code != CURLE_OK)
        return code;
    g_autoptr(GPtrArray) lines = g_ptr_array_new();
    g_ptr_array_add(lines, "User-Agent: Cadenza/" CADENZA_VERSION);
    g_ptr_array_add(lines, "Accept: */*");
    for (const char *const *header = call->headers; header && *header; header++)
        g_ptr_array_add(lines, (char *) *header);
    g_ptr_array_add(lines, NULL);
    Straight straight = {
        .call = call,
        .headers = (const char *const *) lines->pdata,
        .stall_timeout_ms = call->stall_timeout_ms ? call->stall_timeout_ms : STALL_TIMEOUT_MS,
        .header = on_header,
        .body = on_body,
        .user = t,
    };
    code = straight_perform(&straight, easy);
    t->stalled = straight.stalled;
    if (!*t->cause)
        g_strlcpy(t->cause, straight.cause, sizeof t->cause);
    return code;
}

static int perform(Transfer *t, GError **error)
{
    bool straight = is_straight(t->call);
    CURL *easy = straight ? easy_take_new() : easy_take(trust_name(t->call));
    set_wire(t->call, easy);
    set_trust(t, easy);
    set_headers(t, easy);
    set_body(t, easy);
    set_callbacks(t, easy);
    t->progress_us = g_get_monotonic_time();
    CURLcode code = straight ? perform_straight(t, easy) : easy_perform(easy);
    long status = t->status;
    if (!straight)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_PARTIAL_FILE &&
        MUTANT(http_truncated_ok)) /* mutant: http_client:test_bad_peers */
        code = CURLE_OK;
    if (t->cut) {
        code = CURLE_OK;
        status = status ? status : 200;
    }
    if (code != CURLE_OK) {
        tell(t, easy, code, error);
        status = 0;
    } else if (status < 100 || status > 999) { /* libcurl takes "HTTP/2 1" for a status */
        err_set(error, ERR_PROTOCOL, "%s answered without a status", t->server);
        status = 0;
    } else if (!was_all_sent(t, status, error)) {
        status = 0;
    }
    easy_give(easy);
    return (int) status;
}

int http_call(const HttpCall *call, GError **error)
{
    Transfer t = { .call = call, .socket = -1 };
    if (call->trust == HTTP_TRUST_FINGERPRINT && (!call->fingerprint || !*call->fingerprint)) {
        err_set(error, ERR_INVALID, "no fingerprint was given to trust");
        return 0;
    }
    t.server = name_server(call->url, error);
    int status = 0;
    if (t.server && !cancel_check(call->cancel, t.server, error))
        status = perform(&t, error);
    curl_slist_free_all(t.headers);
    g_clear_error(&t.error);
    g_free(t.server);
    return status;
}

/* --- collecting --- */

typedef struct {
    GByteArray *all;
    size_t max;
    const HttpCall *call;
} Collection;

static bool collect(const void *data, size_t n, void *user, GError **error)
{
    Collection *collection = user;
    if (n > collection->max - collection->all->len) {
        g_autofree char *server = name_server(collection->call->url, NULL);
        err_set(error, ERR_LIMIT, "the answer of %s exceeds %zu bytes", server, collection->max);
        return false;
    }
    g_byte_array_append(collection->all, data, (guint) n);
    return true;
}

static void pass_header(const char *name, const char *value, void *user)
{
    const HttpCall *call = ((Collection *) user)->call;
    call->header_seen(name, value, call->user);
}

static ssize_t pass_source(void *data, size_t n, void *user, GError **error)
{
    const HttpCall *call = ((Collection *) user)->call;
    return call->source(data, n, call->user, error);
}

int http_fetch(const HttpCall *call, size_t max, GBytes **body, GError **error)
{
    Collection collection = { g_byte_array_new(), MIN(max, (size_t) G_MAXINT - 1), call };
    HttpCall inner = *call;
    inner.sink = collect;
    inner.header_seen = call->header_seen ? pass_header : NULL;
    inner.source = call->source ? pass_source : NULL;
    inner.user = &collection;
    int status = http_call(&inner, error);
    if (!status) {
        g_byte_array_unref(collection.all);
        return 0;
    }
    guint n = collection.all->len;
    g_byte_array_append(collection.all, (const guint8 *) "", 1);
    g_autoptr(GBytes) whole = g_byte_array_free_to_bytes(collection.all);
    *body = g_bytes_new_from_bytes(whole, 0, n);
    return status;
}
