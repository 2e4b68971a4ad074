/* What the audit log shows of parameters, and which calls it tells of. */
#include "api/audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void assert_redacted(const Param *rows, const char *sent, const char *expected)
{
    json_t *params = json_loads(sent, 0, NULL), *wanted = json_loads(expected, 0, NULL);
    json_t *shown = audit_redact(rows, params);
    if (!json_equal(shown, wanted))
        fail_msg("%s became %s", sent, json_dumps(shown, JSON_COMPACT));
    json_decref(params);
    json_decref(wanted);
    json_decref(shown);
}

#define HIDDEN "\"* obfuscated *\""

static void test_redact(void **state)
{
    assert_redacted(NULL, "{\"id\":\"vm\",\"force\":true}", "{\"id\":\"vm\",\"force\":true}");
    assert_redacted(NULL, "{\"email\":\"a\",\"password\":\"b\",\"otp\":\"1\"}",
                    "{\"email\":\"a\",\"password\":" HIDDEN ",\"otp\":" HIDDEN "}");
    assert_redacted(NULL, "{\"newPassword\":\"b\",\"chapPassword\":null,\"tokens\":[\"x\"]}",
                    "{\"newPassword\":" HIDDEN ",\"chapPassword\":null,\"tokens\":" HIDDEN "}");
    assert_redacted(NULL,
                    "{\"cloudConfig\":\"a\",\"cloud_config\":\"b\",\"network_config\":\"c\","
                    "\"xenstore_data\":{\"d\":\"e\"},\"pw_hash\":\"f\",\"bypass\":true}",
                    "{\"cloudConfig\":" HIDDEN ",\"cloud_config\":" HIDDEN
                    ",\"network_config\":" HIDDEN ",\"xenstore_data\":" HIDDEN
                    ",\"pw_hash\":" HIDDEN ",\"bypass\":true}");
    assert_redacted(NULL, "{\"a\":[{\"b\":{\"clientSecret\":{\"c\":1}}}]}",
                    "{\"a\":[{\"b\":{\"clientSecret\":" HIDDEN "}}]}");
    assert_redacted(PARAMS(REQ(SECRET("id")), OPT(STR("name"))), "{\"id\":\"x\",\"name\":\"y\"}",
                    "{\"id\":" HIDDEN ",\"name\":\"y\"}");
    assert_redacted(NULL, "{\"host\":\"https://root:pw@pool:443/x\",\"b\":\"https://pool/@\"}",
                    "{\"host\":\"https://***@pool:443/x\",\"b\":\"https://pool/@\"}");
    json_t *url = json_pack("{s:s}", "url", "s3://key:wJalrXUtnFEMI@host/bucket/dir#region");
    json_t *shown = audit_redact(NULL, url);
    assert_null(strstr(json_string_value(json_object_get(shown, "url")), "wJalrXUtnFEMI"));
    json_decref(url);
    json_decref(shown);
}

static void test_long(void **state)
{
    g_autofree char *text = g_strnfill(AUDIT_MAX_PARAMS_BYTES + 1, 'x');
    json_t *params = json_pack("{s:s}", "template", text), *shown = audit_redact(NULL, params);
    assert_true(json_is_integer(json_object_get(shown, "tooLongBytes")));
    assert_int_equal(json_object_size(shown), 1);
    json_decref(params);
    json_decref(shown);
}

/* Every parameter that sounds like a secret is hidden, whatever the tables say of it. */
static void see(const Method *method, void *user)
{
    for (const Param *row = method->params; row && row->name; row++) {
        g_autofree char *folded = g_ascii_strdown(row->name, -1);
        if (!strstr(folded, "password") && !strstr(folded, "passphrase") &&
            !strstr(folded, "secret"))
            continue;
        json_t *params = json_pack("{s:s}", row->name, "hidden words");
        json_t *shown = audit_redact(method->params, params);
        g_autofree char *text = json_dumps(shown, JSON_COMPACT);
        assert_null(strstr(text, "hidden words"));
        json_decref(params);
        json_decref(shown);
        ++*(unsigned *) user;
    }
}

static void test_tables(void **state)
{
    unsigned n_seen = 0;
    method_each(see, &n_seen);
    assert_in_range(n_seen, 5, 1000);
}

static void test_wants(void **state)
{
    static const char *const told[] = { "vm.start",        "user.set", "session.signIn", "acl.add",
                                        "backupNg.runJob", "tag.add",  "xo.exportConfig" };
    static const char *const not_told[] = { "xo.getAllObjects", "user.getAll", "session.getUser",
                                            "system.listMethods", "backupNg.listVmBackups" };
    for (gsize i = 0; i < G_N_ELEMENTS(told); i++)
        assert_true(audit_wants(method_find(told[i])));
    for (gsize i = 0; i < G_N_ELEMENTS(not_told); i++)
        assert_false(audit_wants(method_find(not_told[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_redact), cmocka_unit_test(test_long),
                                        cmocka_unit_test(test_tables),
                                        cmocka_unit_test(test_wants) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
