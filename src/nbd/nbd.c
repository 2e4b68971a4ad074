/* Requests and simple replies, one at a time. */
#include "nbd/nbd.h"

#include "base/error.h"
#include "base/mutant.h"
#include "nbd/handshake.h"

#include <errno.h>
#include <string.h>

static const guint32 MAGIC_REQUEST = 0x25609513;
static const guint32 MAGIC_REPLY = 0x67446698;

enum {
    COMMAND_READ = 0,
    COMMAND_DISCONNECT = 2,
    MAX_REQUEST_BYTES = 2 << 20, /* what pools answer in one piece */
};

typedef struct {
    guint32 magic;
    guint16 flags, type;
    guint64 cookie, offset;
    guint32 n;
} __attribute__((packed)) Request;

typedef struct {
    guint32 magic, error;
    guint64 cookie;
} __attribute__((packed)) Reply;

struct NbdDisk {
    NbdWire *wire;
    guint64 size_bytes, cookie;
    bool broken;
};

NbdDisk *nbd_open_on(NbdWire *given, const NbdTarget *target, GError **error)
{
    g_autoptr(NbdWire) wire = given;
    guint64 size_bytes;
    if (!nbd_handshake(wire, target, &size_bytes, error))
        return NULL;
    NbdDisk *disk = g_new0(NbdDisk, 1);
    disk->wire = g_steal_pointer(&wire);
    disk->size_bytes = size_bytes;
    return disk;
}

NbdDisk *nbd_open(const NbdTarget *target, GError **error)
{
    NbdWire *wire = nbd_wire_connect(target, error);
    return wire ? nbd_open_on(wire, target, error) : NULL;
}

guint64 nbd_size(const NbdDisk *disk)
{
    return disk->size_bytes;
}

static Request make_request(NbdDisk *disk, guint16 type, guint64 offset, size_t n)
{
    return (Request){ .magic = GUINT32_TO_BE(MAGIC_REQUEST),
                      .type = GUINT16_TO_BE(type),
                      .cookie = GUINT64_TO_BE(++disk->cookie),
                      .offset = GUINT64_TO_BE(offset),
                      .n = GUINT32_TO_BE((guint32) n) };
}

/* The errors of the protocol have Linux's numbers. */
static bool check_reply(const NbdDisk *disk, const Reply *reply, guint64 offset, GError **error)
{
    const char *server = nbd_wire_server(disk->wire);
    int errnum = (int) GUINT32_FROM_BE(reply->error);
    if (GUINT32_FROM_BE(reply->magic) != MAGIC_REPLY ||
        (GUINT64_FROM_BE(reply->cookie) != disk->cookie &&
         !MUTANT(nbd_any_cookie))) { /* mutant: nbd_peer */
        err_set(error, ERR_PROTOCOL, "%s sent a reply that belongs to no request", server);
        return false;
    }
    if (errnum == 0 || MUTANT(nbd_error_ignored)) /* mutant: nbd:test_server_error */
        return true;
    err_set(error, errnum == ESHUTDOWN ? ERR_TRUNCATED : ERR_IO,
            "%s cannot read at byte %" G_GUINT64_FORMAT ": %s", server, offset, g_strerror(errnum));
    return false;
}

static bool read_piece(NbdDisk *disk, guint64 offset, void *buffer, size_t n, GError **error)
{
    Request request = make_request(disk, COMMAND_READ, offset, n);
    Reply reply;
    nbd_wire_begin(disk->wire);
    return nbd_wire_write(disk->wire, &request, sizeof request, error) &&
           nbd_wire_read(disk->wire, &reply, sizeof reply, error) &&
           check_reply(disk, &reply, offset, error) && nbd_wire_read(disk->wire, buffer, n, error);
}

/* A connection that breaks here breaks off in the middle of the data. */
static void fail(NbdDisk *disk, GError *cause, GError **error)
{
    disk->broken = true;
    if (err_is(cause, ERR_NETWORK)) {
        err_set(error, ERR_TRUNCATED, "%s", cause->message);
        g_error_free(cause);
    } else {
        g_propagate_error(error, cause);
    }
}

bool nbd_read(NbdDisk *disk, guint64 offset, void *buffer, size_t n, GError **error)
{
    if (disk->broken) {
        err_set(error, ERR_STATE, "%s: the connection has failed before",
                nbd_wire_server(disk->wire));
        return false;
    }
    if (offset > disk->size_bytes || n > disk->size_bytes - offset) {
        err_set(error, ERR_TRUNCATED,
                "%s: bytes %" G_GUINT64_FORMAT "+%zu are outside of the disk of %" G_GUINT64_FORMAT
                " bytes",
                nbd_wire_server(disk->wire), offset, n, disk->size_bytes);
        return false;
    }
    for (size_t at = 0; at < n; at += MAX_REQUEST_BYTES) {
        GError *cause = NULL;
        size_t step = MUTANT(nbd_same_piece) ? 0 : at; /* mutant: nbd */
        if (!read_piece(disk, offset + step, (char *) buffer + at, MIN(n - at, MAX_REQUEST_BYTES),
                        &cause)) {
            fail(disk, cause, error);
            return false;
        }
    }
    return true;
}

void nbd_free(NbdDisk *disk)
{
    if (!disk)
        return;
    if (!disk->broken) { /* so that the pool detaches the disk at once */
        Request request = make_request(disk, COMMAND_DISCONNECT, 0, 0);
        nbd_wire_push(disk->wire, &request, sizeof request);
    }
    nbd_wire_free(disk->wire);
    g_free(disk);
}
