/* Writes values in the packed form, into a buffer that serves record after record; where a text is
 * a word that all records repeat, its number is found by its hash. Not thread-safe. */
#pragma once

#include "pool/packed.h"

typedef struct Packer Packer;

/* Its records lie in these cells, which must outlive it. */
Packer *packer_new(Cells *cells);
void packer_free(Packer *packer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Packer, packer_free)

/* Forgets what was written. */
void packer_begin(Packer *packer);
void packer_tag(Packer *packer, guint8 tag);
/* n bytes, which are UTF-8 and may hold a NUL. */
void packer_text(Packer *packer, const char *text, gsize n);
void packer_int(Packer *packer, gint64 value);
void packer_real(Packer *packer, double value);
/* An array or object: its members are written between these. */
gsize packer_open(Packer *packer);
void packer_close(Packer *packer, gsize opened, guint8 tag, guint64 n_members);
/* The record of all values written; a reference of the shape is taken. */
Record *packer_end(Packer *packer, const char *ref, Shape *shape);

/* Both write the record's values and give it. record_pack builds the shape when the present one
 * does not fit; record_take reads `text`, where *n is how much there is and then how much the
 * record was, and gives NULL for one that is of another shape, not whole, or not written in the
 * plainest way: the caller then builds it. */
Record *record_pack(Packer *packer, const char *cls, const char *ref, json_t *record,
                    Shape **shape);
Record *record_take(Packer *packer, const char *ref, const char *text, gsize *n, Shape *shape);
