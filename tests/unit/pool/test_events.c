/* A pool followed through everything its hosts may do: events, lost events, wrong counts, a renewed
 * session, a dead master, a wrong password. */
#include "../xapi/fake.h"
#include "base/error.h"
#include "pool/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define POOL_REF "OpaqueRef:pool"
#define HOST_REF "OpaqueRef:host"

enum { WAIT_MS = 20000, EVENT_WAIT_MS = 300 };

typedef struct {
    pthread_mutex_t lock;
    json_t *classes; /* class → ref → record */
    json_t *changes; /* [generation, class, operation, ref] */
    gint64 generation;
    unsigned session;       /* valid are "OpaqueRef:<session>" */
    bool lose_events, hide; /* hide: event.from does not tell what happens */
    bool plain_tokens;      /* tokens that cannot be compared */
    bool no_inject;
    const char *hang; /* a method that does not answer */
    const char *password;
    const char *other_address; /* of a second host of the pool */
} World;

static json_t *refuse(json_t **error, const char *code, const char *param)
{
    *error = json_pack("[s,s]", code, param);
    return NULL;
}

static json_t *class_of(World *world, const char *cls)
{
    json_t *records = json_object_get(world->classes, cls);
    if (!records) {
        records = json_object();
        json_object_set_new(world->classes, cls, records);
    }
    return records;
}

static void note(World *world, const char *cls, const char *operation, const char *ref)
{
    json_array_append_new(world->changes,
                          json_pack("[I,s,s,s]", ++world->generation, cls, operation, ref));
}

static void change(World *world, const char *cls, const char *ref, json_t *record)
{
    pthread_mutex_lock(&world->lock);
    bool known = json_object_get(class_of(world, cls), ref) != NULL;
    if (record)
        json_object_set_new(class_of(world, cls), ref, record);
    else
        json_object_del(class_of(world, cls), ref);
    if (!world->hide)
        note(world, cls, !record ? "del" : known ? "mod" : "add", ref);
    pthread_mutex_unlock(&world->lock);
}

static char *token_at(World *world, gint64 generation)
{
    return world->plain_tokens ? g_strdup_printf("t%" G_GINT64_FORMAT, generation)
                               : g_strdup_printf("%020" G_GINT64_FORMAT ",%020d", generation, 0);
}

static json_t *events_since(World *world, gint64 from)
{
    json_t *events = json_array(), *item;
    size_t i;
    json_array_foreach (world->changes, i, item) {
        gint64 generation;
        const char *cls, *operation, *ref;
        json_unpack(item, "[I,s,s,s]", &generation, &cls, &operation, &ref);
        if (generation <= from)
            continue;
        g_autofree char *lower = g_ascii_strdown(cls, -1);
        json_t *event =
            json_pack("{s:s,s:s,s:s}", "class", lower, "operation", operation, "ref", ref);
        json_t *record = json_object_get(class_of(world, cls), ref);
        if (record)
            json_object_set_new(event, "snapshot", json_deep_copy(record));
        json_array_append_new(events, event);
    }
    return events;
}

static json_t *event_from(World *world, json_t *params, json_t **error)
{
    const char *token = json_string_value(json_array_get(params, 2));
    gint64 from = g_ascii_strtoll(token + strspn(token, "t"), NULL, 10);
    for (unsigned waited = 0; waited < EVENT_WAIT_MS; waited += 10) {
        pthread_mutex_lock(&world->lock);
        bool news = world->generation > from || world->lose_events;
        pthread_mutex_unlock(&world->lock);
        if (news)
            break;
        g_usleep(10000);
    }
    pthread_mutex_lock(&world->lock);
    json_t *reply = NULL;
    if (world->lose_events) {
        world->lose_events = false;
        refuse(error, "EVENTS_LOST", "");
    } else {
        g_autofree char *next = token_at(world, world->generation);
        reply = json_pack("{s:o, s:{s:I, s:I}, s:s}", "events", events_since(world, from),
                          "valid_ref_counts", "task",
                          (json_int_t) json_object_size(class_of(world, "task")), "vm",
                          (json_int_t) json_object_size(class_of(world, "VM")), "token", next);
    }
    pthread_mutex_unlock(&world->lock);
    return reply;
}

