/* The tar of an XVA, a sector at a time. A chunk is held until its checksum has come, so that
 * nothing is passed on that does not agree with it. The other side may be cut, confused or hostile:
 * sizes are bounded before anything is allocated. */
#include "disk/xva.h"

#include "base/error.h"
#include "base/mutant.h"
#include "codec/flow.h"
#include "codec/hash.h"
#include "disk/ova.h"

#include <string.h>

enum { SECTOR = 512, NAME_MAX_BYTES = 100, CHECKSUM_MAX_BYTES = 128, MAX_TAIL_BYTES = 1 << 20 };

typedef enum { AT_HEADER, AT_BODY, AT_PADDING, AT_SECOND_ZERO, AT_TAIL } Place;

typedef struct {
    guint64 at;          /* the next byte */
    guint64 first_bytes; /* length of its first chunk that has any */
    gint64 last_number;  /* of a chunk, -1: none yet */
    bool begun, whole;
} Progress;

struct XvaStream {
    XvaStreamOps ops;
    Flow *flow;
    Place place;
    guint8 sector[SECTOR];
    gsize n_sector;
    char name[NAME_MAX_BYTES + 1]; /* of the present entry */
    GByteArray *body;              /* of it */
    gsize body_bytes, padding_bytes;
    char chunk_name[NAME_MAX_BYTES + 1]; /* waits for its checksum; "": none */
    GByteArray *chunk;
    XvaInfo *info;
    GHashTable *by_id;  /* id to number + 1 of the disk */
    Progress *progress; /* by disk */
    guint disk;         /* the one being read */
    guint64 n_chunks;
    gsize n_tail;
    bool tabled, no_disks, failed;
};

/* --- chunks --- */

static bool corrupt(XvaStream *stream, GError **error, const char *what)
{
    err_set(error, ERR_CORRUPT, "the archive is damaged at \"%s\": %s", stream->name, what);
    return false;
}

static bool check_sum(XvaStream *stream, HashKind kind, GError **error)
{
    g_autofree char *sum = g_strndup((const char *) stream->body->data, stream->body->len);
    g_autofree char *found = hash_hex(kind, stream->chunk->data, stream->chunk->len);
    g_strstrip(sum);
    if (g_ascii_strcasecmp(sum, found) == 0 || MUTANT(xva_trusts_chunks)) /* mutant: disk_xva */
        return true;
    static const char *const detail[] = { "checksum", NULL };
    err_set_detail(error, ERR_CORRUPT, detail,
                   "the archive is damaged at \"%s\": the chunk does not agree with its checksum",
                   stream->chunk_name);
    return false;
}

/* "<id>/<digits>" */
static bool parse_chunk_name(XvaStream *stream, guint *disk, gint64 *number, GError **error)
{
    char *slash = strrchr(stream->chunk_name, '/');
    guint64 value;
    if (!slash || strlen(slash + 1) < 8 ||
        !g_ascii_string_to_unsigned(slash + 1, 10, 0, G_MAXINT32, &value, NULL))
        return corrupt(stream, error, "it is no chunk of a disk");
    *slash = '\0';
    *disk = GPOINTER_TO_UINT(g_hash_table_lookup(stream->by_id, stream->chunk_name));
    *number = (gint64) value;
    *slash = '/';
    if (*disk > 0)
        return true;
    return corrupt(stream, error, "ova.xml has no such disk");
}

/* Another disk may begin when the one before is whole. */
static bool turn_to(XvaStream *stream, guint disk, GError **error)
{
    Progress *now = &stream->progress[stream->disk], *next = &stream->progress[disk];
    if (disk == stream->disk && now->begun)
        return now->whole ? corrupt(stream, error, "the disk goes on after its end") : true;
    if (now->begun && !now->whole)
        return corrupt(stream, error, "the disk before it is not whole");
    if (next->begun)
        return corrupt(stream, error, "its disk comes a second time");
    next->begun = true;
    next->last_number = -1;
    stream->disk = disk;
    return true;
}

