/* What an NBD server says: its negotiation, then its replies to reads. */
#include "nbd/handshake.h"

#include "base/error.h"

#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 4096, N_READS = 4 };

static void read_some(NbdDisk *disk)
{
    guint8 buffer[READ_BYTES];
    bool broken = false;
    for (guint64 at = 0; at < N_READS * READ_BYTES; at += READ_BYTES) {
        g_autoptr(GError) error = NULL;
        bool ok = nbd_read(disk, at, buffer, sizeof buffer, &error);
        g_assert_true(ok == !error && !err_is(error, ERR_TIMEOUT));
        g_assert_true(!ok || !broken); /* nothing is read from a connection that has failed */
        broken = broken || !ok;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 60000) /* what a socket pair takes without a reader */
        return 0;
    int pair[2];
    g_assert_true(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    g_assert_true(write(pair[1], data, size) == (ssize_t) size);
    shutdown(pair[1], SHUT_WR);
    NbdTarget target = { .address = "::1", .export_name = "x", .timeout_ms = 1000 };
    g_autoptr(GError) error = NULL;
    NbdDisk *disk = nbd_open_on(nbd_wire_new(&target, pair[0]), &target, &error);
    g_assert_true(disk ? nbd_size(disk) <= G_MAXINT64 && !error
                       : error && !err_is(error, ERR_TIMEOUT));
    if (disk)
        read_some(disk);
    nbd_free(disk);
    close(pair[1]);
    return 0;
}
