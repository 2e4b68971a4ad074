/* What the plug-in inside nbdkit and the simulator say to each other, over one unix socket per NBD
 * connection: the client's export name, ended by a newline; the answer NbdOpened; then each read as
 * NbdRead, answered by a 32-bit status (0, else an errno) and, when it is 0, the bytes. Both are on
 * one machine: native byte order. */
#pragma once

#include <stdint.h>

enum { NBD_MAX_NAME_BYTES = 4096, NBD_MAX_READ_BYTES = 64 << 20 };

typedef struct {
    uint64_t size_bytes;
    uint32_t status; /* 0, else an errno */
    uint32_t unused;
} NbdOpened;

typedef struct {
    uint64_t offset;
    uint32_t n;
    uint32_t unused;
} NbdRead;