/* Numbers ascend; what is left out between two counts as zeros. An empty chunk keeps a slow
 * connection alive and uses its number up, so that only the gaps count. */
static bool place_chunk(XvaStream *stream, guint64 size_bytes, gint64 number, GError **error)
{
    Progress *progress = &stream->progress[stream->disk];
    gsize n = stream->chunk->len;
    if (number <= progress->last_number)
        return corrupt(stream, error, "the numbers of the chunks do not ascend");
    guint64 gap = (guint64) (number - progress->last_number - 1);
    if (gap > 0 && progress->last_number < 0)
        return corrupt(stream, error, "the first chunk of the disk is missing");
    guint64 unit = progress->first_bytes ? progress->first_bytes : XVA_CHUNK_BYTES;
    guint64 at = progress->at + gap * unit;
    if (at > size_bytes || n > size_bytes - at)
        return corrupt(stream, error, "it lies beyond the end of the disk");
    progress->last_number = number;
    progress->at = at;
    if (!progress->first_bytes)
        progress->first_bytes = n;
    return true;
}

static bool take_chunk(XvaStream *stream, GError **error)
{
    guint disk;
    gint64 number;
    if (!parse_chunk_name(stream, &disk, &number, error) || !turn_to(stream, --disk, error))
        return false;
    guint64 size_bytes = xva_info_disk(stream->info, disk)->size_bytes;
    Progress *progress = &stream->progress[disk];
    if (!place_chunk(stream, size_bytes, number, error))
        return false;
    gsize n = stream->chunk->len;
    if (n > 0 && stream->ops.data &&
        !stream->ops.data(disk, progress->at, stream->chunk->data, n, stream->ops.user, error))
        return false;
    progress->at += n;
    progress->whole = progress->at == size_bytes;
    stream->n_chunks++;
    *stream->chunk_name = '\0';
    return true;
}

/* --- entries --- */

static bool take_ova(XvaStream *stream, GError **error)
{
    if (strcmp(stream->name, "ova.xml") != 0)
        return corrupt(stream, error, "ova.xml is expected first");
    json_t *ova = ova_parse((const char *) stream->body->data, stream->body->len, error);
    stream->info = ova ? xva_info_new(ova, error) : NULL;
    if (!stream->info)
        return false;
    stream->progress = g_new0(Progress, MAX(stream->info->disks->len, 1));
    for (guint i = 0; i < stream->info->disks->len; i++)
        g_hash_table_insert(stream->by_id, (char *) xva_info_disk(stream->info, i)->id,
                            GUINT_TO_POINTER(i + 1));
    return !stream->ops.head || stream->ops.head(stream->info, stream->ops.user, error);
}

static const struct {
    const char *suffix;
    HashKind kind;
} sums[] = { { ".xxhash", HASH_XXH64 }, { ".checksum", HASH_SHA1 } };

/* The kind of a checksum's entry for the chunk that waits; -1: it is none. */
static int sum_kind(const XvaStream *stream)
{
    gsize n = strlen(stream->chunk_name);
    if (n == 0 || strncmp(stream->name, stream->chunk_name, n) != 0)
        return -1;
    for (gsize i = 0; i < G_N_ELEMENTS(sums); i++)
        if (strcmp(stream->name + n, sums[i].suffix) == 0)
            return sums[i].kind;
    return -1;
}

static bool take_entry(XvaStream *stream, GError **error)
{
    if (!stream->info)
        return take_ova(stream, error);
    if (*stream->chunk_name)
        return check_sum(stream, (HashKind) sum_kind(stream), error) && take_chunk(stream, error);
    if (strcmp(stream->name, "checksum.xml") == 0) { /* a table of the same, of older hosts */
        stream->tabled = true;
        return true;
    }
    GByteArray *swap = stream->chunk;
    stream->chunk = stream->body;
    stream->body = swap;
    memcpy(stream->chunk_name, stream->name, sizeof stream->name);
    return true;
}

/* --- the tar --- */

