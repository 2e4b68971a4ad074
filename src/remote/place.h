/* What a place offers to the gate in remote.c; included by remote/ and its tests alone.
 *
 * Paths have been checked. Every call blocks and may come from any thread. Errors name the path,
 * not the remote: the gate adds that. To add a place: one file ending in a `const struct
 * remote_ops`, and a line in places.def. */
#pragma once

#include "remote/remote.h"
#include "remote/url.h"

typedef struct Place Place;

struct remote_ops {
    const char *type; /* the URL's: "file" */
    Place *(*open)(const RemoteUrl *url, GError **error);
    void (*close)(Place *place);

    GBytes *(*get)(Place *place, const char *path, gsize max, GError **error);
    bool (*put)(Place *place, const char *path, const void *data, gsize n, RemotePut how,
                GError **error);
    /* In any order; the gate sorts. */
    GPtrArray *(*list)(Place *place, const char *path, GError **error);
    bool (*stat)(Place *place, const char *path, RemoteStat *stat, GError **error);
    bool (*rename)(Place *place, const char *from, const char *to, GError **error);
    bool (*drop)(Place *place, const char *path, GError **error);
    bool (*drop_tree)(Place *place, const char *path, GError **error);
    /* mode: of the folders that are made. */
    bool (*make_folder)(Place *place, const char *path, unsigned mode, GError **error);
    bool (*sync_folder)(Place *place, const char *path, GError **error);
    bool (*space)(Place *place, RemoteSpace *space, GError **error);
    Bytes *(*bytes)(Place *place, const char *path, RemoteMode mode, GError **error);
    Chunks *(*chunks)(Place *place, const char *path, GError **error);
    /* Lets go of what memory holds of a file; absent where there is no such memory. */
    void (*forget)(Place *place, const char *path);

    /* Locks, absent where the place has none. Take: makes the folder or fails with EXISTS; touch:
     * sets its time to now. Both say how it is afterwards. Steal: removes the folder if it still is
     * as seen. */
    bool (*lock_take)(Place *place, const char *path, RemoteStat *now, GError **error);
    bool (*lock_touch)(Place *place, const char *path, RemoteStat *now, GError **error);
    bool (*lock_steal)(Place *place, const char *path, const RemoteStat *seen, GError **error);
};

/* The maker's struct starts with this. */
struct Place {
    const struct remote_ops *ops;
    int n_moves; /* atomic: grows during a call that may take long for a good reason */
};

/* A remote over a place, which is taken over; options may be NULL, is referenced. */
Remote *remote_new(Place *place, const char *name, json_t *options);
Place *remote_place(Remote *remote);
