/* Child processes: workers of our own binary with a socket, and plain commands. Always spawned,
 * never forked; no descriptor but the standard ones and the socket is passed on. */
#pragma once

#include "run/protocol.h"

#include <sys/types.h>

/* Starts `program verb`, in a process group of its own; *channel is its socket. */
bool process_start(const char *program, const char *verb, pid_t *pid, Channel **channel,
                   GError **error);
/* Waits up to timeout_ms for the end (0: only looks), else false. *status as of waitpid. */
bool process_wait(pid_t pid, unsigned timeout_ms, int *status);
/* "ended with status 3", "was killed by signal 9 (Killed)". */
char *process_describe(int status);
/* Runs a command (an argument list, no shell) with extra environment "NAME=value"; its output goes
 * where the server's goes. False, with the process killed, when it has not ended in time. */
bool process_command(const char *const *argv, const char *const *environment, unsigned timeout_ms,
                     GError **error);