/* An octal number with blanks around it, of n characters. */
static bool parse_octal(const guint8 *field, gsize n, guint64 *value)
{
    gsize i = 0;
    *value = 0;
    while (i < n && field[i] == ' ')
        i++;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
        *value = *value << 3 | (guint64) (field[i] - '0');
    for (; i < n; i++)
        if (field[i] != ' ' && field[i] != '\0')
            return false;
    return n <= 20;
}

static bool is_zero(const guint8 *sector)
{
    return sector[0] == 0 && memcmp(sector, sector + 1, SECTOR - 1) == 0;
}

static bool header_fits(const guint8 *sector)
{
    guint64 expected, found = 0;
    for (gsize i = 0; i < SECTOR; i++)
        found += i >= 148 && i < 156 ? ' ' : sector[i];
    return parse_octal(sector + 148, 8, &expected) && expected == found;
}

static gsize body_limit(const XvaStream *stream)
{
    if (!stream->info || strcmp(stream->name, "checksum.xml") == 0)
        return XVA_MAX_OVA_BYTES;
    return *stream->chunk_name ? CHECKSUM_MAX_BYTES : XVA_MAX_CHUNK_BYTES;
}

static bool take_header(XvaStream *stream, GError **error)
{
    const guint8 *sector = stream->sector;
    guint64 n;
    if (is_zero(sector)) {
        stream->place = AT_SECOND_ZERO;
        return true;
    }
    if (!header_fits(sector)) {
        err_set(error, ERR_CORRUPT,
                stream->info ? "the archive is damaged after \"%s\""
                             : "this is not an XVA archive%s",
                stream->name);
        return false;
    }
    memcpy(stream->name, sector, NAME_MAX_BYTES);
    for (char *at = stream->name; *at; at++)
        if (!g_ascii_isprint(*at))
            *at = '?';
    if ((sector[156] != '0' && sector[156] != '\0') || sector[345] || stream->tabled ||
        !parse_octal(sector + 124, 12, &n))
        return corrupt(stream, error, "a pool writes no such entry");
    if (*stream->chunk_name && sum_kind(stream) < 0)
        return corrupt(stream, error, "the checksum of the chunk before it is missing");
    if (n > body_limit(stream)) {
        err_set(error, ERR_LIMIT, "\"%s\" in the archive has %" G_GUINT64_FORMAT " bytes",
                stream->name, n);
        return false;
    }
    stream->body_bytes = n;
    stream->padding_bytes = (SECTOR - n % SECTOR) % SECTOR;
    g_byte_array_set_size(stream->body, 0);
    stream->place = AT_BODY;
    return true;
}

static bool end_body(XvaStream *stream, GError **error)
{
    stream->place = stream->padding_bytes ? AT_PADDING : AT_HEADER;
    return take_entry(stream, error);
}

/* The end is two sectors of zeros; more zeros may follow, as tar pads. */
static bool take_second_zero(XvaStream *stream, GError **error)
{
    if (!is_zero(stream->sector))
        return corrupt(stream, error, "half an end follows it");
    stream->place = AT_TAIL;
    return true;
}

static bool take_tail(XvaStream *stream, const guint8 *data, gsize n, GError **error)
{
    stream->n_tail += n;
    for (gsize i = 0; i < n; i++)
        if (data[i] || stream->n_tail > MAX_TAIL_BYTES) {
            err_set(error, ERR_CORRUPT, "something follows the end of the archive");
            return false;
        }
    return true;
}

/* Collects a sector; *n: taken. */
static bool take_sector(XvaStream *stream, const guint8 *data, gsize *n, GError **error)
{
    *n = MIN(*n, SECTOR - stream->n_sector);
    memcpy(stream->sector + stream->n_sector, data, *n);
    stream->n_sector += *n;
    if (stream->n_sector < SECTOR)
        return true;
    stream->n_sector = 0;
    return stream->place == AT_HEADER ? take_header(stream, error)
                                      : take_second_zero(stream, error);
}

