/* Users, sign-in, tokens, groups, ACLs, the permission check. */
#include "account/private.h"
#include "base/error.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char *folder;
static Store *store;
static Accounts *accounts;

static int begin(void **state)
{
    folder = scratch_new();
    store = store_open(folder, NULL);
    accounts = account_new(store);
    return 0;
}

static int end(void **state)
{
    account_free(accounts);
    store_close(store);
    scratch_drop(folder);
    return 0;
}

static json_t *parse(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static char *add_user(const char *text, GError **error)
{
    json_t *params = parse(text);
    char *id = account_create_user(accounts, params, error);
    json_decref(params);
    return id;
}

static void test_first_admin(void **state)
{
    g_autofree char *made = NULL;
    g_autoptr(GError) error = NULL;
    assert_true(account_reset_admin(accounts, NULL, &made, NULL));
    assert_int_equal(strlen(made), 20);
    json_t *user = account_sign_in(accounts, "ADMIN@admin.net", made, NULL, "127.0.0.1", NULL);
    assert_non_null(user);
    assert_int_equal(json_object_size(user), 5); /* as XO's rpc/signIn.json, without the hash */
    assert_true(account_is_admin(user));
    const char *id = json_string_value(json_object_get(user, "id"));
    assert_false(account_delete_user(accounts, id, &error));
    assert_true(err_is(error, ERR_STATE));
    json_decref(user);
    g_clear_error(&error);
    assert_null(account_sign_in(accounts, "admin@admin.net", "other", NULL, "127.0.0.1", &error));
    assert_true(err_is(error, ERR_BAD_LOGIN));
    g_clear_error(&error);
    assert_null(account_sign_in(accounts, "admin@admin.net", made, NULL, "127.0.0.1", &error));
    assert_true(err_is(error, ERR_BUSY));
    g_usleep((ACCOUNT_THROTTLE_MS + 50) * 1000);
    user = account_sign_in(accounts, "admin@admin.net", made, NULL, "127.0.0.1", NULL);
    assert_non_null(user);
    json_decref(user);
    g_autofree char *none = NULL;
    assert_true(account_reset_admin(accounts, "reset", &none, NULL));
    assert_null(none);
    user = account_sign_in(accounts, "admin@admin.net", "reset", NULL, NULL, NULL);
    assert_non_null(user);
    json_decref(user);
}

static void test_first_admin_later(void **state)
{
    g_autofree char *made = NULL, *again = NULL;
    g_autoptr(GError) error = NULL;
    assert_false(account_begin_first_admin(accounts, "", &made, &error));
    assert_true(err_is(error, ERR_INVALID));
    assert_true(account_begin_first_admin(accounts, NULL, &made, NULL));
    json_t *user = account_sign_in(accounts, "admin@admin.net", made, NULL, NULL, NULL);
    assert_true(user && account_is_admin(user));
    json_decref(user);
    assert_true(account_begin_first_admin(accounts, "other", &again, NULL));
    assert_null(again);
    account_end_first_admin(accounts);
    user = account_sign_in(accounts, "admin@admin.net", made, NULL, NULL, NULL);
    assert_non_null(user);
    json_decref(user);
}

static void test_users(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *id = add_user("{\"email\":\"carol@example.org\",\"password\":\"x\"}", NULL);
    assert_non_null(id);
    assert_null(add_user("{\"email\":\"Carol@example.org\",\"password\":\"x\"}", &error));
    assert_true(err_is(error, ERR_EXISTS));
    assert_string_equal(error->message, "the user Carol@example.org already exists");
    static const char *const wrong[] = {
        "{\"password\":\"x\"}", "{\"email\":\"a\"}", "{\"email\":\"a\",\"password\":\"\"}",
        "{\"email\":\"a\",\"password\":\"x\",\"permission\":\"root\"}"
    };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_clear_error(&error);
        assert_null(add_user(wrong[i], &error));
        assert_true(err_is(error, ERR_INVALID));
    }
    json_t *changes = parse("{\"preferences\":{\"lang\":\"fr\",\"x\":1},\"email\":\"c\"}");
    assert_true(account_set_user(accounts, id, changes, NULL));
    json_decref(changes);
    changes = parse("{\"preferences\":{\"x\":null}}");
    assert_true(account_set_user(accounts, id, changes, NULL));
    json_decref(changes);
    json_t *user = account_user(accounts, id, NULL);
    json_t *expected = json_pack("{s:s, s:s, s:[], s:s, s:{s:s}}", "id", id, "email", "c", "groups",
                                 "permission", "none", "preferences", "lang", "fr");
    assert_true(json_equal(user, expected));
    json_decref(user);
    json_decref(expected);
    assert_true(account_change_password(accounts, id, "x", "y", NULL));
    user = account_sign_in(accounts, "c", "y", NULL, NULL, NULL);
    assert_non_null(user);
    json_decref(user);
    assert_true(account_delete_user(accounts, id, NULL));
    g_clear_error(&error);
    assert_null(account_user(accounts, id, &error));
    g_autofree char *message = g_strdup_printf("no such user %s", id);
    assert_string_equal(error->message, message);
}

