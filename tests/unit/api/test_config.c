/* The configuration: taken in whole or not at all, twice without a change, with a report; given out
 * and taken in elsewhere. */
#include "api/config.h"
#include "api/error.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define HASH                                                                                       \
    "$argon2id$v=19$m=65536,t=3,p=4$fHOXGORdBLpwh6g7VJrBSw$"                                       \
    "qL4nrL5S19lwbDIRIY4guCfFe+OapiIthu6eS+ZUUxI"
#define ADMIN                                                                                      \
    "{\"id\": \"u1\", \"email\": \"admin@admin.net\", \"permission\": \"admin\","                  \
    " \"pw_hash\": \"" HASH "\", \"groups\": [\"g1\"], \"preferences\": {\"lang\": \"fr\"}}"
#define JOB                                                                                        \
    "{\"id\": \"j1\", \"type\": \"backup\", \"mode\": \"delta\", \"name\": \"nightly\","           \
    " \"vms\": {\"id\": \"v\"}, \"remotes\": {\"id\": \"r1\"}, \"runId\": \"17\","                 \
    " \"settings\": {\"s1\": {\"exportRetention\": 2}}}"

typedef struct {
    char *folder;
    ApiParts parts;
} Place;

static Place *place_new(void)
{
    Place *place = g_new0(Place, 1);
    char *made = NULL;
    place->folder = scratch_new();
    place->parts.store = store_open(place->folder, NULL);
    place->parts.accounts = account_new(place->parts.store);
    place->parts.jobs = jobs_new(place->parts.store, NULL);
    place->parts.remotes = remotes_new(place->parts.store);
    place->parts.servers = servers_new(place->parts.store, NULL);
    place->parts.set_leases = set_leases_new();
    place->parts.plugins = plugins_new(place->parts.store, NULL);
    assert_true(account_reset_admin(place->parts.accounts, "first", &made, NULL));
    return place;
}

static void place_free(Place *place)
{
    plugins_free(place->parts.plugins);
    set_leases_free(place->parts.set_leases);
    servers_free(place->parts.servers);
    remotes_free(place->parts.remotes);
    jobs_free(place->parts.jobs);
    account_free(place->parts.accounts);
    store_close(place->parts.store);
    scratch_drop(place->folder);
    g_free(place);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Place, place_free)

static json_t *take(Place *place, const char *text, GError **error)
{
    g_autoptr(GBytes) file = g_bytes_new_static(text, strlen(text));
    return config_import(&place->parts, file, NULL, error);
}

static json_int_t counted(json_t *report, const char *entry, const char *what)
{
    json_t *entries = json_object_get(report, "entries");
    return json_integer_value(json_object_get(json_object_get(entries, entry), what));
}

static gsize n_stored(Place *place, const char *collection)
{
    json_t *list = store_list(place->parts.store, collection, NULL);
    gsize n = json_array_size(list);
    json_decref(list);
    return n;
}

static const char whole[] =
    "{\"users\": [" ADMIN
    "], \"groups\": [{\"id\": \"g1\", \"name\": \"ops\", \"users\": [\"u1\", \"gone\"]}],"
    " \"acls\": [{\"id\": \"2PT1og\", \"subject\": \"g1\", \"object\": \"vm\", \"action\": "
    "\"viewer\"},"
    "  {\"id\": \"x\", \"subject\": \"nobody\", \"object\": \"vm\", \"action\": \"viewer\"}],"
    " \"authTokens\": [{\"id\": \"t1\", \"user_id\": \"u1\", \"expiration\": 9999999999999},"
    "  {\"id\": \"t2\", \"user_id\": \"u1\", \"expiration\": 1}],"
    " \"xenServers\": [{\"id\": \"x1\", \"host\": \"192.0.2.1\", \"username\": \"root\","
    "  \"password\": \"very secret\", \"enabled\": \"false\", \"label\": \"a pool\"}],"
    " \"remotes\": [{\"id\": \"r1\", \"name\": \"here\", \"url\": \"file:///somewhere\","
    "  \"enabled\": true},"
    "  {\"id\": \"r2\", \"name\": \"there\", \"url\": \"gopher://somewhere\"}],"
    " \"jobs\": [" JOB ", {\"id\": \"j2\", \"type\": \"mirrorBackup\"},"
    "  {\"id\": \"j3\", \"type\": \"backup\", \"mode\": \"sideways\", \"vms\": {}}],"
    " \"schedules\": [{\"id\": \"s1\", \"jobId\": \"j1\", \"cron\": \"0 3 * JANUARY "
    "mon-Wednesday\","
    "  \"enabled\": true, \"timezone\": \"Europe/Paris\"},"
    "  {\"id\": \"s2\", \"jobId\": \"j2\", \"cron\": \"0 0 * * *\", \"enabled\": true},"
    "  {\"id\": \"s3\", \"jobId\": \"j1\", \"cron\": \"0 0 * 12 *\", \"enabled\": true},"
    "  {\"id\": \"s4\", \"jobId\": \"j9\", \"cron\": \"0 0 * * *\"}],"
    " \"tags\": [{\"id\": \"prod\", \"color\": \"#00ff80\"}],"
    " \"cloudConfigs\": [{\"id\": \"c1\", \"name\": \"a\", \"template\": \"#cloud-config\"}],"
    " \"plugins\": [{\"id\": \"netbox\", \"configuration\": {\"token\": \"t0k3n\"}},"
    "  {\"id\": \"transport-email\", \"autoload\": \"false\", \"configuration\": {\"from\": 5}}],"
    " \"somethingNew\": [{}, {}]}";

