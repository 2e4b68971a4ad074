/* A plug-in: an integration that an administrator configures, loads and tests. Each is a constant
 * `Plugin` in plugin/<name>.c, named in plugin/plugins.def; its id and the names in its
 * configuration are XO's, so that an exported configuration can be taken in. */
#pragma once

#include "base/cancel.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct {
    const char *id; /* "transport-email" */
    const char *description;
    const char *const *keywords; /* NULL-terminated, or NULL */
    /* JSON text of the forms (plugin/schema.h); NULL: it has none. */
    const char *configuration_schema, *presets, *test_schema;
    /* Takes a configuration into use that fits the schema, borrowed; must not block. Its state, or
     * NULL with an error. A new configuration is loaded before the old state is unloaded. */
    void *(*load)(json_t *configuration, GError **error);
    void (*unload)(void *state);
    /* NULL: cannot be tested. May block; `data` fits the schema of tests, NULL when there is none.
     */
    bool (*test)(void *state, json_t *data, Cancel *cancel, GError **error);
} Plugin;