static char *token(const char *user_id, const char *text, GError **error)
{
    json_t *params = parse(text);
    char *id = account_create_token(accounts, user_id, params, error);
    json_decref(params);
    return id;
}

static void expire(const char *id)
{
    json_t *record = store_get(store, "tokens", id, NULL);
    json_object_set_new(record, "expiration", json_integer(1000));
    assert_true(store_put(store, "tokens", id, record, NULL));
    json_decref(record);
}

/* As many as a user may have, made an hour ago and later: nameless ones but for the first. */
static void fill_with_tokens(const char *user_id)
{
    static StoreChange changes[ACCOUNT_TOKENS_MAX];
    static char ids[ACCOUNT_TOKENS_MAX][16];
    gint64 now = g_get_real_time() / 1000;
    for (int i = 0; i < ACCOUNT_TOKENS_MAX; i++) {
        g_snprintf(ids[i], sizeof ids[i], "token-%d", i);
        json_t *record = json_pack("{s:s, s:s, s:I, s:I}", "id", ids[i], "user_id", user_id,
                                   "created_at", (json_int_t) (now - 3600000 + i), "expiration",
                                   (json_int_t) (now + 3600000));
        if (i == 0)
            json_object_set_new(record, "description", json_string("of a script"));
        changes[i] = (StoreChange){ "tokens", ids[i], record };
    }
    assert_true(store_change_all(store, changes, ACCOUNT_TOKENS_MAX, NULL));
    for (int i = 0; i < ACCOUNT_TOKENS_MAX; i++)
        json_decref(changes[i].record);
}

static bool is_good(const char *token_id)
{
    json_t *user = account_sign_in_token(accounts, token_id, "10.0.0.1", NULL);
    json_decref(user);
    return user != NULL;
}

/* Who makes a token at each start goes on; what somebody named, or used, stays. */
static void test_many_tokens(void **state)
{
    g_autofree char *id = add_user("{\"email\":\"eve\",\"password\":\"secret\"}", NULL);
    fill_with_tokens(id);
    assert_true(is_good("token-1")); /* used now: the next in line has idled for longest */
    g_autofree char *new = token(id, "{}", NULL);
    assert_non_null(new);
    assert_true(is_good(new));
    json_t *tokens = account_tokens(accounts, id, NULL);
    assert_int_equal(json_array_size(tokens), ACCOUNT_TOKENS_MAX);
    json_decref(tokens);
    assert_true(is_good("token-0") && is_good("token-1") && is_good("token-3"));
    assert_false(is_good("token-2"));
}

