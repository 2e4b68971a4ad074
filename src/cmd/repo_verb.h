/* A verb of `cadenza repo`: its row in the table (repo.c), and what verbs share. For the files
 * repo*.c only. */
#pragma once

#include "catalog/catalog.h"
#include "remote/remote.h"

#include <jansson.h>

enum {
    REPO_SOUND = 0,
    REPO_PROBLEMS = 1,
    REPO_USAGE = 2,
    REPO_UNREADABLE = 3, /* the storage could not be read, or did not answer: nobody knows */
    REPO_UNTIDY = 4,     /* nothing is lost; repair makes it right */
    REPO_MAX_OPTIONS = 8
};

typedef struct repo Repo;

struct repo_option {
    const char *name;  /* "--force" */
    const char *value; /* what stands after it in the help, or NULL when it is a switch */
};

struct repo_verb {
    const char *name, *words, *summary;
    unsigned min_words, max_words;                /* of words: DIR POINT DISK … */
    struct repo_option options[REPO_MAX_OPTIONS]; /* besides --json; ends with a NULL name */
    bool writes;                                  /* into the repository */
    int (*run)(Repo *repo);                       /* the exit status */
};

extern const struct repo_verb repo_list, repo_digest, repo_verify, repo_repair, repo_extract;

struct repo {
    const struct repo_verb *verb;
    bool json;
    unsigned patience_ms; /* with a call to the storage */
    const char *words[4]; /* DIR POINT DISK … */
    unsigned n_words;
    const char *values[REPO_MAX_OPTIONS]; /* of the verb's options, in its order; NULL: not given */
    Remote *remote;
    Catalog *catalog;
    unsigned n_problems;
};

/* The value of an option of the verb ("" for a switch), or NULL when it was not given. */
const char *repo_option(const Repo *repo, const char *name);

/* To standard output. Names in a repository are anybody's: control characters become '?'. */
void repo_say(const char *format, ...) G_GNUC_PRINTF(1, 2);
void repo_print_json(json_t *document); /* takes it over */
/* Says the error and its remedy, frees it, and returns REPO_PROBLEMS. */
int repo_fail(GError *error);
/* The same, of what could not be looked at: REPO_UNREADABLE. */
int repo_fail_unread(GError *error);
/* The same, of the whole repository. */
int repo_fail_to_open(GError *error);
/* A text of an object, "" when it is not there. */
const char *repo_text(json_t *object, const char *key);

/* Whether the folder of this VM is there; NULL: of all, true. */
bool repo_has_vm(Repo *repo, const char *vm, GError **error);
/* POINT in any of its forms. */
json_t *repo_point(Repo *repo, const char *word, GError **error);
/* The VM of a point; also in *holder, which the caller frees. */
const char *repo_vm_of(json_t *point, char **holder);

/* A row of a disk (from catalog_point_disks): {path, error | sha256 | blocks, verified, …}. */
typedef json_t *RepoRow(Repo *repo, json_t *point, const char *path, json_t *disk);
/* Prints and appends a row for each disk of the point, or for the one that was asked for. Fails
 * when the disks are not known. */
bool repo_each_disk(Repo *repo, json_t *point, RepoRow *make, json_t *rows, GError **error);
/* Prints the row unless it is for JSON, and appends it; it is taken over. */
void repo_add_row(Repo *repo, json_t *row, json_t *rows);

/* Whether it is an archive (XVA); then a row for the digest of each disk in it. */
bool repo_is_full(json_t *point);
void repo_each_archived(Repo *repo, json_t *point, json_t *rows);
/* Takes the rows over; the exit status. */
int repo_end_rows(Repo *repo, json_t *rows);
