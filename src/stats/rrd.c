/* Bytes → quoted JSON → tokens → columns. Rows come newest first. */
#include "stats/rrd.h"

#include "base/error.h"
#include "base/json_stream.h"
#include "base/mutant.h"

#include <math.h>
#include <string.h>

enum { MAX_WORD_BYTES = 64 };

typedef enum { NOWHERE, LEGEND, ROW_VALUES } Place;

struct Rrd {
    JsonStream *stream;
    /* quoting of bare keys */
    bool in_text, escaped;
    char last;     /* the byte before, outside of texts */
    GString *word; /* a bare word, and the blanks behind it */
    /* reading */
    char *key; /* the last one */
    Place place;
    GPtrArray *legend; /* char * "AVERAGE:vm:<uuid>\0cpu0" as strv; see rrd_column */
    GArray *times;     /* gint64 */
    GArray *values;    /* double, row by row */
    guint n_in_row;
    gint64 step_s, end_s;
};

/* --- Tokens --- */

static double number_of(const JsonToken *token)
{
    if (token->kind == JSON_TOKEN_INT || token->kind == JSON_TOKEN_REAL)
        return token->real;
    if (token->kind != JSON_TOKEN_STRING)
        return NAN;
    char *end;
    double value = g_ascii_strtod(token->text, &end);
    return end == token->text ? NAN : value;
}

static bool add_value(Rrd *rrd, double value, GError **error)
{
    if (rrd->values->len >= RRD_MAX_VALUES) {
        err_set(error, ERR_LIMIT, "statistics: more than %d values", RRD_MAX_VALUES);
        return false;
    }
    g_array_append_val(rrd->values, value);
    rrd->n_in_row++;
    return true;
}

static bool add_column(Rrd *rrd, const char *entry, GError **error)
{
    if (rrd->legend->len >= RRD_MAX_COLUMNS) {
        err_set(error, ERR_LIMIT, "statistics: more than %d columns", RRD_MAX_COLUMNS);
        return false;
    }
    g_ptr_array_add(rrd->legend, g_strsplit(entry, ":", 4));
    return true;
}

/* A short row is filled, a long one cut: columns stay columns. */
static void end_row(Rrd *rrd)
{
    const double none = NAN;
    for (; rrd->n_in_row < rrd->legend->len; rrd->n_in_row++)
        g_array_append_val(rrd->values, none);
    if (rrd->n_in_row > rrd->legend->len)
        g_array_set_size(rrd->values, rrd->values->len - (rrd->n_in_row - rrd->legend->len));
    rrd->n_in_row = 0;
}

static bool take_scalar(Rrd *rrd, const JsonToken *token, GError **error)
{
    if (rrd->place == LEGEND && token->kind == JSON_TOKEN_STRING)
        return add_column(rrd, token->text, error);
    if (rrd->place == ROW_VALUES)
        return add_value(rrd, number_of(token), error);
    double number = number_of(token);
    gint64 value = isfinite(number) && fabs(number) < 1e15 ? (gint64) number : 0;
    if (g_strcmp0(rrd->key, "step") == 0)
        rrd->step_s = value;
    else if (g_strcmp0(rrd->key, "end") == 0)
        rrd->end_s = value;
    else if (g_strcmp0(rrd->key, "t") == 0)
        g_array_append_val(rrd->times, value);
    return true;
}

static bool take(const JsonToken *token, void *user, GError **error)
{
    Rrd *rrd = user;
    switch (token->kind) {
    case JSON_TOKEN_KEY:
        g_free(rrd->key);
        rrd->key = g_strndup(token->text, token->n);
        return true;
    case JSON_TOKEN_ARRAY:
        rrd->place = g_strcmp0(rrd->key, "legend") == 0   ? LEGEND
                     : g_strcmp0(rrd->key, "values") == 0 ? ROW_VALUES
                                                          : NOWHERE;
        return true;
    case JSON_TOKEN_ARRAY_END:
        if (rrd->place == ROW_VALUES)
            end_row(rrd);
        rrd->place = NOWHERE;
        return true;
    case JSON_TOKEN_OBJECT:
    case JSON_TOKEN_OBJECT_END:
        return true;
    default:
        return take_scalar(rrd, token, error);
    }
}

/* --- Bare keys --- */

