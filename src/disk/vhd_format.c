/* The footer and the dynamic header: parsing refuses what XO refuses, formatting gives byte for
 * byte what XO gives. */
#include "disk/vhd_format.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

enum { /* offsets in the footer */
       FOOTER_FEATURES = 8,
       FOOTER_VERSION = 12,
       FOOTER_DATA_OFFSET = 16,
       FOOTER_TIMESTAMP = 24,
       FOOTER_CREATOR = 28,
       FOOTER_HOST_OS = 36,
       FOOTER_ORIGINAL_SIZE = 40,
       FOOTER_CURRENT_SIZE = 48,
       FOOTER_GEOMETRY = 56,
       FOOTER_TYPE = 60,
       FOOTER_CHECKSUM = 64,
       FOOTER_UID = 68,
};
enum { /* offsets in the header */
       HEADER_DATA_OFFSET = 8,
       HEADER_TABLE_OFFSET = 16,
       HEADER_VERSION = 24,
       HEADER_ENTRIES = 28,
       HEADER_BLOCK_BYTES = 32,
       HEADER_CHECKSUM = 36,
       HEADER_PARENT_UID = 40,
       HEADER_PARENT_NAME = 64,
       HEADER_NAME_BYTES = 512,
};
#define VHD_VERSION     0x00010000u
#define HOST_OS_WINDOWS 0x5769326bu

guint16 vhd_get16(const void *at)
{
    guint16 value;
    memcpy(&value, at, sizeof value);
    return GUINT16_FROM_BE(value);
}

guint32 vhd_get32(const void *at)
{
    guint32 value;
    memcpy(&value, at, sizeof value);
    return GUINT32_FROM_BE(value);
}

guint64 vhd_get64(const void *at)
{
    guint64 value;
    memcpy(&value, at, sizeof value);
    return GUINT64_FROM_BE(value);
}

void vhd_put16(void *at, guint16 value)
{
    value = GUINT16_TO_BE(value);
    memcpy(at, &value, sizeof value);
}

void vhd_put32(void *at, guint32 value)
{
    value = GUINT32_TO_BE(value);
    memcpy(at, &value, sizeof value);
}

void vhd_put64(void *at, guint64 value)
{
    value = GUINT64_TO_BE(value);
    memcpy(at, &value, sizeof value);
}

guint32 vhd_checksum(const guint8 *data, gsize n, gsize checksum_at)
{
    guint32 sum = 0;
    for (gsize i = 0; i < n; i++)
        if (i < checksum_at || i >= checksum_at + 4)
            sum += data[i];
    return ~sum;
}

/* ceil(a / b) */
static guint64 ceil_div(guint64 a, guint64 b)
{
    return a / b + (a % b != 0);
}

/* The specification divides with real numbers here and XO keeps the fractions: with C·H = T/S, the
 * cylinders are ceil(T / (S·H)) and "C·H ≥ H·1024" is T ≥ S·H·1024. */
guint32 vhd_geometry(guint64 size_bytes)
{
    guint64 total = MIN(ceil_div(size_bytes, VHD_SECTOR_BYTES), 65535ull * 16 * 255);
    guint64 sectors, heads = 16;
    if (total >= 65535ull * 16 * 63) {
        sectors = 255;
    } else {
        sectors = 17;
        heads = MAX((total + 1023 * sectors) / (1024 * sectors), 4);
        if (total >= sectors * heads * 1024 || heads > 16) {
            sectors = 31;
            heads = 16;
        }
        if (total >= sectors * heads * 1024)
            sectors = 63, heads = 16;
    }
    guint64 cylinders = ceil_div(total, sectors * heads);
    return (guint32) (cylinders << 16 | heads << 8 | sectors);
}

static bool damaged(GError **error, const char *what)
{
    err_set(error, ERR_CORRUPT, "%s", what);
    return false;
}

