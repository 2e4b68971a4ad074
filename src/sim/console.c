/* The screen of a machine: CONNECT /console, then RFB 3.3 to 3.8 (RFC 6143) without a password.
 *
 * The picture is 320 x 200: a square at the top left in the colour that the first three bytes of
 * the machine's uuid name, bars of the eight primary colours beside it. Every key that is pressed
 * turns the square's colour round, every click paints a white dot where it was. It ends when the
 * machine does. */
#include "sim/handler.h"
#include "sim/inner.h"

#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 320,
    HEIGHT = 200,
    SQUARE = 64,
    LOOK_MS = 100,
    IDLE_ROUNDS = 100, /* of a message that begins and does not end */
    MAX_TEXT_BYTES = 1 << 20,
};

/* How a client wants its pixels. */
typedef struct {
    guint8 bits, big_endian;
    guint16 red_max, green_max, blue_max;
    guint8 red_shift, green_shift, blue_shift;
} Format;

typedef struct {
    HttpRequest *request;
    Sim *sim;
    char *console;                  /* reference */
    guint32 pixels[WIDTH * HEIGHT]; /* 0xRRGGBB */
    Format format;
    bool wanted;  /* the client waits for what is new */
    bool changed; /* since it was sent */
} Screen;

/* --- The picture --- */

static void paint(Screen *screen, const char *uuid)
{
    g_autofree char *start = g_strndup(uuid, 6);
    guint32 own = (guint32) g_ascii_strtoull(start, NULL, 16);
    for (guint y = 0; y < HEIGHT; y++)
        for (guint x = 0; x < WIDTH; x++) {
            guint bar = x * 8 / WIDTH;
            guint32 colour = (bar & 4 ? 0xff0000u : 0) | (bar & 2 ? 0xff00u : 0) |
                             (bar & 1 ? 0xffu : 0);
            screen->pixels[y * WIDTH + x] = x < SQUARE && y < SQUARE ? own : colour;
        }
}

static void turn_square(Screen *screen)
{
    for (guint y = 0; y < SQUARE; y++)
        for (guint x = 0; x < SQUARE; x++)
            screen->pixels[y * WIDTH + x] ^= 0xffffff;
    screen->changed = true;
}

static void dot(Screen *screen, guint x, guint y)
{
    if (x >= WIDTH || y >= HEIGHT)
        return;
    screen->pixels[y * WIDTH + x] = 0xffffff;
    screen->changed = true;
}

/* --- Bytes --- */

static bool is_there(Screen *screen)
{
    sim_lock(screen->sim);
    bool there = obj_find(screen->sim, "console", screen->console) != NULL;
    sim_unlock(screen->sim);
    return there && !http_client_left(screen->request);
}

/* All n bytes; false at the end. */
static bool take(Screen *screen, void *buffer, gsize n)
{
    guint8 *at = buffer;
    for (guint round = 0; n > 0 && round < IDLE_ROUNDS; round++) {
        if (!http_raw_wait(screen->request, LOOK_MS)) {
            if (!is_there(screen))
                return false;
            continue;
        }
        ssize_t got = http_raw_read(screen->request, at, n, NULL);
        if (got <= 0)
            return false;
        at += got;
        n -= (gsize) got;
        round = 0;
    }
    return n == 0;
}

static bool give(Screen *screen, const void *data, gsize n)
{
    return http_raw_write(screen->request, data, n, NULL);
}

static guint16 u16(const guint8 *at)
{
    return (guint16) (at[0] << 8 | at[1]);
}

static void put16(GByteArray *out, guint value)
{
    const guint8 bytes[] = { (guint8) (value >> 8), (guint8) value };
    g_byte_array_append(out, bytes, 2);
}

static void put32(GByteArray *out, guint32 value)
{
    put16(out, value >> 16);
    put16(out, value & 0xffff);
}

/* --- Greetings --- */

static bool greet(Screen *screen)
{
    char version[13] = "";
    const guint8 ok[4] = { 0 }, none[4] = { 0, 0, 0, 1 }, list[2] = { 1, 1 };
    guint8 chosen;
    if (!give(screen, "RFB 003.008\n", 12) || !take(screen, version, 12) ||
        !g_str_has_prefix(version, "RFB 003."))
        return false;
    int minor = atoi(version + 8);
    if (minor < 7)
        return give(screen, none, 4);
    return give(screen, list, 2) && take(screen, &chosen, 1) && chosen == 1 &&
           (minor < 8 || give(screen, ok, 4));
}

static void put_format(GByteArray *out, const Format *format)
{
    const guint8 start[] = { format->bits, 24, format->big_endian, 1 };
    const guint8 shifts[] = { format->red_shift, format->green_shift, format->blue_shift, 0, 0, 0 };
    g_byte_array_append(out, start, sizeof start);
    put16(out, format->red_max);
    put16(out, format->green_max);
    put16(out, format->blue_max);
    g_byte_array_append(out, shifts, sizeof shifts);
}

static bool introduce(Screen *screen, const char *name)
{
    guint8 shared;
    if (!take(screen, &shared, 1))
        return false;
    g_autoptr(GByteArray) out = g_byte_array_new();
    put16(out, WIDTH);
    put16(out, HEIGHT);
    put_format(out, &screen->format);
    put32(out, (guint32) strlen(name));
    g_byte_array_append(out, (const guint8 *) name, (guint) strlen(name));
    return give(screen, out->data, out->len);
}

/* --- Sending the picture --- */

