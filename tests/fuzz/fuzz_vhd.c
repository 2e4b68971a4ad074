/* A flat VHD from anywhere: opened, and every block it claims read. */
#include "disk/disk.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int merging = 0; merging < 2; merging++) {
        Bytes *bytes = bytes_new_memory(data, size);
        g_autoptr(Disk) disk = merging ? vhd_open_merging(bytes, NULL) : vhd_open(bytes, NULL);
        static uint8_t block[DISK_BLOCK_BYTES];
        for (guint32 i = 0; disk && i < MIN(disk->info.n_blocks, 1000); i++)
            if (disk_has(disk, i))
                disk_read_block(disk, i, block, NULL);
    }
    return 0;
}
