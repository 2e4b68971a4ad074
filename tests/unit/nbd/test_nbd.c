/* The NBD client against a real nbdkit: bytes, TLS with right and wrong certificates, servers that
 * are slow, break off, or do not exist. */
#include "nbd/nbd.h"

#include "base/error.h"
#include "http/certificate.h"

#include <arpa/inet.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { DISK_BYTES = 10 << 20 };

typedef struct {
    char *folder;
    GSubprocess *server;
    guint16 port;
} Fixture;

static guint16 free_port(int *fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof address;
    int on = 1;
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bind(*fd, (struct sockaddr *) &address, n);
    getsockname(*fd, (struct sockaddr *) &address, &n);
    return ntohs(address.sin_port);
}

static char *in_folder(const Fixture *f, const char *name)
{
    return g_build_filename(f->folder, name, NULL);
}

static void wait_listening(const Fixture *f)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(f->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    for (int i = 0; i < 500; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int status = connect(fd, (struct sockaddr *) &address, sizeof address);
        close(fd);
        if (status == 0)
            return;
        g_usleep(10000);
    }
    fail_msg("nbdkit does not listen");
}

/* `arguments` after the options, separated by blanks. */
static void start(Fixture *f, const char *arguments)
{
    int fd;
    f->port = free_port(&fd);
    close(fd);
    g_autofree char *line =
        g_strdup_printf("nbdkit -f --exit-with-parent -i 127.0.0.1 -p %u %s", f->port, arguments);
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    g_autoptr(GError) error = NULL;
    f->server =
        g_subprocess_newv((const char *const *) argv, G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error);
    assert_null(error);
    wait_listening(f);
}

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    f->folder = g_dir_make_tmp("nbd-XXXXXX", NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    if (f->server) {
        g_subprocess_force_exit(f->server);
        g_subprocess_wait(f->server, NULL, NULL);
        g_object_unref(f->server);
    }
    static const char *const names[] = { "ca-cert.pem", "server-cert.pem", "server-key.pem",
                                         "other-cert.pem", "other-key.pem" };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = in_folder(f, names[i]);
        g_unlink(path);
    }
    g_rmdir(f->folder);
    g_free(f->folder);
    g_free(f);
    return 0;
}

static NbdTarget target_of(const Fixture *f)
{
    return (NbdTarget){ .address = "127.0.0.1",
                        .port = f->port,
                        .export_name = "/uuid?session_id=OpaqueRef:secret",
                        .timeout_ms = 3000 };
}

/* The pattern plugin: each aligned 8 bytes hold their offset, big endian. */
static void check_pattern(NbdDisk *disk, guint64 offset, size_t n)
{
    g_autofree guint8 *data = g_malloc(n);
    g_autoptr(GError) error = NULL;
    if (!nbd_read(disk, offset, data, n, &error))
        fail_msg("%s", error->message);
    for (size_t i = 0; i < n; i++) {
        guint64 at = offset + i, word = GUINT64_TO_BE(at & ~7ULL);
        if (data[i] != ((const guint8 *) &word)[at % 8])
            fail_msg("byte %" G_GUINT64_FORMAT " is wrong", at);
    }
}

static void expect_refused(const NbdTarget *target, ErrCode code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(NbdDisk) disk = nbd_open(target, &error);
    if (disk || !err_is(error, code))
        fail_msg("not error %d but: %s", code, error ? error->message : "success");
    assert_null(strstr(error->message, "secret"));
}

static void test_read(void **state)
{
    Fixture *f = *state;
    start(f, "pattern size=10M");
    NbdTarget target = target_of(f);
    g_autoptr(GError) error = NULL;
    g_autoptr(NbdDisk) disk = nbd_open(&target, &error);
    if (!disk)
        fail_msg("%s", error->message);
    assert_int_equal(nbd_size(disk), DISK_BYTES);
    check_pattern(disk, 0, DISK_BYTES);
    check_pattern(disk, 513, 7);
    check_pattern(disk, DISK_BYTES - 1, 1);
    char byte;
    assert_true(nbd_read(disk, DISK_BYTES, &byte, 0, NULL));
    assert_false(nbd_read(disk, DISK_BYTES, &byte, 1, &error));
    assert_true(err_is(error, ERR_TRUNCATED));
    check_pattern(disk, 0, 4096); /* asking outside breaks nothing */
}

