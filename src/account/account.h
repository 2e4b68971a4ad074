/* Users, groups, tokens, ACLs, and the one permission check.
 *
 * Records live in the store's collections "users", "groups", "tokens", "acls", in XO's shape (user:
 * id, email = login name, permission "admin" or "none", groups, preferences, authProviders; plus
 * pw_hash, argon2id; those that XO made are understood). All functions are thread-safe and block
 * for the disk; password checks also for about 100 ms of processor, at most ACCOUNT_MAX_HASHES at a
 * time. Returned JSON is a new reference, the caller's alone. */
#pragma once

#include "store/store.h"

typedef struct Accounts Accounts;

enum { ACCOUNT_MAX_HASHES = 2, ACCOUNT_THROTTLE_MS = 2000, ACCOUNT_MAX_PASSWORD_BYTES = 1024 };
enum { ACCOUNT_TOKENS_MAX = 1000 /* of one user */ };
#define ACCOUNT_TOKEN_DEFAULT_MS ((gint64) 30 * 86400 * 1000)
#define ACCOUNT_TOKEN_MAX_MS     ((gint64) 366 * 86400 * 1000)

/* The store is not taken over and must outlive it. */
Accounts *account_new(Store *store);
void account_free(Accounts *accounts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Accounts, account_free)

/* When there is no user: the administrator "admin@admin.net" with `password`, or a generated one
 * when NULL, returned in *made (else NULL; caller frees). The hash of a password takes time and
 * memory: the administrator is made by account_end_first_admin, or when somebody signs in before.
 * Once. */
bool account_begin_first_admin(Accounts *accounts, const char *password, char **made,
                               GError **error);
void account_end_first_admin(Accounts *accounts);
/* Sets the password of the first administrator (made when there is none); NULL: generated. */
bool account_reset_admin(Accounts *accounts, const char *password, char **made, GError **error);

/* --- Signing in: the user's public record, or NULL. `peer` is the client's address. --- */

/* BAD_LOGIN; BUSY within ACCOUNT_THROTTLE_MS of a failed attempt with the same name from the same
 * address, and after many for the name or from the address (see brake.c). Takes the same time
 * whether or not the user exists. A user may have a secret for one-time passwords
 * (preferences.otp, base32): then `otp` must fit too; NULL: none was given. */
json_t *account_sign_in(Accounts *accounts, const char *name, const char *password, const char *otp,
                        const char *peer, GError **error);
/* BAD_LOGIN when unknown or expired, BUSY after too many of those from that address. Records the
 * use (at most once a minute per address). */
json_t *account_sign_in_token(Accounts *accounts, const char *token, const char *peer,
                              GError **error);

/* --- Users --- */

/* {id, email, groups, permission, preferences[, authProviders]}; NOT_FOUND "no such user <id>". */
json_t *account_user(Accounts *accounts, const char *id, GError **error);
json_t *account_users(Accounts *accounts, GError **error);
/* {email, password[, permission]} → id. EXISTS "the user <email> already exists". */
char *account_create_user(Accounts *accounts, json_t *params, GError **error);
/* Any of email, password, permission, preferences (merged; null deletes a key). */
bool account_set_user(Accounts *accounts, const char *id, json_t *changes, GError **error);
/* Its tokens, ACLs and memberships go with it. STATE for the last administrator. */
bool account_delete_user(Accounts *accounts, const char *id, GError **error);
/* Whether a hash that another server made (argon2id, argon2i, bcrypt) lets its owner sign in here;
 * false for other kinds, and for those that would cost too much to check. */
bool account_knows_hash(const char *hash);
bool account_change_password(Accounts *accounts, const char *id, const char *old_password,
                             const char *new_password, GError **error);

/* Forgets that the user signs in through another service; true also when it did not. */
bool account_remove_provider(Accounts *accounts, const char *id, const char *provider,
                             GError **error);

/* --- Tokens --- */

/* {client?: {id}, description?, expiresIn?: ms or "30 days"}: the token. A live token of the same
 * user and client is extended and returned instead. Of ACCOUNT_TOKENS_MAX, the one without client
 * and description that was not used for longest makes room; LIMIT when all have one. INVALID for
 * under a minute or over a year. */
