/* Logins, calls and tasks against a fake host: what is renewed, followed, repeated, and what never.
 */
#include "base/error.h"
#include "fake.h"
#include "xapi/xapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

typedef struct {
    const char *master;  /* set: this host is a member */
    unsigned n_sessions; /* logins so far; sessions are "OpaqueRef:<n>" */
    unsigned n_expire;   /* so many calls are told that their session is invalid */
    unsigned n_cut;      /* so many are cut */
    const char *end;     /* how the task ends */
    unsigned n_looks;
    bool cancelled;
} Story;

static json_t *log_in(Story *story, json_t *params, json_t **error)
{
    if (story->master)
        *error = json_pack("[s,s]", "HOST_IS_SLAVE", story->master);
    else if (strcmp(json_string_value(json_array_get(params, 1)), "secret") != 0)
        *error = json_pack("[s,s,s]", "SESSION_AUTHENTICATION_FAILED", "root", "no");
    if (*error)
        return NULL;
    return json_sprintf("OpaqueRef:%u", ++story->n_sessions);
}

static json_t *task_record(Story *story)
{
    bool done = story->cancelled || story->n_looks >= 2;
    const char *status = story->cancelled ? "cancelled" : done ? story->end : "pending";
    return json_pack("{s:s, s:s, s:f, s:s, s:[s,s,s,s]}", "uuid", "t", "status", status, "progress",
                     story->n_looks * 0.5, "result", "<value>OpaqueRef:made &amp; done</value>",
                     "error_info", "VM_BAD_POWER_STATE", "OpaqueRef:vm", "halted", "running");
}

static json_t *events_of_task(Story *story, json_t *params)
{
    const char *token = json_string_value(json_array_get(params, 2));
    story->n_looks++;
    if (*token)
        g_usleep(20000);
    return json_pack("{s:[{s:s,s:s,s:s,s:o}], s:{s:i}, s:s}", "events", "class", "task",
                     "operation", "mod", "ref", "OpaqueRef:task", "snapshot", task_record(story),
                     "valid_ref_counts", "task", 1, "token", "1");
}

static json_t *call(Fake *fake, const char *method, json_t *params, json_t **error, void *user)
{
    Story *story = user;
    if (strcmp(method, "session.login_with_password") == 0)
        return log_in(story, params, error);
    if (story->n_cut && story->n_cut--)
        return NULL;
    const char *session = json_string_value(json_array_get(params, 0));
    if (story->n_expire && story->n_expire--) {
        *error = json_pack("[s,s]", "SESSION_INVALID", session);
        return NULL;
    }
    if (strcmp(method, "VM.get_all_records") == 0)
        return json_pack("{s:{s:s}, s:{s:s}}", "OpaqueRef:a", "uuid", "a", "OpaqueRef:b", "uuid",
                         "b");
    if (strcmp(method, "event.from") == 0)
        return events_of_task(story, params);
    if (strcmp(method, "task.get_record") == 0)
        return task_record(story);
    if (strcmp(method, "Async.VM.start") == 0)
        return json_string("OpaqueRef:task");
    if (strcmp(method, "task.cancel") == 0)
        story->cancelled = true;
    if (strcmp(method, "VM.refuse") == 0) {
        *error = json_pack("[s,s,s,s]", "VM_BAD_POWER_STATE", "OpaqueRef:vm", "halted", "running");
        return NULL;
    }
    return json_incref(params);
}

static const FakeOps ops = { .call = call };

static Xapi *client(const char *host, const char *password)
{
    XapiConfig config = { .host = host, .username = "root", .password = password };
    return xapi_new(&config);
}

static void test_call(void **state)
{
    Story story = { 0 };
    Fake *fake = fake_new(&ops, &story, "127.0.0.1", 0);
    g_autoptr(GError) error = NULL;
    Xapi *xapi = client(fake->address, "secret");
    json_t *echo = xapi_call(xapi, "VM.echo", json_pack("[s,i]", "x", 7), &error);
    assert_null(error);
    char *text = json_dumps(echo, JSON_COMPACT);
    assert_string_equal(text, "[\"OpaqueRef:1\",\"x\",7]");
    free(text);
    json_decref(echo);
    g_autofree char *url = xapi_base_url(xapi), *session = xapi_session(xapi);
    assert_string_equal(url, fake->address);
    assert_string_equal(session, "OpaqueRef:1");
    xapi_free(xapi);
    assert_int_equal(fake_calls(fake, "session.logout"), 1);
    fake_free(fake);
}

static void test_bad_login(void **state)
{
    Story story = { 0 };
    Fake *fake = fake_new(&ops, &story, "127.0.0.1", 0);
    g_autoptr(GError) error = NULL, unusable = NULL;
    g_autoptr(Xapi) xapi = client(fake->address, "wrong");
    assert_false(xapi_login(xapi, &error));
    assert_true(err_is(error, ERR_BAD_LOGIN));
    assert_null(strstr(error->message, "wrong user name or password: wrong"));
    g_autoptr(Xapi) nowhere = client("https://a b", "x");
    assert_false(xapi_login(nowhere, &unusable));
    assert_true(err_is(unusable, ERR_INVALID));
    fake_free(fake);
}

