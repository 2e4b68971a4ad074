/* Which points a policy no longer wants. Count-based; pure, so that a plan can show it. */
#include "catalog/catalog.h"

#include "base/mutant.h"

#include <string.h>

char **catalog_retention(json_t *points, const char *schedule, unsigned keep)
{
    g_autoptr(GPtrArray) dropped = g_ptr_array_new();
    unsigned n_kept = MUTANT(retention_keeps_one_less) ? 1 : 0; /* mutant: catalog_retention */
    for (gsize i = json_array_size(points); i-- > 0;) {         /* newest first */
        json_t *point = json_array_get(points, i);
        const char *of = json_string_value(json_object_get(point, "scheduleId"));
        const char *name = json_string_value(json_object_get(point, "_filename"));
        if (!of || !name || strcmp(of, schedule) != 0 ||
            json_is_true(json_object_get(point, "isImmutable")))
            continue;
        if (n_kept++ >= keep)
            g_ptr_array_add(dropped, g_strdup(name));
    }
    g_ptr_array_add(dropped, NULL);
    return (char **) g_ptr_array_steal(dropped, NULL);
}
