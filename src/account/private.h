/* What the files of this room share. */
#pragma once

#include "account/account.h"

#include <pthread.h>

typedef struct Passwords Passwords;

struct Accounts {
    Store *store;
    pthread_mutex_t lock; /* of everything that reads, changes and writes records */
    Passwords *passwords;
};

/* --- password.c: hashing with few at a time, and the brake on guessing --- */

Passwords *passwords_new(void);
void passwords_free(Passwords *passwords);
char *password_hash(Passwords *passwords, const char *password, GError **error);
/* hash NULL: false after the same time. */
bool password_fits(Passwords *passwords, const char *hash, const char *password);
/* BUSY when an attempt with this name failed a moment ago. */
bool password_may_try(Passwords *passwords, const char *name, GError **error);
void password_failed(Passwords *passwords, const char *name);
bool password_check(const char *password, GError **error);

/* --- Small readers --- */

const char *field(json_t *record, const char *name); /* "" when absent */
gint64 account_now(void);
/* A user's whole record; NOT_FOUND "no such user <id>". */
json_t *account_record(Accounts *accounts, const char *id, GError **error);
/* n random bytes as base64url without padding. */
char *account_random(gsize n_bytes);
/* Takes the subject out of tokens, ACLs, groups. Lock held. */
bool account_forget_subject(Accounts *accounts, const char *id, GError **error);
/* Ids of the groups that have the user, an array. */
json_t *account_groups_of(json_t *groups, const char *user_id);
