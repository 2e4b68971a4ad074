/* What the operations of our side need to make a repository or find their way in one. */
#pragma once

#include "catalog/catalog.h"

/* The only VM, job and disk of the repositories made here. */
#define BENCH_VM  "11111111-1111-4111-8111-111111111111"
#define BENCH_JOB "22222222-2222-4222-8222-222222222222"
#define BENCH_VDI "33333333-3333-4333-8333-333333333333"

typedef struct {
    guint64 size_bytes;
    guint32 n_full, n_delta; /* blocks of the first point, and of each that follows */
    unsigned n_points;
    json_t *metadata; /* of a point, as the product writes it; the rest is filled in */
} RepositoryPlan;

/* A chain of points, by the writers that backups use. */
bool repository_make(Remote *remote, const RepositoryPlan *plan, GError **error);
/* The path of the disk of a point, counted from the oldest, as catalog_disk_open takes it; copy. */
char *repository_path(Catalog *catalog, gsize point, GError **error);
/* One point from blocks that the caller puts: begin, then finish. */
CatalogDisk *repository_begin(Catalog *catalog, unsigned point, guint64 size_bytes,
                              const char *parent, GError **error);
bool repository_finish(Catalog *catalog, CatalogDisk *disk, unsigned point, json_t *metadata,
                       GError **error);
