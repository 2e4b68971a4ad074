/* Names only: nothing here touches the remote. */
#include "catalog/layout.h"

#include "base/error.h"

#include <string.h>

#define NAME_MAX_BYTES 200u
#define DATE_FORMAT    "%Y%m%dT%H%M%SZ"
#define DATE_BYTES     16u

bool layout_check_name(const char *what, const char *name, GError **error)
{
    bool sound = name && *name && *name != '.' && strlen(name) <= NAME_MAX_BYTES &&
                 !strpbrk(name, "/\\\r\n") && !g_str_has_suffix(name, ".lock") &&
                 g_utf8_validate(name, -1, NULL);
    if (!sound)
        err_set(error, ERR_INVALID, "\"%.64s\" is not a valid %s", name ? name : "", what);
    return sound;
}

static char *join(const char *first, const char *vm, const char *rest)
{
    return g_strjoin("/", first, vm, rest, NULL);
}

char *layout_vm(const char *vm, const char *rest)
{
    return join(LAYOUT_VMS, vm, rest);
}

char *layout_ours(const char *kind, const char *vm, const char *rest)
{
    g_autofree char *first = g_strconcat(LAYOUT_OURS "/", kind, NULL);
    return join(first, vm, rest);
}

char *layout_resolve(const char *folder, const char *relative)
{
    g_autofree char *whole = *relative == '/' ? g_strdup(relative)
                                              : g_strjoin("/", folder, relative, NULL);
    g_auto(GStrv) parts = g_strsplit(whole, "/", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    for (unsigned i = 0; parts[i]; i++) {
        if (!*parts[i] || strcmp(parts[i], ".") == 0)
            continue;
        if (strcmp(parts[i], "..") != 0)
            g_ptr_array_add(kept, parts[i]);
        else if (kept->len)
            g_ptr_array_set_size(kept, (int) kept->len - 1);
        else
            return NULL;
    }
    g_ptr_array_add(kept, NULL);
    return g_strjoinv("/", (char **) kept->pdata);
}

char *layout_date_of(const char *name)
{
    static const char shape[] = "ddddddddTddddddZ";
    for (unsigned i = 0; i < DATE_BYTES; i++)
        if (shape[i] == 'd' ? !g_ascii_isdigit(name[i]) : name[i] != shape[i])
            return NULL;
    return g_strndup(name, DATE_BYTES);
}

bool layout_is_alias(const char *name)
{
    return g_str_has_suffix(name, LAYOUT_ALIAS);
}

bool layout_is_metadata(const char *name)
{
    return *name != '.' && g_str_has_suffix(name, ".json");
}

bool layout_is_temporary(const char *name)
{
    gsize n_digits = *name == '.' ? strspn(name + 1, "0123456789") : 0;
    return n_digits >= 10 && name[1 + n_digits] == '.' && name[2 + n_digits];
}

char *catalog_date(gint64 time_ms)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(time_ms / 1000);
    return time ? g_date_time_format(time, DATE_FORMAT) : NULL;
}
