/* `cadenzad worker` and `cadenzad repository-worker`: child processes that the server starts; their
 * socket is descriptor 3. */
#pragma once

int cmd_worker(int argc, char **argv);
int cmd_repository_worker(int argc, char **argv);
