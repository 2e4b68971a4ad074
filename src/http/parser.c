/* Reads the head line by line into one copy of its text, in which the strings are cut by NULs. */
#include "http/parser.h"

#include "base/mutant.h"

#include <string.h>

static bool is_token_char(unsigned char c)
{
    return g_ascii_isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (!is_token_char((unsigned char) *text))
            return false;
    return true;
}

gssize http_head_find(const char *data, size_t n, size_t *scanned)
{
    size_t first = n >= 2 && data[0] == '\r' && data[1] == '\n' ? 2 : 0;
    size_t at = MAX(*scanned, first);
    for (; at < n; at++) {
        if (data[at] == '\0')
            return -1;
        if (data[at] == '\n' && (at == 0 || data[at - 1] != '\r'))
            return MUTANT(http_bare_lf) ? 0 : -1; /* mutant: http_parser */
        if (data[at] != '\r')
            continue;
        if (at + 1 >= n)
            break;
        if (data[at + 1] != '\n')
            return -1;
        if (at >= first + 2 && data[at - 1] == '\n' && data[at - 2] == '\r')
            return (gssize) at + 2;
        if (at == first && first)
            return -1; /* two empty lines */
    }
    *scanned = at;
    return 0;
}

char *http_percent_decode(const char *text, size_t n, bool plus)
{
    g_autofree char *out = g_malloc(n + 1);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char) text[i];
        if (c == '%') {
            if (i + 2 >= n)
                return NULL;
            int high = g_ascii_xdigit_value(text[i + 1]), low = g_ascii_xdigit_value(text[i + 2]);
            if (high < 0 || low < 0)
                return NULL;
            c = high * 16 + low;
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == 0)
            return NULL;
        out[m++] = (char) c;
    }
    out[m] = '\0';
    return g_utf8_validate(out, (gssize) m, NULL) ? g_steal_pointer(&out) : NULL;
}

/* A path that climbs is never meant well: clients resolve dots before they send. */
static bool climbs(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    return g_strv_contains((const char *const *) parts, "..");
}

/* A value that cannot be read is no value that was not sent: a list without its filter is another
 * list. */
static bool is_sound(const char *query)
{
    g_autofree char *decoded = http_percent_decode(query, strlen(query), true);
    return decoded || MUTANT(http_query_lost); /* mutant: http_parser */
}

/* "/path?query", "http://host/path?query", or "*" for OPTIONS. */
static int parse_target(HttpHead *head, char *target)
{
    for (const char *c = target; *c; c++)
        if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f)
            return 400;
    if (strchr(target, '#'))
        return 400;
    if (g_ascii_strncasecmp(target, "http://", 7) == 0 ||
        g_ascii_strncasecmp(target, "https://", 8) == 0) {
        char *authority = strstr(target, "://") + 3;
        char *rest = authority + strcspn(authority, "/?");
        if (rest == authority || *rest == '?')
            return 400;
        if (*rest)
            target = rest;
        else
            target = memcpy(authority, "/", 2); /* the host has at least one character */
    } else if (strcmp(target, "*") == 0 && strcmp(head->method, "OPTIONS") == 0) {
        *target = '/';
    }
    if (*target != '/')
        return 400;
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    head->query = query ? query : "";
    head->path = http_percent_decode(target, strlen(target), false);
    return !head->path || climbs(head->path) || !is_sound(head->query) ? 400 : 0;
}

static int parse_version(HttpHead *head, const char *version)
{
    if (strlen(version) != 8 || strncmp(version, "HTTP/", 5) != 0 || !g_ascii_isdigit(version[5]) ||
        version[6] != '.' || !g_ascii_isdigit(version[7]))
        return 400;
    if (version[5] != '1')
        return 505;
    head->version_10 = version[7] == '0';
    return 0;
}

static int parse_request_line(HttpHead *head, char *line)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || strchr(version + 1, ' '))
        return 400;
    *target++ = '\0';
    *version++ = '\0';
    if (!is_token(line))
        return 400;
    if (strlen(line) > 32)
        return 501;
    head->method = line;
    int status = parse_version(head, version);
    return status ? status : parse_target(head, target);
}