typedef struct {
    NbdTarget target;
    unsigned part;
} Reader;

static void *read_part(void *user)
{
    Reader *reader = user;
    g_autoptr(NbdDisk) disk = nbd_open(&reader->target, NULL);
    if (disk)
        check_pattern(disk, reader->part * (DISK_BYTES / 4), DISK_BYTES / 4);
    return disk ? "" : NULL;
}

static void test_parallel(void **state)
{
    Fixture *f = *state;
    start(f, "pattern size=10M");
    pthread_t threads[4];
    Reader readers[4];
    for (unsigned i = 0; i < 4; i++) {
        readers[i] = (Reader){ target_of(f), i };
        pthread_create(&threads[i], NULL, read_part, &readers[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *done;
        pthread_join(threads[i], &done);
        assert_non_null(done);
    }
}

static void start_tls(Fixture *f, const char *mode)
{
    g_autofree char *cert = in_folder(f, "server-cert.pem"), *key = in_folder(f, "server-key.pem");
    g_autofree char *ca = in_folder(f, "ca-cert.pem"), *pem = NULL;
    assert_true(http_make_certificate(cert, key, "xcp-host-1", NULL));
    assert_true(g_file_get_contents(cert, &pem, NULL, NULL));
    assert_true(g_file_set_contents(ca, pem, -1, NULL));
    g_autofree char *arguments =
        g_strdup_printf("--tls=%s --tls-certificates=%s pattern size=10M", mode, f->folder);
    start(f, arguments);
}

static char *other_certificate(const Fixture *f)
{
    g_autofree char *cert = in_folder(f, "other-cert.pem"), *key = in_folder(f, "other-key.pem");
    char *pem = NULL;
    assert_true(http_make_certificate(cert, key, "xcp-host-1", NULL));
    assert_true(g_file_get_contents(cert, &pem, NULL, NULL));
    return pem;
}

static void expect_reads(const NbdTarget *target)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(NbdDisk) disk = nbd_open(target, &error);
    if (!disk)
        fail_msg("%s", error->message);
    check_pattern(disk, 123456, 3 << 20);
}

static void test_tls(void **state)
{
    Fixture *f = *state;
    start_tls(f, "require");
    NbdTarget target = target_of(f);
    g_autofree char *right = NULL, *wrong = other_certificate(f), *ca = in_folder(f, "ca-cert.pem");
    assert_true(g_file_get_contents(ca, &right, NULL, NULL));
    target.tls = NBD_TLS_REQUIRE;
    expect_reads(&target); /* any certificate */
    target.cert = right;
    expect_reads(&target);
    target.subject = "xcp-host-1";
    expect_reads(&target);
    target.tls = NBD_TLS_ALLOW;
    expect_reads(&target);
    target.tls = NBD_TLS_REQUIRE;
    target.cert = wrong;
    expect_refused(&target, ERR_TLS);
    target.cert = "not a certificate";
    expect_refused(&target, ERR_TLS);
    target.cert = NULL;
    target.tls = NBD_TLS_NEVER;
    expect_refused(&target, ERR_TLS);
}

static void test_tls_missing(void **state)
{
    Fixture *f = *state;
    start(f, "pattern size=10M");
    NbdTarget target = target_of(f);
    g_autofree char *cert = other_certificate(f);
    target.cert = cert;
    target.tls = NBD_TLS_REQUIRE;
    expect_refused(&target, ERR_TLS);
    target.tls = NBD_TLS_ALLOW; /* an insecure network of a pool: the certificate is told anyway */
    expect_reads(&target);
}

static void *answer_wrongly(void *user)
{
    int fd = accept(GPOINTER_TO_INT(user), NULL, NULL);
    static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    ssize_t n = write(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? "" : NULL;
}

static void test_no_server(void **state)
{
    Fixture *f = *state;
    int listener;
    f->port = free_port(&listener);
    NbdTarget target = target_of(f);
    target.timeout_ms = 500;
    expect_refused(&target, ERR_NETWORK);
    target.address = "host.invalid";
    expect_refused(&target, ERR_NETWORK);
    target.address = "127.0.0.1";
    listen(listener, 5);
    expect_refused(&target, ERR_TIMEOUT); /* nobody accepts */
    close(accept(listener, NULL, NULL));
    pthread_t thread;
    pthread_create(&thread, NULL, answer_wrongly, GINT_TO_POINTER(listener));
    expect_refused(&target, ERR_PROTOCOL);
    pthread_join(thread, NULL);
    close(listener);
}

static void test_no_export(void **state)
{
    Fixture *f = *state;
    start(f, "--filter=exportname pattern size=10M exportname-strict=true exportname=other");
    NbdTarget target = target_of(f);
    expect_refused(&target, ERR_NOT_FOUND);
}

static void *cancel_soon(void *cancel)
{
    g_usleep(500000);
    cancel_set(cancel);
    return NULL;
}

static void test_slow(void **state)
{
    Fixture *f = *state;
    start(f, "--filter=delay pattern size=10M rdelay=60");
    NbdTarget target = target_of(f);
    char byte;
    g_autoptr(GError) error = NULL;
    target.timeout_ms = 700;
    gint64 begin = g_get_monotonic_time();
    NbdDisk *late = nbd_open(&target, NULL);
    assert_false(nbd_read(late, 0, &byte, 1, &error));
    assert_true(err_is(error, ERR_TIMEOUT));
    g_clear_error(&error);
    assert_false(nbd_read(late, 0, &byte, 1, &error));
    assert_true(err_is(error, ERR_STATE));
    nbd_free(late);
    g_autoptr(Cancel) cancel = cancel_new();
    target.timeout_ms = 20000;
    target.cancel = cancel;
    pthread_t thread;
    NbdDisk *disk = nbd_open(&target, NULL);
    pthread_create(&thread, NULL, cancel_soon, cancel);
    g_clear_error(&error);
    assert_false(nbd_read(disk, 0, &byte, 1, &error));
    assert_true(err_is(error, ERR_CANCELLED));
    nbd_free(disk);
    pthread_join(thread, NULL);
    assert_in_range(g_get_monotonic_time() - begin, 1000000, 4000000);
}

static void test_server_error(void **state)
{
    Fixture *f = *state;
    start(f, "--filter=error pattern size=10M error-pread=EIO error-pread-rate=100%");
    NbdTarget target = target_of(f);
    g_autoptr(NbdDisk) disk = nbd_open(&target, NULL);
    g_autoptr(GError) error = NULL;
    char byte;
    assert_false(nbd_read(disk, 0, &byte, 1, &error));
    assert_true(err_is(error, ERR_IO));
}

static void test_server_dies(void **state)
{
    Fixture *f = *state;
    start(f, "--filter=delay pattern size=10M rdelay=1");
    NbdTarget target = target_of(f);
    target.timeout_ms = 10000;
    g_autoptr(NbdDisk) disk = nbd_open(&target, NULL);
    g_autoptr(GError) error = NULL;
    char byte;
    g_subprocess_force_exit(f->server);
    assert_false(nbd_read(disk, 0, &byte, 1, &error));
    assert_true(err_is(error, ERR_TRUNCATED));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    g_autofree char *program = g_find_program_in_path("nbdkit");
    if (!program) {
        print_message("skipped: nbdkit is not installed\n");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        T(test_read),        T(test_parallel),     T(test_tls),
        T(test_tls_missing), T(test_no_server),    T(test_no_export),
        T(test_slow),        T(test_server_error), T(test_server_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