static void test_takes_in(void **state)
{
    g_autoptr(Place) place = place_new();
    g_autoptr(GError) error = NULL;
    json_t *report = take(place, whole, &error);
    if (!report)
        fail_msg("%s", error->message);
    static const struct {
        const char *entry;
        int added, refused;
    } expected[] = { { "users", 1, 0 },        { "groups", 1, 0 },     { "acls", 1, 1 },
                     { "authTokens", 1, 1 },   { "xenServers", 1, 0 }, { "remotes", 1, 1 },
                     { "jobs", 2, 1 },         { "schedules", 2, 2 },  { "tags", 1, 0 },
                     { "cloudConfigs", 1, 0 }, { "plugins", 1, 1 },    { "somethingNew", 0, 2 } };
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        assert_int_equal(counted(report, expected[i].entry, "added"), expected[i].added);
        assert_int_equal(counted(report, expected[i].entry, "notTaken"), expected[i].refused);
    }
    json_decref(report);
    json_t *server = store_get(place->parts.store, "servers", "x1", NULL);
    assert_null(strstr(json_string_value(json_object_get(server, "password")), "secret"));
    assert_true(json_is_false(json_object_get(server, "enabled")));
    json_decref(server);
    json_t *plugin = store_get(place->parts.store, "plugins", "netbox", NULL);
    assert_true(json_is_true(json_object_get(plugin, "autoload")));
    assert_null(strstr(json_string_value(json_object_get(plugin, "configuration")), "t0k3n"));
    json_decref(plugin);
    json_t *schedule = store_get(place->parts.store, "schedules", "s1", NULL);
    assert_string_equal(json_string_value(json_object_get(schedule, "cron")), "0 3 * jan mon-wen");
    json_decref(schedule);
    schedule = store_get(place->parts.store, "schedules", "s2", NULL);
    assert_true(json_is_false(json_object_get(schedule, "enabled"))); /* its job is not run */
    json_decref(schedule);
    json_t *job = store_get(place->parts.store, "jobs", "j1", NULL);
    assert_null(json_object_get(job, "runId"));
    json_decref(job);
    json_t *user =
        account_sign_in(place->parts.accounts, "admin@admin.net", "admin", NULL, NULL, &error);
    assert_string_equal(json_string_value(json_object_get(user, "id")), "u1");
    json_decref(user);
}

/* The second time nothing is written, sealed or not. */
static void test_again(void **state)
{
    g_autoptr(Place) place = place_new();
    json_decref(take(place, whole, NULL));
    json_t *before = store_get(place->parts.store, "servers", "x1", NULL);
    json_t *report = take(place, whole, NULL);
    const char *name;
    json_t *entry;
    json_object_foreach (json_object_get(report, "entries"), name, entry) {
        assert_int_equal(counted(report, name, "added"), 0);
        assert_int_equal(counted(report, name, "changed"), 0);
    }
    json_t *after = store_get(place->parts.store, "servers", "x1", NULL);
    assert_true(json_equal(before, after));
    json_decref(before);
    json_decref(after);
    json_decref(report);
}

/* What was the old administrator's is the new one's, who has the same name. */
static void test_same_name(void **state)
{
    g_autoptr(Place) place = place_new();
    json_t *users = account_users(place->parts.accounts, NULL);
    const char *old = json_string_value(json_object_get(json_array_get(users, 0), "id"));
    json_t *none = json_object();
    g_autofree char *token = account_create_token(place->parts.accounts, old, none, NULL);
    json_decref(none);
    assert_true(account_add_acl(place->parts.accounts, old, "vm", "admin", NULL));
    json_decref(users);
    json_decref(take(place, "{\"users\": [" ADMIN "]}", NULL));
    assert_int_equal(n_stored(place, "users"), 1);
    json_t *user = account_sign_in_token(place->parts.accounts, token, NULL, NULL);
    assert_string_equal(json_string_value(json_object_get(user, "id")), "u1");
    json_decref(user);
    json_t *acls = account_acls(place->parts.accounts, NULL);
    assert_int_equal(json_array_size(acls), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(acls, 0), "subject")),
                        "u1");
    json_decref(acls);
}