static int parse_header_line(HttpHead *head, char *line)
{
    if (head->n_headers == HTTP_MAX_HEADERS)
        return 431;
    char *colon = strchr(line, ':');
    if (!colon)
        return 400;
    *colon = '\0';
    if (!is_token(line)) /* also refuses folding and a blank before the colon */
        return 400;
    char *value = colon + 1;
    for (const char *c = value; *c; c++)
        if (((unsigned char) *c < 0x20 && *c != '\t') || *c == 0x7f)
            return 400;
    for (char *c = line; *c; c++)
        *c = g_ascii_tolower(*c);
    head->headers[head->n_headers++] = (HttpHeader){ line, g_strstrip(value) };
    return 0;
}

const char *http_head_get(const HttpHead *head, const char *name)
{
    for (unsigned i = 0; i < head->n_headers; i++)
        if (g_ascii_strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

bool http_list_has(const char *list, const char *token)
{
    if (!list)
        return false;
    g_auto(GStrv) items = g_strsplit(list, ",", -1);
    for (char **item = items; *item; item++)
        if (g_ascii_strcasecmp(g_strstrip(*item), token) == 0)
            return true;
    return false;
}

static unsigned count_headers(const HttpHead *head, const char *name)
{
    unsigned n = 0;
    for (unsigned i = 0; i < head->n_headers; i++)
        n += strcmp(head->headers[i].name, name) == 0;
    return n;
}

static int check_host(const HttpHead *head)
{
    unsigned n = count_headers(head, "host");
    if (n > 1 || (n == 0 && !head->version_10))
        return 400;
    const char *host = n ? http_head_get(head, "host") : "";
    return strpbrk(host, " \t/?#@,\\\"<>") ? 400 : 0;
}

static int parse_length(HttpHead *head, const char *text)
{
    guint64 value;
    if (!g_ascii_isdigit(*text) || strlen(text) > 18)
        return g_ascii_isdigit(*text) && strspn(text, "0123456789") == strlen(text) ? 413 : 400;
    if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &value, NULL))
        return 400;
    head->length = (gint64) value;
    return 0;
}

/* Exactly one way to tell the length of the body. */
static int check_framing(HttpHead *head)
{
    unsigned n_lengths = count_headers(head, "content-length");
    unsigned n_codings = count_headers(head, "transfer-encoding");
    if (n_lengths > 1 || n_codings > 1)
        return 400;
    if (n_lengths && n_codings && !MUTANT(http_two_lengths)) /* mutant: http_parser */
        return 400;
    if (n_codings) {
        const char *coding = http_head_get(head, "transfer-encoding");
        if (head->version_10 || g_ascii_strcasecmp(coding, "chunked") != 0)
            return 400;
        head->chunked = true;
        head->length = -1;
        return 0;
    }
    return n_lengths ? parse_length(head, http_head_get(head, "content-length")) : 0;
}

static bool any_has(const HttpHead *head, const char *name, const char *token)
{
    for (unsigned i = 0; i < head->n_headers; i++)
        if (strcmp(head->headers[i].name, name) == 0 &&
            http_list_has(head->headers[i].value, token))
            return true;
    return false;
}

static int check_meaning(HttpHead *head)
{
    int status = check_host(head);
    if (!status)
        status = check_framing(head);
    if (status)
        return status;
    head->keep_alive = head->version_10 ? any_has(head, "connection", "keep-alive") : true;
    if (any_has(head, "connection", "close"))
        head->keep_alive = false;
    const char *expect = http_head_get(head, "expect");
    if (expect && !head->version_10) {
        if (g_ascii_strcasecmp(expect, "100-continue") != 0)
            return 417;
        head->expect_continue = true;
    }
    return 0;
}

int http_head_parse(HttpHead *head, const char *data, size_t n)
{
    memset(head, 0, sizeof *head);
    head->text = g_strndup(data, n);
    char *line = head->text;
    if (g_str_has_prefix(line, "\r\n"))
        line += 2;
    for (bool first = true;; first = false) {
        char *end = strstr(line, "\r\n");
        if (!end)
            return 400;
        *end = '\0';
        if (!first && !*line)
            break;
        int status = first ? parse_request_line(head, line) : parse_header_line(head, line);
        if (status)
            return status;
        line = end + 2;
    }
    return check_meaning(head);
}

void http_head_clear(HttpHead *head)
{
    g_free(head->text);
    g_free(head->path);
    memset(head, 0, sizeof *head);
}
