/* What the files of the configuration share: the import that is going on, and the table of entries.
 */
#pragma once

#include "api/config.h"

typedef struct ConfigEntry ConfigEntry;

typedef struct {
    const ApiParts *parts;
    const ConfigEntry *entry; /* of the record that is being taken */
    const char *id, *name;    /* of that record, for the report */
    json_t *state;            /* collection → id → record as it will be, secrets in clear */
    json_t *changes;          /* collection → id → record, or null: dropped */
    json_t *report;
    bool skipped;
} Import;

struct ConfigEntry {
    const char *name;        /* in the document */
    const char *collection;  /* in the store; NULL: not kept */
    const char *reason;      /* then: why not */
    const char *sealed;      /* the field that the store keeps sealed */
    const char *const *with; /* entries that its records refer to */
    /* The record as it will be kept, from what was sent (an object with an id); a new reference.
     * NULL with an error: wrong; NULL without: import_skip has said why. */
    json_t *(*take)(Import *import, json_t *sent, GError **error);
    /* Instead of a collection: each record gives a role, which keeps them in this list of its own
     * ("users", "groups", which is their collection, too), to what `subject` names. */
    const char *attaches, *subject;
    /* The record as XO has it; the reference is taken. May be NULL: as it is. */
    json_t *(*show)(const ApiParts *parts, json_t *record);
};

/* In the order in which they are taken; ended by an entry without a name. */
extern const ConfigEntry config_entries[];
const ConfigEntry *config_entry(const char *name);
/* Whether this server has such records. */
bool config_keeps(const ConfigEntry *entry);
/* The records of an entry with secrets in clear, an array. */
json_t *config_records(const ApiParts *parts, const ConfigEntry *entry, GError **error);

/* --- For the functions of the table --- */

/* The record is not taken, for this reason. */
void import_skip(Import *import, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* It is taken, but a person should know this. */
void import_note(Import *import, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* A record as it will be, NULL when there is none; borrowed. */
json_t *import_find(Import *import, const char *collection, const char *id);
/* All of a collection, by id; borrowed. */
json_t *import_all(Import *import, const char *collection);
void import_put(Import *import, const char *collection, const char *id, json_t *record);
void import_drop(Import *import, const char *collection, const char *id);

/* Whether the texts `keys` (ended by NULL) are there. */
bool config_need(json_t *sent, const char *const *keys, GError **error);
/* Those fields of what was sent that are there, over a copy of `base` (may be NULL). */
json_t *config_copy(json_t *base, json_t *sent, const char *const *keys);
#define NEED(...)       config_need(sent, (const char *const[]){ __VA_ARGS__, NULL }, error)
#define COPY(base, ...) config_copy(base, sent, (const char *const[]){ __VA_ARGS__, NULL })

/* Sets a flag, "true" and "false" in old records; `otherwise` when it is not there. */
void config_flag(json_t *record, const char *key, bool otherwise);

/* --- config_accounts.c --- */

json_t *config_take_user(Import *import, json_t *sent, GError **error);
json_t *config_show_user(const ApiParts *parts, json_t *record);
json_t *config_take_group(Import *import, json_t *sent, GError **error);
json_t *config_show_group(const ApiParts *parts, json_t *record);
json_t *config_take_acl(Import *import, json_t *sent, GError **error);
json_t *config_take_token(Import *import, json_t *sent, GError **error);

/* --- config_jobs.c --- */

json_t *config_take_job(Import *import, json_t *sent, GError **error);
json_t *config_take_schedule(Import *import, json_t *sent, GError **error);
json_t *config_show_schedule(const ApiParts *parts, json_t *record);

/* --- config_roles.c --- */

#define ROLES "aclRoles"
json_t *config_take_role(Import *import, json_t *sent, GError **error);
json_t *config_show_role(const ApiParts *parts, json_t *record);
json_t *config_take_privilege(Import *import, json_t *sent, GError **error);
/* A role is given to somebody, as a record of the import says, who may have had it; false with an
 * error. */
bool config_attach(Import *import, json_t *sent, bool *had, GError **error);
/* {id, roleId, userId or groupId} of each role and of whoever has it, an array. */
json_t *config_attachments(const ApiParts *parts, const ConfigEntry *entry, GError **error);

/* --- config_file.c --- */

/* The document in a file; a new reference. */
json_t *config_open(GBytes *file, const char *passphrase, GError **error);
/* The file of a document, whose text is taken. */
GBytes *config_close(char *text, bool compress, const char *passphrase, GError **error);
