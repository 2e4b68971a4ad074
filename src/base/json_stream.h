/* A streaming JSON tokenizer (RFC 8259): bytes in, in slices of any size, tokens out.
 *
 * Memory is the nesting depth plus one string or number, both limited, however long the document.
 * An integer that fits 64 bits is exact, every other number is a double. Strict by default;
 * `lenient` also takes what old hosts send: bare NaN, Infinity and -Infinity, raw control
 * characters, broken UTF-8 and lone surrogates (each replaced by U+FFFD), numbers beyond the range
 * of a double. Never blocks. Not thread-safe. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum {
    JSON_TOKEN_OBJECT,
    JSON_TOKEN_OBJECT_END,
    JSON_TOKEN_ARRAY,
    JSON_TOKEN_ARRAY_END,
    JSON_TOKEN_KEY,
    JSON_TOKEN_STRING,
    JSON_TOKEN_INT,
    JSON_TOKEN_REAL,
    JSON_TOKEN_TRUE,
    JSON_TOKEN_FALSE,
    JSON_TOKEN_NULL,
} JsonTokenKind;

typedef struct {
    JsonTokenKind kind;
    /* How many objects and arrays the token is in; the brackets themselves count as outside. */
    unsigned depth;
    const char *text; /* of KEY and STRING: UTF-8, NUL after it; a STRING may contain NUL */
    size_t n;         /* bytes of text */
    gint64 integer;   /* of INT */
    double real;      /* of INT and REAL */
} JsonToken;

/* False, with an error, stops the stream. The token and its text are valid during the call only. */
typedef bool (*JsonTokenSeen)(const JsonToken *token, void *user, GError **error);

/* Offered the place where an object begins, at `at`: how many of its n bytes are one whole object,
 * which is then the caller's and gives no tokens; 0: the stream shall read it (it is not whole in
 * this slice, or not as expected). What is taken must be valid JSON. */
typedef size_t (*JsonObjectTaken)(const char *at, size_t n, unsigned depth, void *user);

enum { JSON_STREAM_MAX_DEPTH = 512, JSON_STREAM_MAX_TEXT_BYTES = 64 << 20 };

typedef struct {
    unsigned max_depth;    /* 0: JSON_STREAM_MAX_DEPTH */
    size_t max_text_bytes; /* of one string or number; 0: JSON_STREAM_MAX_TEXT_BYTES */
    bool lenient;
    JsonObjectTaken take_object; /* or NULL */
} JsonStreamConfig;

typedef struct JsonStream JsonStream;

/* The config is copied; NULL: strict with the limits above. */
JsonStream *json_stream_new(const JsonStreamConfig *config, JsonTokenSeen seen, void *user);
void json_stream_free(JsonStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonStream, json_stream_free)

/* INVALID (not JSON, with the offset), LIMIT, or the callback's error; every later call then fails
 * in the same way. */
bool json_stream_feed(JsonStream *stream, const void *data, size_t n, GError **error);
/* The document must be complete: exactly one value. TRUNCATED otherwise. */
bool json_stream_end(JsonStream *stream, GError **error);
/* The one value has been seen to its end. */
bool json_stream_is_complete(const JsonStream *stream);
