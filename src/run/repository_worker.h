/* The repository worker's side. */
#pragma once

/* Serves calls on the socket until it closes; the exit status. */
int repository_worker_main(int fd);
