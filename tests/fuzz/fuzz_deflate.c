/* Any bytes as an offer of extensions, and as a compressed message: an agreement is one of the
 * known windows, what inflates keeps to its limit and comes back from being compressed again. */
#include "http/deflate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *offers = g_strndup((const char *) data, size);
    g_autoptr(GString) answer = g_string_new(NULL);
    int bits = deflate_agree(offers, answer);
    if (bits && (bits < 9 || bits > 15))
        abort();
    gsize n, n_packed, n_again;
    g_autofree char *text = inflate_message(data, size, MAX_BYTES, &n, NULL);
    if (!text)
        return 0;
    g_autoptr(GBytes) message = g_bytes_new(text, n);
    g_autoptr(GBytes) packed = deflate_message(message, bits ? bits : 15);
    const void *bytes = g_bytes_get_data(packed, &n_packed);
    g_autofree char *again = inflate_message(bytes, n_packed, n, &n_again, NULL);
    if (n > MAX_BYTES || !again || n_again != n || memcmp(again, text, n) != 0)
        abort();
    return 0;
}
