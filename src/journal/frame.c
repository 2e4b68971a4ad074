/* The bytes of a journal: a header ("CDZJ", version), then records of u32 length, u32 CRC-32C over
 * the length and the JSON, and the JSON. A record that the end of the file cuts, or whose checksum
 * is wrong at the very end, was being written when the power went: it is left out. Anything else is
 * damage. */
#include "journal/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <isa-l/crc.h>
#include <stdlib.h>
#include <string.h>

static const guint8 magic[4] = { 'C', 'D', 'Z', 'J' };
enum { VERSION = 1, FRAME_BYTES = 8 };

static guint32 get_u32(const guint8 *at)
{
    guint32 value;
    memcpy(&value, at, 4);
    return GUINT32_FROM_LE(value);
}

static void put_u32(guint8 *at, guint32 value)
{
    value = GUINT32_TO_LE(value);
    memcpy(at, &value, 4);
}

static guint32 checksum(const guint8 *frame, gsize n)
{
    guint32 crc = crc32_iscsi((unsigned char *) frame, 4, 0xffffffffu);
    return ~crc32_iscsi((unsigned char *) frame + FRAME_BYTES, (int) n, crc);
}

static bool all_zero(const guint8 *data, gsize n)
{
    for (gsize i = 0; i < n; i++)
        if (data[i])
            return false;
    return true;
}

static bool check_header(const guint8 *data, const char *name, GError **error)
{
    if (memcmp(data, magic, sizeof magic) != 0) {
        err_set(error, ERR_CORRUPT, "journal %s: not a journal", name);
        return false;
    }
    guint32 version = get_u32(data + 4);
    if (version == VERSION)
        return true;
    err_set(error, version > VERSION ? ERR_TOO_NEW : ERR_CORRUPT,
            "journal %s: version %u, expected %d", name, version, VERSION);
    return false;
}

typedef enum { FRAME_GOOD, FRAME_TORN, FRAME_BAD } FrameState;

static FrameState check_frame(const guint8 *frame, gsize left)
{
    if (left < FRAME_BYTES || all_zero(frame, left))
        return FRAME_TORN;
    gsize n = get_u32(frame);
    if (n == 0 || n > JOURNAL_MAX_RECORD_BYTES)
        return FRAME_BAD;
    if (n > left - FRAME_BYTES)
        return FRAME_TORN;
    bool good = checksum(frame, n) == get_u32(frame + 4) ||
                MUTANT(journal_crc_ignored); /* mutant: journal */
    return good ? FRAME_GOOD : n == left - FRAME_BYTES ? FRAME_TORN : FRAME_BAD;
}

bool journal_parse(const guint8 *data, gsize n, const char *name, json_t *records, gsize *end,
                   GError **error)
{
    *end = JOURNAL_HEADER_BYTES;
    if (n < JOURNAL_HEADER_BYTES)
        return true;
    if (!check_header(data, name, error))
        return false;
    while (*end < n) {
        const guint8 *frame = data + *end;
        FrameState state = check_frame(frame, n - *end);
        if (state == FRAME_TORN)
            return true;
        gsize length = get_u32(frame);
        json_t *record = state == FRAME_GOOD
                             ? json_loadb((const char *) frame + FRAME_BYTES, length, 0, NULL)
                             : NULL;
        if (!json_is_object(record)) {
            json_decref(record);
            err_set(error, ERR_CORRUPT, "journal %s: damaged record at byte %zu", name, *end);
            return false;
        }
        if (records)
            json_array_append(records, record);
        json_decref(record);
        *end += FRAME_BYTES + length;
    }
    return true;
}

GBytes *journal_frame(json_t *record, const char *name, GError **error)
{
    char *text = json_dumps(record, JSON_COMPACT);
    gsize n = text ? strlen(text) : 0;
    if (n == 0 || n > JOURNAL_MAX_RECORD_BYTES) {
        free(text);
        err_set(error, ERR_LIMIT, "journal %s: a record of %zu bytes, at most %d are allowed", name,
                n, JOURNAL_MAX_RECORD_BYTES);
        return NULL;
    }
    guint8 *frame = g_malloc(FRAME_BYTES + n);
    put_u32(frame, (guint32) n);
    memcpy(frame + FRAME_BYTES, text, n);
    put_u32(frame + 4, checksum(frame, n));
    free(text);
    return g_bytes_new_take(frame, FRAME_BYTES + n);
}