static json_t *all_records(World *world, const char *method)
{
    g_autofree char *cls = g_strndup(method, strcspn(method, "."));
    pthread_mutex_lock(&world->lock);
    json_t *records = json_deep_copy(class_of(world, cls));
    pthread_mutex_unlock(&world->lock);
    return records;
}

static json_t *inject(World *world)
{
    pthread_mutex_lock(&world->lock);
    g_autofree char *token = token_at(world, world->generation);
    note(world, "pool", "mod", POOL_REF);
    pthread_mutex_unlock(&world->lock);
    return json_string(token);
}

static json_t *change_other_config(World *world, json_t *params, bool add)
{
    json_t *record = json_deep_copy(json_object_get(class_of(world, "pool"), POOL_REF));
    json_t *config = json_object_get(record, "other_config");
    const char *key = json_string_value(json_array_get(params, 2));
    if (add)
        json_object_set(config, key, json_array_get(params, 3));
    else
        json_object_del(config, key);
    change(world, "pool", POOL_REF, record);
    return json_string("");
}

static json_t *log_in(World *world, json_t *params, json_t **error)
{
    if (g_strcmp0(json_string_value(json_array_get(params, 1)), world->password) != 0)
        return refuse(error, "SESSION_AUTHENTICATION_FAILED", "root");
    pthread_mutex_lock(&world->lock);
    json_t *session = json_sprintf("OpaqueRef:%u", world->session);
    pthread_mutex_unlock(&world->lock);
    return session;
}

static bool is_valid(World *world, json_t *params)
{
    pthread_mutex_lock(&world->lock);
    g_autofree char *session = g_strdup_printf("OpaqueRef:%u", world->session);
    pthread_mutex_unlock(&world->lock);
    return g_strcmp0(json_string_value(json_array_get(params, 0)), session) == 0;
}

static bool hangs(World *world, const char *method)
{
    pthread_mutex_lock(&world->lock);
    bool yes = g_strcmp0(world->hang, method) == 0;
    pthread_mutex_unlock(&world->lock);
    return yes;
}

static json_t *call(Fake *fake, const char *method, json_t *params, json_t **error, void *user)
{
    World *world = user;
    while (hangs(world, method))
        g_usleep(10000);
    if (strcmp(method, "session.login_with_password") == 0)
        return log_in(world, params, error);
    if (!is_valid(world, params))
        return refuse(error, "SESSION_INVALID", "");
    if (strcmp(method, "event.from") == 0)
        return event_from(world, params, error);
    if (strcmp(method, "event.inject") == 0 && !world->no_inject)
        return inject(world);
    if (strcmp(method, "pool.add_to_other_config") == 0)
        return change_other_config(world, params, true);
    if (strcmp(method, "pool.remove_from_other_config") == 0)
        return change_other_config(world, params, false);
    if (strcmp(method, "SM.get_all_records") == 0)
        return refuse(error, "MESSAGE_REMOVED", "");
    if (g_str_has_suffix(method, ".get_all_records"))
        return all_records(world, method);
    if (strcmp(method, "session.logout") == 0)
        return json_string("");
    return refuse(error, "MESSAGE_METHOD_UNKNOWN", method);
}

static const FakeOps fake_ops = { .call = call };

/* --- what the pool told --- */

typedef struct {
    World world;
    Fake *fake;
    Pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t news;
    GString *log; /* "+id " and "-id " */
    unsigned n_status;
} Test;

