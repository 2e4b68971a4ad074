/* A record from its JSON text, written in the packed form as it is read: nothing is built on the
 * way. Only for what pools write every day: fields in the order of the record before it, short
 * escapes, UTF-8, plain numbers. Anything else is left to the tokenizer, which knows everything. */
#include "pool/packer.h"

#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 16, MAX_KEYS = 64, MAX_INT_DIGITS = 18, MAX_NUMBER_BYTES = 64 };

typedef struct {
    Packer *packer;
    const char *at, *end;
    GString *scratch; /* of texts with escapes; NULL until there is one */
} Reader;

typedef struct {
    const char *text;
    gsize n;
} Text;

static char peek(const Reader *reader)
{
    return reader->at < reader->end ? *reader->at : '\0';
}

static void skip_blanks(Reader *reader)
{
    while (peek(reader) == ' ' || peek(reader) == '\n' || peek(reader) == '\r' ||
           peek(reader) == '\t')
        reader->at++;
}

static bool take(Reader *reader, char c)
{
    skip_blanks(reader);
    if (peek(reader) != c)
        return false;
    reader->at++;
    return true;
}

/* --- texts --- */

/* From the first escape on, into the scratch. */
static bool take_escaped(Reader *reader, const char *start, Text *text)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (!reader->scratch)
        reader->scratch = g_string_sized_new(256);
    g_string_truncate(reader->scratch, 0);
    g_string_append_len(reader->scratch, start, reader->at - start);
    for (;;) {
        const char *p = reader->at;
        while (p < reader->end && *p != '"' && *p != '\\' && (guchar) *p >= 0x20)
            p++;
        g_string_append_len(reader->scratch, reader->at, p - reader->at);
        reader->at = p;
        if (reader->end - p < 2 || (guchar) *p < 0x20)
            return false;
        if (*p == '"')
            break;
        const char *known = p[1] ? strchr(from, p[1]) : NULL;
        if (!known)
            return false;
        g_string_append_c(reader->scratch, to[known - from]);
        reader->at += 2;
    }
    reader->at++;
    *text = (Text){ reader->scratch->str, reader->scratch->len };
    return true;
}

/* After the opening quote. */
static bool take_text(Reader *reader, Text *text)
{
    const char *start = reader->at, *p = start;
    guchar all = 0;
    for (; p < reader->end && *p != '"' && *p != '\\' && (guchar) *p >= 0x20; p++)
        all |= (guchar) *p;
    reader->at = p;
    if (p == reader->end || (guchar) *p < 0x20)
        return false;
    if (*p == '\\')
        return take_escaped(reader, start, text) && g_utf8_validate_len(text->text, text->n, NULL);
    reader->at++;
    *text = (Text){ start, (gsize) (p - start) };
    return all < 0x80 || g_utf8_validate_len(text->text, text->n, NULL);
}

/* A name of a member and its colon; without escapes, so that it lies in the text itself. */
static bool take_key(Reader *reader, Text *key)
{
    return take(reader, '"') && take_text(reader, key) &&
           (!reader->scratch || key->text != reader->scratch->str) && take(reader, ':');
}

/* --- numbers and words --- */

static gsize n_digits(const char *at, const char *end)
{
    gsize n = 0;
    while (at + n < end && g_ascii_isdigit(at[n]))
        n++;
    return n;
}

static bool take_real(Reader *reader, const char *start, const char *p)
{
    char copy[MAX_NUMBER_BYTES];
    gsize n;
    if (*p == '.') {
        n = n_digits(++p, reader->end);
        p += n;
        if (!n || p == reader->end)
            return false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += p < reader->end && (*p == '+' || *p == '-');
        n = n_digits(p, reader->end);
        p += n;
        if (!n || p == reader->end)
            return false;
    }
    n = (gsize) (p - start);
    if (n >= sizeof copy)
        return false;
    memcpy(copy, start, n);
    copy[n] = '\0';
    double real = g_ascii_strtod(copy, NULL);
    reader->at = p;
    packer_real(reader->packer, real);
    return isfinite(real);
}

