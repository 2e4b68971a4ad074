/* A peer that leaves must be an error of the write, not the end of the process. */
#pragma once

/* Ignores SIGPIPE, unless somebody has set a handler. For libraries that write without
 * MSG_NOSIGNAL, as OpenSSL does. */
void sigpipe_ignore(void);
