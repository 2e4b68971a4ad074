/* An entry is a sector of header and its bytes, padded to sectors; two sectors of zeros end it. */
#include "disk/tar.h"

#include "base/error.h"

#include <string.h>

enum { NAME = 0, SIZE = 124, SUM = 148, TYPE = 156, MAGIC = 257, PREFIX = 345, PREFIX_BYTES = 155 };

struct TarIn {
    TarSource source;
    void *user;
    GString *name;
    guint64 left;    /* of the present file */
    guint64 padding; /* after it */
    bool ended;
};

TarIn *tar_in_new(TarSource source, void *user)
{
    TarIn *tar = g_new0(TarIn, 1);
    tar->source = source;
    tar->user = user;
    tar->name = g_string_new(NULL);
    return tar;
}

void tar_in_free(TarIn *tar)
{
    if (!tar)
        return;
    g_string_free(tar->name, TRUE);
    g_free(tar);
}

static bool corrupt(GError **error, const char *what)
{
    err_set(error, ERR_CORRUPT, "the archive is no tar, or damaged: %s", what);
    return false;
}

/* All n bytes; *end instead when there are none at all. */
static bool take(TarIn *tar, void *data, gsize n, bool *end, GError **error)
{
    gsize done = 0;
    while (done < n) {
        gssize got = tar->source((guint8 *) data + done, n - done, tar->user, error);
        if (got < 0)
            return false;
        if (got == 0)
            break;
        done += (gsize) got;
    }
    if (end)
        *end = done == 0;
    if (done == n || (end && done == 0))
        return true;
    err_set(error, ERR_TRUNCATED, "the archive ends in the middle of \"%s\"", tar->name->str);
    return false;
}

gssize tar_in_read(void *data, gsize n, void *user, GError **error)
{
    TarIn *tar = user;
    n = (gsize) MIN(n, tar->left);
    if (n == 0)
        return 0;
    gssize got = tar->source(data, n, tar->user, error);
    if (got == 0) {
        err_set(error, ERR_TRUNCATED, "the archive ends in the middle of \"%s\"", tar->name->str);
        return -1;
    }
    if (got > 0)
        tar->left -= (guint64) got;
    return got;
}

static bool pass_over(TarIn *tar, GError **error)
{
    guint8 nothing[4096];
    gssize n;
    while ((n = tar_in_read(nothing, sizeof nothing, tar, error)) > 0)
        ;
    gsize padding = (gsize) tar->padding;
    tar->padding = 0;
    return n == 0 && take(tar, nothing, padding, NULL, error);
}

/* Octal, or binary with the highest bit set. */
static bool parse_size(const guint8 *at, guint64 *size)
{
    *size = 0;
    if (*at & 0x80) {
        for (guint i = 1; i < 12; i++) {
            if (*size >> 55)
                return false;
            *size = *size << 8 | at[i];
        }
        return *at == 0x80;
    }
    guint i = 0;
    while (i < 12 && at[i] == ' ')
        i++;
    for (; i < 12 && at[i] >= '0' && at[i] <= '7'; i++)
        *size = *size << 3 | (guint64) (at[i] - '0');
    return i == 12 || at[i] == 0 || at[i] == ' ';
}

static guint32 sum_of(const guint8 *header)
{
    guint32 sum = 0;
    for (guint i = 0; i < TAR_SECTOR_BYTES; i++)
        sum += i >= SUM && i < SUM + 8 ? ' ' : header[i];
    return sum;
}

static void take_name(TarIn *tar, const guint8 *header)
{
    g_string_truncate(tar->name, 0);
    if (memcmp(header + MAGIC,
               "ustar\0"
               "00",
               8) == 0 &&
        header[PREFIX]) {
        g_string_append_len(tar->name, (const char *) header + PREFIX,
                            (gssize) strnlen((const char *) header + PREFIX, PREFIX_BYTES));
        g_string_append_c(tar->name, '/');
    }
    g_string_append_len(tar->name, (const char *) header,
                        (gssize) strnlen((const char *) header, 100));
}

/* A name, or records "<n> key=value\n", that hold for the next entry. */
typedef struct {
    char *name;
    bool has_size;
    guint64 size;
} Extra;

