/* Bytes and chunks of the patient place. Data goes through copies in small pieces: whoever gives up
 * takes its buffer along. */
#include "remote/errand.h"

#include "base/error.h"
#include "disk/disk.h"

#include <string.h>

enum { PIECE_BYTES = 256 << 10 };

/* --- Bytes --- */

typedef struct {
    Bytes base;
    PatientPlace *place;
    Held *held;
    char *path;
    bool is_new; /* of a pipe, perhaps */
} PatientBytes;

#define BYTES(base) ((PatientBytes *) (base))

static Bytes *inner_bytes(const Errand *errand)
{
    return errand->held->inner;
}

static Errand *bytes_errand(const PatientBytes *bytes, const char *verb,
                            void (*make)(Errand *errand))
{
    Errand *errand = errand_new(bytes->place, verb, make, bytes->path);
    errand->held = held_ref(bytes->held);
    return errand;
}

static void make_read(Errand *errand)
{
    Bytes *inner = inner_bytes(errand);
    errand->made = g_malloc(errand->n);
    errand->unmake = g_free;
    errand->number =
        inner->ops->read(inner, errand->offset, errand->made, errand->n, &errand->error);
}

static gssize read_piece(const PatientBytes *bytes, guint64 offset, void *buffer, gsize n,
                         GError **error)
{
    Errand *errand = bytes_errand(bytes, "reading", make_read);
    errand->offset = offset;
    errand->n = n;
    errand = errand_run(errand, error);
    gssize got = errand ? (gssize) errand->number : -1;
    if (got > 0)
        memcpy(buffer, errand->made, (gsize) got);
    errand_ok(errand);
    return got;
}

static gssize patient_read(Bytes *base, guint64 offset, void *buffer, gsize n, GError **error)
{
    for (gsize done = 0; done < n;) {
        gsize part = MIN(n - done, PIECE_BYTES);
        gssize got = read_piece(BYTES(base), offset + done, (char *) buffer + done, part, error);
        if (got < 0)
            return -1;
        done += (gsize) got;
        if ((gsize) got < part)
            return (gssize) done;
    }
    return (gssize) n;
}

static void make_write(Errand *errand)
{
    gsize n;
    const void *data = g_bytes_get_data(errand->data, &n);
    Bytes *inner = inner_bytes(errand);
    errand->ok = inner->ops->write(inner, errand->offset, data, n, &errand->error);
}

static bool write_piece(const PatientBytes *bytes, guint64 offset, const void *data, gsize n,
                        GError **error)
{
    Errand *errand = bytes_errand(bytes, "writing", make_write);
    errand->offset = offset;
    errand->data = g_bytes_new(data, n);
    return errand_ok(errand_run(errand, error));
}

static bool patient_write(Bytes *base, guint64 offset, const void *data, gsize n, GError **error)
{
    Bytes *inner = BYTES(base)->held->inner;
    if (BYTES(base)->is_new && n >= DISK_BLOCK_BYTES)
        return inner->ops->write(inner, offset, data, n, error);
    for (gsize done = 0; done < n; done += PIECE_BYTES)
        if (!write_piece(BYTES(base), offset + done, (const char *) data + done,
                         MIN(n - done, PIECE_BYTES), error))
            return false;
    return true;
}

static void make_resize(Errand *errand)
{
    Bytes *inner = inner_bytes(errand);
    errand->ok = inner->ops->resize(inner, errand->offset, &errand->error);
}

static bool patient_resize(Bytes *base, guint64 size, GError **error)
{
    Errand *errand = bytes_errand(BYTES(base), "resizing", make_resize);
    errand->offset = size;
    return errand_ok(errand_run(errand, error));
}

static void make_size(Errand *errand)
{
    Bytes *inner = inner_bytes(errand);
    errand->number = inner->ops->size(inner, &errand->error);
}

static gint64 patient_size(Bytes *base, GError **error)
{
    Errand *errand = errand_run(bytes_errand(BYTES(base), "looking at", make_size), error);
    gint64 size = errand ? errand->number : -1;
    errand_ok(errand);
    return size;
}

static void make_sync(Errand *errand)
{
    Bytes *inner = inner_bytes(errand);
    errand->ok = inner->ops->sync(inner, &errand->error);
}

static bool patient_sync(Bytes *base, GError **error)
{
    return errand_ok(errand_run(bytes_errand(BYTES(base), "syncing", make_sync), error));
}

static void patient_end(Bytes *base)
{
    held_close(BYTES(base)->place, BYTES(base)->held);
    g_free(BYTES(base)->path);
    g_free(base);
}

static const struct bytes_ops patient_bytes_ops = {
    .read = patient_read,
    .write = patient_write,
    .resize = patient_resize,
    .size = patient_size,
    .sync = patient_sync,
    .close = patient_end,
};

/* --- The same, for who watches over reads --- */

static gssize passing_read(Bytes *base, guint64 offset, void *buffer, gsize n, GError **error)
{
    Bytes *inner = BYTES(base)->held->inner;
    return n >= DISK_BLOCK_BYTES ? inner->ops->read(inner, offset, buffer, n, error)
                                 : patient_read(base, offset, buffer, n, error);
}

static gssize passing_read_split(Bytes *base, guint64 offset, void *head, gsize n_head,
                                 void *buffer, gsize n, GError **error)
{
    Bytes *inner = BYTES(base)->held->inner;
    if (n >= DISK_BLOCK_BYTES && inner->ops->read_split)
        return inner->ops->read_split(inner, offset, head, n_head, buffer, n, error);
    gssize got = patient_read(base, offset, head, n_head, error);
    if (got < (gssize) n_head)
        return got;
    gssize more = passing_read(base, offset + n_head, buffer, n, error);
    return more < 0 ? -1 : got + more;
}

