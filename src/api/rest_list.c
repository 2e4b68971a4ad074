/* Items are cut out of the texts that hold them. */
#include "api/rest_list.h"
#include "base/json_members.h"
#include "base/json_write.h"

#include <string.h>

struct RestList {
    RestRequest *request;
    const RestQuery *query;
    const char *collection;
    GString *out;
    char *prefix; /* "/rest/v0/vms/ with the quote */
    size_t n_prefix;
    unsigned n_fields;
    size_t n_names[REST_MAX_FIELDS];
    gint64 n_items;
    bool begun; /* the head is sent */
    bool lost;  /* the client has gone */
};

RestList *rest_list_new(RestRequest *request, const RestQuery *query, const char *collection)
{
    RestList *list = g_new0(RestList, 1);
    list->request = request;
    list->query = query;
    list->collection = collection;
    list->out = g_string_sized_new(4096);
    list->prefix = g_strdup_printf("\"" REST_BASE "/%s/", collection);
    list->n_prefix = strlen(list->prefix);
    for (; query->fields && query->fields[list->n_fields]; list->n_fields++)
        list->n_names[list->n_fields] = strlen(query->fields[list->n_fields]);
    if (!query->ndjson && !query->markdown)
        g_string_append_c(list->out, '[');
    return list;
}

void rest_list_drop(RestList *list)
{
    g_string_free(list->out, TRUE);
    g_free(list->prefix);
    g_free(list);
}

static const char *content_type(const RestList *list)
{
    return list->query->ndjson     ? "application/x-ndjson"
           : list->query->markdown ? "text/markdown; charset=utf-8"
                                   : "application/json; charset=utf-8";
}

bool rest_list_flush(RestList *list)
{
    if (list->lost)
        return false;
    if (!list->begun)
        list->lost = !http_reply_begin(list->request->http, 200, content_type(list),
                                       HTTP_LENGTH_CHUNKED, NULL);
    list->begun = true;
    list->lost = list->lost ||
                 !http_reply_write(list->request->http, list->out->str, list->out->len, NULL);
    g_string_truncate(list->out, 0);
    return !list->lost;
}

void rest_list_end(RestList *list)
{
    if (!list->query->ndjson && !list->query->markdown)
        g_string_append_c(list->out, ']');
    if (!list->begun)
        http_reply(list->request->http, 200, content_type(list), list->out->str, list->out->len);
    else if (rest_list_flush(list))
        http_reply_end(list->request->http, NULL);
    rest_list_drop(list);
}

/* --- Which items --- */

/* The object with only the properties that the filter looks at. */
static json_t *part_of(const GPtrArray *names, const char *text, size_t n)
{
    json_t *part = json_object();
    JsonMembers members;
    JsonMember member;
    json_members_init(&members, text, n);
    while (json_members_next(&members, &member)) {
        for (unsigned i = 0; i < names->len; i++) {
            const char *name = names->pdata[i];
            if (strlen(name) == member.n_name && memcmp(name, member.name, member.n_name) == 0)
                json_object_set_new(part, name,
                                    json_loadb(member.value, member.n_value,
                                               JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL));
        }
    }
    return part;
}

static bool is_wanted(const RestQuery *query, const char *text, size_t n)
{
    if (!query->filter)
        return true;
    json_t *item = query->filter_on ? part_of(query->filter_on, text, n)
                                    : json_loadb(text, n, JSON_ALLOW_NUL, NULL);
    bool wanted = filter_match(query->filter, item);
    json_decref(item);
    return wanted;
}

/* --- What of each --- */

/* The members named by `fields` at their places; it ends when all are found. */
static void find_fields(char **fields, const size_t *n_names, unsigned n_fields, const char *text,
                        size_t n, JsonMember *found)
{
    unsigned n_found = 0;
    JsonMembers members;
    JsonMember member;
    json_members_init(&members, text, n);
    memset(found, 0, n_fields * sizeof *found);
    while (n_found < n_fields && json_members_next(&members, &member)) {
        for (unsigned i = 0; i < n_fields; i++) {
            if (found[i].name || n_names[i] != member.n_name ||
                memcmp(fields[i], member.name, member.n_name) != 0)
                continue;
            found[i] = member;
            n_found++;
        }
    }
}

/* Whether the id is JSON as it is; those of objects are. */
static bool is_plain(const char *id)
{
    for (; *id; id++)
        if ((guchar) *id < ' ' || *id == '"' || *id == '\\')
            return false;
    return true;
}

static void append_path(RestList *list, const char *id)
{
    if (is_plain(id)) {
        g_string_append_len(list->out, list->prefix, (gssize) list->n_prefix);
        g_string_append(list->out, id);
        g_string_append_c(list->out, '"');
        return;
    }
    g_autofree char *path = g_strdup_printf("%s%s", list->prefix + 1, id);
    json_write_string(list->out, path, strlen(path));
}

