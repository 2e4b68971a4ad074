/* A scanner with two hands: one builds, the other passes over. Plain strings and integers are taken
 * as they stand; what is rarer is left to jansson, piece by piece. */
#include "base/json_part.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { INTEGER_MAX_DIGITS = 18 };

typedef struct {
    const char *at, *end, *begin;
    unsigned depth;
} Scan;

static void set_fault(const Scan *scan, const char *what, GError **error)
{
    if (error && !*error)
        err_set(error, ERR_INVALID, "%s at byte %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT, what,
                (gsize) (scan->at - scan->begin), (gsize) (scan->end - scan->begin));
}

static void *fault(const Scan *scan, const char *what, GError **error)
{
    set_fault(scan, what, error);
    return NULL;
}

static void pass_blanks(Scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r'))
        scan->at++;
}

/* The next character that is no blank; 0 at the end. */
static char peek(Scan *scan)
{
    pass_blanks(scan);
    return scan->at < scan->end ? *scan->at : '\0';
}

static bool take(Scan *scan, char wanted)
{
    if (peek(scan) != wanted)
        return false;
    scan->at++;
    return true;
}

/* --- passing over --- */

/* The first quote or backslash, or the end. */
static const char *find_quote(const char *at, const char *end)
{
#ifdef __SSE2__
    for (; end - at >= (ptrdiff_t) sizeof(__m128i); at += sizeof(__m128i)) {
        __m128i text = _mm_loadu_si128((const __m128i *) at);
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('"')),
                                     _mm_cmpeq_epi8(text, _mm_set1_epi8('\\')));
        unsigned mask = (unsigned) _mm_movemask_epi8(found);
        if (mask)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && *at != '"' && *at != '\\')
        at++;
    return at;
}

static bool is_edge(char c)
{
    return c == '"' || c == '{' || c == '[' || c == '}' || c == ']';
}

/* The first quote or bracket, or the end. */
static const char *find_edge(const char *at, const char *end)
{
#ifdef __SSE2__
    for (; end - at >= (ptrdiff_t) sizeof(__m128i); at += sizeof(__m128i)) {
        __m128i text = _mm_loadu_si128((const __m128i *) at);
        __m128i folded = _mm_or_si128(text, _mm_set1_epi8(0x20)); /* [ is { then, and ] is } */
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('"')),
                                     _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')),
                                                  _mm_cmpeq_epi8(folded, _mm_set1_epi8('}'))));
        unsigned mask = (unsigned) _mm_movemask_epi8(found);
        if (mask)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && !is_edge(*at))
        at++;
    return at;
}

/* From behind the quote to behind the other. *escapes: not to be taken as it stands. */
static bool pass_string(Scan *scan, bool *escapes)
{
    const char *at = find_quote(scan->at, scan->end);
    while (at < scan->end && *at == '\\') {
        *escapes = true;
        at = scan->end - at > 2 ? find_quote(at + 2, scan->end) : scan->end;
    }
    if (at >= scan->end)
        return false;
    scan->at = at + 1;
    return true;
}

static bool ends_scalar(char c)
{
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t' ||
           c == '\0';
}

static void pass_scalar(Scan *scan)
{
    while (scan->at < scan->end && !ends_scalar(*scan->at))
        scan->at++;
}

/* Brackets that are open, whether a string is, and whether the next byte is escaped in it. */
typedef struct {
    gsize depth;
    bool in_string, escaped;
} Nest;

enum { STRIDE_BYTES = 64 };

#ifdef __SSE2__
typedef struct {
    guint64 quotes, slashes, opening, closing; /* a bit for each byte */
} Marks;

static Marks marks_of(const char *at)
{
    Marks marks = { 0 };
    for (unsigned i = 0; i < STRIDE_BYTES; i += sizeof(__m128i)) {
        __m128i text = _mm_loadu_si128((const __m128i *) (at + i));
        __m128i folded = _mm_or_si128(text, _mm_set1_epi8(0x20)); /* [ is { then, and ] is } */
#define MARK(bytes, sign)                                                                          \
    ((guint64) (unsigned) _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(sign))) << i)
        marks.quotes |= MARK(text, '"');
        marks.slashes |= MARK(text, '\\');
        marks.opening |= MARK(folded, '{');
        marks.closing |= MARK(folded, '}');
#undef MARK
    }
    return marks;
}

static gsize n_set(guint64 bits)
{
    gsize n = 0;
    for (; bits; bits &= bits - 1)
        n++;
    return n;
}

