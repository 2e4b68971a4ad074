/* Messages sealed with a passphrase. */
#include "codec/openpgp.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    openpgp_is_sealed(data, size);
    g_autoptr(GBytes) text = openpgp_open(data, size, "correct horse", 65536, &error);
    g_assert((text == NULL) == (error != NULL));
    return 0;
}
