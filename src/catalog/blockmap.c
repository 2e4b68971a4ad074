/* A growing table of rows, in the order of arrival; sorted when it is written. A disk of 2 TiB has
 * a million rows of 20 bytes. Looking up is by a hash table from block to row. */
#include "catalog/blockmap.h"

#include "base/error.h"
#include "base/mutant.h"
#include "codec/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BYTES (4u + BLOCK_HASH_BYTES)

typedef struct {
    guint32 block;
    guint8 hash[BLOCK_HASH_BYTES];
} Row;

struct BlockMap {
    pthread_mutex_t lock;
    GArray *rows;
    GHashTable *row_of; /* block to row + 1 */
};

BlockMap *block_map_new(void)
{
    BlockMap *map = g_new0(BlockMap, 1);
    pthread_mutex_init(&map->lock, NULL);
    map->rows = g_array_new(FALSE, FALSE, sizeof(Row));
    map->row_of = g_hash_table_new(NULL, NULL);
    return map;
}

void block_map_free(BlockMap *map)
{
    if (!map)
        return;
    g_array_unref(map->rows);
    g_hash_table_unref(map->row_of);
    pthread_mutex_destroy(&map->lock);
    g_free(map);
}

static Row *row_find(BlockMap *map, guint32 block)
{
    guint at = GPOINTER_TO_UINT(g_hash_table_lookup(map->row_of, GUINT_TO_POINTER(block)));
    return at ? &g_array_index(map->rows, Row, at - 1) : NULL;
}

void block_map_set(BlockMap *map, guint32 block, const guint8 hash[BLOCK_HASH_BYTES])
{
    pthread_mutex_lock(&map->lock);
    Row *row = row_find(map, block);
    if (!row) {
        Row fresh = { .block = block };
        g_array_append_val(map->rows, fresh);
        g_hash_table_insert(map->row_of, GUINT_TO_POINTER(block), GUINT_TO_POINTER(map->rows->len));
        row = &g_array_index(map->rows, Row, map->rows->len - 1);
    }
    memcpy(row->hash, hash, BLOCK_HASH_BYTES);
    pthread_mutex_unlock(&map->lock);
}

GBytes *block_map_rows(BlockMap *map, guint32 from)
{
    pthread_mutex_lock(&map->lock);
    guint32 n = map->rows->len > from ? map->rows->len - from : 0;
    g_autofree guint8 *packed = g_malloc(n * (gsize) ROW_BYTES + 1);
    for (guint32 i = 0; i < n; i++) {
        const Row *row = &g_array_index(map->rows, Row, from + i);
        guint32 block = GUINT32_TO_LE(row->block);
        memcpy(packed + i * (gsize) ROW_BYTES, &block, sizeof block);
        memcpy(packed + i * (gsize) ROW_BYTES + sizeof block, row->hash, BLOCK_HASH_BYTES);
    }
    pthread_mutex_unlock(&map->lock);
    return g_bytes_new_take(g_steal_pointer(&packed), n * (gsize) ROW_BYTES);
}

guint32 *block_map_in_order(BlockMap *map, guint32 *n_blocks)
{
    pthread_mutex_lock(&map->lock);
    guint32 *blocks = g_new(guint32, MAX(map->rows->len, 1));
    for (guint i = 0; i < map->rows->len; i++)
        blocks[i] = g_array_index(map->rows, Row, i).block;
    *n_blocks = map->rows->len;
    pthread_mutex_unlock(&map->lock);
    return blocks;
}

bool block_map_add_rows(BlockMap *map, const void *rows, gsize n_bytes, GError **error)
{
    const guint8 *packed = rows;
    for (gsize i = 0; i + ROW_BYTES <= n_bytes; i += ROW_BYTES) {
        guint32 block;
        memcpy(&block, packed + i, sizeof block);
        block_map_set(map, GUINT32_FROM_LE(block), packed + i + sizeof block);
    }
    if (n_bytes % ROW_BYTES == 0)
        return true;
    err_set(error, ERR_CORRUPT, "%zu bytes are no rows of %u", n_bytes, ROW_BYTES);
    return false;
}

bool block_map_get(BlockMap *map, guint32 block, guint8 hash[BLOCK_HASH_BYTES])
{
    pthread_mutex_lock(&map->lock);
    const Row *row = row_find(map, block);
    if (row)
        memcpy(hash, row->hash, BLOCK_HASH_BYTES);
    pthread_mutex_unlock(&map->lock);
    return row != NULL;
}

