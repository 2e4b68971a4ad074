/* The client against our server and against peers that misbehave. */
#include "http/certificate.h"
#include "http/client.h"
#include "http/server.h"

#include "base/error.h"
#include "base/openssl.h"
#include "wire.h"

#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { BODY_BYTES = 3000000 };

typedef struct {
    HttpServer *server;
    char *folder, *cert, *key, *plain, *tls; /* "http://127.0.0.1:port" */
    _Atomic int n_requests;
} Fixture;

/* --- the server's side --- */

static void drain(HttpRequest *request)
{
    char buffer[65536];
    guint64 total = 0, sum = 0;
    ssize_t n;
    g_autoptr(GError) error = NULL;
    while ((n = http_read(request, buffer, sizeof buffer, &error)) > 0)
        for (ssize_t i = 0; i < n; i++)
            sum += (guint8) buffer[i] * (++total % 251);
    g_autofree char *text = g_strdup_printf("%s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %s",
                                            http_method(request), total, sum,
                                            error ? err_name(error) : "ok");
    http_reply_text(request, 200, "text/plain", text);
}

static void torn(HttpRequest *request, gint64 length)
{
    char block[10000] = { 0 };
    http_reply_begin(request, 200, NULL, length, NULL);
    http_reply_write(request, block, sizeof block, NULL);
    g_usleep(50000);
}

static char pattern(guint64 at)
{
    return (char) (at * 7 + (at >> 13));
}

/* With a length, in chunks, or until the end of the connection. */
static void give_pattern(HttpRequest *request, int way)
{
    static const gint64 lengths[] = { BODY_BYTES, HTTP_LENGTH_CHUNKED, HTTP_LENGTH_UNTIL_CLOSE };
    char piece[10007];
    http_reply_header(request, "Task-Id", "OpaqueRef:1");
    http_reply_begin(request, 200, NULL, lengths[way], NULL);
    for (guint64 at = 0, n; at < BODY_BYTES; at += n) {
        n = MIN(sizeof piece, BODY_BYTES - at);
        for (guint64 i = 0; i < n; i++)
            piece[i] = pattern(at + i);
        if (!http_reply_write(request, piece, n, NULL))
            return;
    }
    http_reply_end(request, NULL);
}

static void stall(HttpRequest *request)
{
    http_reply_begin(request, 200, NULL, 100, NULL);
    while (!http_client_left(request))
        g_usleep(10000);
}

static void handler(HttpRequest *request, void *user)
{
    Fixture *f = user;
    const char *path = http_path(request);
    f->n_requests++;
    if (strcmp(path, "/drain") == 0)
        drain(request);
    else if (strcmp(path, "/torn-length") == 0)
        torn(request, 20000);
    else if (strcmp(path, "/torn-chunked") == 0)
        torn(request, HTTP_LENGTH_CHUNKED);
    else if (strcmp(path, "/torn-until-close") == 0)
        torn(request, HTTP_LENGTH_UNTIL_CLOSE);
    else if (strcmp(path, "/pattern") == 0)
        give_pattern(request, atoi(http_query_text(request)));
    else if (strcmp(path, "/stall") == 0)
        stall(request);
    else if (strcmp(path, "/move") == 0) {
        http_reply_header(request, "Location", "/drain");
        http_reply_header(request, "Task-Id", "OpaqueRef:1");
        http_reply_text(request, 302, NULL, "elsewhere");
    } else if (strcmp(path, "/early") == 0) {
        char buffer[4096];
        http_reply_begin(request, 200, NULL, HTTP_LENGTH_UNTIL_CLOSE, NULL);
        while (http_read(request, buffer, sizeof buffer, NULL) > 0)
            ;
        http_reply_end(request, NULL);
    } else if (strcmp(path, "/refuse") == 0) {
        http_reply_text(request, strcmp(http_query_text(request), "200") ? 403 : 200, NULL, "no");
    } else
        http_reply_text(request, 404, NULL, "nothing");
}

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    f->folder = g_dir_make_tmp("http-XXXXXX", NULL);
    f->cert = g_build_filename(f->folder, "cert.pem", NULL);
    f->key = g_build_filename(f->folder, "key.pem", NULL);
    assert_true(http_make_certificate(f->cert, f->key, "example.test", NULL));
    HttpServerConfig config = {
        .handler = handler, .user = f, .cert_file = f->cert, .key_file = f->key
    };
    f->server = http_server_new(&config, NULL);
    guint16 plain = http_server_listen(f->server, "127.0.0.1:0", false, NULL);
    guint16 tls = http_server_listen(f->server, "127.0.0.1:0", true, NULL);
    f->plain = g_strdup_printf("http://127.0.0.1:%u", plain);
    f->tls = g_strdup_printf("https://127.0.0.1:%u", tls);
    *state = f;
    return http_server_start(f->server, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    http_server_free(f->server);
    g_unlink(f->cert);
    g_unlink(f->key);
    g_rmdir(f->folder);
    g_free(f->folder);
    g_free(f->cert);
    g_free(f->key);
    g_free(f->plain);
    g_free(f->tls);
    g_free(f);
    return 0;
}