static void test_member_names_its_master(void **state)
{
    Story master_story = { 0 }, member_story = { .master = "127.0.0.1" };
    Fake *master = fake_new(&ops, &master_story, "127.0.0.1", 0);
    Fake *member = fake_new(&ops, &member_story, "127.0.0.2", master->port);
    g_autoptr(GError) error = NULL;
    g_autoptr(Xapi) xapi = client(member->address, "secret");
    assert_true(xapi_login(xapi, &error));
    g_autofree char *url = xapi_base_url(xapi);
    assert_string_equal(url, master->address);
    member_story.master = NULL; /* the member becomes master, the master goes */
    fake_free(master);
    assert_true(xapi_login(xapi, &error));
    g_autofree char *later = xapi_base_url(xapi);
    assert_string_equal(later, member->address);
    g_clear_pointer(&xapi, xapi_free);
    fake_free(member);
}

static void test_session_is_renewed_once(void **state)
{
    Story story = { .n_expire = 0 };
    Fake *fake = fake_new(&ops, &story, "127.0.0.1", 0);
    g_autoptr(GError) error = NULL, again = NULL;
    g_autoptr(Xapi) xapi = client(fake->address, "secret");
    assert_true(xapi_login(xapi, &error));
    story.n_expire = 1;
    assert_true(xapi_do(xapi, "VM.echo", NULL, &error));
    assert_int_equal(story.n_sessions, 2);
    story.n_expire = 2;
    assert_false(xapi_do(xapi, "VM.echo", NULL, &again));
    assert_string_equal(err_xapi_code(again), "SESSION_INVALID");
    assert_null(strstr(again->message, "OpaqueRef"));
    assert_int_equal(story.n_sessions, 3);
    g_clear_pointer(&xapi, xapi_free);
    fake_free(fake);
}