bool vhd_footer_parse(const guint8 raw[VHD_FOOTER_BYTES], VhdFooter *footer, GError **error)
{
    if (memcmp(raw, "conectix", 8))
        return damaged(error, "no VHD footer (cookie missing)");
    if (vhd_get32(raw + FOOTER_CHECKSUM) != vhd_checksum(raw, VHD_FOOTER_BYTES, FOOTER_CHECKSUM) &&
        !MUTANT(vhd_footer_checksum)) /* mutant: disk_vhd */
        return damaged(error, "wrong checksum of the VHD footer");
    if (vhd_get32(raw + FOOTER_VERSION) != VHD_VERSION ||
        vhd_get64(raw + FOOTER_DATA_OFFSET) != VHD_FOOTER_BYTES) {
        err_set(error, ERR_UNSUPPORTED, "VHD version %#x with its header at %" G_GUINT64_FORMAT,
                vhd_get32(raw + FOOTER_VERSION), vhd_get64(raw + FOOTER_DATA_OFFSET));
        return false;
    }
    *footer = (VhdFooter){
        .current_size = vhd_get64(raw + FOOTER_CURRENT_SIZE),
        .original_size = vhd_get64(raw + FOOTER_ORIGINAL_SIZE),
        .timestamp = vhd_get32(raw + FOOTER_TIMESTAMP),
        .type = vhd_get32(raw + FOOTER_TYPE),
    };
    memcpy(footer->uid.bytes, raw + FOOTER_UID, sizeof footer->uid.bytes);
    if (footer->type != VHD_DYNAMIC && footer->type != VHD_DIFFERENCING) {
        err_set(error, ERR_UNSUPPORTED, "VHD of type %u (only dynamic and differencing ones)",
                footer->type);
        return false;
    }
    if (footer->original_size > footer->current_size)
        return damaged(error, "VHD footer with an original size above the current one");
    return true;
}

static void footer_seal(guint8 *raw, const VhdFooter *footer)
{
    vhd_put32(raw + FOOTER_TIMESTAMP, footer->timestamp);
    vhd_put64(raw + FOOTER_ORIGINAL_SIZE, footer->original_size);
    vhd_put64(raw + FOOTER_CURRENT_SIZE, footer->current_size);
    vhd_put32(raw + FOOTER_GEOMETRY, vhd_geometry(footer->current_size));
    memcpy(raw + FOOTER_UID, footer->uid.bytes, sizeof footer->uid.bytes);
    vhd_put32(raw + FOOTER_CHECKSUM, vhd_checksum(raw, VHD_FOOTER_BYTES, FOOTER_CHECKSUM));
}

/* The creator is XO's, so that its other tools treat our disks as their own. */
void vhd_footer_format(const VhdFooter *footer, guint8 raw[VHD_FOOTER_BYTES])
{
    memset(raw, 0, VHD_FOOTER_BYTES);
    memcpy(raw, "conectix", 8);
    vhd_put32(raw + FOOTER_FEATURES, 2);
    vhd_put32(raw + FOOTER_VERSION, VHD_VERSION);
    vhd_put64(raw + FOOTER_DATA_OFFSET, VHD_FOOTER_BYTES);
    memcpy(raw + FOOTER_CREATOR, "xo  ", 4);
    vhd_put32(raw + FOOTER_HOST_OS, HOST_OS_WINDOWS);
    vhd_put32(raw + FOOTER_TYPE, footer->type);
    footer_seal(raw, footer);
}

void vhd_footer_adopt(guint8 raw[VHD_FOOTER_BYTES], const VhdFooter *from)
{
    footer_seal(raw, from);
}

void vhd_footer_set_creator(guint8 raw[VHD_FOOTER_BYTES], const char *creator)
{
    memset(raw + FOOTER_CREATOR, 0, 4);
    memcpy(raw + FOOTER_CREATOR, creator, MIN(strlen(creator), 4));
    vhd_put32(raw + FOOTER_CHECKSUM, vhd_checksum(raw, VHD_FOOTER_BYTES, FOOTER_CHECKSUM));
}

/* UTF-16BE up to the first NUL. */
static bool parse_name(const guint8 *raw, char name[256], GError **error)
{
    gunichar2 wide[HEADER_NAME_BYTES / 2 + 1] = { 0 };
    glong n = 0;
    while (n < HEADER_NAME_BYTES / 2 && (wide[n] = vhd_get16(raw + 2 * n)))
        n++;
    glong n_bytes = 0;
    g_autofree char *utf8 = g_utf16_to_utf8(wide, n, NULL, &n_bytes, NULL);
    if (!utf8)
        return damaged(error, "parent name in the VHD header is not UTF-16");
    if (n_bytes > 255) {
        err_set(error, ERR_UNSUPPORTED, "parent name of %ld bytes in the VHD header", n_bytes);
        return false;
    }
    memcpy(name, utf8, n_bytes + 1);
    return true;
}