static void put_pixel(GByteArray *out, const Format *f, guint32 colour)
{
    guint32 r = (colour >> 16 & 0xff) * f->red_max / 255,
            g = (colour >> 8 & 0xff) * f->green_max / 255, b = (colour & 0xff) * f->blue_max / 255;
    guint32 value = r << f->red_shift | g << f->green_shift | b << f->blue_shift;
    guint n = f->bits / 8;
    guint8 bytes[4];
    for (guint i = 0; i < n; i++)
        bytes[f->big_endian ? n - 1 - i : i] = (guint8) (value >> (8 * i));
    g_byte_array_append(out, bytes, n);
}

/* All of it, as one rectangle of raw pixels. */
static bool send_picture(Screen *screen)
{
    g_autoptr(GByteArray) out = g_byte_array_sized_new(WIDTH * HEIGHT * 4 + 16);
    put16(out, 0);
    put16(out, 1);
    put32(out, 0);
    put16(out, WIDTH);
    put16(out, HEIGHT);
    put32(out, 0);
    for (guint i = 0; i < WIDTH * HEIGHT; i++)
        put_pixel(out, &screen->format, screen->pixels[i]);
    screen->wanted = screen->changed = false;
    return give(screen, out->data, out->len);
}

/* --- What a client says --- */

static bool set_format(Screen *screen)
{
    guint8 m[19];
    if (!take(screen, m, sizeof m))
        return false;
    Format f = { m[3], m[5] != 0, u16(m + 7), u16(m + 9), u16(m + 11), m[13], m[14], m[15] };
    bool ok = (f.bits == 8 || f.bits == 16 || f.bits == 32) && m[6] && f.red_shift < 32 &&
              f.green_shift < 32 && f.blue_shift < 32;
    if (ok)
        screen->format = f;
    return ok; /* maps of colours are not kept */
}

static bool skip(Screen *screen, gsize n)
{
    guint8 buffer[256];
    for (; n > 0; n -= MIN(n, sizeof buffer))
        if (!take(screen, buffer, MIN(n, sizeof buffer)))
            return false;
    return true;
}

static bool set_encodings(Screen *screen)
{
    guint8 m[3];
    return take(screen, m, sizeof m) && skip(screen, 4 * (gsize) u16(m + 1));
}

static bool ask_for_update(Screen *screen)
{
    guint8 m[9];
    if (!take(screen, m, sizeof m))
        return false;
    screen->wanted = true;
    screen->changed = screen->changed || m[0] == 0;
    return true;
}

static bool key(Screen *screen)
{
    guint8 m[7];
    if (!take(screen, m, sizeof m))
        return false;
    if (m[0])
        turn_square(screen);
    return true;
}

static bool pointer(Screen *screen)
{
    guint8 m[5];
    if (!take(screen, m, sizeof m))
        return false;
    if (m[0])
        dot(screen, u16(m + 1), u16(m + 3));
    return true;
}

static bool cut_text(Screen *screen)
{
    guint8 m[7];
    if (!take(screen, m, sizeof m))
        return false;
    gsize n = (gsize) u16(m + 3) << 16 | u16(m + 5);
    return n <= MAX_TEXT_BYTES && skip(screen, n);
}

static bool listen_to(Screen *screen)
{
    static bool (*const messages[])(
        Screen *) = { [0] = set_format, [2] = set_encodings, [3] = ask_for_update,
                      [4] = key,        [5] = pointer,       [6] = cut_text };
    guint8 type;
    return take(screen, &type, 1) && type < G_N_ELEMENTS(messages) && messages[type] &&
           messages[type](screen);
}

static void show(Screen *screen)
{
    while (is_there(screen)) {
        if (http_raw_wait(screen->request, LOOK_MS) && !listen_to(screen))
            return;
        if (screen->wanted && screen->changed && !send_picture(screen))
            return;
    }
}

/* --- The request --- */

/* By its uuid or reference. The name of its machine, a copy; NULL after an answer. */
static char *find(HttpRequest *request, Sim *sim, Screen *screen)
{
    const char *uuid = http_query(request, "uuid"), *ref = http_query(request, "ref");
    g_autoptr(GError) error = NULL;
    char *name = NULL;
    sim_lock(sim);
    Obj *console = obj_find_any(sim, "console", uuid != NULL ? uuid : ref != NULL ? ref : "");
    Obj *vm = console == NULL ? NULL : obj_follow(console, "VM");
    if (vm != NULL) {
        screen->console = g_strdup(obj_ref(console));
        paint(screen, obj_uuid(vm));
        name = g_strdup(obj_str(vm, "name_label"));
    }
    sim_unlock(sim);
    if (name == NULL) {
        sim_error(&error, "HANDLE_INVALID", "console", uuid != NULL ? uuid : "", NULL);
        handler_fail(request, sim, NULL, 404, error);
    }
    return name;
}

static void serve(HttpRequest *request, Sim *sim)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"
                                 "Cache-Control: no-cache, no-store\r\n\r\n";
    g_autofree char *session = handler_login(request, sim);
    if (session == NULL)
        return;
    g_autofree Screen *screen = g_new0(Screen, 1);
    screen->request = request;
    screen->sim = sim;
    screen->format = (Format){ 32, 0, 255, 255, 255, 16, 8, 0 };
    screen->changed = true;
    g_autofree char *name = find(request, sim, screen);
    g_autofree char *console = screen->console;
    if (name != NULL && give(screen, answer, sizeof answer - 1) && greet(screen) &&
        introduce(screen, name))
        show(screen);
}

const Handler console_handlers[] = {
    { "CONNECT", "/console", serve },
    { NULL, NULL, NULL },
};