static void test_tokens(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *id = add_user("{\"email\":\"a\",\"password\":\"x\"}", NULL);
    g_autofree char *first =
        token(id, "{\"description\":\"a test\",\"expiresIn\":\"1 day\"}", NULL);
    assert_int_equal(strlen(first), 43);
    assert_null(token(id, "{\"expiresIn\":\"3 years\"}", &error));
    assert_string_equal(error->message, "too high expiresIn duration: 3 years");
    g_clear_error(&error);
    assert_null(token(id, "{\"expiresIn\":10}", &error));
    g_autofree char *client = token(id, "{\"client\":{\"id\":\"cli\"}}", NULL);
    g_autofree char *same =
        token(id, "{\"client\":{\"id\":\"cli\"},\"expiresIn\":\"2 days\"}", NULL);
    assert_string_equal(client, same);
    json_t *user = account_sign_in_token(accounts, first, "10.0.0.1", NULL);
    assert_string_equal(json_string_value(json_object_get(user, "id")), id);
    json_decref(user);
    json_t *tokens = account_tokens(accounts, id, NULL);
    assert_int_equal(json_array_size(tokens), 2);
    json_decref(tokens);
    json_t *record = store_get(store, "tokens", first, NULL);
    assert_non_null(json_object_get(json_object_get(record, "last_uses"), "10.0.0.1"));
    json_decref(record);
    expire(first);
    g_clear_error(&error);
    assert_null(account_sign_in_token(accounts, first, "10.0.0.1", &error));
    assert_true(err_is(error, ERR_BAD_LOGIN));
    assert_false(account_delete_token(accounts, client, "somebody else", NULL));
    assert_true(account_delete_token(accounts, client, id, NULL));
    tokens = account_tokens(accounts, NULL, NULL);
    assert_int_equal(json_array_size(tokens), 0);
    json_decref(tokens);
}

static GBytes *find(const char *id, const char **type, void *user)
{
    json_t *object = json_object_get(user, id);
    *type = json_string_value(json_object_get(object, "type"));
    if (!object)
        return NULL;
    char *text = json_dumps(object, JSON_COMPACT);
    return g_bytes_new_with_free_func(text, strlen(text), free, text);
}

static void test_may(void **state)
{
    g_autofree char *id = add_user("{\"email\":\"bob\",\"password\":\"x\"}", NULL);
    g_autofree char *group = account_create_group(accounts, "ops", NULL);
    json_t *changes = json_pack("{s:[s]}", "users", id);
    assert_true(account_set_group(accounts, group, changes, NULL));
    json_decref(changes);
    assert_true(account_add_acl(accounts, group, "host1", "operator", NULL));
    assert_true(account_add_acl(accounts, id, "vm2", "viewer", NULL));
    assert_true(account_add_acl(accounts, id, "vm2", "viewer", NULL));
    assert_false(account_add_acl(accounts, id, "vm2", "owner", NULL));
    json_t *objects = parse("{\"vm1\":{\"type\":\"VM\",\"$container\":\"host1\"},"
                            "\"vdi1\":{\"type\":\"VDI\",\"$SR\":\"sr1\",\"$VBDs\":[\"vbd1\"]},"
                            "\"vbd1\":{\"type\":\"VBD\",\"VDI\":\"vdi1\",\"VM\":\"vm1\"},"
                            "\"vm3\":{\"type\":\"VM\",\"$container\":\"vm3\"},"
                            "\"sr1\":{\"type\":\"SR\",\"$container\":\"pool1\"}}");
    json_t *user = account_user(accounts, id, NULL);
    assert_int_equal(json_array_size(json_object_get(user, "groups")), 1);
    assert_true(account_may(accounts, user, "vm1", "operate", find, objects));
    assert_true(account_may(accounts, user, "vdi1", "operate", find, objects));
    assert_false(account_may(accounts, user, "vdi1", "administrate", find, objects));
    assert_false(account_may(accounts, user, "sr1", "view", find, objects));
    assert_false(account_may(accounts, user, "vm3", "view", find, objects));
    assert_true(account_may(accounts, user, "vm2", "view", find, objects));
    assert_false(account_may(accounts, user, "vm2", "operate", NULL, NULL));
    json_t *admin = json_pack("{s:s}", "permission", "admin");
    assert_true(account_may(accounts, admin, "anything", "administrate", NULL, NULL));
    json_decref(admin);
    json_decref(user);
    json_decref(objects);
    assert_true(account_delete_user(accounts, id, NULL));
    json_t *acls = account_acls(accounts, NULL);
    assert_int_equal(json_array_size(acls), 1);
    json_decref(acls);
    json_t *groups = account_groups(accounts, NULL);
    assert_int_equal(json_array_size(json_object_get(json_array_get(groups, 0), "users")), 0);
    json_decref(groups);
}