void block_map_drop(BlockMap *map, guint32 block)
{
    pthread_mutex_lock(&map->lock);
    Row *row = row_find(map, block);
    if (row) {
        Row last = g_array_index(map->rows, Row, map->rows->len - 1);
        gpointer at = g_hash_table_lookup(map->row_of, GUINT_TO_POINTER(block));
        *row = last; /* the last takes its place */
        g_hash_table_insert(map->row_of, GUINT_TO_POINTER(last.block), at);
        g_hash_table_remove(map->row_of, GUINT_TO_POINTER(block));
        g_array_set_size(map->rows, map->rows->len - 1);
    }
    pthread_mutex_unlock(&map->lock);
}

void block_map_clear(BlockMap *map)
{
    pthread_mutex_lock(&map->lock);
    g_array_set_size(map->rows, 0);
    g_hash_table_remove_all(map->row_of);
    pthread_mutex_unlock(&map->lock);
}

guint32 block_map_size(BlockMap *map)
{
    pthread_mutex_lock(&map->lock);
    guint32 n = map->rows->len;
    pthread_mutex_unlock(&map->lock);
    return n;
}

void block_map_add(BlockMap *map, BlockMap *newer)
{
    for (guint i = 0; i < newer->rows->len; i++) {
        const Row *row = &g_array_index(newer->rows, Row, i);
        guint8 hash[BLOCK_HASH_BYTES];
        if (MUTANT(manifest_keeps_old) &&
            block_map_get(map, row->block, hash)) /* mutant: catalog_clean */
            continue;
        block_map_set(map, row->block, row->hash);
    }
}

static int by_block(gconstpointer a, gconstpointer b)
{
    guint32 left = ((const Row *) a)->block, right = ((const Row *) b)->block;
    return left < right ? -1 : left > right;
}

static GArray *sorted_rows(BlockMap *map)
{
    pthread_mutex_lock(&map->lock);
    GArray *rows = g_array_copy(map->rows);
    pthread_mutex_unlock(&map->lock);
    g_array_sort(rows, by_block);
    return rows;
}

guint32 *block_map_blocks(BlockMap *map, guint32 *n_blocks)
{
    g_autoptr(GArray) rows = sorted_rows(map);
    guint32 *blocks = g_new(guint32, MAX(rows->len, 1));
    for (guint i = 0; i < rows->len; i++)
        blocks[i] = g_array_index(rows, Row, i).block;
    *n_blocks = rows->len;
    return blocks;
}

char *block_map_format(BlockMap *map)
{
    g_autoptr(GArray) rows = sorted_rows(map);
    g_autofree guint8 *raw = g_malloc((gsize) rows->len * ROW_BYTES + 1);
    for (guint i = 0; i < rows->len; i++) {
        const Row *row = &g_array_index(rows, Row, i);
        guint32 number = GUINT32_TO_BE(row->block);
        memcpy(raw + (gsize) i * ROW_BYTES, &number, 4);
        memcpy(raw + (gsize) i * ROW_BYTES + 4, row->hash, BLOCK_HASH_BYTES);
    }
    return g_base64_encode(raw, (gsize) rows->len * ROW_BYTES);
}

BlockMap *block_map_parse(const char *text, GError **error)
{
    gsize n;
    g_autofree guint8 *raw = g_base64_decode(text, &n);
    if (n % ROW_BYTES != 0) {
        err_set(error, ERR_CORRUPT, "a block map of %" G_GSIZE_FORMAT " bytes is not whole rows",
                n);
        return NULL;
    }
    BlockMap *map = block_map_new();
    for (gsize at = 0; at < n; at += ROW_BYTES) {
        guint32 number;
        memcpy(&number, raw + at, 4);
        block_map_set(map, GUINT32_FROM_BE(number), raw + at + 4);
    }
    return map;
}

void block_hash(const void *data, guint8 hash[BLOCK_HASH_BYTES])
{
    g_autoptr(Hash) state = hash_new(HASH_XXH3);
    guint8 digest[HASH_MAX_BYTES];
    hash_add(state, data, DISK_BLOCK_BYTES);
    hash_end(state, digest);
    memcpy(hash, digest, BLOCK_HASH_BYTES);
}
