/* The query parameters of lists. */
#include "api/rest_list.h"
#include "base/error.h"

#include <math.h>
#include <string.h>

static bool read_filter(RestRequest *request, RestQuery *query)
{
    const char *text = http_query(request->http, "filter");
    g_autoptr(GError) error = NULL;
    if (!text)
        return true;
    query->filter = filter_parse(text, &error);
    if (!query->filter) {
        rest_refuse(request, 400, error->message, json_pack("{s:s}", "stringToParse", text));
        return false;
    }
    query->filter_on = filter_properties(query->filter);
    return true;
}

/* XO's words, of which `error` is an object here. */
static bool read_limit(RestRequest *request, RestQuery *query)
{
    const char *text = http_query(request->http, "limit");
    char *end = NULL;
    query->limit = -1;
    if (!text)
        return true;
    double limit = g_ascii_strtod(text, &end);
    if (*text && !*end && !isnan(limit)) {
        query->limit = (gint64) CLAMP(limit, 0, (double) G_MAXINT);
        return true;
    }
    rest_reply(request, 422,
               json_pack("{s:{s:{s:s, s:s}}, s:{}}", "error", "limit", "message",
                         "invalid float number", "value", text, "data"));
    return false;
}

static bool read_fields(RestRequest *request, RestQuery *query)
{
    const char *text = http_query(request->http, "fields");
    if (!text || !*text)
        return true;
    query->fields = g_strsplit(text, ",", -1);
    query->all_fields = g_str_equal(text, "*");
    if (g_strv_length(query->fields) <= REST_MAX_FIELDS)
        return true;
    rest_refuse(request, 422, "too many fields are asked for", NULL);
    return false;
}

bool rest_query_read(RestRequest *request, RestQuery *query)
{
    *query = (RestQuery){ .limit = -1 };
    query->ndjson = rest_flag(request, "ndjson");
    query->markdown = rest_flag(request, "markdown");
    if (query->ndjson && query->markdown) {
        rest_refuse(request, 422,
                    "Cannot use both ndjson and markdown output formats simultaneously",
                    json_object());
        return false;
    }
    return read_filter(request, query) && read_limit(request, query) && read_fields(request, query);
}

void rest_query_clear(RestQuery *query)
{
    g_clear_pointer(&query->fields, g_strfreev);
    g_clear_pointer(&query->filter, filter_free);
    g_clear_pointer(&query->filter_on, g_ptr_array_unref);
}