/* --- the client's side --- */

/* A call to base + path; the text of the answer, or NULL. */
static char *fetch(HttpCall call, const char *base, const char *path, int *status, GError **error)
{
    g_autofree char *url = g_strconcat(base, path, NULL);
    g_autoptr(GBytes) body = NULL;
    call.url = url;
    *status = http_fetch(&call, 1 << 20, &body, error);
    return *status ? g_strndup(g_bytes_get_data(body, NULL), g_bytes_get_size(body)) : NULL;
}

static void expect_error(HttpCall call, const char *base, const char *path, ErrCode code)
{
    if (!call.straight && !call.method && !call.total_timeout_ms) { /* in both ways */
        HttpCall other = call;
        other.straight = true;
        expect_error(other, base, path, code);
    }
    g_autoptr(GError) error = NULL;
    int status;
    g_autofree char *text = fetch(call, base, path, &status, &error);
    if (status || !err_is(error, code))
        fail_msg("%s: %d instead of error %d: %s", path, status, code,
                 error ? error->message : "none");
    assert_null(strstr(error->message, "secret"));
}

static char *pattern_answer(const char *method, guint64 n)
{
    guint64 sum = 0;
    for (guint64 i = 0; i < n; i++)
        sum += (guint8) pattern(i) * ((i + 1) % 251);
    return g_strdup_printf("%s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " ok", method, n, sum);
}

typedef struct {
    guint64 at, end;
} Source;

static ssize_t from_pattern(void *data, size_t n, void *user, GError **error)
{
    Source *source = user;
    size_t part = (size_t) MIN((guint64) MIN(n, 10007), source->end - source->at);
    for (size_t i = 0; i < part; i++)
        ((char *) data)[i] = pattern(source->at++);
    return (ssize_t) part;
}

static void test_methods(void **state)
{
    Fixture *f = *state;
    int status;
    static const char *const methods[] = { "GET", "POST", "PUT", "DELETE", "PATCH" };
    for (unsigned i = 0; i < G_N_ELEMENTS(methods); i++) {
        g_autofree char *wanted = pattern_answer(methods[i], 0);
        HttpCall call = { .method = methods[i] };
        g_autofree char *text = fetch(call, f->plain, "/drain", &status, NULL);
        assert_int_equal(status, 200);
        assert_string_equal(text, wanted);
    }
    HttpCall post = { .method = "POST", .body = "\x01", .body_bytes = 1 };
    g_autofree char *text = fetch(post, f->plain, "/drain", &status, NULL);
    assert_string_equal(text, "POST 1 1 ok");
    HttpCall head = { .method = "HEAD" };
    g_autofree char *nothing = fetch(head, f->plain, "/drain", &status, NULL);
    assert_int_equal(status, 200);
    assert_string_equal(nothing, "");
    g_autofree char *missing = fetch((HttpCall){ 0 }, f->plain, "/none", &status, NULL);
    assert_int_equal(status, 404);
}

static void test_uploads(void **state)
{
    Fixture *f = *state;
    g_autofree char *wanted = pattern_answer("PUT", BODY_BYTES);
    static const gint64 lengths[] = { BODY_BYTES, -1 };
    for (unsigned i = 0; i < 4; i++) {
        Source source = { 0, BODY_BYTES };
        HttpCall call = { .method = "PUT",
                          .trust = HTTP_TRUST_ANY,
                          .source = from_pattern,
                          .source_bytes = lengths[i / 2],
                          .user = &source };
        int status;
        g_autoptr(GError) error = NULL;
        g_autofree char *text = fetch(call, i % 2 ? f->tls : f->plain, "/drain", &status, &error);
        assert_null(error);
        assert_string_equal(text, wanted);
    }
}

/* XAPI answers 200 before it reads, and the data may end before the length it was told. */
static void test_cut(void **state)
{
    Fixture *f = *state;
    Source source = { 0, BODY_BYTES };
    HttpCall call = { .method = "PUT",
                      .source = from_pattern,
                      .source_bytes = 1LL << 50,
                      .cut_at_end = true,
                      .user = &source };
    int status;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = fetch(call, f->plain, "/early", &status, &error);
    assert_null(error);
    assert_int_equal(status, 200);
    assert_int_equal(source.at, BODY_BYTES);
    source.at = 0;
    call.cut_at_end = false;
    expect_error(call, f->plain, "/drain", ERR_TRUNCATED);
    /* An answer before the end: a refusal is an answer, a success is not. */
    source = (Source){ 0, 1LL << 40 };
    g_autofree char *no = fetch(call, f->plain, "/refuse", &status, &error);
    assert_int_equal(status, 403);
    source.at = 0;
    expect_error(call, f->plain, "/refuse?200", ERR_TRUNCATED);
}

static void note_header(const char *name, const char *value, void *user)
{
    if (strcmp(name, "task-id") == 0)
        *(char **) user = g_strdup(value);
}

static void test_no_redirect(void **state)
{
    Fixture *f = *state;
    g_autofree char *seen = NULL;
    int status;
    HttpCall call = { .header_seen = note_header, .user = &seen };
    g_autofree char *text = fetch(call, f->plain, "/move", &status, NULL);
    assert_int_equal(status, 302);
    assert_string_equal(text, "elsewhere");
    assert_string_equal(seen, "OpaqueRef:1");
    assert_int_equal(f->n_requests, 1);
}

static void test_trust(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;
    int status;
    g_autofree char *print = http_fingerprint(f->tls + strlen("https://"), &error);
    assert_non_null(print);
    assert_int_equal(strlen(print), 95);
    expect_error((HttpCall){ .trust = HTTP_TRUST_SYSTEM }, f->tls, "/x?secret", ERR_TLS);
    g_autofree char *any =
        fetch((HttpCall){ .trust = HTTP_TRUST_ANY }, f->tls, "/x", &status, NULL);
    assert_int_equal(status, 404);
    assert_int_equal(f->n_requests, 1);
    HttpCall pinned = { .trust = HTTP_TRUST_FINGERPRINT, .fingerprint = print };
    g_autofree char *right = fetch(pinned, f->tls, "/x", &status, &error);
    assert_int_equal(status, 404);
    g_autofree char *upper = g_ascii_strup(print, -1);
    g_auto(GStrv) bare = g_strsplit(upper, ":", -1);
    g_autofree char *dense = g_strjoinv("", bare);
    pinned.fingerprint = dense;
    g_autofree char *also = fetch(pinned, f->tls, "/x", &status, &error);
    assert_int_equal(status, 404);
    assert_int_equal(f->n_requests, 3);
    /* No open connection, no resumed session serves a call that trusts something else. */
    print[0] = print[0] == 'a' ? 'b' : 'a';
    pinned.fingerprint = print;
    expect_error(pinned, f->tls, "/x?secret", ERR_TLS);
    expect_error((HttpCall){ .trust = HTTP_TRUST_SYSTEM }, f->tls, "/x", ERR_TLS);
    expect_error((HttpCall){ .trust = HTTP_TRUST_FINGERPRINT }, f->tls, "/x", ERR_INVALID);
    assert_int_equal(f->n_requests, 3);
}

static void test_certificate(void **state)
{
    Fixture *f = *state;
    g_autofree char *pem = NULL;
    GStatBuf info;
    assert_true(g_file_get_contents(f->cert, &pem, NULL, NULL));
    assert_int_equal(g_stat(f->key, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_int_equal(X509_check_host(cert, "example.test", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    X509_free(cert);
    BIO_free(bio);
    g_autoptr(GError) error = NULL;
    assert_false(http_make_certificate("/nowhere/cert", "/nowhere/key", "x", &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    /* Connections made after a reload see the new certificate. */
    g_autofree char *before = http_fingerprint(f->tls + strlen("https://"), NULL);
    assert_true(http_make_certificate(f->cert, f->key, "example.test", NULL));
    assert_true(http_server_reload_certificate(f->server, NULL));
    g_autofree char *after = http_fingerprint(f->tls + strlen("https://"), NULL);
    assert_string_not_equal(before, after);
}

static void test_truncated(void **state)
{
    Fixture *f = *state;
    HttpCall call = { .trust = HTTP_TRUST_ANY };
    static const char *const paths[] = { "/torn-length?secret", "/torn-chunked?secret",
                                         "/torn-until-close?secret" };
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        expect_error(call, f->plain, paths[i], ERR_TRUNCATED);
        expect_error(call, f->tls, paths[i], ERR_TRUNCATED);
    }
}

static guint16 closed_port(int *fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof address;
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    bind(*fd, (struct sockaddr *) &address, n);
    getsockname(*fd, (struct sockaddr *) &address, &n);
    return ntohs(address.sin_port);
}

static void test_unreachable(void **state)
{
    Fixture *f = *state;
    int fd;
    HttpCall call = { .trust = HTTP_TRUST_ANY };
    g_autofree char *closed = g_strdup_printf("http://127.0.0.1:%u", closed_port(&fd));
    expect_error(call, closed, "/?secret", ERR_NETWORK);
    close(fd);
    expect_error(call, "http://host.invalid", "/?secret", ERR_NETWORK);
    expect_error(call, "ftp://127.0.0.1", "/?secret", ERR_INVALID);
    expect_error(call, "not an address", "", ERR_INVALID);
    g_autofree char *mixed = g_strconcat("https", f->plain + 4, NULL);
    expect_error(call, mixed, "/?secret", ERR_TLS);
    g_autoptr(GError) error = NULL;
    assert_null(http_fingerprint(closed + strlen("http://"), &error));
    assert_true(err_is(error, ERR_NETWORK));
}

typedef struct {
    int listener;
    const char *text;
} Peer;

/* A peer that answers one connection with its text and closes. */
static void *answer_once(void *user)
{
    const Peer *peer = user;
    int fd = accept(peer->listener, NULL, NULL);
    char buffer[1000];
    if (recv(fd, buffer, sizeof buffer, 0) > 0)
        wire_send(fd, peer->text, -1);
    close(fd);
    return NULL;
}

static void expect_of_peer(HttpCall call, const char *text, ErrCode code)
{
    Peer peer = { .text = text };
    g_autofree char *base = g_strdup_printf("http://127.0.0.1:%u", closed_port(&peer.listener));
    listen(peer.listener, 5);
    pthread_t thread;
    pthread_create(&thread, NULL, answer_once, &peer);
    call.method = call.straight ? NULL : "GET"; /* it answers once */
    expect_error(call, base, "/", code);
    pthread_join(thread, NULL);
    close(peer.listener);
}

static void test_bad_peers(void **state)
{
    for (int straight = 0; straight < 2; straight++) {
        HttpCall call = { .straight = straight };
        expect_of_peer(call, "SSH-2.0-OpenSSH_9.2\r\n", ERR_PROTOCOL);
        expect_of_peer(call, "", ERR_NETWORK);
        /* Closed in good order, but before the end. */
        expect_of_peer(call, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", ERR_TRUNCATED);
        expect_of_peer(call, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                       ERR_TRUNCATED);
    }
}

static void test_deadlines(void **state)
{
    Fixture *f = *state;
    gint64 start = g_get_monotonic_time();
    expect_error((HttpCall){ .stall_timeout_ms = 300 }, f->plain, "/stall?secret", ERR_TIMEOUT);
    expect_error((HttpCall){ .total_timeout_ms = 300 }, f->plain, "/stall?secret", ERR_TIMEOUT);
    assert_in_range(g_get_monotonic_time() - start, 500000, 4000000);
}

static void *cancel_soon(void *cancel)
{
    g_usleep(300000);
    cancel_set(cancel);
    return NULL;
}

static void test_cancel(void **state)
{
    Fixture *f = *state;
    g_autoptr(Cancel) cancel = cancel_new();
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, cancel);
    gint64 start = g_get_monotonic_time();
    expect_error((HttpCall){ .cancel = cancel }, f->plain, "/stall", ERR_CANCELLED);
    assert_in_range(g_get_monotonic_time() - start, 250000, 1800000);
    pthread_join(thread, NULL);
    expect_error((HttpCall){ .cancel = cancel }, f->plain, "/x", ERR_CANCELLED);
}

static bool refuse(const void *data, size_t n, void *user, GError **error)
{
    err_set(error, ERR_CORRUPT, "the sink does not like it");
    return false;
}

static ssize_t cannot_read(void *data, size_t n, void *user, GError **error)
{
    err_set(error, ERR_IO, "the source cannot read");
    return -1;
}

static void test_callbacks_fail(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;
    g_autofree char *url = g_strconcat(f->plain, "/none", NULL);
    HttpCall call = { .url = url, .sink = refuse };
    assert_int_equal(http_call(&call, &error), 0);
    assert_true(err_is(error, ERR_CORRUPT));
    expect_error((HttpCall){ .method = "PUT", .source = cannot_read, .source_bytes = 10 }, f->plain,
                 "/drain", ERR_IO);
    expect_error((HttpCall){ .method = "PUT", .source = cannot_read, .source_bytes = -1 }, f->plain,
                 "/drain", ERR_IO);
    g_clear_error(&error);
    g_autoptr(GBytes) body = NULL;
    call.sink = NULL;
    assert_int_equal(http_fetch(&call, 3, &body, &error), 0);
    assert_true(err_is(error, ERR_LIMIT));
}

static const char honest[] = "HTTP/1.1 200 OK\r\nX-Long: value\r\nContent-Length: 2\r\n\r\nok";
static const char folded[] =
    "HTTP/1.1 200 OK\r\n continued: by this\r\nContent-Length: 2\r\n\r\nok";

/* A peer that answers every request of one connection, each second time with a fold first. */
static void *answer_folded(void *user)
{
    const Peer *peer = user;
    int fd = accept(peer->listener, NULL, NULL);
    char buffer[1000];
    for (unsigned i = 0; recv(fd, buffer, sizeof buffer, 0) > 0; i++)
        wire_send(fd, i % 2 ? folded : honest, -1);
    close(fd);
    return NULL;
}

static void *call_folded(void *user)
{
    int status;
    for (unsigned i = 0; i < 8; i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = fetch((HttpCall){ 0 }, user, "/", &status, &error);
        if (i % 2)
            assert_true(status == 200 || error); /* refused or taken, but not out of freed memory */
        else
            assert_int_equal(status, 200);
        if (error)
            break;
    }
    return NULL;
}

/* libcurl 7.88 would append the fold to the last header of the answer before, which is freed. */
static void test_folded(void **state)
{
    Peer peer = { 0 };
    g_autofree char *base = g_strdup_printf("http://127.0.0.1:%u", closed_port(&peer.listener));
    listen(peer.listener, 5);
    pthread_t server, client;
    pthread_create(&server, NULL, answer_folded, &peer);
    pthread_create(&client, NULL, call_folded, base); /* its connections end with it */
    pthread_join(client, NULL);
    pthread_join(server, NULL);
    close(peer.listener);
}

/* A call from within the callback of another, as a redirect or a retry in a sink would. */
static bool call_again(const void *data, size_t n, void *user, GError **error)
{
    HttpCall call = { .url = user };
    g_autoptr(GBytes) body = NULL;
    return http_fetch(&call, 100, &body, error) == 404 && g_bytes_get_size(body) == 7;
}

static void test_nested(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;
    g_autofree char *url = g_strconcat(f->plain, "/none", NULL);
    HttpCall call = { .url = url, .sink = call_again, .user = url };
    assert_int_equal(http_call(&call, &error), 404);
    assert_int_equal(f->n_requests, 2);
}

static void *call_often(void *user)
{
    Fixture *f = user;
    gsize n_right = 0;
    for (unsigned i = 0; i < 30; i++) {
        HttpCall call = {
            .method = "POST", .trust = HTTP_TRUST_ANY, .body = "\x01", .body_bytes = 1
        };
        int status;
        g_autofree char *text = fetch(call, i % 2 ? f->tls : f->plain, "/drain", &status, NULL);
        n_right += g_strcmp0(text, "POST 1 1 ok") == 0;
    }
    return GSIZE_TO_POINTER(n_right);
}

static void test_threads(void **state)
{
    pthread_t threads[8];
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
        pthread_create(&threads[i], NULL, call_often, *state);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        void *n_right;
        pthread_join(threads[i], &n_right);
        assert_int_equal(GPOINTER_TO_SIZE(n_right), 30);
    }
}

typedef struct {
    char *data, *room;
    guint64 n;
    unsigned n_headers, n_in_room;
} Taken;

/* Odd sizes, and nothing at first. */
static void *give_room(size_t *n, void *user)
{
    Taken *taken = user;
    *n = MIN(70001, BODY_BYTES - taken->n);
    taken->room = taken->n > 100000 && *n > 0 ? taken->data + taken->n : NULL;
    return taken->room;
}

static bool take_pattern(const void *data, size_t n, void *user, GError **error)
{
    Taken *taken = user;
    assert_true(n <= BODY_BYTES - taken->n);
    if (data != taken->data + taken->n)
        memcpy(taken->data + taken->n, data, n);
    else
        taken->n_in_room++;
    taken->n += n;
    return true;
}

static void count_header(const char *name, const char *value, void *user)
{
    if (strcmp(name, ":status") == 0)
        assert_string_equal(value, "200");
    if (strcmp(name, "task-id") == 0 && strcmp(value, "OpaqueRef:1") == 0)
        ((Taken *) user)->n_headers++;
}

static void check_straight(const char *base, unsigned way)
{
    g_autoptr(GError) error = NULL;
    Taken taken = { .data = g_malloc(BODY_BYTES) };
    g_autofree char *url = g_strdup_printf("%s/pattern?%u", base, way);
    HttpCall call = { .url = url,
                      .trust = HTTP_TRUST_ANY,
                      .straight = true,
                      .room = give_room,
                      .sink = take_pattern,
                      .header_seen = count_header,
                      .user = &taken };
    assert_int_equal(http_call(&call, &error), 200);
    assert_int_equal(taken.n, BODY_BYTES);
    assert_int_equal(taken.n_headers, 1);
    assert_true(taken.n_in_room > 0 || way == 1); /* chunks are taken apart first */
    for (guint64 i = 0; i < BODY_BYTES; i++)
        if (taken.data[i] != pattern(i))
            fail_msg("byte %" G_GUINT64_FORMAT, i);
    g_free(taken.data);
}

static void test_straight(void **state)
{
    Fixture *f = *state;
    for (unsigned way = 0; way < 3; way++) {
        check_straight(f->plain, way);
        check_straight(f->tls, way);
    }
}

/* As a host may answer: interim heads, extensions, trailers, no body. */
static void test_straight_peers(void **state)
{
    static const struct {
        const char *answer, *body;
    } rows[] = {
        { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyX",
          "body" },
        { "HTTP/1.0 200 OK\n\nall of it", "all of it" },
        { "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n4;x=1\r\nbody\r\n0\r\nA: b\r\n\r\n",
          "body" },
        { "HTTP/1.1 204 None\r\n\r\nX", "" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Peer peer = { .text = rows[i].answer };
        g_autofree char *base = g_strdup_printf("http://127.0.0.1:%u", closed_port(&peer.listener));
        listen(peer.listener, 5);
        pthread_t thread;
        pthread_create(&thread, NULL, answer_once, &peer);
        int status;
        g_autoptr(GError) error = NULL;
        g_autofree char *body = fetch((HttpCall){ .straight = true }, base, "/", &status, &error);
        assert_null(error);
        assert_string_equal(body, rows[i].body);
        pthread_join(thread, NULL);
        close(peer.listener);
    }
}

static void test_straight_bad_peers(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4x\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nbody\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nbody\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbodyXX\r\n0\r\n\r\n",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(answers); i++)
        expect_of_peer((HttpCall){ .straight = true }, answers[i], ERR_PROTOCOL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_methods),
        T(test_uploads),
        T(test_cut),
        T(test_no_redirect),
        T(test_trust),
        T(test_certificate),
        T(test_truncated),
        T(test_unreachable),
        T(test_bad_peers),
        T(test_deadlines),
        T(test_cancel),
        T(test_callbacks_fail),
        T(test_nested),
        T(test_straight),
        T(test_straight_peers),
        T(test_straight_bad_peers),
        T(test_threads),
        T(test_folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
