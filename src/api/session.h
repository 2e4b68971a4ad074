/* Who is at the other end: the signed-in user of a connection, or of one REST request. Thread-safe,
 * counted. */
#pragma once

#include "account/account.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Session Session;

Session *session_new(Accounts *accounts, const char *peer);
Session *session_ref(Session *session);
void session_unref(Session *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Session, session_unref)

/* Of a user who is not there: a job of theirs calls a method. */
Session *session_new_as(Accounts *accounts, const char *user_id);

/* Sign in; the public record of the user, a new reference, or NULL. On failure the session stays as
 * it was. BAD_LOGIN, BUSY (too soon after a failure). */
json_t *session_sign_in(Session *session, const char *name, const char *password, GError **error);
/* With a one-time password, NULL: none; see account_sign_in. */
json_t *session_sign_in_otp(Session *session, const char *name, const char *password,
                            const char *otp, GError **error);
json_t *session_sign_in_token(Session *session, const char *token, GError **error);
void session_sign_out(Session *session);

bool session_is_signed_in(Session *session);
/* The token by which it signed in has expired, or somebody has deleted it. */
bool session_has_expired(Session *session);
/* The present public record of the user, a new reference; NULL when nobody is signed in, or the
 * user is gone. */
json_t *session_user(Session *session);
/* The rights of that user, a new reference, kept as long as nothing about users and rules changes;
 * NULL when there is no user. */
AccountRights *session_rights(Session *session);
/* A copy, or NULL. */
char *session_user_id(Session *session);
const char *session_peer(const Session *session);