/* The bytes behind backslashes that are not escaped themselves. */
static guint64 escaped_of(guint64 slashes, bool *escaped)
{
    guint64 found = *escaped;
    slashes &= ~found;
    *escaped = false;
    while (slashes) {
        guint64 behind = (slashes & -slashes) << 1;
        *escaped = !behind;
        found |= behind;
        slashes &= (slashes - 1) & ~behind;
    }
    return found;
}

/* The strides that cannot close the outermost bracket. */
static void pass_strides(Scan *scan, Nest *nest)
{
    for (; scan->end - scan->at >= STRIDE_BYTES; scan->at += STRIDE_BYTES) {
        Marks marks = marks_of(scan->at);
        bool escaped = nest->escaped;
        if ((marks.slashes || escaped) && !MUTANT(json_part_escapes)) /* mutant: base_json_part */
            marks.quotes &= ~escaped_of(marks.slashes, &escaped);
        guint64 string = marks.quotes; /* becomes: from a quote to before the one that ends it */
        for (unsigned i = 1; i < 64; i *= 2)
            string ^= string << i;
        if (nest->in_string)
            string = ~string;
        gsize n_closing = n_set(marks.closing & ~string);
        if (n_closing >= nest->depth)
            return;
        nest->depth += n_set(marks.opening & ~string) - n_closing;
        nest->in_string = string >> 63;
        nest->escaped = escaped;
    }
}
#else
static void pass_strides(Scan *scan, Nest *nest)
{
}
#endif

/* Edge by edge, to `until` or to the end of the nest. */
static bool pass_edges(Scan *scan, const char *until, Nest *nest)
{
    bool escapes;
    scan->at += nest->escaped;
    if (nest->in_string && !pass_string(scan, &escapes))
        return false;
    nest->in_string = nest->escaped = false;
    while (scan->at < until) {
        scan->at = find_edge(scan->at, scan->end);
        if (scan->at == scan->end)
            return false;
        char edge = *scan->at++;
        if (edge == '"') {
            if (!pass_string(scan, &escapes))
                return false;
        } else if (edge == '{' || edge == '[') {
            nest->depth++;
        } else if (--nest->depth == 0) {
            return true;
        }
    }
    return true;
}

/* From within a bracket to behind the one that closes it. */
static bool pass_rest(Scan *scan)
{
    Nest nest = { .depth = 1 };
    while (nest.depth > 0) {
        pass_strides(scan, &nest);
        gsize n = MIN((gsize) (scan->end - scan->at), STRIDE_BYTES);
        if (n == 0 || !pass_edges(scan, scan->at + n, &nest))
            return false;
    }
    return true;
}

static bool pass_nest(Scan *scan)
{
    scan->at++;
    return pass_rest(scan);
}

static bool pass(Scan *scan)
{
    bool escapes;
    switch (peek(scan)) {
    case '"':
        scan->at++;
        return pass_string(scan, &escapes);
    case '{':
    case '[':
        return pass_nest(scan);
    case '\0':
    case ',':
    case ']':
    case '}':
    case ':':
        return false;
    default:
        pass_scalar(scan);
        return true;
    }
}

/* --- building --- */

static json_t *build(Scan *scan, const JsonWant *wants, GError **error);

