/* Exports and imports against fake hosts: the task has the last word. */
#include "base/error.h"
#include "fake.h"
#include "xapi/xapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N_BYTES = 300000 };

typedef struct {
    const char *send_to;  /* host to redirect to */
    const char *embedded; /* sent in place of the data */
    gint64 cut_at;        /* export: bytes before the connection is cut; 0: never */
    int status;           /* of a refusal */
    const char *end;      /* what the task says at last */
    unsigned n_probes, n_puts;
    bool probe_had_task, got_session;
    guint64 n_received;
    gint64 announced;
    bool destroyed, cancelled;
} Story;

static json_t *call(Fake *fake, const char *method, json_t *params, json_t **error, void *user)
{
    Story *story = user;
    if (strcmp(method, "session.login_with_password") == 0)
        return json_string("OpaqueRef:session");
    if (strcmp(method, "task.create") == 0)
        return json_string("OpaqueRef:task");
    if (strcmp(method, "task.destroy") == 0)
        story->destroyed = true;
    if (strcmp(method, "task.cancel") == 0)
        story->cancelled = true;
    if (strcmp(method, "event.from") == 0) {
        *error = json_pack("[s]", "MESSAGE_METHOD_UNKNOWN"); /* so that it polls */
        return NULL;
    }
    if (strcmp(method, "task.get_record") == 0)
        return json_pack("{s:s, s:s, s:[s,s]}", "status",
                         story->cancelled ? "cancelled" : story->end, "result", "", "error_info",
                         "VDI_IO_ERROR", "the disk died");
    return json_string("");
}

static void serve_export(Story *story, HttpRequest *request)
{
    g_autofree char *data = g_malloc(N_BYTES);
    memset(data, 'd', N_BYTES);
    if (story->embedded) {
        http_reply_begin(request, 200, "application/vhd", HTTP_LENGTH_UNTIL_CLOSE, NULL);
        http_reply_write(request, story->embedded, strlen(story->embedded), NULL);
        http_reply_end(request, NULL);
    } else if (story->cut_at) {
        http_reply_begin(request, 200, "application/vhd", N_BYTES, NULL);
        http_reply_write(request, data, (size_t) story->cut_at, NULL);
        http_abort(request);
    } else {
        http_reply_begin(request, 200, "application/vhd", HTTP_LENGTH_UNTIL_CLOSE, NULL);
        http_reply_write(request, data, N_BYTES, NULL);
        http_reply_end(request, NULL);
    }
}

static void serve_import(Story *story, HttpRequest *request)
{
    char buffer[65536];
    ssize_t n;
    bool has_task = http_query(request, "task_id") != NULL;
    gint64 length = http_body_bytes(request);
    if (length == 0) {
        story->n_probes++;
        story->probe_had_task = has_task;
        http_reply(request, 200, NULL, "", 0);
        return;
    }
    story->n_puts++;
    story->announced = length;
    http_reply_begin(request, 200, NULL, HTTP_LENGTH_UNTIL_CLOSE, NULL);
    while ((n = http_read(request, buffer, sizeof buffer, NULL)) > 0)
        story->n_received += (guint64) n;
    http_reply_end(request, NULL);
}

static void serve(Fake *fake, HttpRequest *request, void *user)
{
    Story *story = user;
    story->got_session = g_strcmp0(http_query(request, "session_id"), "OpaqueRef:session") == 0;
    if (story->send_to) {
        g_autofree char *location = g_strdup_printf("https://%s%s?%s", story->send_to,
                                                    http_path(request), http_query_text(request));
        http_reply_header(request, "Location", location);
        http_reply(request, 302, NULL, "", 0);
    } else if (story->status) {
        http_reply_text(request, story->status, "text/html", "<html>VDI_MISSING</html>");
    } else if (strcmp(http_method(request), "GET") == 0) {
        serve_export(story, request);
    } else {
        serve_import(story, request);
    }
}

static const FakeOps ops = { .call = call, .http = serve };

static bool take(const void *data, size_t n, void *user, GError **error)
{
    *(guint64 *) user += n;
    for (size_t i = 0; i < n; i++)
        if (((const char *) data)[i] != 'd') {
            err_set(error, ERR_CORRUPT, "that is no data");
            return false;
        }
    return true;
}

static Xapi *client(Fake *fake)
{
    XapiConfig config = { .host = fake->address, .username = "root", .password = "secret" };
    return xapi_new(&config);
}

static bool run_export(Story *story, guint64 *n, GError **error)
{
    Fake *fake = fake_new(&ops, story, "127.0.0.1", 0);
    Xapi *xapi = client(fake);
    *n = 0;
    bool ok = xapi_export_vdi(xapi, "OpaqueRef:vdi", NULL, "vhd", take, n, NULL, error);
    assert_true(story->destroyed);
    xapi_free(xapi);
    fake_free(fake);
    return ok;
}

static void test_export(void **state)
{
    Story story = { .end = "success" };
    g_autoptr(GError) error = NULL;
    guint64 n;
    assert_true(run_export(&story, &n, &error));
    assert_int_equal(n, N_BYTES);
    assert_true(story.got_session);
    assert_false(story.cancelled);
}

static void test_export_whose_task_failed(void **state)
{
    Story story = { .end = "failure" };
    g_autoptr(GError) error = NULL;
    guint64 n;
    assert_false(run_export(&story, &n, &error));
    assert_string_equal(err_xapi_code(error), "VDI_IO_ERROR");
    assert_non_null(strstr(error->message, "OpaqueRef:vdi"));
    assert_null(strstr(error->message, "session"));
}

