/* Named files in a place. This file is the one gate in front of every place's table: paths are
 * checked, calls are timed and traced, results checked.
 *
 * Paths are relative to the root, with '/', no empty, "." or ".." parts; "" is the root.
 * Thread-safe. All calls block. Errors name the remote and the path. URLs are XO's
 * ("file:///backups?useVhdDirectory=true", each option JSON, percent-encoded). */
#pragma once

#include "disk/bytes.h"
#include "disk/chunks.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Remote Remote;

/* Opens the place; the folder is made when missing, and must be readable and writable. */
Remote *remote_open(const char *url, GError **error);
/* The same for who cannot wait for ever: a call that has not come back after patience_ms fails with
 * TIMEOUT, and so does every other at once, until it comes back. Not the whole blocks that a pipe
 * writes: it looks after them itself. 0: remote_open. */
Remote *remote_open_patient(const char *url, unsigned patience_ms, GError **error);
/* Whole blocks (2 MiB) of files that are opened only to be read are from now on read by the calling
 * thread, which somebody else watches over: they would have to be copied. */
void remote_read_unwatched(Remote *remote);
/* A call has not come back. Closing leaves then what it may still use. */
bool remote_is_stuck(Remote *remote);
/* Of a patient one: whenever a call is given up, `tell` hears of it in the thread that made it,
 * while nobody else gets an answer. It may end the process; it must not use the remote. */
typedef void RemoteGaveUp(void *user, const GError *error);
void remote_on_giving_up(Remote *remote, RemoteGaveUp *tell, void *user);
/* A folder that is there, only to be read: it need not be writable, and nothing is made. Patient as
 * above. */
Remote *remote_open_folder(const char *folder, unsigned patience_ms, GError **error);
/* The same, to be changed too; NOT_FOUND when it is not there. */
Remote *remote_open_own_folder(const char *folder, unsigned patience_ms, GError **error);
void remote_close(Remote *remote);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Remote, remote_close)

/* Checks a URL without I/O; INVALID says what is wrong. */
bool remote_check_url(const char *url, GError **error);
/* The URL with secrets obfuscated as XO does; copy. */
char *remote_redact_url(const char *url);
/* An option of the URL ("useVhdDirectory"), new reference, or NULL. */
json_t *remote_option(const Remote *remote, const char *name);
/* "file:/backups", for messages. */
const char *remote_name(const Remote *remote);

typedef struct {
    guint64 size_bytes;
    gint64 mtime_ns;
    guint64 inode;   /* 0 where there is none */
    gint64 birth_ns; /* 0 where the place does not know */
    bool is_folder;
} RemoteStat;

typedef struct {
    guint64 size_bytes, used_bytes, available_bytes; /* 0: unknown */
} RemoteSpace;

/* NOT_FOUND, IO, LIMIT (larger than max). */
GBytes *remote_get(Remote *remote, const char *path, gsize max, GError **error);
typedef enum {
    REMOTE_PUT_OVER,     /* an existing file */
    REMOTE_PUT_NEW,      /* EXISTS when there is one */
    REMOTE_PUT_VOLATILE, /* over an existing file, and no promise: a power cut leaves the old one,
                            or none, or one that is empty or torn; so does a crash, and who reads at
                            the same time. For what is checked when it is
                            read and can be made again. */
} RemotePut;
/* The whole file appears at once, durably unless VOLATILE (temporary name, fsync, rename, fsync of
 * the folder), with its folders. */
bool remote_put(Remote *remote, const char *path, const void *data, gsize n, RemotePut how,
                GError **error);
/* Names in a folder, sorted, no "." and ".."; an absent folder is NOT_FOUND. */
GPtrArray *remote_list(Remote *remote, const char *path, GError **error);
bool remote_stat(Remote *remote, const char *path, RemoteStat *stat, GError **error);
/* Over an existing file; durable. */
bool remote_rename(Remote *remote, const char *from, const char *to, GError **error);
/* A file; absent is success. Durable. */
bool remote_drop(Remote *remote, const char *path, GError **error);
/* A folder with all in it; absent is success. */
bool remote_drop_tree(Remote *remote, const char *path, GError **error);
/* With its parents; durable; 0755. There already is success. */
bool remote_make_folder(Remote *remote, const char *path, GError **error);
/* The same, for its owner alone (0700): XO's flat disks and metadata backups. */
bool remote_make_private_folder(Remote *remote, const char *path, GError **error);
bool remote_space(Remote *remote, RemoteSpace *space, GError **error);

typedef enum { REMOTE_READ, REMOTE_CREATE, REMOTE_UPDATE } RemoteMode;
/* A file for disk/ (REMOTE_CREATE truncates). */
Bytes *remote_bytes(Remote *remote, const char *path, RemoteMode mode, GError **error);
/* A folder for disk/. */
Chunks *remote_chunks(Remote *remote, const char *path, GError **error);
/* Lets go of what memory holds of a durable file, so that the next read comes from the storage
 * itself: what a read-back needs. As far as the place can; never fails. */
void remote_forget(Remote *remote, const char *path);
/* As remote_chunks, to read alone; each chunk comes from the storage itself. */
Chunks *remote_chunks_stored(Remote *remote, const char *path, GError **error);
/* Durable: the folder's entries. */
bool remote_sync_folder(Remote *remote, const char *path, GError **error);

/* A lock as XO's (proper-lockfile: folder <path>.lock, refreshed every 5 s, stale after 10 s).
 * Waits up to wait_ms; BUSY names who holds it, as far as known. */
typedef struct RemoteLock RemoteLock;
RemoteLock *remote_lock(Remote *remote, const char *path, unsigned wait_ms, GError **error);
/* False once another took it over (it was not refreshed in time). */
bool remote_lock_held(RemoteLock *lock);
void remote_unlock(RemoteLock *lock);
/* Which folder the lock is, among all that ever had its name; false where the place cannot tell. */
typedef struct {
    guint64 inode;
    gint64 birth_ns; /* where the place does not know: its time, until it is refreshed */
} RemoteLockId;
bool remote_lock_id(RemoteLock *lock, RemoteLockId *id);
/* Removes the lock of a process that is dead, when it still is this one; absent, or another's, is
 * success. */
bool remote_unlock_dead(Remote *remote, const char *path, const RemoteLockId *id, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RemoteLock, remote_unlock)

/* XO's test: 10 MiB written and read back; rates in bytes/s. */
bool remote_test(Remote *remote, double *read_rate, double *write_rate, const char **step,
                 GError **error);
