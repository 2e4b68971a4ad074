/* A new file is written beside its place under a temporary name, made durable, and renamed: nobody
 * ever sees half an image under the name of a whole one. */
#include "cmd/output.h"

#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOLE_BYTES = 64 << 10 }; /* zeros are looked for in pieces of this size */

struct Output {
    int fd;
    char *name;      /* for messages */
    char *path;      /* of a file: its place to be; NULL: written as it comes */
    char *temporary; /* what it is called until then */
    bool force;
    bool is_durable; /* fsync means something */
    guint64 position;
};

static const guint8 zeros[HOLE_BYTES];

/* --- signals --- */

static char *volatile unfinished; /* a file that must not stay */

void output_drop_unfinished(void)
{
    if (unfinished)
        unlink(unfinished);
}

static void stop(int signum)
{
    output_drop_unfinished();
    signal(signum, SIG_DFL);
    raise(signum);
}

static void hold_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(how, &set, NULL);
}

static void watch_signals(void)
{
    struct sigaction action = { .sa_handler = stop };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* --- opening --- */

static bool failed(Output *output, const char *doing, GError **error)
{
    err_set_errno(error, errno, "%s %s", doing, output->name);
    return false;
}

static bool open_temporary(Output *output, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(output->path);
    g_autofree char *base = g_path_get_basename(output->path);
    output->temporary = g_strdup_printf("%s/.%.200s.XXXXXX.tmp", folder, base);
    watch_signals();
    hold_signals(SIG_BLOCK);
    output->fd = mkostemps(output->temporary, 4, O_CLOEXEC);
    unfinished = output->fd < 0 ? NULL : output->temporary;
    hold_signals(SIG_UNBLOCK);
    if (output->fd < 0) {
        g_clear_pointer(&output->temporary, g_free);
        return failed(output, "creating", error);
    }
    mode_t mask = umask(0);
    umask(mask);
    fchmod(output->fd, 0666 & ~mask);
    return true;
}

static bool refuse(Output *output, GError **error)
{
    err_set(error, ERR_EXISTS, "%s is there already (--force writes over it)", output->name);
    return false;
}

/* What stands at the path says how it is written. */
static bool open_path(Output *output, const char *path, GError **error)
{
    struct stat st = { 0 };
    bool is_there = stat(path, &st) == 0;
    if (!is_there && errno != ENOENT)
        return failed(output, "opening", error);
    if (!is_there) {
        output->path = g_strdup(path);
    } else if (S_ISDIR(st.st_mode)) {
        err_set(error, ERR_INVALID, "%s is a folder", path);
        return false;
    } else if ((S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) && !output->force)
        return refuse(output, error);
    else if (S_ISREG(st.st_mode)) {
        char *real = realpath(path, NULL); /* a link stays, its target is replaced */
        output->path = g_strdup(real ? real : path);
        free(real);
    }
    output->is_durable = output->path || S_ISBLK(st.st_mode);
    if (output->path)
        return open_temporary(output, error);
    output->fd = open(path, O_WRONLY | O_CLOEXEC);
    return output->fd >= 0 || failed(output, "opening", error);
}

Output *output_open(const char *path, bool force, GError **error)
{
    g_autoptr(Output) output = g_new0(Output, 1);
    bool is_stdout = strcmp(path, "-") == 0;
    output->fd = -1;
    output->force = force;
    output->name = g_strdup(is_stdout ? "standard output" : path);
    if (!is_stdout)
        return open_path(output, path, error) ? g_steal_pointer(&output) : NULL;
    if (isatty(STDOUT_FILENO)) {
        err_set(error, ERR_INVALID,
                "standard output is a terminal: name a file, or send it into a pipe");
        return NULL;
    }
    output->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return output->fd >= 0 || failed(output, "opening", error) ? g_steal_pointer(&output) : NULL;
}

/* --- writing --- */

static bool put(Output *output, const guint8 *data, gsize n, GError **error)
{
    for (gsize done = 0; done < n;) {
        gssize put = write(output->fd, data + done, n - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return failed(output, "writing", error);
        done += (gsize) put;
    }
    output->position += n;
    return true;
}

static bool skip(Output *output, guint64 n, GError **error)
{
    if (lseek(output->fd, (off_t) n, SEEK_CUR) < 0)
        return failed(output, "writing", error);
    output->position += n;
    return true;
}

bool output_zeros(Output *output, guint64 n, GError **error)
{
    if (output->path)
        return skip(output, n, error);
    while (n > 0) {
        gsize part = MIN(n, sizeof zeros);
        if (!put(output, zeros, part, error))
            return false;
        n -= part;
    }
    return true;
}

bool output_write(Output *output, const void *data, gsize n, GError **error)
{
    const guint8 *at = data;
    while (output->path && n > 0) {
        gsize part = MIN(n, HOLE_BYTES - output->position % HOLE_BYTES);
        bool hole = MUTANT(output_skips_data) /* mutant: system:test_extract.Extract.test_images */
                        ? at[0] == 0
                        : memcmp(at, zeros, part) == 0;
        if (!(hole ? skip(output, part, error) : put(output, at, part, error)))
            return false;
        at += part;
        n -= part;
    }
    return n == 0 || put(output, at, n, error);
}

/* --- the end --- */

static bool sync_folder(Output *output, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(output->path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        failed(output, "syncing the folder of", error);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Not over a file that has come into being meanwhile. */
static bool take_name(Output *output, GError **error)
{
    unsigned flags = output->force ? 0 : RENAME_NOREPLACE;
    hold_signals(SIG_BLOCK); /* until output_free */
    int result = renameat2(AT_FDCWD, output->temporary, AT_FDCWD, output->path, flags);
    if (result && errno == EINVAL) { /* this file system cannot tell */
        if (!output->force && access(output->path, F_OK) == 0)
            return refuse(output, error);
        result = rename(output->temporary, output->path);
    }
    if (result && errno == EEXIST)
        return refuse(output, error);
    if (result)
        return failed(output, "naming", error);
    g_clear_pointer(&output->temporary, g_free);
    return sync_folder(output, error);
}

bool output_finish(Output *output, GError **error)
{
    if (output->path && ftruncate(output->fd, (off_t) output->position) != 0)
        return failed(output, "resizing", error);
    if (output->is_durable && fsync(output->fd) != 0)
        return failed(output, "syncing", error);
    return !output->path || take_name(output, error);
}

void output_free(Output *output)
{
    if (!output)
        return;
    if (output->fd >= 0)
        close(output->fd);
    hold_signals(SIG_BLOCK);
    if (output->temporary)
        unlink(output->temporary);
    unfinished = NULL;
    hold_signals(SIG_UNBLOCK);
    g_free(output->temporary);
    g_free(output->path);
    g_free(output->name);
    g_free(output);
}
