/* The records of backup repositories ("remotes"), with their secrets sealed. Thread-safe; returned
 * JSON is a new reference. Source of the records and rules: XO's remote.*. */
#pragma once

#include "store/store.h"

typedef struct Remotes Remotes;

enum { REMOTES_BENCHMARKS = 50 };

/* The store must outlive it. */
Remotes *remotes_new(Store *store);
void remotes_free(Remotes *remotes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Remotes, remotes_free)

/* With secrets in clear, for workers only; API_NO_SUCH_OBJECT. */
json_t *remotes_get(Remotes *remotes, const char *id, GError **error);
/* With secrets obfuscated, for people. */
json_t *remotes_show(Remotes *remotes, const char *id, GError **error);
json_t *remotes_list(Remotes *remotes, GError **error);
/* {name, url, options?, proxy?} → the record as shown. Checks the URL, touches nothing. */
json_t *remotes_create(Remotes *remotes, json_t *params, GError **error);
/* Fields given replace the old ones, null removes; obfuscated secrets in the URL mean the old ones.
 */
bool remotes_set(Remotes *remotes, const char *id, json_t *changes, GError **error);
/* Whether a repository of this URL can be added; says why not, without its secrets. */
bool remotes_check_url(const char *url, GError **error);
bool remotes_delete(Remotes *remotes, const char *id, GError **error);
/* Keeps the newest REMOTES_BENCHMARKS. */
bool remotes_add_benchmark(Remotes *remotes, const char *id, double read_rate, double write_rate,
                           GError **error);
/* What was wrong with it last; NULL: nothing any more. */
void remotes_set_error(Remotes *remotes, const char *id, const char *text);