/* From which objects each type inherits, one pair a line. */
static void test_inheritance(void **state)
{
    static const struct {
        const char *type, *member;
        bool array;
    } rows[] = { { "host", "$pool" },
                 { "network", "$pool" },
                 { "VM-template", "$pool" },
                 { "SR", "$container" },
                 { "VM", "$container" },
                 { "VM-controller", "$container" },
                 { "VM-snapshot", "$snapshot_of" },
                 { "VDI", "$SR" },
                 { "VDI-snapshot", "$snapshot_of" },
                 { "VBD", "VDI" },
                 { "VIF", "$network" },
                 { "VIF", "$VM" },
                 { "PBD", "host" },
                 { "PBD", "SR" },
                 { "PIF", "$host" },
                 { "PCI", "$host" },
                 { "task", "$host" },
                 { "message", "$object" },
                 { "PUSB", "host" },
                 { "VUSB", "vm" },
                 { "USB_group", "PUSBs", true } };
    g_autofree char *id = add_user("{\"email\":\"bob\",\"password\":\"x\"}", NULL);
    assert_true(account_add_acl(accounts, id, "parent", "operator", NULL));
    json_t *user = account_user(accounts, id, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *parent = rows[i].array ? json_pack("[s]", "parent") : json_string("parent");
        json_t *objects = json_pack("{s:{s:s, s:o}, s:{s:s}, s:{s:s, s:{s:s}}}", "child", "type",
                                    rows[i].type, rows[i].member, parent, "parent", "type", "pool",
                                    "spoof", "type", rows[i].type, "other", rows[i].member,
                                    "parent");
        assert_true(account_may(accounts, user, "child", "operate", find, objects));
        assert_false(account_may(accounts, user, "child", "administrate", find, objects));
        assert_false(account_may(accounts, user, "spoof", "view", find, objects));
        json_decref(objects);
    }
    /* A group of USB devices needs all of them; a pool inherits from nothing. */
    json_t *objects = parse("{\"group\":{\"type\":\"USB_group\",\"PUSBs\":[\"parent\",\"other\"]},"
                            "\"empty\":{\"type\":\"USB_group\",\"PUSBs\":[]},"
                            "\"pool\":{\"type\":\"pool\",\"$pool\":\"parent\"}}");
    assert_false(account_may(accounts, user, "group", "view", find, objects));
    assert_false(account_may(accounts, user, "empty", "view", find, objects));
    assert_false(account_may(accounts, user, "pool", "view", find, objects));
    json_decref(objects);
    json_decref(user);
}

static bool is_shown(AccountRights *rights, json_t *objects, const char *id)
{
    const char *type;
    g_autoptr(Viewer) viewer = viewer_new(rights, find, objects);
    g_autoptr(GBytes) text = find(id, &type, objects);
    bool shown = viewer_sees(viewer, id, type, text);
    assert_int_equal(shown, viewer_sees(viewer, id, type, text));
    return shown;
}

/* What is shown follows the rules, at once; sets of self service show what is in them. */
static void test_viewer(void **state)
{
    g_autofree char *id = add_user("{\"email\":\"bob\",\"password\":\"x\"}", NULL);
    json_t *user = account_user(accounts, id, NULL);
    json_t *objects = parse("{\"vm1\":{\"type\":\"VM\",\"$container\":\"host1\"},"
                            "\"vif1\":{\"type\":\"VIF\",\"$VM\":\"vm1\"},"
                            "\"sr1\":{\"type\":\"SR\",\"$container\":\"pool1\"},"
                            "\"vdi1\":{\"type\":\"VDI\",\"$SR\":\"sr1\",\"$VBDs\":[]}}");
    g_autoptr(AccountRights) nothing = account_rights(accounts, user);
    guint64 stamp = account_stamp(accounts);
    assert_false(is_shown(nothing, objects, "vm1"));
    assert_true(account_add_acl(accounts, id, "vm1", "viewer", NULL));
    assert_int_not_equal(account_stamp(accounts), stamp);
    g_autoptr(AccountRights) some = account_rights(accounts, user);
    assert_false(rights_equal(nothing, some));
    assert_true(is_shown(some, objects, "vm1"));
    assert_true(is_shown(some, objects, "vif1"));
    assert_false(is_shown(some, objects, "sr1"));
    json_t *set = json_pack("{s:s, s:[s], s:[s]}", "id", "set", "subjects", id, "objects", "sr1");
    assert_true(store_put(store, "resourceSets", "set", set, NULL));
    json_decref(set);
    g_autoptr(AccountRights) more = account_rights(accounts, user);
    assert_true(is_shown(more, objects, "sr1"));
    assert_false(is_shown(more, objects, "vdi1"));
    assert_false(rights_may(more, "sr1", "view", find, objects));
    assert_false(rights_see_all(more));
    account_show_all(accounts, true);
    g_autoptr(AccountRights) all = account_rights(accounts, user);
    assert_true(rights_see_all(all));
    assert_true(is_shown(all, objects, "vdi1"));
    assert_false(rights_may(all, "vdi1", "view", find, objects));
    json_decref(objects);
    json_decref(user);
}

