/* After a merge the metadata of the points that use the result must say what the files are: XO sets
 * isVhdDifferencing to false even when the result still has a parent, and counts only what it
 * merged. */
#include "catalog/cleaning.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/metadata.h"

#include <stdlib.h>
#include <string.h>

static bool uses_touched(Cleaning *cleaning, json_t *point)
{
    const char *ref;
    json_t *stored;
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        g_autofree char *path = metadata_path(stored);
        if (path && g_hash_table_contains(cleaning->touched, path))
            return true;
    }
    return false;
}

/* *known: false when a disk of it cannot be read; then its metadata is left as it is. */
static bool measure(Cleaning *cleaning, json_t *point, json_t *differencing, guint64 *size_bytes,
                    bool *known, GError **error)
{
    const char *ref;
    json_t *stored;
    *known = true;
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        g_autoptr(GError) failure = NULL;
        g_auto(MemberPlace) place = { 0 };
        g_autofree char *path = metadata_path(stored), *whole = layout_vm(cleaning->vm, path);
        g_autoptr(Disk) disk = member_locate(cleaning->catalog, whole, &place, &failure)
                                   ? member_open(cleaning->catalog, &place, false, &failure)
                                   : NULL;
        if (!disk && err_is(failure, ERR_IO)) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        if (!disk) {
            *known = false;
            return true;
        }
        json_object_set_new(differencing, ref, json_boolean(disk->info.differencing));
        *size_bytes += member_size_bytes(disk);
    }
    return true;
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
    bool ok = remote_put(cleaning->catalog->remote, path, text, strlen(text), false, error);
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
        if (!uses_touched(cleaning, point) || MUTANT(refresh_forgets)) /* mutant: catalog_clean */
            continue;
        json_t *differencing = json_object();
        guint64 size_bytes = 0;
        bool known, ok = measure(cleaning, point, differencing, &size_bytes, &known, error);
        ok = ok && (!known || rewrite(cleaning, point, differencing, size_bytes, error));
        json_decref(differencing);
        if (!ok)
            return false;
    }
    return true;
}
