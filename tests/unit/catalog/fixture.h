/* Repositories that a real XO wrote, unpacked for one test; and a folder of its own for each test.
 */
#pragma once

#include "catalog/catalog.h"

typedef struct {
    char *folder; /* temporary; removed at the end */
    Remote *remote;
    Catalog *catalog;
} Repo;

/* Empty; options as in a URL ("useVhdDirectory=true"), may be NULL. */
Repo *repo_new(const char *options);
/* A fixture ("flat"); skips the test, saying why, where the fixtures are not there. */
Repo *repo_fixture(const char *name);
/* Opens it again, as another process would. */
void repo_reopen(Repo *repo);
void repo_free(Repo *repo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Repo, repo_free)

/* The JSON document of the fixtures with this name ("repos/expected.json"); new reference. */
json_t *fixture_json(const char *name);
/* SHA-256 of the whole content, in hex. */
char *disk_sha256(Disk *disk);
