/* mkdir and fsync, upwards until something was there before. */
#include "base/durable.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool durable_sync_folder(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL); /* EINVAL: no need there */
    if (!ok)
        err_set_errno(error, errno, "making the folder %s durable", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

bool durable_make_folder(const char *path, unsigned mode, GError **error)
{
    struct stat st;
    g_autofree char *parent = g_path_get_dirname(path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    if (strcmp(parent, path) != 0 && !durable_make_folder(parent, mode, error))
        return false;
    if (mkdir(path, mode) != 0 && errno != EEXIST) {
        err_set_errno(error, errno, "making the folder %s", path);
        return false;
    }
    return durable_sync_folder(parent, error);
}
