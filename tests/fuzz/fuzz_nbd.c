/* What an NBD server says during negotiation. */
#include "nbd/handshake.h"

#include "base/error.h"

#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 60000) /* what a socket pair takes without a reader */
        return 0;
    int pair[2];
    g_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    g_assert(write(pair[1], data, size) == (ssize_t) size);
    shutdown(pair[1], SHUT_WR);
    NbdTarget target = { .address = "::1", .export_name = "x", .timeout_ms = 1000 };
    g_autoptr(GError) error = NULL;
    g_autoptr(NbdWire) wire = nbd_wire_new(&target, pair[0]);
    guint64 size_bytes = G_MAXUINT64;
    bool open = nbd_handshake(wire, &target, &size_bytes, &error);
    g_assert(open ? size_bytes <= G_MAXINT64 && !error : error && !err_is(error, ERR_TIMEOUT));
    close(pair[1]);
    return 0;
}
