/* Resource sets: what some people may use of pools without any right on them (XO's self service).
 *
 * Collection "resourceSets", in XO's shape: {id, name, subjects, objects, ipPools, limits: {cpus,
 * memory, disk, vms, disks, "ipPool:<id>": {total}}, shareByDefault, tags}. What is used of a limit
 * is not stored: it follows from the VMs of the set. Thread-safe; blocks for the disk. */
#pragma once

#include "account/account.h"

#define RESOURCE_SETS "resourceSets"

/* Whole records, an array. */
json_t *resource_set_list(Accounts *accounts, GError **error);
/* NOT_FOUND "no such resourceSet <id>". */
json_t *resource_set_get(Accounts *accounts, const char *id, GError **error);
/* {name, subjects?, objects?, limits?, tags?, shareByDefault?} → the record. INVALID names the
 * field. */
json_t *resource_set_create(Accounts *accounts, json_t *params, GError **error);
/* Fields given replace the old ones. */
bool resource_set_edit(Accounts *accounts, const char *id, json_t *changes, GError **error);
/* Adds a text to, or takes it from, the list `field` ("subjects", "objects"); no error when it is
 * so already. */
bool resource_set_put_in(Accounts *accounts, const char *id, const char *field, const char *text,
                         bool is_in, GError **error);
/* total < 0 takes the limit away. */
bool resource_set_limit(Accounts *accounts, const char *id, const char *limit, gint64 total,
                        GError **error);
bool resource_set_drop(Accounts *accounts, const char *id, GError **error);

/* A whole record from elsewhere, with its fields in their present form; new reference. INVALID
 * names the field. */
json_t *resource_set_settle(json_t *record, GError **error);
/* Whether the user, or a group of the user's (public record), is a subject. */
bool resource_set_has_subject(json_t *set, json_t *user);
