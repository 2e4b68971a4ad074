/* The head of an HTTP/1.x request, parsed strictly (RFC 9112); private to the room.
 *
 * Two servers that read one request differently can be played against each other ("smuggling"), so
 * whatever is ambiguous is refused: bare LF, folding, NUL, two lengths, two hosts, unknown codings.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* More header lines than this are answered with 431. */
enum { HTTP_MAX_HEADERS = 100 };

typedef struct {
    const char *name, *value; /* name in lower case */
} HttpHeader;

typedef struct {
    char *text; /* owns the strings below, except path */
    const char *method, *query;
    char *path;
    HttpHeader headers[HTTP_MAX_HEADERS];
    unsigned n_headers;
    bool version_10;
    bool keep_alive;
    bool expect_continue;
    bool chunked;
    gint64 length; /* Content-Length; 0 when absent, -1 when chunked */
} HttpHead;

/* Looks for the end of a head in data. The length of the head, its last line included; 0 when more
 * bytes are needed; -1 when it can never be one (bare LF or CR, NUL). Up to one empty line before
 * the head is allowed and counted. *scanned holds what is known to be without an end; begins as 0.
 */
gssize http_head_find(const char *data, size_t n, size_t *scanned);
/* Parses a head found by http_head_find. 0, or the HTTP status that answers the fault. The head
 * must be cleared in both cases. */
int http_head_parse(HttpHead *head, const char *data, size_t n);
void http_head_clear(HttpHead *head);

/* A header of the head, or NULL; of repeated ones, the first. `name` in any case. */
const char *http_head_get(const HttpHead *head, const char *name);
/* Whether a comma-separated list has this token, in any case. NULL lists have none. */
bool http_list_has(const char *list, const char *token);
/* Percent-decodes n bytes; plus: '+' is a blank. NULL when malformed, or for NUL or bytes that are
 * not UTF-8. */
char *http_percent_decode(const char *text, size_t n, bool plus);
