/* The parser of a journal's bytes. */
#include "journal/private.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *records = json_array();
    gsize end;
    g_autoptr(GError) error = NULL;
    if (journal_parse(data, size, "fuzz", records, &end, &error))
        g_assert(end >= JOURNAL_HEADER_BYTES && (end <= size || size < JOURNAL_HEADER_BYTES));
    else
        g_assert(error);
    json_decref(records);
    return 0;
}