/* RFC 6238's example: base32 of "12345678901234567890" at 59 s gives 94287082, of which six. */
static void test_otp(void **state)
{
    static const char secret[] = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    assert_int_equal(otp_step(secret, "287082", 59000), 1);
    assert_int_equal(otp_step(secret, "287082", 89000), 1); /* one step late */
    assert_int_equal(otp_step(secret, "287082", 120000), 0);
    assert_int_equal(otp_step("gezd gnbv gy3t qojq gezd gnbv gy3t qojq", "287082", 59000), 1);
    static const char *const wrong[] = { "", "28708", "287083", "+87082", "0287082", "28708a" };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        assert_int_equal(otp_step(secret, wrong[i], 59000), 0);
    assert_int_equal(otp_step("", "287082", 59000), 0);
    assert_int_equal(otp_step("0189", "287082", 59000), 0);
    g_autofree char *id = add_user("{\"email\":\"o\",\"password\":\"x\"}", NULL);
    json_t *changes = json_pack("{s:{s:s}}", "preferences", "otp", secret);
    assert_true(account_set_user(accounts, id, changes, NULL));
    json_decref(changes);
    assert_null(account_sign_in(accounts, "o", "x", NULL, "10.0.0.1", NULL));
    assert_null(account_sign_in(accounts, "o", "x", "000000", "10.0.0.2", NULL));
    g_autofree char *code = otp_code(secret, account_now());
    json_t *user = account_sign_in(accounts, "o", "x", code, "10.0.0.3", NULL);
    assert_non_null(user);
    json_decref(user);
    assert_null(account_sign_in(accounts, "o", "x", code, "10.0.0.4", NULL)); /* once */
}

/* Guessing is slowed by name and by address; where the owner has signed in before, others' guesses
 * elsewhere do not count. */
static void test_brake(void **state)
{
    Brake *brake = brake_new();
    brake_succeeded(brake, "owner", "10.0.0.1");
    brake_failed(brake, "Owner", "10.0.0.1", 1000);
    assert_false(brake_may_try(brake, "owner", "10.0.0.1", 2999, NULL));
    assert_true(brake_may_try(brake, "owner", "10.0.0.1", 3000, NULL));
    assert_true(brake_may_try(brake, "owner", "10.0.0.2", 1000, NULL));
    for (unsigned i = 0; i < 100; i++) { /* one name from everywhere */
        g_autofree char *peer = g_strdup_printf("10.1.0.%u", i);
        brake_failed(brake, "owner", peer, 10000);
    }
    assert_false(brake_may_try(brake, "owner", "10.0.0.9", 10000, NULL));
    assert_true(brake_may_try(brake, "owner", "10.0.0.1", 10000, NULL));
    assert_true(brake_may_try(brake, "owner", "10.0.0.9", 12000, NULL));
    for (unsigned i = 0; i < 100; i++) { /* every name from one network */
        g_autofree char *name = g_strdup_printf("name%u", i);
        brake_failed(brake, name, i % 2 ? "2001:db8::1" : "2001:db8::2:0:0:1", 10000);
    }
    assert_false(brake_may_try(brake, "fresh", "2001:db8::3", 10000, NULL));
    assert_false(brake_may_try(brake, NULL, "2001:db8::3", 10000, NULL));
    assert_true(brake_may_try(brake, "fresh", "2001:db8:0:1::3", 10000, NULL));
    brake_free(brake);
}

