/* The tokenizer is two small machines: the lexer, which knows strings, words (numbers and literals)
 * and brackets, and the grammar, which knows what may come next. Words are gathered whole and
 * judged at their end, so a slice may end anywhere. */
#include "base/json_stream.h"

#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <math.h>
#include <string.h>

typedef enum { LEX_BETWEEN, LEX_STRING, LEX_ESCAPE, LEX_HEX, LEX_WORD } Lex;

typedef enum {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END,
    EXPECT_KEY,
    EXPECT_KEY_OR_END,
    EXPECT_COLON,
    EXPECT_COMMA_OR_END,
    EXPECT_NOTHING,
} Expect;

struct JsonStream {
    JsonStreamConfig config;
    JsonTokenSeen seen;
    void *user;
    Lex lex;
    Expect expect;
    GString *text;  /* the string or word that is being gathered */
    GString *stack; /* '{' or '[' of each open bracket */
    unsigned n_hex, hex;
    unsigned high; /* the first half of a surrogate pair, or 0 */
    guint64 offset;
    GError *failed;
};

JsonStream *json_stream_new(const JsonStreamConfig *config, JsonTokenSeen seen, void *user)
{
    JsonStream *stream = g_new0(JsonStream, 1);
    if (config)
        stream->config = *config;
    if (!stream->config.max_depth)
        stream->config.max_depth = JSON_STREAM_MAX_DEPTH;
    if (!stream->config.max_text_bytes)
        stream->config.max_text_bytes = JSON_STREAM_MAX_TEXT_BYTES;
    stream->seen = seen;
    stream->user = user;
    stream->text = g_string_new(NULL);
    stream->stack = g_string_new(NULL);
    return stream;
}

void json_stream_free(JsonStream *stream)
{
    if (!stream)
        return;
    g_string_free(stream->text, TRUE);
    g_string_free(stream->stack, TRUE);
    g_clear_error(&stream->failed);
    g_free(stream);
}

bool json_stream_is_complete(const JsonStream *stream)
{
    return stream->expect == EXPECT_NOTHING;
}

static bool bad(const JsonStream *stream, const char *what, GError **error)
{
    err_set(error, ERR_INVALID, "not JSON at byte %" G_GUINT64_FORMAT ": %s", stream->offset, what);
    return false;
}

/* --- the grammar --- */

static void value_done(JsonStream *stream)
{
    stream->expect = stream->stack->len ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
}

static bool give(JsonStream *stream, JsonToken token, GError **error)
{
    token.depth = (unsigned) stream->stack->len;
    return stream->seen(&token, stream->user, error);
}

static bool may_begin_value(const JsonStream *stream)
{
    return stream->expect == EXPECT_VALUE || stream->expect == EXPECT_VALUE_OR_END;
}

static bool may_begin_key(const JsonStream *stream)
{
    return stream->expect == EXPECT_KEY || stream->expect == EXPECT_KEY_OR_END;
}

static bool give_value(JsonStream *stream, JsonToken token, GError **error)
{
    value_done(stream);
    return give(stream, token, error);
}

static bool open_bracket(JsonStream *stream, char bracket, GError **error)
{
    if (!may_begin_value(stream))
        return bad(stream, "a bracket that does not belong here", error);
    if (stream->stack->len >= stream->config.max_depth) {
        err_set(error, ERR_LIMIT, "JSON nested deeper than %u", stream->config.max_depth);
        return false;
    }
    JsonToken token = { .kind = bracket == '{' ? JSON_TOKEN_OBJECT : JSON_TOKEN_ARRAY };
    bool ok = give(stream, token, error);
    g_string_append_c(stream->stack, bracket);
    stream->expect = bracket == '{' ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    return ok;
}

static bool close_bracket(JsonStream *stream, char bracket, GError **error)
{
    char open = bracket == '}' ? '{' : '[';
    Expect empty = bracket == '}' ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    gsize depth = stream->stack->len;
    bool fits = depth && (stream->stack->str[depth - 1] == open || MUTANT(json_any_bracket_closes));
    /* mutant: base_json_stream */
    if (!fits || (stream->expect != EXPECT_COMMA_OR_END && stream->expect != empty))
        return bad(stream, "a closing bracket that does not belong here", error);
    g_string_truncate(stream->stack, depth - 1);
    value_done(stream);
    JsonToken token = { .kind = bracket == '}' ? JSON_TOKEN_OBJECT_END : JSON_TOKEN_ARRAY_END };
    return give(stream, token, error);
}

