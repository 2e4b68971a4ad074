/* What the files of this room share. */
#pragma once

#include "account/account.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct Passwords Passwords;
typedef struct Brake Brake;

struct Accounts {
    Store *store;
    pthread_mutex_t lock; /* of everything that reads, changes and writes records */
    Passwords *passwords;
    Brake *brake;
    GHashTable *otp_steps;      /* user id → the last step whose code was used; under lock */
    pthread_mutex_t rules_lock; /* guards the next two */
    GHashTable *rules;          /* subject → (object → levels) */
    guint64 rules_version;      /* of the store, when the rules were read */
    atomic_bool show_all;
    pthread_mutex_t first_lock; /* guards the next */
    char *first_password;       /* of the first administrator, who is still to be made, or NULL */
};

/* --- rights.c --- */

/* What a rule gives on an object. */
enum {
    LEVEL_VIEW = 1 << 0,
    LEVEL_OPERATE = 1 << 1,
    LEVEL_ADMINISTRATE = 1 << 2,
    LEVEL_LISTED = 1 << 3, /* shown, and nothing more; not inherited */
};

struct AccountRights {
    atomic_uint n_refs;
    bool all, sees_all;
    GPtrArray *grants; /* object → levels, one table for each subject that has rules */
};

/* 0 for what is no permission. */
unsigned level_of(const char *permission);
unsigned rights_levels(const AccountRights *rights, const char *object_id);

/* --- password.c: hashing with few at a time --- */

Passwords *passwords_new(void);
void passwords_free(Passwords *passwords);
char *password_hash(Passwords *passwords, const char *password, GError **error);
/* hash NULL: false after the same time. */
bool password_fits(Passwords *passwords, const char *hash, const char *password);
bool password_check(const char *password, GError **error);

/* --- brake.c: the brake on guessing; times are monotonic --- */

typedef enum { BRAKE_PAIR, BRAKE_ADDRESS, BRAKE_NAME, N_BRAKES } BrakeKind;

Brake *brake_new(void);
void brake_free(Brake *brake);
/* BUSY. `name` NULL: a token; `peer` is an address, NULL: unknown. */
bool brake_may_try(Brake *brake, const char *name, const char *peer, gint64 now_ms, GError **error);
void brake_failed(Brake *brake, const char *name, const char *peer, gint64 now_ms);
void brake_succeeded(Brake *brake, const char *name, const char *peer);

/* --- otp.c --- */

/* The six digits of a moment, NULL when that is no secret. */
char *otp_code(const char *secret, gint64 at_ms);
/* The step of time that the code is of, near now; 0: a wrong code. */
gint64 otp_step(const char *secret, const char *code, gint64 now_ms);

/* --- Small readers --- */

const char *field(json_t *record, const char *name); /* "" when absent */
gint64 account_now(void);
/* A user's whole record; NOT_FOUND "no such user <id>". */
json_t *account_record(Accounts *accounts, const char *id, GError **error);
/* The record with this login name, NULL without error when there is none. */
json_t *account_by_name(Accounts *accounts, const char *name, GError **error);
/* n random bytes as base64url without padding. */
char *account_random(gsize n_bytes);
/* Takes the subject out of tokens, ACLs, groups. Lock held. */
bool account_forget_subject(Accounts *accounts, const char *id, GError **error);
/* Ids of the groups that have the user, an array. */
json_t *account_groups_of(json_t *groups, const char *user_id);
