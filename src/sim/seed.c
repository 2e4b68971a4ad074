/* Cells are drawn from one multiply-and-fold random sequence started by (seed, generation, cell).
 * Text is written by copying whole padded words, so that a cell costs a few microseconds. */
#include "sim/seed.h"

#include <string.h>

typedef struct {
    guint64 state;
} Random;

static guint64 fold(guint64 a, guint64 b)
{
    unsigned __int128 product = (unsigned __int128) a * b;
    return (guint64) product ^ (guint64) (product >> 64);
}

static guint64 next(Random *random)
{
    random->state += 0xa0761d6478bd642full;
    return fold(random->state, random->state ^ 0xe7037ed1a0b428dbull);
}

#define WORD_PAD 16
#define N_WORDS  64
static const char words[N_WORDS][WORD_PAD] = {
    "the ",        "request ", "from ",     "user ",       "session ",   "opened ",     "closed ",
    "for ",        "by ",      "uid=0 ",    "status=200 ", "GET ",       "/index ",     "POST ",
    "/api/items ", "failed ",  "error ",    "timeout ",    "retry ",     "connection ", "disk ",
    "cache ",      "hit ",     "miss ",     "database ",   "query ",     "rows ",       "commit ",
    "started ",    "stopped ", "service ",  "worker ",     "queue ",     "length ",     "memory ",
    "free ",       "backup ",  "snapshot ", "network ",    "eth0 ",      "link ",       "up ",
    "down ",       "packet ",  "dropped ",  "kernel: ",    "audit: ",    "cron ",       "job ",
    "finished ",   "in ",      "ms ",       "bytes ",      "read ",      "write ",      "sync ",
    "mount ",      "volume ",  "accepted ", "key ",        "publickey ", "port ",       "host ",
    "unknown ",
};

static const char hex_digits[] = "0123456789abcdef";

/* "2026-MM-DD hh:mm:ss.mmm nodeN svc[PID]: id=xxxxxxxx " at `out`; the bytes written. */
static gsize line_head(char *out, guint32 second, guint64 bits)
{
    static const char shape[] = "2026-11-00 00:00:00.000 node0 svc[1000]: id=00000000 ";
    memcpy(out, shape, sizeof shape - 1);
    const struct {
        guint8 at;
        guint32 value;
    } pairs[] = { { 8, 1 + second / 86400 % 28 }, { 11, second / 3600 % 24 },
                  { 14, second / 60 % 60 },       { 17, second % 60 },
                  { 21, (guint32) (bits & 63) },  { 36, (guint32) (bits >> 6 & 31) } };
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        out[pairs[i].at] = (char) ('0' + pairs[i].value / 10);
        out[pairs[i].at + 1] = (char) ('0' + pairs[i].value % 10);
    }
    out[28] = (char) ('0' + (bits >> 11 & 7));
    for (unsigned i = 0; i < 8; i++)
        out[44 + i] = hex_digits[bits >> (16 + 4 * i) & 15];
    return sizeof shape - 1;
}

/* Log lines; `room` leaves space for the longest overshoot of a line. */
static void text_cell(Random *random, char *out)
{
    enum { ROOM = SEED_CELL_BYTES - 64 - 12 * WORD_PAD };
    guint32 second = (guint32) (next(random) % (28 * 86400));
    gsize at = 0;
    while (at < ROOM) {
        guint64 bits = next(random);
        at += line_head(out + at, second, bits);
        second += bits >> 60 ? 0 : 1;
        unsigned n_words = 4 + (unsigned) (bits >> 48 & 7);
        guint64 choice = next(random);
        for (unsigned i = 0; i < n_words; i++) {
            unsigned a = choice >> (5 * i) & 63, b = choice >> (5 * i + 6) & 63;
            const char *word = words[a * b / 63 % N_WORDS];
            memcpy(out + at, word, WORD_PAD);
            at += strnlen(word, WORD_PAD);
        }
        out[at++] = '\n';
    }
    memset(out + at, '\n', SEED_CELL_BYTES - at);
}

static void record_cell(Random *random, guint8 *out)
{
    guint32 counter = (guint32) next(random);
    for (gsize at = 0; at < SEED_CELL_BYTES; at += 32, counter++) {
        guint64 bits = next(random);
        guint32 record[8] = { counter,    0x00010000,   (guint32) bits & 0xffff,       0,
                              0x5ca1ab1e, counter * 16, (guint32) (bits >> 32) & 0xff, 0 };
        for (unsigned i = 0; i < 8; i++)
            record[i] = GUINT32_TO_LE(record[i]);
        memcpy(out + at, record, sizeof record);
    }
}

static void random_cell(Random *random, guint8 *out)
{
    for (gsize at = 0; at < SEED_CELL_BYTES; at += 8) {
        guint64 bits = GUINT64_TO_LE(next(random));
        memcpy(out + at, &bits, 8);
    }
}

void seed_cell(guint64 seed, guint32 generation, guint64 cell, void *out)
{
    Random random = { fold(seed ^ 0x9e3779b97f4a7c15ull, fold(generation + 0x8ebc6af09c88c6e3ull,
                                                              cell ^ 0x589965cc75374cc3ull)) };
    unsigned kind = (unsigned) (next(&random) % 10);
    if (kind < 3)
        memset(out, 0, SEED_CELL_BYTES);
    else if (kind < 7)
        text_cell(&random, out);
    else if (kind < 8)
        record_cell(&random, out);
    else
        random_cell(&random, out);
}

bool seed_holds_block(guint32 block, guint32 n_allocated, guint32 n_blocks)
{
    return n_blocks > 0 && (guint64) block * n_allocated % n_blocks < n_allocated;
}
