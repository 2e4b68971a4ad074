/* The head of a block directory (backups of XO with useVhdDirectory), read and checked: shared by
 * the reader and the merge. Chunks: "header", "footer" as in a flat VHD; "bat", one bit a block,
 * MSB first, in as many bytes as there are blocks; "chunk-filters.json", an array with one codec,
 * absent when there is none; "blocks/<i / 1000>/<i % 1000>", a bitmap of 512 bytes and the block.
 * All but chunk-filters.json go through the codec. For the files of disk/ only. */
#pragma once

#include "codec/codec.h"
#include "disk/vhd_format.h"

typedef struct {
    guint8 raw_footer[VHD_FOOTER_BYTES], raw_header[VHD_HEADER_BYTES];
    VhdFooter footer;
    VhdHeader header;
    DiskInfo info;
    const Codec *codec;
    guint32 n_stored_entries; /* what the header says; `header` may have been made to fit */
    guint8 *present;          /* one byte a block, info.n_blocks of them */
} VhdDirectory;

const Codec *vhd_codec_load(Chunks *chunks, GError **error);
bool vhd_directory_load(Chunks *chunks, VhdDirectory *directory, GError **error);
void vhd_directory_clear(VhdDirectory *directory);

/* A chunk through the codec, of a known length. CORRUPT names the chunk. */
bool vhd_chunk_get(Chunks *chunks, const Codec *codec, const char *name, void *out, gsize n,
                   GError **error);
bool vhd_chunk_put(Chunks *chunks, const Codec *codec, const char *name, const void *data, gsize n,
                   GError **error);
/* A block, all of it written. */
bool vhd_block_put(Chunks *chunks, const Codec *codec, const char *name, const void *data,
                   GError **error);
/* The "bat" chunk from one byte a block. */
bool vhd_bat_put(Chunks *chunks, const Codec *codec, const guint8 *present, guint32 n_entries,
                 GError **error);
