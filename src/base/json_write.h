/* JSON text, appended to a GString as JSON.stringify writes it: no spaces, UTF-8 unescaped. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* Quotes and escapes; text may contain NUL, must be UTF-8. */
void json_write_string(GString *out, const char *text, gsize n);
void json_write_int(GString *out, gint64 value);
/* The shortest digits that read back as the same double; integers without fraction or exponent
 * below 1e15; null for NaN and the infinities. */
void json_write_real(GString *out, double value);
/* Any value of jansson. */
void json_write_value(GString *out, json_t *value);
