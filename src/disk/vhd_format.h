/* The structures of a VHD, as bytes and as fields. Source: Microsoft's "Virtual Hard Disk Image
 * Format Specification" 1.0, with the rules XO adds. All integers are big-endian. For the files
 * of disk/ only. Nothing here blocks. */
#pragma once

#include "disk/disk.h"

enum {
    VHD_SECTOR_BYTES = 512,
    VHD_FOOTER_BYTES = 512,
    VHD_HEADER_BYTES = 1024,
    VHD_TABLE_OFFSET = VHD_FOOTER_BYTES + VHD_HEADER_BYTES,
    VHD_BITMAP_BYTES = 512,
    VHD_STORED_BYTES = VHD_BITMAP_BYTES + DISK_BLOCK_BYTES, /* a block with its bitmap */
    VHD_BLOCK_SECTORS = VHD_STORED_BYTES / VHD_SECTOR_BYTES,
    VHD_MAX_BLOCKS = 32 << 20, /* 64 TiB; a block map is 4 bytes a block */
};
#define VHD_UNUSED 0xffffffffu

typedef struct {
    guint64 current_size, original_size;
    guint32 timestamp, type; /* type: 3 dynamic, 4 differencing */
    DiskUid uid;
} VhdFooter;
enum { VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };

typedef struct {
    guint64 table_offset;
    guint32 n_entries;
    DiskUid parent_uid;
    char parent_name[256];
} VhdHeader;

guint16 vhd_get16(const void *at);
guint32 vhd_get32(const void *at);
guint64 vhd_get64(const void *at);
void vhd_put16(void *at, guint16 value);
void vhd_put32(void *at, guint32 value);
void vhd_put64(void *at, guint64 value);

/* One's complement of the byte sum without the four bytes at `checksum_at`. */
guint32 vhd_checksum(const guint8 *data, gsize n, gsize checksum_at);
/* Cylinders << 16 | heads << 8 | sectors, as XO rounds them. */
guint32 vhd_geometry(guint64 size_bytes);

/* CORRUPT, UNSUPPORTED. */
bool vhd_footer_parse(const guint8 raw[VHD_FOOTER_BYTES], VhdFooter *footer, GError **error);
void vhd_footer_format(const VhdFooter *footer, guint8 raw[VHD_FOOTER_BYTES]);
/* Gives a footer the size, times and identity of another, keeping its own type and creator. */
void vhd_footer_adopt(guint8 raw[VHD_FOOTER_BYTES], const VhdFooter *from);
/* At most four letters. */
void vhd_footer_set_creator(guint8 raw[VHD_FOOTER_BYTES], const char *creator);
bool vhd_header_parse(const guint8 raw[VHD_HEADER_BYTES], VhdHeader *header, GError **error);
/* INVALID when the parent's name does not fit. */
bool vhd_header_format(const VhdHeader *header, guint8 raw[VHD_HEADER_BYTES], GError **error);
/* Changes the number of entries only. */
void vhd_header_resize(guint8 raw[VHD_HEADER_BYTES], guint32 n_entries);

/* Both together, with the checks between them. */
bool vhd_info(const VhdFooter *footer, const VhdHeader *header, DiskInfo *info, GError **error);
/* The footer and header of a new disk. */
bool vhd_from_info(const DiskInfo *info, VhdFooter *footer, VhdHeader *header, GError **error);

guint32 vhd_n_blocks(guint64 size_bytes);
/* Bytes of a table of n entries, in whole sectors, at least one. */
guint64 vhd_table_bytes(guint32 n_entries);
/* Length of a flat file of ours. */
guint64 vhd_file_bytes(guint32 n_entries, guint32 n_present);

/* Applies the bitmap of a block just read: sectors that are not there read as zeros in a root, and
 * are UNSUPPORTED in a differencing disk (nothing of XO's or the pools' writes them). */
bool vhd_apply_bitmap(const guint8 bitmap[VHD_BITMAP_BYTES], const DiskInfo *info, guint32 block,
                      guint8 *data, GError **error);
/* The same for what is stored: writers that we know leave zeros where a sector is not there, so
 * data there is CORRUPT. */
bool vhd_apply_stored_bitmap(const guint8 bitmap[VHD_BITMAP_BYTES], const DiskInfo *info,
                             guint32 block, guint8 *data, GError **error);
/* Zeros what lies past the end of the disk in its last block. */
void vhd_trim_block(const DiskInfo *info, guint32 block, guint8 *data);