static void test_only_reads_are_repeated(void **state)
{
    Story story = { 0 };
    Fake *fake = fake_new(&ops, &story, "127.0.0.1", 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(Xapi) xapi = client(fake->address, "secret");
    assert_true(xapi_login(xapi, NULL));
    story.n_cut = 1;
    assert_true(xapi_do(xapi, "VM.get_name_label", NULL, NULL));
    assert_int_equal(fake_calls(fake, "VM.get_name_label"), 2);
    story.n_cut = 1;
    assert_false(xapi_do(xapi, "VM.start", NULL, &error));
    assert_true(err_is(error, ERR_NETWORK) || err_is(error, ERR_TRUNCATED));
    assert_int_equal(fake_calls(fake, "VM.start"), 1);
    g_clear_pointer(&xapi, xapi_free);
    fake_free(fake);
}

static void test_refusals_in_plain_words(void **state)
{
    Story story = { 0 };
    Fake *fake = fake_new(&ops, &story, "127.0.0.1", 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(Xapi) xapi = client(fake->address, "secret");
    assert_null(xapi_call(xapi, "VM.refuse", NULL, &error));
    assert_true(err_is(error, ERR_XAPI));
    assert_string_equal(err_xapi_code(error), "VM_BAD_POWER_STATE");
    assert_string_equal(err_detail(error)[3], "running");
    assert_string_equal(error->message,
                        "VM.refuse: the VM is running but must be halted (VM_BAD_POWER_STATE)");
    g_clear_pointer(&xapi, xapi_free);
    fake_free(fake);
}

static void collect(const char *cls, const char *ref, json_t *record, void *user)
{
    g_string_append_printf(user, "%s %s %s;", cls, ref,
                           json_string_value(json_object_get(record, "uuid")));
    json_decref(record);
}

static void test_records_one_by_one(void **state)
{
    Story story = { 0 };
    Fake *fake = fake_new(&ops, &story, "127.0.0.1", 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) seen = g_string_new(NULL);
    g_autoptr(Xapi) xapi = client(fake->address, "secret");
    assert_true(xapi_all_records(xapi, "VM", collect, seen, &error));
    assert_string_equal(seen->str, "VM OpaqueRef:a a;VM OpaqueRef:b b;");
    g_clear_pointer(&xapi, xapi_free);
    fake_free(fake);
}

static void note_progress(double done, void *user)
{
    *(double *) user = MAX(*(double *) user, done);
}

static char *run_task(Story *story, Cancel *cancel, double *progress, GError **error)
{
    Fake *fake = fake_new(&ops, story, "127.0.0.1", 0);
    Xapi *xapi = client(fake->address, "secret");
    char *result = xapi_call_task(xapi, "VM.start", json_pack("[s]", "OpaqueRef:vm"), cancel,
                                  note_progress, progress, error);
    assert_int_equal(fake_calls(fake, "task.destroy"), 1);
    xapi_free(xapi);
    fake_free(fake);
    return result;
}

static void test_task_succeeds(void **state)
{
    Story story = { .end = "success" };
    g_autoptr(GError) error = NULL;
    double progress = 0;
    g_autofree char *result = run_task(&story, NULL, &progress, &error);
    assert_null(error);
    assert_string_equal(result, "OpaqueRef:made & done");
    assert_true(progress >= 0.5);
}

static void test_task_fails(void **state)
{
    Story story = { .end = "failure" };
    g_autoptr(GError) error = NULL;
    double progress = 0;
    assert_null(run_task(&story, NULL, &progress, &error));
    assert_string_equal(err_xapi_code(error), "VM_BAD_POWER_STATE");
    assert_non_null(strstr(error->message, "VM.start"));
}

static void stop_at_half(double done, void *user)
{
    if (done >= 0.5)
        cancel_set(user);
}

static void test_task_is_cancelled(void **state)
{
    Story story = { .end = "pending" };
    g_autoptr(Cancel) cancel = cancel_new();
    g_autoptr(GError) error = NULL;
    Fake *fake = fake_new(&ops, &story, "127.0.0.1", 0);
    g_autoptr(Xapi) xapi = client(fake->address, "secret");
    assert_null(xapi_call_task(xapi, "VM.start", NULL, cancel, stop_at_half, cancel, &error));
    assert_true(err_is(error, ERR_CANCELLED));
    assert_int_equal(fake_calls(fake, "task.cancel"), 1);
    assert_int_equal(fake_calls(fake, "task.destroy"), 1);
    g_clear_pointer(&xapi, xapi_free);
    fake_free(fake);
}

static void leave_at_half(double done, void *user)
{
    if (done >= 0.5)
        xapi_leave(user, false);
}

/* The pool goes on with the task; what is called from then on has its answer, if that is quick. */
static void test_task_is_left(void **state)
{
    Story story = { .end = "pending" };
    g_autoptr(GError) error = NULL;
    Fake *fake = fake_new(&ops, &story, "127.0.0.1", 0);
    g_autoptr(Xapi) xapi = client(fake->address, "secret");
    assert_null(xapi_call_task(xapi, "VM.start", NULL, NULL, leave_at_half, xapi, &error));
    assert_true(err_is(error, ERR_INTERRUPTED));
    assert_non_null(strstr(error->message, "VM.start: the server is stopping"));
    assert_int_equal(fake_calls(fake, "task.cancel"), 0);
    assert_int_equal(fake_calls(fake, "task.destroy"), 0);
    g_clear_error(&error);
    assert_true(xapi_has_left(xapi));
    json_t *record = xapi_call(xapi, "task.get_record", json_pack("[s]", "OpaqueRef:task"), &error);
    assert_null(error);
    json_decref(record);
    g_clear_pointer(&xapi, xapi_free);
    fake_free(fake);
}

static void serve_page(Fake *fake, HttpRequest *request, void *user)
{
    http_reply_text(request, 500, "text/html", "<html>oops</html>");
}

static void test_not_a_pool(void **state)
{
    static const FakeOps web = { .call = call, .http = serve_page };
    Story story = { 0 };
    Fake *fake = fake_new(&web, &story, "127.0.0.1", 0);
    g_autofree char *port = g_strdup_printf("http://127.0.0.3:%u", fake->port);
    g_autoptr(GError) refused = NULL;
    g_autoptr(Xapi) nobody = client(port, "secret");
    assert_false(xapi_login(nobody, &refused));
    assert_true(err_is(refused, ERR_NETWORK));
    fake_free(fake);
}

static void test_dates(void **state)
{
    static const struct {
        const char *text;
        gint64 unix_s;
    } dates[] = {
        { "19700101T00:00:00Z", 0 },
        { "20261122T02:16:50Z", 1795313810 },
        { "2026-11-22T02:16:50Z", 1795313810 },
        { "20261122T021650Z", 1795313810 },
        { "20261322T02:16:50Z", 0 },
        { "", 0 },
        { "2026", 0 },
        { "20261122T02:1", 0 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(dates); i++)
        assert_true(xapi_parse_date(dates[i].text) == dates[i].unix_s);
    assert_true(xapi_parse_date(NULL) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_bad_login),
        cmocka_unit_test(test_member_names_its_master),
        cmocka_unit_test(test_session_is_renewed_once),
        cmocka_unit_test(test_only_reads_are_repeated),
        cmocka_unit_test(test_refusals_in_plain_words),
        cmocka_unit_test(test_records_one_by_one),
        cmocka_unit_test(test_task_succeeds),
        cmocka_unit_test(test_task_fails),
        cmocka_unit_test(test_task_is_cancelled),
        cmocka_unit_test(test_task_is_left),
        cmocka_unit_test(test_not_a_pool),
        cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
