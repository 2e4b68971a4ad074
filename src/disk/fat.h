/* A small FAT16 file system made in memory: how a new machine is told who it is (cloud-init's
 * NoCloud and config drives). Source: Microsoft's FAT specification, 1.03. */
#pragma once

#include <glib.h>

enum {
    FAT_IMAGE_BYTES = 10 << 20,
    FAT_DISK_BYTES = FAT_IMAGE_BYTES + (2 << 20), /* with a table of partitions */
    FAT_MAX_NAME = 64,
};

typedef struct {
    const char *path; /* "user-data", "openstack/latest/user_data"; ASCII */
    const char *data; /* text */
} FatFile;

/* The whole image. `label`: at most 11 characters. The files' folders are made as they are named.
 * LIMIT when they do not fit. */
GBytes *fat_image(const char *label, const FatFile *files, guint n_files, GError **error);
/* The image as the only partition of a disk (MBR), as Windows wants it. */
GBytes *fat_disk(GBytes *image);
