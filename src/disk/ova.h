/* ova.xml, the description inside an XVA: XML-RPC values without a call around them.
 *
 * As JSON: {"version": {hostname, …, export_vsn}, "objects": [{"class", "id", "snapshot": {…}}]}.
 * Scalars keep what the text says: <boolean> is a boolean, <int>, <i4> and <i8> an integer,
 * <double> a real, all else (untyped numbers and dates, too) a string. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* CORRUPT names what is wrong; at most 64 values deep. New reference. */
json_t *ova_parse(const char *text, gsize n, GError **error);
/* An object by its id ("Ref:3"): its class (may be NULL) and its record, borrowed; NULL: none. */
json_t *ova_find(json_t *ova, const char *id, const char **cls);
/* A member as text, "" when it is none. */
const char *ova_text(json_t *record, const char *name);
/* A number however it is written; -1 when it is none. */
gint64 ova_number(json_t *record, const char *name);