static void on_changed(Pool *pool, Inventory *now, GPtrArray *entered, GPtrArray *left, void *user)
{
    Test *test = user;
    pthread_mutex_lock(&test->lock);
    for (guint i = 0; i < entered->len; i++)
        g_string_append_printf(test->log, "+%s ", (char *) entered->pdata[i]);
    for (guint i = 0; i < left->len; i++)
        g_string_append_printf(test->log, "-%s ", (char *) left->pdata[i]);
    pthread_cond_broadcast(&test->news);
    pthread_mutex_unlock(&test->lock);
}

static void on_status(Pool *pool, void *user)
{
    Test *test = user;
    pthread_mutex_lock(&test->lock);
    test->n_status++;
    pthread_cond_broadcast(&test->news);
    pthread_mutex_unlock(&test->lock);
}

static const PoolOps pool_ops = { .changed = on_changed, .status = on_status };

static bool log_has(Test *test, const char *what)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_MS / 1000;
    pthread_mutex_lock(&test->lock);
    bool in_time = true;
    while (!strstr(test->log->str, what) && in_time)
        in_time = pthread_cond_timedwait(&test->news, &test->lock, &end) == 0;
    bool found = strstr(test->log->str, what) != NULL;
    pthread_mutex_unlock(&test->lock);
    return found;
}

static bool reaches(Test *test, PoolStatus status)
{
    for (unsigned waited = 0; waited < WAIT_MS; waited += 20) {
        if (pool_status(test->pool) == status)
            return true;
        g_usleep(20000);
    }
    return false;
}

static json_t *vm(const char *uuid, const char *name)
{
    return json_pack("{s:s, s:s, s:b}", "uuid", uuid, "name_label", name, "is_a_template", 0);
}

static int set_up(void **state)
{
    Test *test = g_new0(Test, 1);
    World *world = &test->world;
    world->classes = json_object();
    world->changes = json_array();
    world->password = "secret";
    test->log = g_string_new(NULL);
    change(world, "pool", POOL_REF,
           json_pack("{s:s, s:s, s:s, s:{}}", "uuid", "pool", "name_label", "p", "master", HOST_REF,
                     "other_config"));
    change(world, "host", HOST_REF,
           json_pack("{s:s, s:s}", "uuid", "host", "address", "127.0.0.2"));
    change(world, "VM", "OpaqueRef:a", vm("a", "one"));
    test->fake = fake_new(&fake_ops, world, "127.0.0.1", 0);
    PoolOps ops = pool_ops;
    ops.user = test;
    XapiConfig config = { .host = test->fake->address, .username = "root", .password = "secret" };
    test->pool = pool_new(&config, &ops);
    *state = test;
    return 0;
}

static int tear_down(void **state)
{
    Test *test = *state;
    pool_free(test->pool);
    fake_free(test->fake);
    json_decref(test->world.classes);
    json_decref(test->world.changes);
    g_string_free(test->log, TRUE);
    g_free(test);
    return 0;
}

static void connect_pool(Test *test)
{
    g_autoptr(GError) error = NULL;
    if (!pool_connect(test->pool, false, &error))
        fail_msg("%s", error->message);
}

static char *name_of(Test *test, const char *id)
{
    g_autoptr(Inventory) now = pool_inventory(test->pool);
    json_t *object = inventory_object(now, id);
    char *name = g_strdup(json_string_value(json_object_get(object, "name_label")));
    json_decref(object);
    return name;
}

static void test_events_arrive(void **state)
{
    Test *test = *state;
    connect_pool(test);
    assert_int_equal(pool_status(test->pool), POOL_CONNECTED);
    assert_null(pool_error(test->pool, NULL));
    g_autofree char *before = name_of(test, "a");
    assert_string_equal(before, "one");
    change(&test->world, "VM", "OpaqueRef:b", vm("b", "new"));
    assert_true(log_has(test, "+b "));
    change(&test->world, "VM", "OpaqueRef:a", vm("a", "two"));
    change(&test->world, "VM", "OpaqueRef:b", NULL);
    assert_true(log_has(test, "-b "));
    g_autofree char *after = name_of(test, "a");
    assert_string_equal(after, "two");
    pool_disconnect(test->pool);
    assert_true(log_has(test, "-a "));
    assert_int_equal(pool_status(test->pool), POOL_DISCONNECTED);
}

