/* The metadata of a point must say what its files are. XO sets isVhdDifferencing to false after a
 * merge even when the result still has a parent, counts only what it merged, and says nothing when
 * it dies between the merge and the metadata. */
#include "catalog/cleaning.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/metadata.h"

#include <stdlib.h>
#include <string.h>

/* False when a disk of the point is not known: then nothing is said of the others either. */
static bool measure(Cleaning *cleaning, json_t *point, json_t *differencing, guint64 *size_bytes)
{
    const char *ref;
    json_t *stored;
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        g_autofree char *path = metadata_path(stored);
        const DiskHead *head = path ? g_hash_table_lookup(cleaning->heads, path) : NULL;
        if (!head)
            return false;
        json_object_set_new(differencing, ref, json_boolean(head->differencing));
        *size_bytes += head->size_bytes;
    }
    return json_object_size(differencing) > 0;
}

static bool rewrite(Cleaning *cleaning, json_t *point, json_t *differencing, guint64 size_bytes,
                    GError **error)
{
    const char *path = json_string_value(json_object_get(point, "_filename")) + 1;
    json_t *old = json_object_get(point, "isVhdDifferencing");
    if (json_equal(old, differencing) &&
        json_integer_value(json_object_get(point, "size")) == (json_int_t) size_bytes)
        return true;
    json_object_set(point, "isVhdDifferencing", differencing);
    json_object_set_new(point, "size", json_integer((json_int_t) size_bytes));
    json_t *stored = json_copy(point);
    json_object_del(stored, "_filename");
    char *text = json_dumps(stored, JSON_COMPACT);
    bool ok =
        remote_put(cleaning->catalog->remote, path, text, strlen(text), REMOTE_PUT_OVER, error);
    CRASH_POINT(refresh_written);
    cleaning->changed = true;
    free(text);
    json_decref(stored);
    return ok;
}

bool metadata_refresh(Cleaning *cleaning, GError **error)
{
    gsize i;
    json_t *point;
    json_array_foreach (cleaning->points->points, i, point) {
        json_t *differencing = json_object();
        guint64 size_bytes = 0;
        bool ok = !measure(cleaning, point, differencing, &size_bytes) ||
                  MUTANT(refresh_forgets) || /* mutant: catalog_foreign */
                  rewrite(cleaning, point, differencing, size_bytes, error);
        json_decref(differencing);
        if (!ok)
            return false;
    }
    return true;
}