/* Each is refused as a whole, and says where. */
static void test_wrong(void **state)
{
    static const char *const cases[][2] = {
        { "", "not JSON" },
        { "[]", "object of lists" },
        { "{\"users\": {}}", "users: expected a list" },
        { "{\"users\": [\"x\"]}", "users[0]: expected an object" },
        { "{\"users\": [" ADMIN ", {\"email\": \"x\"}]}", "users[1]: id:" },
        { "{\"users\": [" ADMIN ", " ADMIN "]}", "users[1]: id: u1 is there twice" },
        { "{\"users\": [" ADMIN ", {\"id\": \"u2\", \"email\": \"Admin@admin.net\"}]}",
          "users[1]: email: Admin@admin.net is there twice" },
        { "{\"users\": [{\"id\": \"u2\", \"email\": 5}]}", "users[0]: email:" },
        { "{\"jobs\": [" JOB "], \"tags\": [{\"id\": \"\"}]}", "tags[0]: id:" },
        { "{\"jobs\": [" JOB "], \"schedules\": [{\"id\": \"s\", \"jobId\": \"j1\"}]}",
          "schedules[0]: cron:" },
        { "{\"jobs\": [" JOB "], \"cloudConfigs\": [{\"id\": \"c\", \"name\": \"\"}]}",
          "cloudConfigs[0]: name:" },
        { "{\"xenServers\": [{\"id\": \"x\", \"host\": \"h\"}]}", "xenServers[0]: username:" },
        { "{\"users\": [{\"id\": \"u\", \"email\": \"admin@admin.net\", \"permission\": "
          "\"none\"}]}",
          "no administrator" },
    };
    g_autoptr(Place) place = place_new();
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        json_t *report = take(place, cases[i][0], &error);
        assert_null(report);
        assert_true(api_error_is(error, API_INVALID_PARAMETERS));
        if (!strstr(error->message, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], error->message);
        assert_int_equal(n_stored(place, "jobs"), 0);
        assert_int_equal(n_stored(place, "users"), 1);
    }
}

static void test_there_and_back(void **state)
{
    g_autoptr(Place) place = place_new(), other = place_new();
    json_decref(take(place, whole, NULL));
    for (int sealed = 0; sealed < 2; sealed++) {
        g_autoptr(GError) error = NULL;
        const char *passphrase = sealed ? "correct horse" : NULL;
        g_autoptr(GBytes)
            file = config_export(&place->parts, NULL, sealed != 0, passphrase, &error);
        assert_non_null(file);
        if (sealed) {
            assert_null(config_import(&other->parts, file, NULL, &error));
            g_clear_error(&error);
            assert_null(config_import(&other->parts, file, "wrong", &error));
            assert_true(err_is(error, ERR_DENIED));
            g_clear_error(&error);
        }
        json_t *report = config_import(&other->parts, file, passphrase, &error);
        assert_non_null(report);
        assert_int_equal(json_array_size(json_object_get(report, "notTaken")), 0);
        json_decref(report);
        g_autoptr(GBytes) plain = config_export(&place->parts, NULL, false, NULL, NULL);
        g_autoptr(GBytes) again = config_export(&other->parts, NULL, false, NULL, NULL);
        assert_true(g_bytes_equal(plain, again));
    }
}

static void test_parts(void **state)
{
    g_autoptr(Place) place = place_new();
    g_autoptr(GError) error = NULL;
    json_decref(take(place, whole, NULL));
    json_t *entries = json_pack("[s]", "schedules");
    g_autoptr(GBytes) file = config_export(&place->parts, entries, false, NULL, &error);
    json_t *document = json_loadb(g_bytes_get_data(file, NULL), g_bytes_get_size(file), 0, NULL);
    assert_int_equal(json_array_size(json_object_get(document, "schedules")), 2);
    assert_int_equal(json_array_size(json_object_get(document, "jobs")), 2); /* what it refers to */
    assert_null(json_object_get(document, "xenServers"));
    json_decref(document);
    json_decref(entries);
    entries = json_pack("[s]", "nonsense");
    assert_null(config_export(&place->parts, entries, false, NULL, &error));
    assert_true(api_error_is(error, API_INVALID_PARAMETERS));
    json_decref(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_in),       cmocka_unit_test(test_again),
        cmocka_unit_test(test_same_name),      cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