static void check_barrier(Test *test)
{
    for (unsigned i = 0; i < 20; i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *name = g_strdup_printf("name %u", i);
        change(&test->world, "VM", "OpaqueRef:a", vm("a", name));
        if (!pool_barrier(test->pool, 5000, &error))
            fail_msg("%s", error->message);
        g_autofree char *seen = name_of(test, "a");
        assert_string_equal(seen, name);
    }
}

static void test_barrier(void **state)
{
    Test *test = *state;
    connect_pool(test);
    check_barrier(test);
    assert_int_equal(fake_calls(test->fake, "pool.add_to_other_config"), 0);
}

static void test_barrier_without_order(void **state)
{
    Test *test = *state;
    test->world.plain_tokens = true;
    connect_pool(test);
    check_barrier(test);
    assert_int_equal(fake_calls(test->fake, "pool.remove_from_other_config"), 20);
}

static void test_barrier_needs_a_connection(void **state)
{
    Test *test = *state;
    g_autoptr(GError) error = NULL;
    assert_false(pool_barrier(test->pool, 100, &error));
    assert_true(err_is(error, ERR_STATE));
}

static void test_without_inject(void **state)
{
    Test *test = *state;
    test->world.no_inject = true;
    connect_pool(test);
    change(&test->world, "VM", "OpaqueRef:b", vm("b", "new"));
    assert_true(log_has(test, "+b "));
    assert_true(pool_barrier(test->pool, 5000, NULL));
}

static void hide_change(Test *test)
{
    test->world.hide = true;
    change(&test->world, "VM", "OpaqueRef:b", vm("b", "hidden"));
    change(&test->world, "VM", "OpaqueRef:a", vm("a", "two"));
    test->world.hide = false;
}

static void test_lost_events(void **state)
{
    Test *test = *state;
    connect_pool(test);
    hide_change(test);
    pthread_mutex_lock(&test->world.lock);
    test->world.lose_events = true;
    pthread_mutex_unlock(&test->world.lock);
    assert_true(log_has(test, "+b "));
    g_autofree char *name = name_of(test, "a");
    assert_string_equal(name, "two");
    assert_int_equal(pool_status(test->pool), POOL_CONNECTED);
}

static void test_wrong_counts(void **state)
{
    Test *test = *state;
    connect_pool(test);
    hide_change(test);
    assert_true(log_has(test, "+b "));
    test->world.hide = true;
    change(&test->world, "task", "OpaqueRef:t",
           json_pack("{s:s, s:{}}", "uuid", "t", "other_config"));
    test->world.hide = false;
    assert_true(log_has(test, "+t "));
}

static bool name_becomes(Test *test, const char *id, const char *name)
{
    for (unsigned waited = 0; waited < WAIT_MS / 4; waited += 20) {
        g_autofree char *now = name_of(test, id);
        if (g_strcmp0(now, name) == 0)
            return true;
        g_usleep(20000);
    }
    return false;
}

/* A restarted pool counts its events from zero: with the old token nothing would ever come. */
static void test_renewed_session_reads_again(void **state)
{
    Test *test = *state;
    connect_pool(test);
    pthread_mutex_lock(&test->world.lock);
    json_array_clear(test->world.changes);
    test->world.generation = 0;
    test->world.session++;
    json_object_set_new(class_of(&test->world, "VM"), "OpaqueRef:a", vm("a", "other"));
    pthread_mutex_unlock(&test->world.lock);
    assert_true(name_becomes(test, "a", "other"));
    assert_int_equal(pool_status(test->pool), POOL_CONNECTED);
}

