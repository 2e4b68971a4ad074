/* The packed form: one tag byte, then what the tag says. Texts that are references, uuids or words
 * of words.def are recognised; those of 64 bytes and more are shared through GLib's table of
 * reference counted strings, and the record holds their pointers in front of its bytes. */
#include "pool/packer.h"

#include <string.h>
#include <xxhash.h>

enum { SHARED_MIN_BYTES = 64, MAX_SHARED = 255, N_WORD_SLOTS = 1024 };

const char *const packed_words[] = {
#define W(word) word,
#include "pool/words.def"
#undef W
};

const guint packed_n_words = G_N_ELEMENTS(packed_words);
G_STATIC_ASSERT(G_N_ELEMENTS(packed_words) * 2 < N_WORD_SLOTS);

struct Packer {
    Cells *cells;
    GByteArray *bytes;
    GPtrArray *shared;
    guint16 words[N_WORD_SLOTS]; /* index + 1, at the hash of the word or behind */
    guint8 n_words[G_N_ELEMENTS(packed_words)];
};

/* --- words --- */

static guint slot_of(const char *text, gsize n)
{
    return (guint) XXH3_64bits(text, n) % N_WORD_SLOTS;
}

static void learn_words(Packer *packer)
{
    for (guint i = 0; i < packed_n_words; i++) {
        gsize n = strlen(packed_words[i]);
        guint slot = slot_of(packed_words[i], n);
        while (packer->words[slot])
            slot = (slot + 1) % N_WORD_SLOTS;
        packer->words[slot] = (guint16) (i + 1);
        packer->n_words[i] = (guint8) n;
    }
}

static int find_word(const Packer *packer, const char *text, gsize n)
{
    for (guint slot = slot_of(text, n); packer->words[slot]; slot = (slot + 1) % N_WORD_SLOTS) {
        guint i = packer->words[slot] - 1u;
        if (packer->n_words[i] == n && memcmp(packed_words[i], text, n) == 0)
            return (int) i;
    }
    return -1;
}

/* --- life --- */

Packer *packer_new(Cells *cells)
{
    Packer *packer = g_new0(Packer, 1);
    packer->cells = cells;
    packer->bytes = g_byte_array_sized_new(4096);
    packer->shared = g_ptr_array_new_with_free_func((GDestroyNotify) g_ref_string_release);
    learn_words(packer);
    return packer;
}

void packer_free(Packer *packer)
{
    if (!packer)
        return;
    g_byte_array_unref(packer->bytes);
    g_ptr_array_unref(packer->shared);
    g_free(packer);
}

void packer_begin(Packer *packer)
{
    g_byte_array_set_size(packer->bytes, 0);
    g_ptr_array_set_size(packer->shared, 0);
}

/* --- values --- */

/* Room for n more bytes. */
static guint8 *add(Packer *packer, gsize n)
{
    guint at = packer->bytes->len;
    g_byte_array_set_size(packer->bytes, at + (guint) n);
    return packer->bytes->data + at;
}

void packer_tag(Packer *packer, guint8 tag)
{
    *add(packer, 1) = tag;
}

static guint write_varint(guint8 *out, guint64 value)
{
    guint n = 0;
    for (; value >= 0x80; value >>= 7)
        out[n++] = (guint8) (value | 0x80);
    out[n++] = (guint8) value;
    return n;
}

/* A tag and the number behind it. */
static void add_number(Packer *packer, guint8 tag, guint64 value)
{
    guint8 buffer[11] = { tag };
    guint n = 1 + write_varint(buffer + 1, value);
    memcpy(add(packer, n), buffer, n);
}

/* Lower-case hexadecimal; -1 for anything else. */
static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* With its dashes, and nothing after it. */
static bool parse_uuid(const char *text, gsize n, guint8 uuid[16])
{
    if (n != 36)
        return false;
    for (guint i = 0, at = 0; i < 16; i++) {
        if ((at == 8 || at == 13 || at == 18 || at == 23) && text[at++] != '-')
            return false;
        int high = digit_of(text[at]), low = digit_of(text[at + 1]);
        if (high < 0 || low < 0)
            return false;
        uuid[i] = (guint8) (high << 4 | low);
        at += 2;
    }
    return true;
}

