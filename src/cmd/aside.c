/* The child does the work; what it says last comes through a pipe. The parent waits for that, or
 * for the pipe's end: the child's. */
#include "cmd/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_S = 1 }; /* to end in, once it said its last word or was asked to */

static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP };
enum { N_PASSED_ON = sizeof passed_on / sizeof *passed_on };

static int tell_fd = -1;              /* in the child */
static volatile pid_t child;          /* in the parent */
static volatile sig_atomic_t sig_got; /* what the parent has passed on; 0: nothing */

static void pass_on(int signum)
{
    sig_got = signum;
    kill(child, signum);
}

static void block_signals(sigset_t *before)
{
    sigset_t set;
    sigemptyset(&set);
    for (unsigned i = 0; i < N_PASSED_ON; i++)
        sigaddset(&set, passed_on[i]);
    sigprocmask(SIG_BLOCK, &set, before);
}

static void pass_signals_on(void)
{
    for (unsigned i = 0; i < N_PASSED_ON; i++) {
        struct sigaction old, new = { .sa_handler = pass_on };
        if (sigaction(passed_on[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(passed_on[i], &new, NULL);
    }
}

static int end_by_signal(int signum)
{
    sigset_t set;
    signal(signum, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, signum);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(signum);
    return 128 + signum;
}

static int ended(void)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_FAILURE;
    return WIFSIGNALED(status) ? end_by_signal(WTERMSIG(status)) : WEXITSTATUS(status);
}

/* Until the child's end, or for a while once it should have come. */
static int watch(int fd, const sigset_t *unblocked)
{
    int told = -1;
    for (;;) {
        struct pollfd poll = { .fd = fd, .events = POLLIN };
        struct timespec grace = { .tv_sec = GRACE_S };
        int n = ppoll(&poll, 1, told >= 0 || sig_got ? &grace : NULL, unblocked);
        if (n < 0 && errno == EINTR)
            continue;
        unsigned char status;
        if (n > 0 && read(fd, &status, 1) == 1) {
            told = status;
            continue;
        }
        if (told >= 0)
            return told;
        return n > 0 ? ended() : end_by_signal(sig_got ? sig_got : SIGTERM);
    }
}

static void begin_child(const int fds[2], const sigset_t *unblocked)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* when the parent is killed */
    close(fds[0]);
    tell_fd = fds[1];
    sigprocmask(SIG_SETMASK, unblocked, NULL);
}

int aside_run(int (*work)(void *user), void *user)
{
    int fds[2];
    sigset_t before;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return work(user);
    block_signals(&before);
    child = fork();
    if (child == 0) {
        begin_child(fds, &before);
        exit(work(user));
    }
    close(fds[1]);
    if (child > 0) {
        pass_signals_on();
        return watch(fds[0], &before);
    }
    close(fds[0]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return work(user);
}

void aside_leave(int status)
{
    unsigned char byte = (unsigned char) status;
    if (tell_fd < 0 || write(tell_fd, &byte, 1) != 1)
        return; /* nobody waits */
    close_range(0, (unsigned) tell_fd - 1, 0);
    close_range((unsigned) tell_fd + 1, ~0u, 0);
}
