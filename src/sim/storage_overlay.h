/* Bytes that came from outside (imports), in one unnamed sparse file cut in cells of 64 KiB.
 *
 * A slot is a cell's place in the file. Slots are reused and punched out when given back, so the
 * room taken is what is held. The file has no name: it goes with the process, however that ends.
 * Reads and writes of different slots may run at once; take and give are for one thread at a time.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Overlay Overlay;

/* A slot number is below this. */
#define OVERLAY_MAX_SLOTS (1u << 30)

/* The file is made in `folder`. */
Overlay *overlay_new(const char *folder, GError **error);
void overlay_free(Overlay *overlay);
/* A free slot, its content undefined; LIMIT when OVERLAY_MAX_SLOTS are held. */
bool overlay_take(Overlay *overlay, guint32 *slot, GError **error);
void overlay_give(Overlay *overlay, guint32 slot);
/* Exactly SEED_CELL_BYTES. */
bool overlay_write(Overlay *overlay, guint32 slot, const void *cell, GError **error);
bool overlay_read(Overlay *overlay, guint32 slot, void *cell, GError **error);
guint32 overlay_n_held(const Overlay *overlay);
