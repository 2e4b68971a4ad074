/* posix_spawn and waitpid, with deadlines. */
#include "run/process.h"

#include "base/error.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { POLL_MS = 20 };

static void set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(attributes);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETPGROUP);
}

/* child_fd becomes descriptor 3; -1: none. */
static int spawn(const char *program, char *const *argv, char *const *environment, int child_fd,
                 pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    if (child_fd >= 0)
        posix_spawn_file_actions_adddup2(&actions, child_fd, PROTOCOL_FD);
    posix_spawn_file_actions_addclosefrom_np(&actions,
                                             child_fd >= 0 ? PROTOCOL_FD + 1 : PROTOCOL_FD);
    set_attributes(&attributes);
    int result = posix_spawnp(pid, program, &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

bool process_start(const char *program, const char *verb, pid_t *pid, Channel **channel,
                   GError **error)
{
    int fds[2];
    program = program ? program : "/proc/self/exe";
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        err_set_errno(error, errno, "starting a %s", verb);
        return false;
    }
    char *const argv[] = { (char *) "cadenzad", (char *) verb, NULL };
    int result = spawn(program, argv, environ, fds[1], pid);
    close(fds[1]);
    if (result != 0) {
        close(fds[0]);
        err_set_errno(error, result, "starting a %s (%s)", verb, program);
        return false;
    }
    *channel = channel_new(fds[0]);
    return true;
}

bool process_wait(pid_t pid, unsigned timeout_ms, int *status)
{
    gint64 deadline_us = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
    for (;;) {
        pid_t done = waitpid(pid, status, WNOHANG);
        if (done == pid || (done < 0 && errno != EINTR))
            return true;
        if (g_get_monotonic_time() >= deadline_us)
            return false;
        g_usleep(POLL_MS * 1000);
    }
}

char *process_describe(int status)
{
    if (WIFSIGNALED(status))
        return g_strdup_printf("was killed by signal %d (%s)", WTERMSIG(status),
                               strsignal(WTERMSIG(status)));
    return g_strdup_printf("ended with status %d", WEXITSTATUS(status));
}

static char **extend_environment(const char *const *extra)
{
    GPtrArray *all = g_ptr_array_new();
    for (char **each = environ; *each; each++)
        g_ptr_array_add(all, g_strdup(*each));
    for (; *extra; extra++)
        g_ptr_array_add(all, g_strdup(*extra));
    g_ptr_array_add(all, NULL);
    return (char **) g_ptr_array_free(all, FALSE);
}

bool process_command(const char *const *argv, const char *const *environment, unsigned timeout_ms,
                     GError **error)
{
    g_auto(GStrv) all = extend_environment(environment);
    pid_t pid;
    int status = 0, result = spawn(argv[0], (char *const *) argv, all, -1, &pid);
    if (result != 0) {
        err_set_errno(error, result, "command %s", argv[0]);
        return false;
    }
    if (!process_wait(pid, timeout_ms, &status)) {
        kill(-pid, SIGKILL);
        process_wait(pid, 1000, &status);
        err_set(error, ERR_TIMEOUT, "command %s did not end within %u s and was killed", argv[0],
                timeout_ms / 1000);
        return false;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    g_autofree char *how = process_describe(status);
    err_set(error, ERR_STATE, "command %s %s", argv[0], how);
    return false;
}