static void test_another_host_takes_over(void **state)
{
    Test *test = *state;
    connect_pool(test);
    Fake *other = fake_new(&fake_ops, &test->world, "127.0.0.2", test->fake->port);
    change(&test->world, "VM", "OpaqueRef:b", vm("b", "new"));
    assert_true(log_has(test, "+b "));
    fake_free(test->fake);
    test->fake = other;
    change(&test->world, "VM", "OpaqueRef:c", vm("c", "newer"));
    assert_true(log_has(test, "+c "));
    g_autofree char *url = xapi_base_url(pool_xapi(test->pool));
    assert_string_equal(url, other->address);
    assert_true(reaches(test, POOL_CONNECTED));
}

static void test_nobody_there_says_why(void **state)
{
    Test *test = *state;
    g_autoptr(GError) error = NULL;
    guint16 port = test->fake->port;
    fake_free(test->fake);
    test->fake = NULL;
    assert_false(pool_connect(test->pool, false, &error));
    assert_true(err_is(error, ERR_NETWORK));
    assert_true(pool_connect(test->pool, true, NULL));
    gint64 since_ms = 0;
    for (unsigned i = 0; i < 200; i++)
        g_usleep(1000);
    g_autoptr(GError) why = pool_error(test->pool, &since_ms);
    assert_true(err_is(why, ERR_NETWORK));
    assert_true(since_ms > 0 && since_ms <= g_get_real_time() / 1000);
    test->fake = fake_new(&fake_ops, &test->world, "127.0.0.1", port);
    assert_true(reaches(test, POOL_CONNECTED)); /* it never gives up */
    assert_null(pool_error(test->pool, NULL));
}

static void test_wrong_password(void **state)
{
    Test *test = *state;
    g_autoptr(GError) error = NULL;
    test->world.password = "other";
    assert_false(pool_connect(test->pool, false, &error));
    assert_true(err_is(error, ERR_BAD_LOGIN));
    assert_int_equal(pool_status(test->pool), POOL_DISCONNECTED);
    test->world.password = "secret";
    connect_pool(test);
}

static void set_hang(Test *test, const char *method)
{
    pthread_mutex_lock(&test->world.lock);
    test->world.hang = method;
    pthread_mutex_unlock(&test->world.lock);
}

/* A host that no longer answers must not hold up whoever lets go of it. */
static void test_disconnects_from_a_dead_host(void **state)
{
    static const char *const methods[] = { "session.login_with_password", "event.inject",
                                           "VM.get_all_records", "event.from" };
    Test *test = *state;
    for (unsigned i = 0; i < G_N_ELEMENTS(methods); i++) {
        set_hang(test, methods[i]);
        assert_true(pool_connect(test->pool, true, NULL));
        while (!fake_calls(test->fake, methods[i]))
            g_usleep(5000);
        gint64 began_us = g_get_monotonic_time();
        pool_disconnect(test->pool);
        assert_true(g_get_monotonic_time() - began_us < 5 * G_TIME_SPAN_SECOND);
        set_hang(test, NULL);
    }
}

/* While the host is long at one class, others are read. */
static void test_classes_side_by_side(void **state)
{
    Test *test = *state;
    set_hang(test, "VM.get_all_records");
    assert_true(pool_connect(test->pool, true, NULL));
    for (unsigned waited = 0; waited < WAIT_MS && !fake_calls(test->fake, "VTPM.get_all_records");
         waited += 20)
        g_usleep(20000);
    assert_int_equal(fake_calls(test->fake, "VTPM.get_all_records"), 1);
    assert_int_equal(pool_status(test->pool), POOL_CONNECTING);
    set_hang(test, NULL);
    assert_true(reaches(test, POOL_CONNECTED));
    g_autofree char *name = name_of(test, "a");
    assert_string_equal(name, "one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events_arrive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_barrier, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_barrier_without_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_barrier_needs_a_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_inject, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_renewed_session_reads_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_host_takes_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_there_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disconnects_from_a_dead_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_password, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_classes_side_by_side, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
