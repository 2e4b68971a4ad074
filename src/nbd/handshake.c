/* Options and their replies, as doc/proto.md of the NBD project tells them. NBD_OPT_GO first;
 * servers that do not know it (XAPI's) get NBD_OPT_EXPORT_NAME. */
#include "nbd/handshake.h"

#include "base/error.h"

#include <string.h>

static const guint64 MAGIC_GREETING = 0x4e42444d41474943; /* "NBDMAGIC" */
static const guint64 MAGIC_OPTION = 0x49484156454f5054;   /* "IHAVEOPT" */
static const guint64 MAGIC_REPLY = 0x0003e889045565a9;

enum {
    FLAG_FIXED_NEWSTYLE = 1,
    FLAG_NO_ZEROES = 2,
    OPTION_EXPORT_NAME = 1,
    OPTION_STARTTLS = 5,
    OPTION_GO = 7,
    REPLY_ACK = 1,
    REPLY_INFO = 3,
    INFO_EXPORT = 0,
    EXPORT_ZEROES = 124,
    MAX_REPLY_BYTES = 64 << 10,
    MAX_REPLIES = 100, /* to one option */
    MAX_NAME_BYTES = 4096,
};

/* Refusals: the bit 31 and a number. */
static const guint32 REPLY_ERROR = 1u << 31;
static const guint32 REPLY_UNSUPPORTED = (1u << 31) + 1;

static const struct {
    const char *words;
    ErrCode code;
} refusals[] = {
    [1] = { "the option is not supported", ERR_UNSUPPORTED },
    [2] = { "not allowed", ERR_DENIED },
    [3] = { "the option is invalid", ERR_PROTOCOL },
    [4] = { "not supported on this platform", ERR_UNSUPPORTED },
    [5] = { "the server demands TLS", ERR_TLS },
    [6] = { "there is no such export", ERR_NOT_FOUND },
    [7] = { "the server shuts down", ERR_NETWORK },
    [8] = { "the server demands a block size", ERR_UNSUPPORTED },
    [9] = { "the request is too large", ERR_PROTOCOL },
};

typedef struct {
    guint32 type, n;
    guint8 data[MAX_REPLY_BYTES];
} Reply;

static bool confused(const NbdWire *wire, const char *what, GError **error)
{
    err_set(error, ERR_PROTOCOL, "%s is not an NBD server of today: %s", nbd_wire_server(wire),
            what);
    return false;
}

static guint16 get_16(const guint8 *data)
{
    return (guint16) (data[0] << 8 | data[1]);
}

static guint32 get_32(const guint8 *data)
{
    return (guint32) get_16(data) << 16 | get_16(data + 2);
}

static guint64 get_64(const guint8 *data)
{
    return (guint64) get_32(data) << 32 | get_32(data + 4);
}

static void add_number(GByteArray *to, guint64 value, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++) {
        guint8 byte = (guint8) (value >> (8 * (n_bytes - 1 - i)));
        g_byte_array_append(to, &byte, 1);
    }
}

static bool greet(NbdWire *wire, bool *no_zeroes, GError **error)
{
    guint8 greeting[18];
    if (!nbd_wire_read(wire, greeting, 8, error))
        return false;
    if (get_64(greeting) != MAGIC_GREETING)
        return confused(wire, "wrong greeting", error);
    if (!nbd_wire_read(wire, greeting + 8, 10, error))
        return false;
    guint16 flags = get_16(greeting + 16);
    if (get_64(greeting + 8) != MAGIC_OPTION || !(flags & FLAG_FIXED_NEWSTYLE))
        return confused(wire, "no fixed newstyle negotiation", error);
    *no_zeroes = flags & FLAG_NO_ZEROES;
    guint8 ours[4] = { 0, 0, 0, FLAG_FIXED_NEWSTYLE | (*no_zeroes ? FLAG_NO_ZEROES : 0) };
    return nbd_wire_write(wire, ours, sizeof ours, error);
}

static bool send_option(NbdWire *wire, guint32 option, const GByteArray *data, GError **error)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    add_number(message, MAGIC_OPTION, 8);
    add_number(message, option, 4);
    add_number(message, data ? data->len : 0, 4);
    if (data)
        g_byte_array_append(message, data->data, data->len);
    return nbd_wire_write(wire, message->data, message->len, error);
}

static bool read_reply(NbdWire *wire, guint32 option, Reply *reply, GError **error)
{
    guint8 head[20];
    if (!nbd_wire_read(wire, head, sizeof head, error))
        return false;
    if (get_64(head) != MAGIC_REPLY || get_32(head + 8) != option)
        return confused(wire, "wrong reply to an option", error);
    reply->type = get_32(head + 12);
    reply->n = get_32(head + 16);
    if (reply->n > MAX_REPLY_BYTES)
        return confused(wire, "too long a reply to an option", error);
    return nbd_wire_read(wire, reply->data, reply->n, error);
}