static void test_clean(void **state)
{
    g_autofree char *id = add_user("{\"email\":\"kept\",\"password\":\"x\"}", NULL);
    g_autofree char *group = account_create_group(accounts, "ops", NULL);
    assert_true(account_add_acl(accounts, id, "vm1", "viewer", NULL));
    assert_true(account_add_acl(accounts, "nobody", "vm1", "viewer", NULL));
    assert_true(account_add_acl(accounts, group, "vm2", "viewer", NULL));
    json_t *record =
        json_pack("{s:s, s:s, s:[s,s]}", "id", group, "name", "ops", "users", id, "gone");
    assert_true(store_put(store, "groups", group, record, NULL));
    json_decref(record);
    assert_int_equal(account_clean(accounts, NULL), 2);
    assert_int_equal(account_clean(accounts, NULL), 0);
    json_t *acls = account_acls(accounts, NULL);
    assert_int_equal(json_array_size(acls), 2);
    json_decref(acls);
    assert_true(account_forget_object(accounts, "vm1", NULL));
    acls = account_acls(accounts, NULL);
    assert_int_equal(json_array_size(acls), 1);
    json_decref(acls);
    json_t *user = account_user(accounts, id, NULL);
    assert_int_equal(json_array_size(json_object_get(user, "groups")), 1);
    json_decref(user);
}

/* A user whose record another server wrote. */
static void put_foreign(const char *name, const char *hash)
{
    json_t *record = json_pack("{s:s, s:s, s:s, s:s}", "id", name, "email", name, "permission",
                               "none", "pw_hash", hash);
    assert_true(store_put(store, "users", name, record, NULL));
    json_decref(record);
}

static void check_foreign(const char *name, const char *hash, const char *password)
{
    g_autoptr(GError) error = NULL;
    put_foreign(name, hash);
    assert_true(account_knows_hash(hash));
    json_t *user = account_sign_in(accounts, name, password, NULL, NULL, &error);
    assert_non_null(user);
    json_decref(user);
    assert_null(account_sign_in(accounts, name, "another", NULL, NULL, &error));
    assert_true(err_is(error, ERR_BAD_LOGIN));
}

/* Hashes that XO made: argon2id with four lanes, and bcrypt. */
static void test_foreign_hashes(void **state)
{
    check_foreign("lanes",
                  "$argon2id$v=19$m=65536,t=3,p=4$fHOXGORdBLpwh6g7VJrBSw$"
                  "qL4nrL5S19lwbDIRIY4guCfFe+OapiIthu6eS+ZUUxI",
                  "admin");
    check_foreign("rounds", "$2b$04$edpOYYqvjfFFZF7vil7in.Vod9Hpix9PS8X.2Rijo2Wa2jsHhQV6m",
                  "a password");
    const char *const refused[] = {
        "",
        "secret",
        "$1$abc$def",
        "$argon2id$",
        "$argon2id$v=19$m=4194304,t=3,p=4$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=65536,t=3000,p=4$c2FsdA$aGFzaA",
        "$2b$31$edpOYYqvjfFFZF7vil7in.Vod9Hpix9PS8X.2Rijo2Wa2jsHhQV6m"
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *name = g_strdup_printf("refused-%u", i);
        assert_false(account_knows_hash(refused[i]));
        put_foreign(name, refused[i]);
        assert_null(account_sign_in(accounts, name, "admin", NULL, NULL, NULL));
    }
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_first_admin), WITH_STORE(test_first_admin_later),
        WITH_STORE(test_users),       WITH_STORE(test_foreign_hashes),
        WITH_STORE(test_tokens),      WITH_STORE(test_many_tokens),
        WITH_STORE(test_may),         WITH_STORE(test_inheritance),
        WITH_STORE(test_viewer),      WITH_STORE(test_otp),
        WITH_STORE(test_brake),       WITH_STORE(test_clean)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