static const struct bytes_ops passing_bytes_ops = {
    .read = passing_read,
    .write = patient_write,
    .resize = patient_resize,
    .size = patient_size,
    .sync = patient_sync,
    .close = patient_end,
    .read_split = passing_read_split,
};

static void close_bytes(void *bytes)
{
    bytes_close(bytes);
}

static void make_bytes(Errand *errand)
{
    Place *inner = errand->place->inner;
    errand->made =
        inner->ops->bytes(inner, errand->path, (RemoteMode) errand->mode, &errand->error);
    errand->unmake = close_bytes;
}

Bytes *patient_bytes(Place *place, const char *path, RemoteMode mode, GError **error)
{
    PatientPlace *patient = (PatientPlace *) place;
    Errand *errand = errand_new(patient, "opening", make_bytes, path);
    errand->mode = mode;
    Bytes *inner = errand_made(errand_run(errand, error));
    if (!inner)
        return NULL;
    PatientBytes *bytes = g_new0(PatientBytes, 1);
    bool passes = patient->passes_reads && mode == REMOTE_READ;
    *bytes = (PatientBytes){ { passes ? &passing_bytes_ops : &patient_bytes_ops },
                             patient,
                             held_new(inner, close_bytes),
                             g_strdup(path),
                             mode == REMOTE_CREATE };
    return &bytes->base;
}

/* --- Chunks --- */

typedef struct {
    Chunks base;
    PatientPlace *place;
    Held *held;
} PatientChunks;

#define CHUNKS(base) ((PatientChunks *) (base))

static Chunks *inner_chunks(const Errand *errand)
{
    return errand->held->inner;
}

static Errand *chunks_errand(const Chunks *base, const char *verb, void (*make)(Errand *errand),
                             const char *name)
{
    const PatientChunks *chunks = (const PatientChunks *) base;
    Errand *errand = errand_new(chunks->place, verb, make, name);
    errand->held = held_ref(chunks->held);
    return errand;
}

static void make_chunk_get(Errand *errand)
{
    errand->made = chunks_get(inner_chunks(errand), errand->path, &errand->error);
    errand->unmake = (GDestroyNotify) g_bytes_unref;
}

static GBytes *patient_chunk_get(Chunks *base, const char *name, GError **error)
{
    return errand_made(errand_run(chunks_errand(base, "reading", make_chunk_get, name), error));
}

static void make_chunk_put(Errand *errand)
{
    gsize n;
    const void *data = g_bytes_get_data(errand->data, &n);
    errand->ok = chunks_put(inner_chunks(errand), errand->path, data, n, &errand->error);
}

static bool patient_chunk_put(Chunks *base, const char *name, const void *data, gsize n,
                              GError **error)
{
    if (g_str_has_prefix(name, "blocks/"))
        return chunks_put(CHUNKS(base)->held->inner, name, data, n, error);
    Errand *errand = chunks_errand(base, "writing", make_chunk_put, name);
    errand->data = g_bytes_new(data, n);
    return errand_ok(errand_run(errand, error));
}

static void make_chunk_move(Errand *errand)
{
    errand->ok = chunks_move(inner_chunks(errand), errand->to, errand->from->inner, errand->path,
                             &errand->error);
}

static bool patient_chunk_move(Chunks *to, const char *to_name, Chunks *from, const char *name,
                               GError **error)
{
    Errand *errand = chunks_errand(to, "moving", make_chunk_move, name);
    errand->to = g_strdup(to_name);
    errand->from = held_ref(CHUNKS(from)->held);
    return errand_ok(errand_run(errand, error));
}

static void make_chunk_drop(Errand *errand)
{
    errand->ok = chunks_drop(inner_chunks(errand), errand->path, &errand->error);
}

static bool patient_chunk_drop(Chunks *base, const char *name, GError **error)
{
    return errand_ok(errand_run(chunks_errand(base, "deleting", make_chunk_drop, name), error));
}

static void make_chunk_sync(Errand *errand)
{
    errand->ok = chunks_sync(inner_chunks(errand), &errand->error);
}

static bool patient_chunk_sync(Chunks *base, GError **error)
{
    return errand_ok(errand_run(chunks_errand(base, "syncing", make_chunk_sync, NULL), error));
}

static void patient_chunk_end(Chunks *base)
{
    held_close(CHUNKS(base)->place, CHUNKS(base)->held);
    g_free(base);
}

static const struct chunks_ops patient_chunks_ops = {
    patient_chunk_get,  patient_chunk_put,  patient_chunk_move,
    patient_chunk_drop, patient_chunk_sync, patient_chunk_end,
};

static void close_chunks(void *chunks)
{
    chunks_close(chunks);
}

static void make_chunks(Errand *errand)
{
    Place *inner = errand->place->inner;
    errand->made = inner->ops->chunks(inner, errand->path, &errand->error);
    errand->unmake = close_chunks;
}

Chunks *patient_chunks(Place *place, const char *path, GError **error)
{
    PatientPlace *patient = (PatientPlace *) place;
    Chunks *inner =
        errand_made(errand_run(errand_new(patient, "opening", make_chunks, path), error));
    if (!inner)
        return NULL;
    PatientChunks *chunks = g_new0(PatientChunks, 1);
    *chunks = (PatientChunks){ { &patient_chunks_ops }, patient, held_new(inner, close_chunks) };
    return &chunks->base;
}
