/* Roles of REST ("ACL v2" of XO): named sets of privileges that users and groups have. They only
 * ever add to what the rules of ACLs give, and only to requests of REST.
 *
 * A role is {id, name, description?, isTemplate: false, users, groups} in the store's collection
 * "aclRoles"; a privilege {id, roleId, resource, action, effect, selector?} in "aclPrivileges".
 * `resource` is a kind of object ("vm"); `action` what may be done ("read", "shutdown:clean"), "*",
 * or the beginning of several ("shutdown"); `effect` "allow" or "deny", which wins; `selector` a
 * filter (base/filter.h) that the object must match. Thread-safe; JSON results are new references.
 */
#pragma once

#include "account/account.h"

enum { ROLES_MAX = 1000, PRIVILEGES_MAX = 10000 };

/* --- Records --- */

json_t *roles_list(Accounts *accounts, GError **error);
/* NOT_FOUND "no such role <id>". */
json_t *roles_get(Accounts *accounts, const char *id, GError **error);
/* The new id, caller frees. */
char *roles_add(Accounts *accounts, const char *name, const char *description, GError **error);
/* `changes` {name?, description?}; NULL ends the description. */
bool roles_set(Accounts *accounts, const char *id, json_t *changes, GError **error);
/* Its privileges go with it. */
bool roles_drop(Accounts *accounts, const char *id, GError **error);
/* Gives or takes; `subjects` is "users" or "groups". Twice is not an error. */
bool roles_attach(Accounts *accounts, const char *id, const char *subjects, const char *subject,
                  bool given, GError **error);
/* Whether the user (public record) has it, or a group of the user's. */
bool role_is_had(json_t *role, json_t *user);
/* The ids of those that a group has, an array. */
json_t *roles_of_group(json_t *roles, const char *group);
/* Nobody has it any more who is gone. */
bool roles_forget_subject(Accounts *accounts, const char *subject, GError **error);

json_t *privileges_list(Accounts *accounts, GError **error);
/* {roleId, resource, action, effect?, selector?}; INVALID, NOT_FOUND. The new id, caller frees. */
char *privileges_add(Accounts *accounts, json_t *params, GError **error);
bool privileges_set(Accounts *accounts, const char *id, json_t *changes, GError **error);
bool privileges_drop(Accounts *accounts, const char *id, GError **error);

/* --- What somebody may --- */

/* The privileges of a user (public record) as of this moment; NULL: none. One thread. */
typedef struct Grants Grants;
Grants *grants_new(Accounts *accounts, json_t *user);
void grants_free(Grants *grants);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Grants, grants_free)
/* `object` is XO's view as text; NULL grants allow nothing. */
bool grants_allow(const Grants *grants, const char *resource, const char *action, GBytes *object);