#define REF_PREFIX "OpaqueRef:"

static bool add_known(Packer *packer, const char *text, gsize n)
{
    const gsize n_prefix = strlen(REF_PREFIX);
    gsize skip = n > n_prefix && memcmp(text, REF_PREFIX, n_prefix) == 0 ? n_prefix : 0;
    guint8 uuid[16];
    if (parse_uuid(text + skip, n - skip, uuid)) {
        guint8 *out = add(packer, 1 + sizeof uuid);
        out[0] = skip ? TAG_REF : TAG_UUID;
        memcpy(out + 1, uuid, sizeof uuid);
        return true;
    }
    if (skip && n - skip == 4 && memcmp(text + skip, "NULL", 4) == 0) {
        packer_tag(packer, TAG_NO_REF);
        return true;
    }
    int word = find_word(packer, text, n);
    if (word >= 0)
        add_number(packer, TAG_WORD, (guint) word);
    return word >= 0;
}

void packer_text(Packer *packer, const char *text, gsize n)
{
    if (add_known(packer, text, n))
        return;
    if (n >= SHARED_MIN_BYTES && packer->shared->len < MAX_SHARED && !memchr(text, '\0', n)) {
        g_autofree char *copy = g_strndup(text, n);
        add_number(packer, TAG_SHARED, packer->shared->len);
        g_ptr_array_add(packer->shared, g_ref_string_new_intern(copy));
        return;
    }
    add_number(packer, TAG_TEXT, n);
    guint8 *out = add(packer, n + 1);
    memcpy(out, text, n);
    out[n] = '\0';
}

void packer_int(Packer *packer, gint64 value)
{
    if (value >= 0 && value < 128)
        packer_tag(packer, (guint8) (TAG_SMALL + value));
    else
        add_number(packer, TAG_INT, (guint64) value << 1 ^ (guint64) (value >> 63));
}

void packer_real(Packer *packer, double value)
{
    guint8 *out = add(packer, 1 + sizeof value);
    out[0] = TAG_REAL;
    memcpy(out + 1, &value, sizeof value);
}

gsize packer_open(Packer *packer)
{
    return packer->bytes->len;
}

/* Count and length come before the members, which make room for them. */
void packer_close(Packer *packer, gsize opened, guint8 tag, guint64 n_members)
{
    gsize n = packer->bytes->len - opened;
    guint8 head[21] = { tag };
    guint n_head = 1 + write_varint(head + 1, n_members);
    n_head += write_varint(head + n_head, n);
    add(packer, n_head);
    guint8 *at = packer->bytes->data + opened;
    memmove(at + n_head, at, n);
    memcpy(at, head, n_head);
}

Record *packer_end(Packer *packer, const char *ref, Shape *shape)
{
    guint n_bytes = packer->bytes->len, n_shared = packer->shared->len;
    gsize shared_bytes = n_shared * sizeof(char *), n_ref = strlen(ref) + 1;
    Record *record = cell_new(packer->cells, sizeof(Record) + shared_bytes + n_bytes + n_ref);
    atomic_init(&record->n_refs, 1);
    record->n_bytes = n_bytes;
    record->n_shared = (guint16) n_shared;
    atomic_fetch_add(&shape->n_refs, 1);
    record->shape = shape;
    for (guint i = 0; i < n_shared; i++)
        record->shared[i] = g_ref_string_acquire(packer->shared->pdata[i]);
    guint8 *out = (guint8 *) (record->shared + n_shared);
    if (n_bytes)
        memcpy(out, packer->bytes->data, n_bytes);
    memcpy(out + n_bytes, ref, n_ref);
    packer_begin(packer);
    return record;
}
