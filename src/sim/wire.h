/* Values written for a client, straight from the columns of a record: as JSON, or as XML-RPC in
 * XAPI's dialect (integers are text, dates have no hyphens). One writer, two spellings; nothing is
 * built as a tree first. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Wire Wire;

Wire *wire_new(bool xml);
/* The text so far; wire freed. */
GString *wire_finish(Wire *wire);
GString *wire_text(Wire *wire);
/* Forgets everything after the first n bytes and closes all that was open. */
void wire_reset(Wire *wire, gsize n);

void wire_text_value(Wire *wire, const char *text);
void wire_int(Wire *wire, gint64 value);
/* A small integer in the <i4> spelling. */
void wire_i4(Wire *wire, gint64 value);
void wire_float(Wire *wire, double value);
void wire_bool(Wire *wire, bool value);
void wire_date(Wire *wire, gint64 unix_s);
void wire_json(Wire *wire, json_t *value);

void wire_open_list(Wire *wire);
void wire_open_map(Wire *wire);
void wire_key(Wire *wire, const char *key);
void wire_close(Wire *wire);

/* Appends text to out, escaped as in a JSON string or as XML character data. */
void wire_escape_json(GString *out, const char *text);
void wire_escape_xml(GString *out, const char *text);