static bool refuse(const NbdWire *wire, guint32 type, GError **error)
{
    guint32 number = type & ~REPLY_ERROR;
    bool known = number > 0 && number < G_N_ELEMENTS(refusals);
    /* The server's own words may hold the name of the export, and with it a session. */
    err_set(error, known ? refusals[number].code : ERR_PROTOCOL, "%s: %s (NBD error %u)",
            nbd_wire_server(wire), known ? refusals[number].words : "refused", number);
    return false;
}

/* True when TLS stands, or is not to be had and may be missed. */
static bool upgrade(NbdWire *wire, const NbdTarget *target, Reply *reply, GError **error)
{
    if (target->tls == NBD_TLS_NEVER)
        return true;
    if (!send_option(wire, OPTION_STARTTLS, NULL, error) ||
        !read_reply(wire, OPTION_STARTTLS, reply, error))
        return false;
    if (reply->type == REPLY_ACK)
        return nbd_wire_start_tls(wire, target, error);
    if (!(reply->type & REPLY_ERROR))
        return confused(wire, "strange reply to STARTTLS", error);
    if (target->tls == NBD_TLS_ALLOW)
        return true;
    err_set(error, ERR_TLS, "%s does not offer TLS", nbd_wire_server(wire));
    return false;
}

/* The reply to NBD_OPT_EXPORT_NAME has no head; a missing export ends the connection. */
static bool ask_by_name(NbdWire *wire, const NbdTarget *target, bool no_zeroes, guint64 *size_bytes,
                        GError **error)
{
    g_autoptr(GByteArray) name = g_byte_array_new();
    g_autoptr(GError) cause = NULL;
    guint8 answer[10 + EXPORT_ZEROES];
    g_byte_array_append(name, (const guint8 *) target->export_name,
                        (guint) strlen(target->export_name));
    if (!send_option(wire, OPTION_EXPORT_NAME, name, error))
        return false;
    if (!nbd_wire_read(wire, answer, no_zeroes ? 10 : sizeof answer, &cause)) {
        if (err_is(cause, ERR_NETWORK))
            err_set(error, ERR_NOT_FOUND, "%s closed the connection when asked for the export",
                    nbd_wire_server(wire));
        else
            g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    *size_bytes = get_64(answer);
    return true;
}

/* *known becomes false when the server does not know this option. */
static bool ask_to_go(NbdWire *wire, const NbdTarget *target, Reply *reply, bool *known,
                      guint64 *size_bytes, GError **error)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    size_t n = strlen(target->export_name);
    bool sized = false;
    add_number(data, n, 4);
    g_byte_array_append(data, (const guint8 *) target->export_name, (guint) n);
    add_number(data, 0, 2); /* no further information wanted */
    if (!send_option(wire, OPTION_GO, data, error))
        return false;
    for (unsigned i = 0; i < MAX_REPLIES; i++) {
        if (!read_reply(wire, OPTION_GO, reply, error))
            return false;
        if (reply->type == REPLY_UNSUPPORTED)
            return !(*known = false);
        if (reply->type & REPLY_ERROR)
            return refuse(wire, reply->type, error);
        if (reply->type == REPLY_ACK)
            return sized || confused(wire, "an export without a size", error);
        if (reply->type == REPLY_INFO && reply->n == 12 && get_16(reply->data) == INFO_EXPORT) {
            *size_bytes = get_64(reply->data + 2);
            sized = true;
        }
    }
    return confused(wire, "too many replies to an option", error);
}

bool nbd_handshake(NbdWire *wire, const NbdTarget *target, guint64 *size_bytes, GError **error)
{
    g_autofree Reply *reply = g_new(Reply, 1);
    bool no_zeroes, go = true;
    if (!target->export_name || strlen(target->export_name) > MAX_NAME_BYTES) {
        err_set(error, ERR_INVALID, "%s: the name of the export is missing or too long",
                nbd_wire_server(wire));
        return false;
    }
    nbd_wire_begin(wire);
    if (!greet(wire, &no_zeroes, error) || !upgrade(wire, target, reply, error) ||
        !ask_to_go(wire, target, reply, &go, size_bytes, error) ||
        (!go && !ask_by_name(wire, target, no_zeroes, size_bytes, error)))
        return false;
    if (*size_bytes <= G_MAXINT64)
        return true;
    return confused(wire, "an impossible size", error);
}
