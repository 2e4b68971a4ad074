/* Sessions: tokens expire under a live connection, permissions count at once. */
#include "api/session.h"
#include "base/error.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct {
    char *folder;
    Store *store;
    Accounts *accounts;
    char *password;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = scratch_new();
    fixture->store = store_open(fixture->folder, NULL);
    fixture->accounts = account_new(fixture->store);
    account_reset_admin(fixture->accounts, NULL, &fixture->password, NULL);
    *state = fixture;
    return fixture->store && fixture->password ? 0 : -1;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    account_free(fixture->accounts);
    store_close(fixture->store);
    scratch_drop(fixture->folder);
    g_free(fixture->password);
    g_free(fixture);
    return 0;
}

static Session *signed_in(Fixture *fixture)
{
    Session *session = session_new(fixture->accounts, "127.0.0.1");
    json_t *user = session_sign_in(session, "admin@admin.net", fixture->password, NULL);
    assert_non_null(user);
    json_decref(user);
    return session;
}

static void test_password(void **state)
{
    g_autoptr(Session) session = signed_in(*state);
    assert_true(session_is_signed_in(session));
    assert_false(session_has_expired(session));
    json_t *user = session_user(session);
    assert_true(account_is_admin(user));
    assert_null(json_object_get(user, "pw_hash"));
    json_decref(user);
    session_sign_out(session);
    assert_null(session_user(session));
}

/* The record of every token gets an end in the near future. */
static void shorten_tokens(Store *store, gint64 ms)
{
    json_t *tokens = store_list(store, "tokens", NULL);
    size_t i;
    json_t *token;
    json_array_foreach (tokens, i, token) {
        json_object_set_new(token, "expiration", json_integer(g_get_real_time() / 1000 + ms));
        assert_true(store_put(store, "tokens", json_string_value(json_object_get(token, "id")),
                              token, NULL));
    }
    json_decref(tokens);
}

static void test_token_expires(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(Session) session = signed_in(fixture);
    json_t *user = session_user(session);
    json_t *params = json_object();
    g_autofree char *token = account_create_token(
        fixture->accounts, json_string_value(json_object_get(user, "id")), params, NULL);
    json_decref(params);
    json_decref(user);
    shorten_tokens(fixture->store, 300);
    g_autoptr(Session) other = session_new(fixture->accounts, "127.0.0.1");
    user = session_sign_in_token(other, token, NULL);
    assert_non_null(user);
    json_decref(user);
    assert_false(session_has_expired(other));
    g_usleep(400 * 1000);
    assert_true(session_has_expired(other));
    assert_false(session_has_expired(session));
}

/* A token that somebody deletes ends what was signed in with it; no other session. */
static void test_revoked(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(Session) session = signed_in(fixture), other = session_new(fixture->accounts, "::1"),
                       guest = session_new(fixture->accounts, "::1");
    json_t *params = json_pack("{s:s, s:s}", "email", "guest", "password", "of the guest");
    g_autofree char *user = account_create_user(fixture->accounts, params, NULL);
    json_decref(params);
    g_autofree char *first = account_create_token(fixture->accounts, user, NULL, NULL);
    g_autofree char *second = account_create_token(fixture->accounts, user, NULL, NULL);
    json_decref(session_sign_in_token(other, first, NULL));
    json_decref(session_sign_in(guest, "guest", "of the guest", NULL));
    assert_true(account_delete_token(fixture->accounts, second, NULL, NULL));
    assert_false(session_has_expired(other));
    assert_true(account_delete_token(fixture->accounts, first, NULL, NULL));
    assert_true(session_has_expired(other));
    assert_false(session_has_expired(guest));
    assert_false(session_has_expired(session));
    assert_true(account_delete_user(fixture->accounts, user, NULL));
}

/* A failure leaves the session as it was. */
static void test_failure(void **state)
{
    g_autoptr(Session) session = signed_in(*state);
    g_autoptr(GError) error = NULL;
    assert_null(session_sign_in_token(session, "no-such-token", &error));
    assert_true(err_is(error, ERR_BAD_LOGIN));
    assert_true(session_is_signed_in(session));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_token_expires),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