static void append_whole(RestList *list, const char *id, const char *text, size_t n)
{
    const char *end = memrchr(text, '}', n);
    size_t n_members = end ? (size_t) (end - text) : 0;
    g_string_append_len(list->out, text, (gssize) n_members);
    g_string_append(list->out, n_members > 1 ? ",\"href\":" : "\"href\":");
    append_path(list, id);
    g_string_append_c(list->out, '}');
}

static void append_fields(RestList *list, const char *id, const char *text, size_t n)
{
    JsonMember found[REST_MAX_FIELDS];
    find_fields(list->query->fields, list->n_names, list->n_fields, text, n, found);
    g_string_append_c(list->out, '{');
    for (unsigned i = 0; i < list->n_fields; i++) {
        if (!found[i].name)
            continue;
        const char *start = found[i].name - 1, *end = found[i].value + found[i].n_value;
        g_string_append_len(list->out, start, end - start);
        g_string_append_c(list->out, ',');
    }
    g_string_append(list->out, "\"href\":");
    append_path(list, id);
    g_string_append_c(list->out, '}');
}

/* --- In which form --- */

static void append_cell(GString *out, const JsonMember *member)
{
    json_t *value = member->name ? json_loadb(member->value, member->n_value,
                                              JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL)
                                 : NULL;
    g_autofree char *text = json_is_string(value) ? g_strdup(json_string_value(value))
                            : value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY)
                                    : g_strdup("");
    g_strdelimit(text, "\r\n", ' ');
    g_auto(GStrv) parts = g_strsplit(text, "|", -1);
    g_autofree char *escaped = g_strjoinv("\\|", parts);
    g_string_append_printf(out, " %s |", escaped);
    json_decref(value);
}

static char **names_of(const char *text, size_t n)
{
    GStrvBuilder *builder = g_strv_builder_new();
    JsonMembers members;
    JsonMember member;
    json_members_init(&members, text, n);
    for (unsigned i = 0; i < REST_MAX_FIELDS && json_members_next(&members, &member); i++) {
        g_autofree char *name = g_strndup(member.name, member.n_name);
        g_strv_builder_add(builder, name);
    }
    char **names = g_strv_builder_end(builder);
    g_strv_builder_unref(builder);
    return names;
}

/* A row of a table, whose columns are those of `fields`, or of the first item. */
static void append_row(RestList *list, const char *id, const char *text, size_t n)
{
    static char *const paths[] = { (char *) "href", NULL };
    g_auto(GStrv) all = list->query->all_fields ? names_of(text, n) : NULL;
    char **columns = all ? all : list->query->fields ? list->query->fields : (char **) paths;
    JsonMember found[REST_MAX_FIELDS];
    if (list->n_items == 0) {
        g_autofree char *head = g_strjoinv(" | ", columns);
        g_string_append_printf(list->out, "| %s |\n|", head);
        for (unsigned i = 0; columns[i]; i++)
            g_string_append(list->out, " --- |");
    }
    g_string_append(list->out, "\n|");
    size_t n_names[REST_MAX_FIELDS];
    unsigned n_columns = g_strv_length(columns);
    for (unsigned i = 0; i < n_columns; i++)
        n_names[i] = strlen(columns[i]);
    find_fields(columns, n_names, n_columns, text, n, found);
    for (unsigned i = 0; list->query->fields && columns[i]; i++)
        append_cell(list->out, &found[i]);
    if (!list->query->fields)
        g_string_append_printf(list->out, " " REST_BASE "/%s/%s |", list->collection, id);
}

static void append_item(RestList *list, const char *id, const char *text, size_t n)
{
    if (!list->query->fields)
        append_path(list, id);
    else if (list->query->all_fields)
        append_whole(list, id, text, n);
    else
        append_fields(list, id, text, n);
}

static void append_json(RestList *list, const char *id, const char *text, size_t n)
{
    if (list->n_items && !list->query->ndjson)
        g_string_append_c(list->out, ',');
    append_item(list, id, text, n);
    if (list->query->ndjson)
        g_string_append_c(list->out, '\n');
}

bool rest_list_add(RestList *list, const char *id, const char *text, size_t n)
{
    const RestQuery *query = list->query;
    if (list->lost || (query->limit >= 0 && list->n_items >= query->limit))
        return false;
    if (!is_wanted(query, text, n))
        return true;
    if (query->markdown)
        append_row(list, id, text, n);
    else
        append_json(list, id, text, n);
    list->n_items++;
    return list->out->len < REST_FLUSH_BYTES || rest_list_flush(list);
}

bool rest_list_tell(RestList *list, const char *event, const char *id, const char *text, size_t n)
{
    if (list->lost)
        return false;
    if (!is_wanted(list->query, text, n))
        return true;
    g_string_append_printf(list->out, "[\"%s\",", event);
    append_item(list, id, text, n);
    g_string_append(list->out, "]\n");
    return rest_list_flush(list);
}