static void read_pax(Extra *extra, const char *text, gsize n)
{
    for (const char *at = text, *end = text + n; at < end;) {
        char *word = NULL;
        guint64 length = g_ascii_strtoull(at, &word, 10);
        if (length < 5 || length > (guint64) (end - at) || word - at >= (gssize) length)
            return;
        g_autofree char *record = g_strndup(word + 1, (gsize) (at + length - word) - 2);
        if (g_str_has_prefix(record, "path=")) {
            g_free(extra->name);
            extra->name = g_strdup(record + 5);
        } else if (g_str_has_prefix(record, "size=")) {
            extra->has_size = true;
            extra->size = g_ascii_strtoull(record + 5, NULL, 10);
        }
        at += length;
    }
}

static bool read_extra(TarIn *tar, char type, Extra *extra, GError **error)
{
    char text[TAR_MAX_NAME_BYTES + 1] = "";
    gsize n = (gsize) tar->left;
    if (n > TAR_MAX_NAME_BYTES)
        return corrupt(error, "a name is too long");
    if (!take(tar, text, n, NULL, error))
        return false;
    tar->left = 0;
    if (type == 'L') {
        g_free(extra->name);
        extra->name = g_strdup(text);
    } else if (type == 'x') {
        read_pax(extra, text, n);
    }
    return true;
}

/* One header; *type 0 at the end. */
static bool read_header(TarIn *tar, char *type, GError **error)
{
    guint8 header[TAR_SECTOR_BYTES];
    static const guint8 zeros[TAR_SECTOR_BYTES];
    if (!pass_over(tar, error) || !take(tar, header, sizeof header, &tar->ended, error))
        return false;
    if (tar->ended || memcmp(header, zeros, sizeof header) == 0) {
        tar->ended = true;
        *type = 0;
        return true;
    }
    g_autofree char *sum = g_strndup((const char *) header + SUM, 8);
    if (g_ascii_strtoull(g_strchug(sum), NULL, 8) != sum_of(header))
        return corrupt(error, "a header has a wrong checksum");
    if (!parse_size(header + SIZE, &tar->left))
        return corrupt(error, "a header has no size");
    take_name(tar, header);
    tar->padding = tar_padding(tar->left);
    *type = header[TYPE] ? (char) header[TYPE] : '0';
    return true;
}

static void apply(TarIn *tar, Extra *extra)
{
    if (extra->name)
        g_string_assign(tar->name, extra->name);
    if (extra->has_size) {
        tar->left = extra->size;
        tar->padding = tar_padding(extra->size);
    }
    g_clear_pointer(&extra->name, g_free);
    extra->has_size = false;
}

bool tar_in_next(TarIn *tar, const char **name, guint64 *n_bytes, GError **error)
{
    Extra extra = { 0 };
    char type = 0;
    bool ok = true;
    *name = NULL;
    while (ok && !tar->ended && !*name) {
        ok = read_header(tar, &type, error);
        if (ok && (type == 'L' || type == 'K' || type == 'x' || type == 'g')) {
            ok = read_extra(tar, type, &extra, error);
        } else if (ok && type) {
            apply(tar, &extra);
            *name = type == '0' || type == '7' ? tar->name->str : NULL;
            *n_bytes = tar->left;
        }
    }
    g_free(extra.name);
    return ok;
}

/* --- Leaving --- */

guint64 tar_padding(guint64 n_bytes)
{
    return (TAR_SECTOR_BYTES - n_bytes % TAR_SECTOR_BYTES) % TAR_SECTOR_BYTES;
}

bool tar_header(guint8 header[TAR_SECTOR_BYTES], const char *name, guint64 n_bytes)
{
    enum { OCTAL_MAX_BITS = 33 };
    char *text = (char *) header;
    if (strlen(name) > 99)
        return false;
    memset(header, 0, TAR_SECTOR_BYTES);
    memcpy(header, name, strlen(name));
    g_snprintf(text + 100, 8, "%07o", 0644);
    g_snprintf(text + 108, 8, "%07o", 0);
    g_snprintf(text + 116, 8, "%07o", 0);
    if (n_bytes >> OCTAL_MAX_BITS) {
        guint64 big = GUINT64_TO_BE(n_bytes);
        header[SIZE] = 0x80;
        memcpy(header + SIZE + 4, &big, 8);
    } else {
        g_snprintf(text + SIZE, 12, "%011" G_GINT64_MODIFIER "o", n_bytes);
    }
    g_snprintf(text + 136, 12, "%011o", 0);
    header[TYPE] = '0';
    memcpy(text + MAGIC,
           "ustar\0"
           "00",
           8);
    g_snprintf(text + SUM, 8, "%06o", sum_of(header));
    header[SUM + 7] = ' ';
    return true;
}