static bool separate(JsonStream *stream, char c, GError **error)
{
    if (c == ':' && stream->expect == EXPECT_COLON) {
        stream->expect = EXPECT_VALUE;
        return true;
    }
    if (c == ',' && stream->expect == EXPECT_COMMA_OR_END && stream->stack->len) {
        bool in_object = stream->stack->str[stream->stack->len - 1] == '{';
        stream->expect = in_object ? EXPECT_KEY : EXPECT_VALUE;
        return true;
    }
    return bad(stream, c == ':' ? "unexpected colon" : "unexpected comma", error);
}

/* --- words --- */

static bool is_word_char(char c)
{
    return g_ascii_isalnum(c) || c == '+' || c == '-' || c == '.';
}

static const char *skip_digits(const char *p)
{
    while (g_ascii_isdigit(*p))
        p++;
    return p;
}

/* Whether text is a number of RFC 8259; *is_integer: without fraction and exponent. */
static bool is_number(const char *text, bool *is_integer)
{
    const char *p = text + (*text == '-');
    const char *digits = p;
    p = *p == '0' ? p + 1 : skip_digits(p);
    if (p == digits)
        return false;
    *is_integer = !*p;
    if (*p == '.') {
        digits = ++p;
        p = skip_digits(p);
        if (p == digits)
            return false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        digits = p;
        p = skip_digits(p);
        if (p == digits)
            return false;
    }
    return !*p;
}

static bool give_real(JsonStream *stream, double real, GError **error)
{
    return give_value(stream, (JsonToken){ .kind = JSON_TOKEN_REAL, .real = real }, error);
}

static bool give_number(JsonStream *stream, const char *text, bool is_integer, GError **error)
{
    if (is_integer && !MUTANT(json_integers_by_double)) { /* mutant: base_json_stream */
        errno = 0;
        gint64 integer = g_ascii_strtoll(text, NULL, 10);
        if (errno == 0) {
            JsonToken token = { .kind = JSON_TOKEN_INT, .integer = integer, .real = integer };
            return give_value(stream, token, error);
        }
    }
    double real = g_ascii_strtod(text, NULL);
    if (isinf(real) && !stream->config.lenient)
        return bad(stream, "number out of range", error);
    return give_real(stream, real, error);
}

static bool end_word(JsonStream *stream, GError **error)
{
    static const struct {
        const char *word;
        JsonTokenKind kind;
    } literals[] = { { "true", JSON_TOKEN_TRUE },
                     { "false", JSON_TOKEN_FALSE },
                     { "null", JSON_TOKEN_NULL } };
    const char *text = stream->text->str;
    stream->lex = LEX_BETWEEN;
    for (unsigned i = 0; i < G_N_ELEMENTS(literals); i++)
        if (strcmp(text, literals[i].word) == 0)
            return give_value(stream, (JsonToken){ .kind = literals[i].kind }, error);
    bool is_integer;
    if (is_number(text, &is_integer))
        return give_number(stream, text, is_integer, error);
    if (stream->config.lenient && strcmp(text, "NaN") == 0)
        return give_real(stream, NAN, error);
    if (stream->config.lenient && strcmp(text, "Infinity") == 0)
        return give_real(stream, INFINITY, error);
    if (stream->config.lenient && strcmp(text, "-Infinity") == 0)
        return give_real(stream, -INFINITY, error);
    return bad(stream, "neither a number nor true, false or null", error);
}

/* --- strings --- */

static bool add_text(JsonStream *stream, const char *text, gsize n, GError **error)
{
    if (n > stream->config.max_text_bytes - stream->text->len) {
        err_set(error, ERR_LIMIT,
                "a JSON string or number is longer than %" G_GSIZE_FORMAT " bytes",
                stream->config.max_text_bytes);
        return false;
    }
    g_string_append_len(stream->text, text, (gssize) n);
    return true;
}