static bool take_body(XvaStream *stream, const guint8 *data, gsize *n, GError **error)
{
    *n = MIN(*n, stream->body_bytes - stream->body->len);
    g_byte_array_append(stream->body, data, (guint) *n);
    return stream->body->len < stream->body_bytes || end_body(stream, error);
}

static void skip_padding(XvaStream *stream, gsize *n)
{
    *n = MIN(*n, stream->padding_bytes);
    stream->padding_bytes -= *n;
    if (stream->padding_bytes == 0)
        stream->place = AT_HEADER;
}

/* FlowSink: the tar as it is. */
static bool take(const void *data, gsize n, void *user, GError **error)
{
    XvaStream *stream = user;
    const guint8 *bytes = data;
    while (n > 0 || (stream->place == AT_BODY && stream->body_bytes == 0)) {
        gsize taken = n;
        bool ok = true;
        if (stream->place == AT_BODY)
            ok = take_body(stream, bytes, &taken, error);
        else if (stream->place == AT_PADDING)
            skip_padding(stream, &taken);
        else if (stream->place == AT_TAIL)
            ok = take_tail(stream, bytes, n, error);
        else
            ok = take_sector(stream, bytes, &taken, error);
        if (!ok)
            return false;
        bytes += taken;
        n -= taken;
    }
    return true;
}

/* --- the stream --- */

XvaStream *xva_stream_new(const XvaStreamOps *ops)
{
    XvaStream *stream = g_new0(XvaStream, 1);
    stream->ops = *ops;
    stream->flow = flow_expander(take, stream);
    stream->body = g_byte_array_new();
    stream->chunk = g_byte_array_new();
    stream->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    return stream;
}

void xva_stream_free(XvaStream *stream)
{
    if (!stream)
        return;
    flow_free(stream->flow);
    g_byte_array_unref(stream->body);
    g_byte_array_unref(stream->chunk);
    g_hash_table_unref(stream->by_id);
    g_free(stream->progress);
    xva_info_free(stream->info);
    g_free(stream);
}

bool xva_stream_feed(XvaStream *stream, const void *data, gsize n, GError **error)
{
    if (stream->failed) {
        err_set(error, ERR_INTERNAL, "an archive is read on after its failure");
        return false;
    }
    stream->failed = !flow_feed(stream->flow, data, n, error);
    return !stream->failed;
}

static bool check_disks(const XvaStream *stream, GError **error)
{
    for (guint i = 0; i < stream->info->disks->len; i++) {
        const XvaDisk *disk = xva_info_disk(stream->info, i);
        const Progress *progress = &stream->progress[i];
        bool absent = !progress->begun && (!disk->attached || disk->size_bytes == 0);
        if (progress->whole || absent || MUTANT(xva_misses_disks)) /* mutant: disk_xva */
            continue;
        err_set(error, ERR_TRUNCATED,
                "the archive holds %" G_GUINT64_FORMAT " of the %" G_GUINT64_FORMAT
                " bytes of the disk \"%s\" (%s)",
                progress->at, disk->size_bytes, disk->name, disk->id);
        return false;
    }
    return true;
}

bool xva_stream_finish(XvaStream *stream, GError **error)
{
    if (stream->failed) {
        err_set(error, ERR_INTERNAL, "an archive is ended after its failure");
        return false;
    }
    if (!flow_finish(stream->flow, error))
        return false;
    if (*stream->chunk_name || stream->place != AT_TAIL || !stream->info) {
        err_set(error, ERR_TRUNCATED, "the archive is cut%s%s%s",
                stream->info ? " after \"" : ": it ends before ova.xml does",
                stream->info ? stream->name : "", stream->info ? "\"" : "");
        return false;
    }
    return (stream->no_disks && stream->n_chunks == 0) || check_disks(stream, error);
}

void xva_stream_allow_no_disks(XvaStream *stream)
{
    stream->no_disks = true;
}

const XvaInfo *xva_stream_info(const XvaStream *stream)
{
    return stream->info;
}