bool vhd_header_parse(const guint8 raw[VHD_HEADER_BYTES], VhdHeader *header, GError **error)
{
    if (memcmp(raw, "cxsparse", 8))
        return damaged(error, "no VHD header (cookie missing)");
    if (vhd_get32(raw + HEADER_CHECKSUM) != vhd_checksum(raw, VHD_HEADER_BYTES, HEADER_CHECKSUM))
        return damaged(error, "wrong checksum of the VHD header");
    if (vhd_get32(raw + HEADER_VERSION) != VHD_VERSION ||
        vhd_get64(raw + HEADER_DATA_OFFSET) != G_MAXUINT64) {
        err_set(error, ERR_UNSUPPORTED, "VHD header of version %#x",
                vhd_get32(raw + HEADER_VERSION));
        return false;
    }
    if (vhd_get32(raw + HEADER_BLOCK_BYTES) != DISK_BLOCK_BYTES) {
        err_set(error, ERR_UNSUPPORTED, "VHD with blocks of %u bytes (only 2 MiB)",
                vhd_get32(raw + HEADER_BLOCK_BYTES));
        return false;
    }
    header->table_offset = vhd_get64(raw + HEADER_TABLE_OFFSET);
    header->n_entries = vhd_get32(raw + HEADER_ENTRIES);
    memcpy(header->parent_uid.bytes, raw + HEADER_PARENT_UID, sizeof header->parent_uid.bytes);
    if (header->n_entries > VHD_MAX_BLOCKS) {
        err_set(error, ERR_LIMIT, "VHD with %u blocks (at most %u)", header->n_entries,
                VHD_MAX_BLOCKS);
        return false;
    }
    if (header->table_offset < VHD_TABLE_OFFSET || header->table_offset > G_MAXINT64 / 2)
        return damaged(error, "block table of the VHD lies inside its header");
    return parse_name(raw + HEADER_PARENT_NAME, header->parent_name, error);
}

static void header_seal(guint8 *raw)
{
    vhd_put32(raw + HEADER_CHECKSUM, vhd_checksum(raw, VHD_HEADER_BYTES, HEADER_CHECKSUM));
}

bool vhd_header_format(const VhdHeader *header, guint8 raw[VHD_HEADER_BYTES], GError **error)
{
    memset(raw, 0, VHD_HEADER_BYTES);
    memcpy(raw, "cxsparse", 8);
    vhd_put64(raw + HEADER_DATA_OFFSET, G_MAXUINT64);
    vhd_put64(raw + HEADER_TABLE_OFFSET, header->table_offset);
    vhd_put32(raw + HEADER_VERSION, VHD_VERSION);
    vhd_put32(raw + HEADER_ENTRIES, header->n_entries);
    vhd_put32(raw + HEADER_BLOCK_BYTES, DISK_BLOCK_BYTES);
    memcpy(raw + HEADER_PARENT_UID, header->parent_uid.bytes, sizeof header->parent_uid.bytes);
    glong n = 0;
    g_autofree gunichar2 *wide = g_utf8_to_utf16(header->parent_name, -1, NULL, &n, NULL);
    if (!wide || n > HEADER_NAME_BYTES / 2) {
        err_set(error, ERR_INVALID, "parent name \"%s\" does not fit into a VHD header",
                header->parent_name);
        return false;
    }
    for (glong i = 0; i < n; i++)
        vhd_put16(raw + HEADER_PARENT_NAME + 2 * i, wide[i]);
    header_seal(raw);
    return true;
}

void vhd_header_resize(guint8 raw[VHD_HEADER_BYTES], guint32 n_entries)
{
    vhd_put32(raw + HEADER_ENTRIES, n_entries);
    header_seal(raw);
}

bool vhd_info(const VhdFooter *footer, const VhdHeader *header, DiskInfo *info, GError **error)
{
    guint32 n_blocks = vhd_n_blocks(footer->current_size);
    if (n_blocks > header->n_entries ||
        footer->current_size > VHD_MAX_BLOCKS * 1ull * DISK_BLOCK_BYTES) {
        err_set(error, ERR_CORRUPT,
                "VHD of %" G_GUINT64_FORMAT " bytes with a block table of only %u entries",
                footer->current_size, header->n_entries);
        return false;
    }
    *info = (DiskInfo){
        .size_bytes = footer->current_size,
        .n_blocks = n_blocks,
        .uid = footer->uid,
        .differencing = footer->type == VHD_DIFFERENCING,
        .parent_uid = header->parent_uid,
        .timestamp_s = footer->timestamp,
    };
    if (info->differencing)
        memcpy(info->parent_name, header->parent_name, sizeof info->parent_name);
    return true;
}