static json_t *by_jansson(const Scan *scan, const char *from, GError **error)
{
    json_t *value =
        json_loadb(from, (gsize) (scan->at - from), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    return value ? value : fault(scan, "no sound value before", error);
}

static bool is_plain(const char *text, gsize n)
{
    for (gsize i = 0; i < n; i++)
        if ((guchar) text[i] < ' ')
            return false;
    return true;
}

static json_t *build_string(Scan *scan, GError **error)
{
    const char *from = scan->at++;
    bool escapes = false;
    if (!pass_string(scan, &escapes))
        return fault(scan, "a string without end", error);
    gsize n = (gsize) (scan->at - from) - 2;
    if (escapes || !is_plain(from + 1, n))
        return by_jansson(scan, from, error);
    json_t *value = json_stringn(from + 1, n);
    return value ? value : fault(scan, "a string that is not UTF-8 before", error);
}

static json_t *build_scalar(Scan *scan, GError **error)
{
    const char *from = scan->at;
    pass_scalar(scan);
    const char *digits = from + (scan->at > from && *from == '-');
    gsize n = (gsize) (scan->at - digits);
    gint64 value = 0;
    if (n == 0 || n > INTEGER_MAX_DIGITS || (*digits == '0' && n > 1))
        return by_jansson(scan, from, error);
    for (gsize i = 0; i < n; i++) {
        if (!g_ascii_isdigit(digits[i]))
            return by_jansson(scan, from, error);
        value = value * 10 + (digits[i] - '0');
    }
    return json_integer(*from == '-' ? -value : value);
}

/* The row of a key; NULL: not wanted. */
static const JsonWant *find_want(const JsonWant *wants, const char *key, gsize n)
{
    for (; wants->key; wants++) {
        char first = *wants->key;
        if (first == '*' && !wants->key[1])
            return wants;
        if (n > 0 && first == *key && strlen(wants->key) == n && memcmp(wants->key, key, n) == 0)
            return wants;
    }
    return NULL;
}

static bool build_member(Scan *scan, const JsonWant *wants, json_t *object, GError **error)
{
    static const JsonWant all = { "*", NULL };
    if (peek(scan) != '"')
        return fault(scan, "no key", error);
    const char *from = scan->at + 1;
    json_t *spelled = NULL;
    bool escapes = false;
    scan->at++;
    if (!pass_string(scan, &escapes))
        return fault(scan, "a key without end", error);
    const char *key = from;
    gsize n = (gsize) (scan->at - from) - 1;
    if (escapes) {
        spelled = by_jansson(scan, from - 1, error);
        key = json_string_value(spelled);
        n = json_string_length(spelled);
    }
    bool ok = key && take(scan, ':');
    if (!ok)
        set_fault(scan, "no value", error);
    const JsonWant *want = !ok ? NULL : wants ? find_want(wants, key, n) : &all;
    if (want) {
        json_t *value = is_plain(key, n) || spelled ? build(scan, want->inside, error) : NULL;
        ok = value && json_object_setn_new(object, key, n, value) == 0;
        if (!ok)
            set_fault(scan, "no sound key before", error);
    } else if (ok && !(ok = pass(scan))) {
        set_fault(scan, "a value without end", error);
    }
    json_decref(spelled);
    return ok;
}

/* How many keys an object can have of what is wanted. */
static gsize n_wanted(const JsonWant *wants)
{
    gsize n = 0;
    if (!wants)
        return G_MAXSIZE;
    for (; wants->key; wants++, n++)
        if (*wants->key == '*')
            return G_MAXSIZE;
    return n;
}

static json_t *build_object(Scan *scan, const JsonWant *wants, GError **error)
{
    json_t *object = json_object();
    gsize n_most = n_wanted(wants);
    scan->at++;
    bool ok = true, closed = take(scan, '}');
    while (ok && !closed) {
        if (json_object_size(object) == n_most) {
            closed = ok = pass_rest(scan) && scan->at[-1] == '}';
            if (!ok)
                set_fault(scan, "an object without end", error);
            break;
        }
        ok = build_member(scan, wants, object, error);
        closed = ok && take(scan, '}');
        if (ok && !closed && !(ok = take(scan, ',')))
            set_fault(scan, "neither , nor }", error);
    }
    if (!ok)
        g_clear_pointer(&object, json_decref);
    return object;
}

static json_t *build_array(Scan *scan, GError **error)
{
    json_t *array = json_array();
    scan->at++;
    bool ok = true, closed = take(scan, ']');
    while (ok && !closed) {
        json_t *value = build(scan, NULL, error);
        ok = value && json_array_append_new(array, value) == 0;
        closed = ok && take(scan, ']');
        if (ok && !closed && !(ok = take(scan, ',')))
            set_fault(scan, "neither , nor ]", error);
    }
    if (!ok)
        g_clear_pointer(&array, json_decref);
    return array;
}

static json_t *build(Scan *scan, const JsonWant *wants, GError **error)
{
    char first = peek(scan);
    if (first == '"')
        return build_string(scan, error);
    if (first != '{' && first != '[')
        return build_scalar(scan, error);
    if (++scan->depth > JSON_PART_MAX_DEPTH)
        return fault(scan, "nested too deep", error);
    json_t *value = first == '{' ? build_object(scan, wants, error) : build_array(scan, error);
    scan->depth--;
    return value;
}

json_t *json_part(const char *text, gsize n, const JsonWant *wants, GError **error)
{
    Scan scan = { text, text + n, text, 0 };
    json_t *value = build(&scan, wants, error);
    if (!value)
        return NULL;
    pass_blanks(&scan);
    if (scan.at == scan.end || MUTANT(json_part_tail)) /* mutant: base_json_part */
        return value;
    json_decref(value);
    return fault(&scan, "more than one value", error);
}