static void test_export_with_an_error_inside(void **state)
{
    Story told = { .embedded = "HTTP/1.1 500 Internal Error\r\n\r\n", .end = "failure" };
    Story untold = { .embedded = "HTTP/1.1 500 Internal Error\r\n\r\n", .end = "success" };
    g_autoptr(GError) error = NULL, other = NULL;
    guint64 n;
    assert_false(run_export(&told, &n, &error));
    assert_string_equal(err_xapi_code(error), "VDI_IO_ERROR");
    assert_int_equal(n, 0);
    assert_false(run_export(&untold, &n, &other));
    assert_true(err_is(other, ERR_PROTOCOL));
    assert_int_equal(n, 0);
}

static void test_export_cut(void **state)
{
    Story told = { .cut_at = 1000, .end = "failure" },
          untold = { .cut_at = 1000, .end = "success" };
    g_autoptr(GError) error = NULL, other = NULL;
    guint64 n;
    assert_false(run_export(&told, &n, &error));
    assert_string_equal(err_xapi_code(error), "VDI_IO_ERROR");
    assert_false(run_export(&untold, &n, &other));
    assert_true(err_is(other, ERR_TRUNCATED) || err_is(other, ERR_NETWORK));
}

static void test_export_refused(void **state)
{
    Story story = { .status = 404, .end = "success" };
    g_autoptr(GError) error = NULL;
    guint64 n;
    assert_false(run_export(&story, &n, &error));
    assert_true(err_is(error, ERR_PROTOCOL));
    assert_non_null(strstr(error->message, "404"));
    assert_int_equal(n, 0);
}

static void test_export_sent_on(void **state)
{
    Story first = { .send_to = "127.0.0.2", .end = "success" }, second = { .end = "success" };
    g_autoptr(GError) error = NULL;
    guint64 n = 0;
    Fake *master = fake_new(&ops, &first, "127.0.0.1", 0);
    Fake *member = fake_new(&ops, &second, "127.0.0.2", master->port);
    Xapi *xapi = client(master);
    assert_true(
        xapi_export_vdi(xapi, "OpaqueRef:vdi", "OpaqueRef:base", "vhd", take, &n, NULL, &error));
    assert_int_equal(n, N_BYTES);
    xapi_free(xapi);
    fake_free(member);
    fake_free(master);
}

static bool refuse(const void *data, size_t n, void *user, GError **error)
{
    err_set(error, ERR_NO_SPACE, "full");
    return false;
}

static void test_export_nobody_wants(void **state)
{
    Story story = { .end = "pending" };
    g_autoptr(GError) error = NULL;
    Fake *fake = fake_new(&ops, &story, "127.0.0.1", 0);
    Xapi *xapi = client(fake);
    assert_false(xapi_export_vdi(xapi, "OpaqueRef:vdi", NULL, "vhd", refuse, NULL, NULL, &error));
    assert_true(err_is(error, ERR_NO_SPACE));
    assert_true(story.cancelled && story.destroyed);
    xapi_free(xapi);
    fake_free(fake);
}

/* --- imports --- */

static ssize_t give(void *data, size_t n, void *user, GError **error)
{
    guint64 *left = user;
    size_t given = MIN(n, *left);
    memset(data, 'd', given);
    *left -= given;
    return (ssize_t) given;
}

static bool run_import(Story *story, gint64 n_bytes, GError **error)
{
    Fake *fake = fake_new(&ops, story, "127.0.0.1", 0);
    Xapi *xapi = client(fake);
    guint64 left = N_BYTES;
    bool ok = xapi_import_vdi(xapi, "OpaqueRef:vdi", "vhd", give, n_bytes, &left, NULL, error);
    xapi_free(xapi);
    fake_free(fake);
    return ok;
}

static void test_import(void **state)
{
    Story story = { .end = "success" };
    g_autoptr(GError) error = NULL;
    if (!run_import(&story, N_BYTES, &error))
        fail_msg("%s", error->message);
    assert_int_equal(story.n_received, N_BYTES);
    assert_int_equal(story.announced, N_BYTES);
    assert_int_equal(story.n_probes, 1);
    assert_false(story.probe_had_task);
    assert_int_equal(story.n_puts, 1);
    assert_true(story.destroyed);
}

static void test_import_whose_task_failed(void **state)
{
    Story story = { .end = "failure" };
    g_autoptr(GError) error = NULL;
    assert_false(run_import(&story, N_BYTES, &error));
    assert_string_equal(err_xapi_code(error), "VDI_IO_ERROR");
}

static void test_import_of_unknown_length(void **state)
{
    Story fine = { .end = "success" }, complaining = { .end = "failure" };
    g_autoptr(GError) error = NULL;
    if (!run_import(&fine, -1, &error))
        fail_msg("%s", error->message);
    assert_int_equal(fine.n_received, N_BYTES);
    assert_true(fine.announced == G_GINT64_CONSTANT(1) << 50);
    assert_true(run_import(&complaining, -1, &error)); /* VDI_IO_ERROR is only the end */
}

static void test_import_refused(void **state)
{
    Story story = { .status = 400, .end = "success" };
    g_autoptr(GError) error = NULL;
    assert_false(run_import(&story, N_BYTES, &error));
    assert_true(err_is(error, ERR_PROTOCOL));
    assert_int_equal(story.n_puts, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_export_whose_task_failed),
        cmocka_unit_test(test_export_with_an_error_inside),
        cmocka_unit_test(test_export_cut),
        cmocka_unit_test(test_export_refused),
        cmocka_unit_test(test_export_sent_on),
        cmocka_unit_test(test_export_nobody_wants),
        cmocka_unit_test(test_import),
        cmocka_unit_test(test_import_whose_task_failed),
        cmocka_unit_test(test_import_of_unknown_length),
        cmocka_unit_test(test_import_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