/* What follows a number must be in the slice: it might go on. */
static bool take_number(Reader *reader)
{
    const char *start = reader->at, *p = start + (*start == '-');
    gsize n = n_digits(p, reader->end);
    gint64 value = 0;
    if (!n || n > MAX_INT_DIGITS || (n > 1 && *p == '0') || p + n == reader->end)
        return false;
    for (gsize i = 0; i < n; i++)
        value = value * 10 + (p[i] - '0');
    p += n;
    if (*p == '.' || *p == 'e' || *p == 'E')
        return take_real(reader, start, p);
    reader->at = p;
    packer_int(reader->packer, *start == '-' ? -value : value);
    return true;
}

static bool take_word(Reader *reader, const char *word, guint8 tag)
{
    gsize n = strlen(word);
    if ((gsize) (reader->end - reader->at) < n || memcmp(reader->at, word, n) != 0)
        return false;
    reader->at += n;
    packer_tag(reader->packer, tag);
    return true;
}

/* --- values --- */

static bool take_value(Reader *reader, unsigned depth);

/* A name that comes twice counts once, with its last value: not here. */
static bool is_new(const Text *keys, guint n, const Text *key)
{
    for (guint i = 0; i < n; i++)
        if (keys[i].n == key->n && memcmp(keys[i].text, key->text, key->n) == 0)
            return false;
    return n < MAX_KEYS;
}

static bool take_object(Reader *reader, unsigned depth)
{
    Text keys[MAX_KEYS], key;
    gsize opened = packer_open(reader->packer);
    guint n = 0;
    bool ended = take(reader, '}');
    while (!ended) {
        if (!take_key(reader, &key) || !is_new(keys, n, &key))
            return false;
        keys[n++] = key;
        packer_text(reader->packer, key.text, key.n);
        if (!take_value(reader, depth))
            return false;
        ended = take(reader, '}');
        if (!ended && !take(reader, ','))
            return false;
    }
    packer_close(reader->packer, opened, TAG_OBJECT, n);
    return true;
}

static bool take_array(Reader *reader, unsigned depth)
{
    gsize opened = packer_open(reader->packer);
    guint64 n = 0;
    bool ended = take(reader, ']');
    for (; !ended; n++) {
        if (!take_value(reader, depth))
            return false;
        ended = take(reader, ']');
        if (!ended && !take(reader, ','))
            return false;
    }
    packer_close(reader->packer, opened, TAG_ARRAY, n);
    return true;
}

static bool take_value(Reader *reader, unsigned depth)
{
    Text text;
    skip_blanks(reader);
    switch (peek(reader)) {
    case '"':
        reader->at++;
        if (!take_text(reader, &text))
            return false;
        packer_text(reader->packer, text.text, text.n);
        return true;
    case '{':
        reader->at++;
        return depth > 0 && take_object(reader, depth - 1);
    case '[':
        reader->at++;
        return depth > 0 && take_array(reader, depth - 1);
    case 't':
        return take_word(reader, "true", TAG_TRUE);
    case 'f':
        return take_word(reader, "false", TAG_FALSE);
    case 'n':
        return take_word(reader, "null", TAG_NULL);
    case '\0':
        return false;
    default:
        return take_number(reader);
    }
}

/* The fields of the shape, in their order, and no others. */
static bool take_fields(Reader *reader, const Shape *shape)
{
    Text key;
    if (!take(reader, '{'))
        return false;
    for (guint i = 0; i < shape->n; i++) {
        if ((i && !take(reader, ',')) || !take_key(reader, &key) || key.n != shape->lengths[i] ||
            memcmp(key.text, shape->names[i], key.n) != 0 || !take_value(reader, MAX_DEPTH))
            return false;
    }
    return take(reader, '}');
}

Record *record_take(Packer *packer, const char *ref, const char *text, gsize *n, Shape *shape)
{
    Reader reader = { packer, text, text + *n, NULL };
    packer_begin(packer);
    bool ok = shape->n && take_fields(&reader, shape);
    if (reader.scratch)
        g_string_free(reader.scratch, TRUE);
    *n = (gsize) (reader.at - text);
    return ok ? packer_end(packer, ref, shape) : NULL;
}