static bool add_char(JsonStream *stream, gunichar c, GError **error)
{
    char utf8[6];
    int n = g_unichar_to_utf8(c, utf8);
    return add_text(stream, utf8, (gsize) n, error);
}

/* A first half of a pair that no second half followed. */
static bool drop_high(JsonStream *stream, GError **error)
{
    if (!stream->high)
        return true;
    stream->high = 0;
    if (!stream->config.lenient)
        return bad(stream, "half of a surrogate pair", error);
    return add_char(stream, 0xfffd, error);
}

static bool add_escaped_unit(JsonStream *stream, unsigned unit, GError **error)
{
    if (stream->high && unit >= 0xdc00 && unit <= 0xdfff) {
        gunichar c = 0x10000 + ((stream->high - 0xd800) << 10) + (unit - 0xdc00);
        stream->high = 0;
        return add_char(stream, c, error);
    }
    if (!drop_high(stream, error))
        return false;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        stream->high = unit;
        return true;
    }
    if (unit >= 0xdc00 && unit <= 0xdfff) {
        if (!stream->config.lenient)
            return bad(stream, "half of a surrogate pair", error);
        unit = 0xfffd;
    }
    return unit ? add_char(stream, unit, error) : add_text(stream, "", 1, error);
}

static bool take_hex(JsonStream *stream, char c, GError **error)
{
    int digit = g_ascii_xdigit_value(c);
    if (digit < 0)
        return bad(stream, "\\u without four hexadecimal digits", error);
    stream->hex = stream->hex << 4 | (unsigned) digit;
    if (++stream->n_hex < 4)
        return true;
    stream->lex = LEX_STRING;
    return add_escaped_unit(stream, stream->hex, error);
}

static bool take_escape(JsonStream *stream, char c, GError **error)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c == 'u') {
        stream->lex = LEX_HEX;
        stream->n_hex = stream->hex = 0;
        return true;
    }
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return bad(stream, "unknown escape", error);
    stream->lex = LEX_STRING;
    return drop_high(stream, error) && add_text(stream, &to[found - from], 1, error);
}

/* Replaces what is not UTF-8; a NUL is kept. */
static void mend_text(GString *text)
{
    g_autoptr(GString) mended = g_string_sized_new(text->len);
    const char *p = text->str, *end = p + text->len;
    while (p < end) {
        const char *stop;
        g_utf8_validate_len(p, (gsize) (end - p), &stop);
        g_string_append_len(mended, p, stop - p);
        if (stop < end)
            g_string_append_len(mended, *stop ? "\xef\xbf\xbd" : "", *stop ? 3 : 1);
        p = stop + 1;
    }
    g_string_truncate(text, 0);
    g_string_append_len(text, mended->str, (gssize) mended->len);
}

static bool is_utf8(const GString *text)
{
    const char *p = text->str, *end = p + text->len;
    while (!g_utf8_validate_len(p, (gsize) (end - p), &p)) {
        if (*p)
            return false;
        p++; /* an escaped NUL is a character like others */
    }
    return true;
}

static bool end_string(JsonStream *stream, GError **error)
{
    stream->lex = LEX_BETWEEN;
    if (!drop_high(stream, error))
        return false;
    if (!is_utf8(stream->text)) {
        if (!stream->config.lenient)
            return bad(stream, "a string that is not UTF-8", error);
        mend_text(stream->text);
    }
    JsonToken token = { .text = stream->text->str, .n = stream->text->len };
    if (!may_begin_key(stream)) {
        token.kind = JSON_TOKEN_STRING;
        return give_value(stream, token, error);
    }
    if (strlen(token.text) != token.n)
        return bad(stream, "a key with a NUL in it", error);
    token.kind = JSON_TOKEN_KEY;
    stream->expect = EXPECT_COLON;
    return give(stream, token, error);
}

/* Takes the plain part of a string at once; the bytes taken. */
static gsize plain_bytes(const char *p, gsize n)
{
    gsize i = 0;
    while (i < n && p[i] != '"' && p[i] != '\\' && (guchar) p[i] >= 0x20)
        i++;
    return i;
}

