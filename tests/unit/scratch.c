/* Made and removed without a shell; links are removed, never followed. */
#include "scratch.h"

#include <glib.h>
#include <glib/gstdio.h>

char *scratch_new(void)
{
    g_autoptr(GError) error = NULL;
    char *folder = g_dir_make_tmp("cadenza-XXXXXX", &error);
    if (!folder)
        g_error("%s", error->message);
    return folder;
}

static void drop(const char *path)
{
    g_autoptr(GDir) dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL
                                                                    : g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        drop(child);
    }
    g_remove(path);
}

void scratch_drop(char *folder)
{
    drop(folder);
    g_free(folder);
}
