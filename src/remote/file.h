/* What the files of the file:// place share; private to them. */
#pragma once

#include "remote/direct.h"
#include "remote/place.h"

typedef struct {
    Place base;
    char *root;
    int cached; /* atomic: 1 once its file system has refused to go past the page cache */
} FilePlace;

extern const struct remote_ops file_ops;

/* The absolute path; freed by the caller. */
char *file_path(const Place *place, const char *path);
/* fsync of a folder, by absolute path; `what` names it in the error. */
bool file_sync_folder(const char *absolute, const char *what, GError **error);
/* mkdir -p with fsync of every parent that got an entry. */
bool file_make_folders(const Place *place, const char *path, unsigned mode, GError **error);
/* Writes everything, or an error that names `what`. */
bool file_write_all(int fd, const void *data, gsize n, const char *what, GError **error);
/* The folder part of a path ("" for a name at the root); freed by the caller. */
char *file_parent(const char *path);
/* A free hidden name beside `path`: ".<epoch ms>.<basename><suffix>", opened for writing. */
int file_open_temp(const Place *place, const char *path, const char *suffix, char **temp_absolute,
                   GError **error);

/* Around the use of a DirectFile: whether this place can is found out once. */
void file_direct_begin(Place *place, DirectFile *file, int fd);
void file_direct_end(Place *place, DirectFile *file);

Bytes *file_bytes(Place *place, const char *path, RemoteMode mode, GError **error);
Chunks *file_chunks(Place *place, const char *path, GError **error);
