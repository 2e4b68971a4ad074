/* One part of a form that carries files (multipart/form-data, RFC 7578; its syntax is RFC 2046
 * §5.1), as it arrives: nothing is held but a window. Not thread-safe. */
#pragma once

#include "http/client.h"

#include <glib.h>

typedef struct Multipart Multipart;

/* Whether a body of this Content-Type (NULL: none) is such a form. */
bool multipart_is(const char *content_type);
/* `source` gives the body, and `user` lives as long. NULL with INVALID where the type names no
 * boundary. */
Multipart *multipart_new(const char *content_type, HttpSource source, void *user, GError **error);
/* Passes over everything up to the content of the first part of that name. NOT_FOUND where there is
 * none; INVALID, TRUNCATED, or the source's error. Blocks with the source. */
bool multipart_find(Multipart *multipart, const char *name, GError **error);
/* An HttpSource: the content of the part that was found. TRUNCATED when the body ends within it. */
ssize_t multipart_read(void *data, size_t n, void *multipart, GError **error);
void multipart_free(Multipart *multipart);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Multipart, multipart_free)
