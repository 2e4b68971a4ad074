/* One random damage of a repository, done and undone. */
#pragma once

#include "codec/hash.h"

#include <glib.h>
#include <stdbool.h>

/* What is known of the bytes that were harmed, from the layout of the formats alone. */
typedef enum {
    PLACE_OTHER,
    PLACE_FLAT_DATA,    /* content of blocks in a flat VHD: no checksum in the format */
    PLACE_PACKED_BLOCK, /* a block file of a block directory */
} HarmPlace;

typedef struct {
    char *root;     /* the repository */
    char *aside;    /* a folder outside, on the same file system */
    GPtrArray *all; /* paths of files and folders, relative; sorted */
    GRand *random;
} Repository;

typedef struct {
    char *kind;     /* "flip", "truncate", "swap", "swap blocks", "rename", "delete" */
    char *paths[2]; /* relative; the second of a swap */
    char *words;    /* for people */
    HarmPlace place;
    GPtrArray *undo; /* private */
} Harm;

Repository *repository_open(const char *root, guint32 seed);
void repository_close(Repository *repository);
/* Does one; NULL when this draw had nothing to do (draw again). */
Harm *harm_do(Repository *repository);
/* Undoes it, to the byte and the times, and frees it. */
void harm_undo(Repository *repository, Harm *harm);