char *account_create_token(Accounts *accounts, const char *user_id, json_t *params, GError **error);
/* {id, user_id, created_at, expiration, description?, client?, last_uses?} of one user, or of all
 * with NULL; expired ones are left out. */
json_t *account_tokens(Accounts *accounts, const char *user_id, GError **error);
/* It exists and has not expired. */
bool account_has_token(Accounts *accounts, const char *token);
/* Changes when any token does; never 0. */
guint64 account_token_stamp(Accounts *accounts);
/* Only the user's own when user_id is given (NOT_FOUND otherwise). */
bool account_delete_token(Accounts *accounts, const char *token, const char *user_id,
                          GError **error);
/* Deletes those that match an XO pattern. */
bool account_delete_tokens(Accounts *accounts, json_t *pattern, const char *user_id,
                           GError **error);
bool account_set_token(Accounts *accounts, const char *token, const char *user_id, json_t *changes,
                       GError **error);

/* --- Groups: {id, name, users} --- */

json_t *account_groups(Accounts *accounts, GError **error);
/* Whether the subject (an id) is the user (public record) or a group of the user's. */
bool account_is_subject(json_t *user, json_t *subject);
char *account_create_group(Accounts *accounts, const char *name, GError **error);
bool account_set_group(Accounts *accounts, const char *id, json_t *changes, GError **error);
bool account_delete_group(Accounts *accounts, const char *id, GError **error);

/* --- ACLs: {id, subject, object, action}; action viewer, operator, admin --- */

json_t *account_acls(Accounts *accounts, GError **error);
/* The id of a rule follows from what it says. */
char *account_acl_id(const char *subject, const char *object, const char *action);
bool account_is_action(const char *action);
bool account_add_acl(Accounts *accounts, const char *subject, const char *object,
                     const char *action, GError **error);
bool account_remove_acl(Accounts *accounts, const char *subject, const char *object,
                        const char *action, GError **error);

/* The object is gone for good: so are its rules. */
bool account_forget_object(Accounts *accounts, const char *object, GError **error);
/* Drops what is of nobody: tokens, rules and memberships of users and groups that are gone, tokens
 * that have expired. The number of records, -1 with an error. */
int account_clean(Accounts *accounts, GError **error);

/* --- The permission check --- */

/* XO's view of an object by id as JSON text, a new reference, and its type, or NULL: so that
 * inheritance can be followed. */
typedef GBytes *(*AccountObject)(const char *id, const char **type, void *user);

/* Whether the user (public record) has `permission` ("view", "operate", "administrate") on the
 * object. Administrators may everything. `find` may be NULL: no inheritance. */
bool account_may(Accounts *accounts, json_t *user, const char *object_id, const char *permission,
                 AccountObject find, void *find_user);
/* The ids of the objects whose rules were looked at for that question, an array; the last one has
 * the rule that granted it, when one did. */
json_t *account_may_path(Accounts *accounts, json_t *user, const char *object_id,
                         const char *permission, AccountObject find, void *find_user);
bool account_is_admin(json_t *user);

/* The rights of a user as of this moment: counted, unchanging. They hold as long as the stamp is
 * the same, which costs nothing to ask. */
typedef struct AccountRights AccountRights;
AccountRights *account_rights(Accounts *accounts, json_t *user);
AccountRights *rights_ref(AccountRights *rights);
void rights_unref(AccountRights *rights);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AccountRights, rights_unref)
guint64 account_stamp(Accounts *accounts);
bool rights_may(AccountRights *rights, const char *object_id, const char *permission,
                AccountObject find, void *find_user);
/* Every object is shown: of administrators, and of everybody after account_show_all. */
bool rights_see_all(const AccountRights *rights);
/* Who has the one sees what who has the other sees. */
bool rights_equal(const AccountRights *a, const AccountRights *b);
/* As XO does: whoever is signed in is shown all objects (and may do to them what the rules say). */
void account_show_all(Accounts *accounts, bool all);

/* Which of many objects the rights show, each looked at once. One thread; `find` must tell of the
 * same moment all the while. */
typedef struct Viewer Viewer;
Viewer *viewer_new(AccountRights *rights, AccountObject find, void *find_user);
void viewer_free(Viewer *viewer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Viewer, viewer_free)
bool viewer_sees(Viewer *viewer, const char *id, const char *type, GBytes *text);
