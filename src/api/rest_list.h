/* A list as a client asked for it: which items (filter, limit), what of each (fields), in which
 * form (JSON, ndjson, Markdown). Items are texts of JSON objects and are written as they come: what
 * is not asked for is never parsed, and a long answer is streamed. */
#pragma once

#include "api/rest_request.h"
#include "base/filter.h"

typedef struct {
    char **fields;        /* NULL: paths alone */
    bool all_fields;      /* fields=* */
    Filter *filter;       /* NULL: all items */
    GPtrArray *filter_on; /* the properties that decide, NULL: the whole item */
    gint64 limit;         /* -1: none */
    bool ndjson, markdown;
} RestQuery;

/* False when the request was answered with what is wrong. */
bool rest_query_read(RestRequest *request, RestQuery *query);
void rest_query_clear(RestQuery *query);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RestQuery, rest_query_clear)

typedef struct RestList RestList;

/* `collection` is where the items' paths lead: "vms". Both are borrowed. */
RestList *rest_list_new(RestRequest *request, const RestQuery *query, const char *collection);
/* False when no more items are wanted: the limit is reached, or the client has gone. */
bool rest_list_add(RestList *list, const char *id, const char *text, size_t n);
/* The same as a line ["update", item], sent at once: for lists that go on, which are ndjson. */
bool rest_list_tell(RestList *list, const char *event, const char *id, const char *text, size_t n);
/* Sends what has been gathered, at once: for lists that go on. */
bool rest_list_flush(RestList *list);
/* Ends the answer and frees. */
void rest_list_end(RestList *list);
/* Frees without an answer. */
void rest_list_drop(RestList *list);
