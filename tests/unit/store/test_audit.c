/* The audit log: whatever is changed in it, or taken out, is found. */
#include "base/error.h"
#include "store/audit.h"
#include "store/private.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

typedef struct {
    char *folder;
    Store *store;
} Fixture;

enum { N_RECORDS = 20 };

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = scratch_new();
    fixture->store = store_open(fixture->folder, NULL);
    for (int i = 0; i < N_RECORDS; i++)
        if (!audit_add(
                fixture->store, "apiCall", json_pack("{s:s}", "userId", "u"),
                json_pack("{s:s, s:i, s:f}", "method", "vm.start", "number", i, "real", 0.1 * i),
                NULL))
            return -1;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    store_close(fixture->store);
    scratch_drop(fixture->folder);
    g_free(fixture);
    return 0;
}

static void change(const Fixture *fixture, const char *sql)
{
    assert_true(database_run(&fixture->store->logs, NULL, NULL, NULL, sql, ""));
}

static bool add_id(const char *text, gsize n, void *ids, GError **error)
{
    json_t *record = json_loadb(text, n, 0, NULL);
    g_ptr_array_add(ids, g_strdup(json_string_value(json_object_get(record, "id"))));
    json_decref(record);
    return true;
}

/* All ids, the newest first. */
static GPtrArray *ids_of(const Fixture *fixture)
{
    GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
    assert_true(audit_each(fixture->store, NULL, 0, add_id, ids, NULL));
    return ids;
}

static void assert_verdict(const Fixture *fixture, const char *newest, const char *oldest,
                           gint64 n_valid, const char *missing, const char *altered)
{
    g_auto(AuditVerdict) verdict = { 0 };
    assert_true(audit_check(fixture->store, newest, oldest, &verdict, NULL));
    assert_int_equal(verdict.n_valid, n_valid);
    if (g_strcmp0(verdict.missing, missing) != 0 || g_strcmp0(verdict.altered, altered) != 0)
        fail_msg("missing %s altered %s", verdict.missing, verdict.altered);
}

static void test_whole(void **state)
{
    const Fixture *fixture = *state;
    g_autoptr(GPtrArray) ids = ids_of(fixture);
    assert_int_equal(ids->len, N_RECORDS);
    assert_verdict(fixture, NULL, NULL, N_RECORDS, NULL, NULL);
    assert_verdict(fixture, ids->pdata[5], ids->pdata[9], 5, NULL, NULL);
    assert_verdict(fixture, ids->pdata[0], ids->pdata[N_RECORDS - 1], N_RECORDS, NULL, NULL);
    assert_verdict(fixture, "$5$none", NULL, 0, "$5$none", NULL);
    assert_verdict(fixture, NULL, "$5$none", N_RECORDS, "$5$none", NULL);
    g_autofree char *newest = audit_newest(fixture->store, NULL);
    g_autofree char *oldest = audit_oldest(fixture->store, NULL);
    assert_string_equal(newest, ids->pdata[0]);
    assert_string_equal(oldest, ids->pdata[N_RECORDS - 1]);
}

static void test_altered(void **state)
{
    const Fixture *fixture = *state;
    g_autoptr(GPtrArray) ids = ids_of(fixture);
    change(fixture, "UPDATE audit SET value = replace(value, 'vm.start', 'vm.pause') WHERE n = 15");
    assert_verdict(fixture, NULL, NULL, 5, NULL, ids->pdata[5]);
    change(fixture, "UPDATE audit SET value = 'no JSON' WHERE n = 18");
    assert_verdict(fixture, NULL, NULL, 2, NULL, ids->pdata[2]);
}

static void test_missing(void **state)
{
    const Fixture *fixture = *state;
    g_autoptr(GPtrArray) ids = ids_of(fixture);
    change(fixture, "DELETE FROM audit WHERE n = 1");
    assert_verdict(fixture, NULL, NULL, N_RECORDS - 1, ids->pdata[N_RECORDS - 1], NULL);
    change(fixture, "DELETE FROM audit WHERE n = 10");
    assert_verdict(fixture, NULL, NULL, 10, ids->pdata[10], NULL);
    change(fixture, "DELETE FROM audit WHERE n > 17"); /* seen by who kept the newest id */
    assert_verdict(fixture, ids->pdata[0], NULL, 0, ids->pdata[0], NULL);
}

/* A log whose oldest records were dropped by design is whole. */
static void test_trimmed(void **state)
{
    const Fixture *fixture = *state;
    change(fixture, "UPDATE audit SET n = n + 9990");
    change(fixture, "DELETE FROM audit WHERE n <= 10000");
    assert_verdict(fixture, NULL, NULL, 10, NULL, NULL);
}

static void test_lines(void **state)
{
    const Fixture *fixture = *state;
    g_autoptr(GString) lines = g_string_new(NULL);
    gint64 after = 0;
    while (audit_next(fixture->store, &after, lines, NULL))
        ;
    g_auto(GStrv) texts = g_strsplit(lines->str, "\n", -1);
    assert_int_equal(g_strv_length(texts), N_RECORDS + 1);
    g_auto(AuditWalk) walk = { 0 };
    for (int i = N_RECORDS - 1; i >= 0; i--) {
        json_t *record = json_loads(texts[i], 0, NULL);
        assert_int_equal(audit_walk_step(&walk, record), i > 0);
        json_decref(record);
    }
    audit_walk_end(&walk, NULL);
    assert_int_equal(walk.verdict.n_valid, N_RECORDS);
    assert_null(walk.verdict.missing);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = { T(test_whole), T(test_altered), T(test_missing),
                                        T(test_trimmed), T(test_lines) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