static bool take_string(JsonStream *stream, char c, GError **error)
{
    if (c == '"')
        return end_string(stream, error);
    if (c == '\\') {
        stream->lex = LEX_ESCAPE;
        return true;
    }
    if (!stream->config.lenient)
        return bad(stream, "a control character in a string", error);
    return drop_high(stream, error) && add_text(stream, &c, 1, error);
}

/* --- the lexer --- */

static bool begin_string(JsonStream *stream, GError **error)
{
    if (!may_begin_value(stream) && !may_begin_key(stream))
        return bad(stream, "a string that does not belong here", error);
    g_string_truncate(stream->text, 0);
    stream->lex = LEX_STRING;
    return true;
}

static bool begin_word(JsonStream *stream, char c, GError **error)
{
    if (!is_word_char(c))
        return bad(stream, "an unexpected character", error);
    if (!may_begin_value(stream))
        return bad(stream, "a value that does not belong here", error);
    g_string_truncate(stream->text, 0);
    stream->lex = LEX_WORD;
    return add_text(stream, &c, 1, error);
}

static bool take_between(JsonStream *stream, char c, GError **error)
{
    switch (c) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
        return true;
    case '{':
    case '[':
        return open_bracket(stream, c, error);
    case '}':
    case ']':
        return close_bracket(stream, c, error);
    case ',':
    case ':':
        return separate(stream, c, error);
    case '"':
        return begin_string(stream, error);
    default:
        return begin_word(stream, c, error);
    }
}

static bool take_char(JsonStream *stream, char c, GError **error)
{
    switch (stream->lex) {
    case LEX_STRING:
        return take_string(stream, c, error);
    case LEX_ESCAPE:
        return take_escape(stream, c, error);
    case LEX_HEX:
        return take_hex(stream, c, error);
    case LEX_WORD:
        if (is_word_char(c))
            return add_text(stream, &c, 1, error);
        return end_word(stream, error) && take_between(stream, c, error);
    default:
        return take_between(stream, c, error);
    }
}

/* A whole object that somebody else reads. */
static gsize given_away(JsonStream *stream, const char *p, gsize n)
{
    if (*p != '{' || !may_begin_value(stream))
        return 0;
    gsize taken = stream->config.take_object(p, n, (unsigned) stream->stack->len, stream->user);
    if (taken)
        value_done(stream);
    return taken;
}

static bool take(JsonStream *stream, const char *p, gsize n, GError **error)
{
    while (n) {
        bool offer = stream->config.take_object && stream->lex == LEX_BETWEEN;
        gsize taken = offer ? given_away(stream, p, n) : 0;
        if (taken) {
            p += taken;
            n -= taken;
            stream->offset += taken;
            continue;
        }
        taken = stream->lex == LEX_STRING ? plain_bytes(p, n) : 0;
        if (taken) {
            if (!drop_high(stream, error) || !add_text(stream, p, taken, error))
                return false;
        } else {
            taken = 1;
            if (!take_char(stream, *p, error))
                return false;
        }
        p += taken;
        n -= taken;
        stream->offset += taken;
    }
    return true;
}

static bool remember(JsonStream *stream, GError *failed, GError **error)
{
    stream->failed = failed;
    g_propagate_error(error, g_error_copy(failed));
    return false;
}

bool json_stream_feed(JsonStream *stream, const void *data, size_t n, GError **error)
{
    GError *failed = NULL;
    if (stream->failed) {
        g_propagate_error(error, g_error_copy(stream->failed));
        return false;
    }
    return take(stream, data, n, &failed) || remember(stream, failed, error);
}

bool json_stream_end(JsonStream *stream, GError **error)
{
    GError *failed = NULL;
    if (!json_stream_feed(stream, "", 0, error))
        return false;
    if (stream->lex == LEX_WORD && !end_word(stream, &failed))
        return remember(stream, failed, error);
    if (json_stream_is_complete(stream))
        return true;
    err_set(&failed, ERR_TRUNCATED,
            "the JSON document ends early, after %" G_GUINT64_FORMAT " bytes", stream->offset);
    return remember(stream, failed, error);
}
