/* A state machine over the bytes of a body. */
#include "http/body.h"

#include "base/mutant.h"

#include <string.h>

void http_body_init(HttpBody *body, gint64 length)
{
    memset(body, 0, sizeof *body);
    if (length < 0) {
        body->state = HTTP_BODY_CHUNK_LINE;
    } else if (length > 0) {
        body->state = HTTP_BODY_LENGTH;
        body->left = (guint64) length;
    }
}

bool http_body_is_done(const HttpBody *body)
{
    return body->state == HTTP_BODY_DONE;
}

guint64 http_body_direct(const HttpBody *body)
{
    return body->state == HTTP_BODY_LENGTH || body->state == HTTP_BODY_CHUNK ? body->left : 0;
}

void http_body_skip(HttpBody *body, size_t n)
{
    body->left -= n;
    body->n_bytes += n;
    if (body->left)
        return;
    body->state = body->state == HTTP_BODY_LENGTH ? HTTP_BODY_DONE : HTTP_BODY_CHUNK_END;
    body->n_line = 0;
}

/* "1a2B" or "1a2B;extension", without the CRLF. */
static bool parse_chunk_size(const char *line, size_t n, guint64 *size)
{
    size_t n_digits = 0;
    guint64 value = 0;
    while (n_digits < n && g_ascii_isxdigit(line[n_digits])) {
        if (n_digits == 15 && !MUTANT(http_chunk_overflow)) /* mutant: http_parser */
            return false;
        value = value * 16 + (guint64) g_ascii_xdigit_value(line[n_digits++]);
    }
    if (n_digits == 0 || (n_digits < n && line[n_digits] != ';'))
        return false;
    for (size_t i = n_digits; i < n; i++)
        if ((unsigned char) line[i] < 0x20 && line[i] != '\t')
            return false;
    *size = value;
    return true;
}

static bool take_chunk_line(HttpBody *body)
{
    guint64 size;
    if (!parse_chunk_size(body->line, body->n_line - 2, &size))
        return false;
    body->left = size;
    body->state = size ? HTTP_BODY_CHUNK : HTTP_BODY_TRAILERS;
    body->n_line = 0;
    return true;
}

/* One byte of a line of framing; false when it cannot be right. */
static bool take_byte(HttpBody *body, char c)
{
    bool after_cr = body->n_line && body->line[(body->n_line - 1) % HTTP_MAX_CHUNK_LINE] == '\r';
    if ((c == '\n') != after_cr || c == '\0')
        return false;
    if (body->state == HTTP_BODY_TRAILERS) {
        if (++body->n_total > HTTP_MAX_TRAILERS)
            return false;
    } else if (body->n_line == HTTP_MAX_CHUNK_LINE ||
               (body->state == HTTP_BODY_CHUNK_END && body->n_line == 0 && c != '\r')) {
        return false;
    }
    body->line[body->n_line++ % HTTP_MAX_CHUNK_LINE] = c;
    if (c != '\n')
        return true;
    if (body->state == HTTP_BODY_CHUNK_LINE)
        return take_chunk_line(body);
    if (body->state == HTTP_BODY_CHUNK_END)
        body->state = HTTP_BODY_CHUNK_LINE;
    else if (body->n_line == 2) /* the empty line after the trailers */
        body->state = HTTP_BODY_DONE;
    body->n_line = 0;
    return true;
}

gssize http_body_decode(HttpBody *body, const char *in, size_t n_in, size_t *used, char *out,
                        size_t n_out)
{
    size_t i = 0, o = 0;
    while (i < n_in && body->state != HTTP_BODY_DONE && body->state != HTTP_BODY_BROKEN) {
        guint64 direct = http_body_direct(body);
        if (direct) {
            size_t n = (size_t) MIN(direct, MIN(n_in - i, n_out - o));
            if (n == 0)
                break;
            memcpy(out + o, in + i, n);
            http_body_skip(body, n);
            i += n;
            o += n;
        } else if (!take_byte(body, in[i++])) {
            body->state = HTTP_BODY_BROKEN;
        }
    }
    *used = i;
    return body->state == HTTP_BODY_BROKEN ? -1 : (gssize) o;
}
