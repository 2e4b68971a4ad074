/* The run worker's side. */
#pragma once

/* Does the one run that the server sends on the socket; the exit status. */
int worker_main(int fd);
