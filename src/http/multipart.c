/* A window on the body, in which the delimiter (CRLF "--" boundary) is looked for. A CRLF is put
 * before the body, so that a boundary that begins it is found like any other. */
#include "http/multipart.h"
#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

enum { WINDOW_BYTES = 64 << 10, MAX_HEAD_BYTES = 8 << 10, MAX_BOUNDARY_BYTES = 70 };

struct Multipart {
    HttpSource source;
    void *user;
    char *delimiter;
    gsize n_delimiter;
    guint8 window[WINDOW_BYTES];
    gsize at, end; /* what of the window is still to be looked at */
    bool source_ended;
};

/* --- Parameters of a header: name=value or name="value", behind semicolons --- */

static const char *end_of_value(const char *at)
{
    if (*at != '"')
        return at + strcspn(at, "; \t");
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

static char *unquoted(const char *value, const char *end)
{
    if (*value != '"')
        return g_strndup(value, (gsize) (end - value));
    GString *text = g_string_new(NULL);
    for (const char *at = value + 1; at < end && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < end)
            at++;
        g_string_append_c(text, *at);
    }
    return g_string_free(text, FALSE);
}

/* To be freed; NULL: there is none of that name. */
static char *parameter(const char *header, const char *name)
{
    const char *at = header + strcspn(header, ";");
    while (*at == ';') {
        at += 1 + strspn(at + 1, " \t");
        gsize n_name = strcspn(at, "=; \t");
        const char *value = at[n_name] == '=' ? at + n_name + 1 : at + n_name;
        const char *end = end_of_value(value);
        if (at[n_name] == '=' && n_name == strlen(name) &&
            g_ascii_strncasecmp(at, name, n_name) == 0)
            return unquoted(value, end);
        at = end + strcspn(end, ";");
    }
    return NULL;
}

bool multipart_is(const char *content_type)
{
    static const char type[] = "multipart/form-data";
    return content_type && g_ascii_strncasecmp(content_type, type, sizeof type - 1) == 0 &&
           strchr("; \t", content_type[sizeof type - 1]);
}

Multipart *multipart_new(const char *content_type, HttpSource source, void *user, GError **error)
{
    g_autofree char *boundary = parameter(content_type, "boundary");
    if (!boundary || !*boundary || strlen(boundary) > MAX_BOUNDARY_BYTES) {
        err_set(error, ERR_INVALID,
                "Content-Type: a form of parts names a boundary of 1 to %d bytes",
                MAX_BOUNDARY_BYTES);
        return NULL;
    }
    Multipart *multipart = g_new0(Multipart, 1);
    multipart->source = source;
    multipart->user = user;
    multipart->delimiter = g_strconcat("\r\n--", boundary, NULL);
    multipart->n_delimiter = strlen(multipart->delimiter);
    memcpy(multipart->window, "\r\n", 2);
    multipart->end = 2;
    return multipart;
}

void multipart_free(Multipart *multipart)
{
    g_free(multipart->delimiter);
    g_free(multipart);
}

/* --- The window --- */

static guint8 *here(Multipart *multipart)
{
    return multipart->window + multipart->at;
}

static gsize left(const Multipart *multipart)
{
    return multipart->end - multipart->at;
}

/* At least one byte more; false at the end of the body, which is no error here, or with one. */
static bool fill(Multipart *multipart, GError **error)
{
    if (multipart->source_ended)
        return false;
    memmove(multipart->window, here(multipart), left(multipart));
    multipart->end -= multipart->at;
    multipart->at = 0;
    ssize_t n = multipart->source(multipart->window + multipart->end,
                                  sizeof multipart->window - multipart->end, multipart->user,
                                  error);
    multipart->source_ended = n <= 0;
    multipart->end += n > 0 ? (gsize) n : 0;
    return n > 0;
}

