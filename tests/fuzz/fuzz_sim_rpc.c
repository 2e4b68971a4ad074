/* A call of the API: JSON when it begins with '{', else XML. */
#include "sim/rpc.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RpcCall call;
    bool ok = size > 0 && data[0] == '{' ? rpc_parse_json((const char *) data, size, &call)
                                         : rpc_parse_xml((const char *) data, size, &call);
    if (!ok)
        return 0;
    g_assert(call.method != NULL && json_is_array(call.params));
    rpc_call_clear(&call);
    return 0;
}
