/* A xorshift generator: the content must come faster than anything that is measured with it. */
#include "content.h"

#include <string.h>

enum { CELL_BYTES = 64 << 10, N_WORDS = 4096, WORD_BYTES = 12 };

typedef struct {
    guint64 a, b;
} Dice;

typedef struct {
    char text[WORD_BYTES];
    gsize n;
} Word;

static guint64 roll(Dice *dice)
{
    guint64 x = dice->a, y = dice->b;
    dice->a = y;
    x ^= x << 23;
    dice->b = x ^ y ^ (x >> 17) ^ (y >> 26);
    return dice->b + y;
}

/* Common letters come often, as in any language. */
static Word *make_words(void)
{
    static const char letters[] = "etaoinshrdlucmfwypvbgkjqxz";
    Dice dice = { 0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u };
    Word *words = g_new0(Word, N_WORDS);
    for (unsigned i = 0; i < N_WORDS; i++) {
        words[i].n = 2 + roll(&dice) % 9;
        for (gsize j = 0; j < words[i].n; j++)
            words[i].text[j] = letters[(roll(&dice) % 26) * (roll(&dice) % 26) / 26];
        words[i].text[words[i].n++] = ' ';
    }
    return words;
}

static const Word *words(void)
{
    static gsize made;
    if (g_once_init_enter(&made))
        g_once_init_leave(&made, (gsize) make_words());
    return (const Word *) made;
}

static gsize put(guint8 *cell, gsize at, const char *text, gsize n)
{
    n = MIN(n, CELL_BYTES - at);
    memcpy(cell + at, text, n);
    return at + n;
}

static void fill_text(guint8 *cell, Dice *dice)
{
    unsigned line = roll(dice) % 100000;
    for (gsize at = 0; at < CELL_BYTES; line++) {
        char head[80];
        int n = g_snprintf(head, sizeof head, "2026-11-%02u %02u:%02u:%02u.%03u host%u svc[%u]: ",
                           1 + line / 9000 % 28, line / 3600 % 24, line / 60 % 60, line % 60,
                           (unsigned) (roll(dice) % 1000), line % 7,
                           1000 + (unsigned) (roll(dice) % 40));
        at = put(cell, at, head, (gsize) n);
        for (unsigned left = 6 + roll(dice) % 12; left > 0; left--) {
            guint64 r = roll(dice);
            guint64 index = (r & 4095) * (r >> 12 & 4095) / 4096 * (r >> 24 & 4095) / 4096;
            at = put(cell, at, words()[index].text, words()[index].n);
        }
        at = put(cell, at, "\n", 1);
    }
}

static void fill_records(guint8 *cell, Dice *dice)
{
    guint32 count = (guint32) roll(dice);
    for (gsize at = 0; at < CELL_BYTES; at += 32, count++) {
        guint32 record[8] = { count,      0x10000,    (guint32) roll(dice) & 0xffff, 0,
                              0xdeadbeef, count * 16, (guint32) roll(dice) & 0xff,   0 };
        memcpy(cell + at, record, sizeof record);
    }
}

static void fill_random(guint8 *cell, Dice *dice)
{
    for (gsize at = 0; at < CELL_BYTES; at += sizeof(guint64)) {
        guint64 r = roll(dice);
        memcpy(cell + at, &r, sizeof r);
    }
}

static void fill_cell(guint8 *cell, guint64 seed)
{
    Dice dice = { seed * 0x9e3779b97f4a7c15u + 1, seed ^ 0xbf58476d1ce4e5b9u };
    for (unsigned i = 0; i < 4; i++)
        roll(&dice);
    unsigned kind = roll(&dice) % 10;
    if (kind < 3)
        memset(cell, 0, CELL_BYTES);
    else if (kind < 7)
        fill_text(cell, &dice);
    else if (kind < 8)
        fill_records(cell, &dice);
    else
        fill_random(cell, &dice);
}

void content_fill(void *data, gsize n, guint64 seed, guint32 block)
{
    gsize n_cells = n / CELL_BYTES;
    for (gsize i = 0; i < n_cells; i++)
        fill_cell((guint8 *) data + i * CELL_BYTES, seed * 1000003 + block * n_cells + i);
}
