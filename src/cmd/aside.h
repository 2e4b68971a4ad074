/* Work in a child that can be left behind. A thread that a dead file system holds inside the kernel
 * keeps its whole process from ending, whatever signal it gets; whoever started the program need
 * not wait for that. */
#pragma once

/* Runs the work in a child and gives its status, as its exit status or by aside_leave. Ends as the
 * child does when a signal ends that; SIGINT, SIGTERM and SIGHUP are passed on to it. To be called
 * while there is one thread. Where no child can be had, the work is done here. */
int aside_run(int (*work)(void *user), void *user);
/* In the work, in any thread: this is the status. Closes every file, that nobody waits for the end
 * of a pipe; the program ends a second later at the latest. The caller ends its own process next.
 */
void aside_leave(int status);