static bool feed(Rrd *rrd, const char *text, size_t n, GError **error)
{
    return json_stream_feed(rrd->stream, text, n, error);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What was held back goes on: as a key when a colon follows, else as it is. */
static bool release(Rrd *rrd, bool is_key, GError **error)
{
    if (!rrd->word->len)
        return true;
    size_t n = strcspn(rrd->word->str, " \t\r\n");
    bool ok = (!is_key || feed(rrd, "\"", 1, error)) && feed(rrd, rrd->word->str, n, error) &&
              (!is_key || feed(rrd, "\"", 1, error));
    ok = ok && feed(rrd, " ", 1, error);
    g_string_truncate(rrd->word, 0);
    return ok;
}

/* One byte outside of texts. */
static bool take_bare(Rrd *rrd, char c, GError **error)
{
    bool in_word = rrd->word->len > 0;
    bool ended = in_word && is_blank(rrd->word->str[rrd->word->len - 1]);
    bool in_number = !in_word && (g_ascii_isdigit(rrd->last) || rrd->last == '.');
    rrd->last = c;
    if ((g_ascii_isalpha(c) || c == '_' || (in_word && g_ascii_isdigit(c))) && !ended &&
        !in_number) {
        g_string_append_c(rrd->word, c);
        if (rrd->word->len <= MAX_WORD_BYTES)
            return true;
        err_set(error, ERR_INVALID, "statistics: \"%s\" is no JSON", rrd->word->str);
        return false;
    }
    if (in_word && is_blank(c)) {
        if (!ended)
            g_string_append_c(rrd->word, c);
        return true;
    }
    rrd->in_text = c == '"';
    return release(rrd, c == ':', error) && feed(rrd, &c, 1, error);
}

/* How many bytes of `data` belong to the text that it is in. */
static size_t text_bytes(Rrd *rrd, const char *data, size_t n)
{
    size_t i = 0;
    while (i < n && rrd->in_text) {
        char c = data[i++];
        if (rrd->escaped)
            rrd->escaped = false;
        else if (c == '\\')
            rrd->escaped = true;
        else if (c == '"')
            rrd->in_text = false;
    }
    return i;
}

bool rrd_take(const void *bytes, size_t n, void *user, GError **error)
{
    Rrd *rrd = user;
    const char *data = bytes;
    for (size_t i = 0; i < n;) {
        if (rrd->in_text) {
            size_t k = text_bytes(rrd, data + i, n - i);
            if (!feed(rrd, data + i, k, error))
                return false;
            i += k;
            continue;
        }
        if (!take_bare(rrd, data[i++], error))
            return false;
    }
    return true;
}

/* --- The whole --- */

Rrd *rrd_new(void)
{
    const JsonStreamConfig config = { .lenient = true };
    Rrd *rrd = g_new0(Rrd, 1);
    rrd->stream = json_stream_new(&config, take, rrd);
    rrd->word = g_string_new(NULL);
    rrd->legend = g_ptr_array_new_with_free_func((GDestroyNotify) g_strfreev);
    rrd->times = g_array_new(FALSE, FALSE, sizeof(gint64));
    rrd->values = g_array_new(FALSE, FALSE, sizeof(double));
    return rrd;
}

void rrd_free(Rrd *rrd)
{
    if (!rrd)
        return;
    json_stream_free(rrd->stream);
    g_string_free(rrd->word, TRUE);
    g_free(rrd->key);
    g_ptr_array_unref(rrd->legend);
    g_array_unref(rrd->times);
    g_array_unref(rrd->values);
    g_free(rrd);
}

bool rrd_end(Rrd *rrd, GError **error)
{
    return release(rrd, false, error) && json_stream_end(rrd->stream, error);
}

gint64 rrd_step_s(const Rrd *rrd)
{
    return rrd->step_s;
}

gint64 rrd_end_s(const Rrd *rrd)
{
    return rrd->end_s ? rrd->end_s : rrd->times->len ? g_array_index(rrd->times, gint64, 0) : 0;
}

guint rrd_n_columns(const Rrd *rrd)
{
    return rrd->legend->len;
}

guint rrd_n_rows(const Rrd *rrd)
{
    return rrd->legend->len ? rrd->values->len / rrd->legend->len : 0;
}

bool rrd_column(const Rrd *rrd, guint column, const char **uuid, const char **source)
{
    char **parts = rrd->legend->pdata[column];
    if (g_strv_length(parts) != 4)
        return false;
    *uuid = parts[2];
    *source = parts[3];
    return true;
}

double rrd_value(const Rrd *rrd, guint row, guint column)
{
    guint from_newest = rrd_n_rows(rrd) - 1 - row;
    if (MUTANT(rrd_newest_first)) /* mutant: stats_rrd */
        from_newest = row;
    return g_array_index(rrd->values, double, from_newest * rrd->legend->len + column);
}