/* The first place of a text, no further than `most` bytes away; NULL with an error. */
static guint8 *reach(Multipart *multipart, const char *text, gsize most, GError **error)
{
    for (;;) {
        guint8 *found = memmem(here(multipart), MIN(left(multipart), most), text, strlen(text));
        if (found)
            return found;
        g_autoptr(GError) failure = NULL;
        if (left(multipart) >= most)
            err_set(error, ERR_INVALID, "a part of the form has a head of more than %zu bytes",
                    most);
        else if (fill(multipart, &failure))
            continue;
        else if (failure)
            g_propagate_error(error, g_steal_pointer(&failure));
        else
            err_set(error, ERR_TRUNCATED, "the form ends within the head of a part");
        return NULL;
    }
}

/* --- Parts --- */

/* How many bytes of content are in the window for sure; 0 at the delimiter, -1 with an error. */
static ssize_t content(Multipart *multipart, GError **error)
{
    for (;;) {
        guint8 *found =
            memmem(here(multipart), left(multipart), multipart->delimiter, multipart->n_delimiter);
        if (found)
            return found - here(multipart);
        gsize keep = multipart->n_delimiter - 1; /* it may begin there */
        if (MUTANT(multipart_split_delimiter))   /* mutant: http_multipart */
            keep = 0;
        if (left(multipart) > keep)
            return (ssize_t) (left(multipart) - keep);
        g_autoptr(GError) failure = NULL;
        if (fill(multipart, &failure))
            continue;
        if (failure)
            g_propagate_error(error, g_steal_pointer(&failure));
        else
            err_set(error, ERR_TRUNCATED, "the form ends within a part");
        return -1;
    }
}

static bool pass_content(Multipart *multipart, GError **error)
{
    ssize_t n;
    while ((n = content(multipart, error)) > 0)
        multipart->at += (gsize) n;
    return n == 0;
}

/* The value of a part's Content-Disposition; to be freed, NULL: there is none. */
static char *disposition(const char *head)
{
    static const char name[] = "content-disposition:";
    g_auto(GStrv) lines = g_strsplit(head, "\r\n", -1);
    for (char **line = lines; *line; line++)
        if (g_ascii_strncasecmp(*line, name, sizeof name - 1) == 0)
            return g_strdup(*line + sizeof name - 1);
    return NULL;
}

/* From a delimiter to behind the head that follows it: the name of the part, "" where it has none;
 * NULL with an error, and where no part follows. */
static char *enter_part(Multipart *multipart, bool *last, GError **error)
{
    multipart->at += multipart->n_delimiter;
    guint8 *line_end = reach(multipart, "\r\n", MAX_HEAD_BYTES, NULL);
    *last = left(multipart) >= 2 && memcmp(here(multipart), "--", 2) == 0;
    if (*last)
        return NULL;
    guint8 *end = line_end ? reach(multipart, "\r\n\r\n", MAX_HEAD_BYTES, error)
                           : reach(multipart, "\r\n", MAX_HEAD_BYTES, error);
    if (!line_end || !end)
        return NULL;
    g_autofree char *head = g_strndup((char *) here(multipart), (gsize) (end - here(multipart)));
    multipart->at = (gsize) (end - multipart->window) + strlen("\r\n\r\n");
    g_autofree char *said = disposition(head);
    char *name = said ? parameter(said, "name") : NULL;
    return name ? name : g_strdup("");
}

bool multipart_find(Multipart *multipart, const char *name, GError **error)
{
    bool last = false;
    while (pass_content(multipart, error)) {
        g_autofree char *found = enter_part(multipart, &last, error);
        if (found && g_str_equal(found, name))
            return true;
        if (last)
            err_set(error, ERR_NOT_FOUND, "the form has no part \"%s\": it carries the file", name);
        if (!found)
            return false;
    }
    return false;
}

ssize_t multipart_read(void *data, size_t n, void *user, GError **error)
{
    Multipart *multipart = user;
    ssize_t sure = content(multipart, error);
    if (sure <= 0)
        return sure;
    gsize taken = MIN(n, (gsize) sure);
    memcpy(data, here(multipart), taken);
    multipart->at += taken;
    return (ssize_t) taken;
}
