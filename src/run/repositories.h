/* Everything that touches a remote outside a run, done in a process per remote that is kept for 60
 * s: a dead mount costs a process, not the server. A call past its deadline is answered TIMEOUT
 * "the remote does not respond since …" and its worker is abandoned (killed, reaped when it can).
 */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Repositories Repositories;

enum {
    REPOSITORIES_IDLE_MS = 60000,
    REPOSITORIES_LIST_MS = 60000,
    REPOSITORIES_TEST_MS = 120000,
    REPOSITORIES_DELETE_MS = 600000,
};

/* program NULL: /proc/self/exe. */
Repositories *repositories_new(const char *program);
/* The server is ending: calls that go on and later ones give INTERRUPTED at once. What they were
 * about is ended like by any crash: the next clean-up of the repository finishes it. */
void repositories_leave(Repositories *repositories);
void repositories_free(Repositories *repositories);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Repositories, repositories_free)

/* All take the remote's record {"id", "name", "url"} and block; thread-safe. */

/* {vm uuid: [backup as backupNg.listVmBackups shows it]}, with "problems" told in *problems (array
 * of strings; may be NULL). */
json_t *repositories_list(Repositories *repositories, json_t *remote, json_t **problems,
                          GError **error);
/* {xo, pool} as catalog/metadata_backups.h lists them; *problems as above. */
json_t *repositories_metadata(Repositories *repositories, json_t *remote, json_t **problems,
                              GError **error);
/* remote.test: {success: true, readRate, writeRate} or {success: false, step, file?, error}. */
json_t *repositories_test(Repositories *repositories, json_t *remote, GError **error);
/* {size, used, available} in bytes. */
json_t *repositories_space(Repositories *repositories, json_t *remote, GError **error);
/* Deletes points by path, under the VM's lock, and cleans. */
bool repositories_delete(Repositories *repositories, json_t *remote, const char *const *paths,
                         GError **error);