bool vhd_from_info(const DiskInfo *info, VhdFooter *footer, VhdHeader *header, GError **error)
{
    if (info->size_bytes > VHD_MAX_BLOCKS * 1ull * DISK_BLOCK_BYTES) {
        err_set(error, ERR_LIMIT, "disk of %" G_GUINT64_FORMAT " bytes is too large for a VHD",
                info->size_bytes);
        return false;
    }
    *footer = (VhdFooter){
        .current_size = info->size_bytes,
        .original_size = info->size_bytes,
        .timestamp = (guint32) info->timestamp_s,
        .type = info->differencing ? VHD_DIFFERENCING : VHD_DYNAMIC,
        .uid = info->uid,
    };
    *header = (VhdHeader){
        .table_offset = VHD_TABLE_OFFSET,
        .n_entries = vhd_n_blocks(info->size_bytes),
    };
    if (info->differencing) {
        header->parent_uid = info->parent_uid;
        memcpy(header->parent_name, info->parent_name, sizeof header->parent_name);
    }
    return true;
}

guint32 vhd_n_blocks(guint64 size_bytes)
{
    return (guint32) MIN(ceil_div(size_bytes, DISK_BLOCK_BYTES), G_MAXUINT32);
}

guint64 vhd_table_bytes(guint32 n_entries)
{
    return MAX(ceil_div(n_entries * 4ull, VHD_SECTOR_BYTES), 1) * VHD_SECTOR_BYTES;
}

guint64 vhd_file_bytes(guint32 n_entries, guint32 n_present)
{
    return VHD_TABLE_OFFSET + vhd_table_bytes(n_entries) + n_present * (guint64) VHD_STORED_BYTES +
           VHD_FOOTER_BYTES;
}

bool vhd_apply_bitmap(const guint8 bitmap[VHD_BITMAP_BYTES], const DiskInfo *info, guint32 block,
                      guint8 *data, GError **error)
{
    static const guint8 all[VHD_BITMAP_BYTES] = { [0 ... VHD_BITMAP_BYTES - 1] = 0xff };
    if (!memcmp(bitmap, all, sizeof all))
        return true;
    if (info->differencing) {
        err_set(error, ERR_UNSUPPORTED,
                "block %u holds only some of its sectors, the others are in the parent", block);
        return false;
    }
    for (unsigned i = 0; i < VHD_BITMAP_BYTES * 8; i++)
        if (!(bitmap[i >> 3] & (0x80 >> (i & 7))))
            memset(data + i * (gsize) VHD_SECTOR_BYTES, 0, VHD_SECTOR_BYTES);
    return true;
}

bool vhd_apply_stored_bitmap(const guint8 bitmap[VHD_BITMAP_BYTES], const DiskInfo *info,
                             guint32 block, guint8 *data, GError **error)
{
    static const guint8 zeros[VHD_SECTOR_BYTES];
    for (unsigned i = 0; i < VHD_BITMAP_BYTES * 8 && !info->differencing; i++) {
        bool there = bitmap[i >> 3] & (0x80 >> (i & 7));
        if (there || memcmp(data + i * (gsize) VHD_SECTOR_BYTES, zeros, sizeof zeros) == 0 ||
            MUTANT(vhd_stored_bitmap)) /* mutant: disk_vhd */
            continue;
        err_set(error, ERR_CORRUPT, "its bitmap does not name sector %u, which holds data", i);
        return false;
    }
    return vhd_apply_bitmap(bitmap, info, block, data, error);
}

void vhd_trim_block(const DiskInfo *info, guint32 block, guint8 *data)
{
    guint64 start = block * (guint64) DISK_BLOCK_BYTES;
    guint64 n = info->size_bytes > start ? info->size_bytes - start : 0;
    if (n < DISK_BLOCK_BYTES)
        memset(data + n, 0, DISK_BLOCK_BYTES - n);
}
