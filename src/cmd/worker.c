/* The children that the server starts. */
#include "cmd/worker.h"

#include "run/protocol.h"
#include "run/repository_worker.h"
#include "run/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

/* Started by hand there is no socket to talk on. */
static bool has_socket(const char *verb)
{
    if (fcntl(PROTOCOL_FD, F_SETFD, FD_CLOEXEC) == 0)
        return true;
    fprintf(stderr, "cadenzad %s: started by the server only\n", verb);
    return false;
}

int cmd_worker(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    return has_socket("worker") ? worker_main(PROTOCOL_FD) : 2;
}

int cmd_repository_worker(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    return has_socket("repository-worker") ? repository_worker_main(PROTOCOL_FD) : 2;
}
