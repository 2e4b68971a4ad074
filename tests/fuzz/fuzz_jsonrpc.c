/* JSON-RPC messages and parameters from a hostile client. */
#include "api/jsonrpc.h"
#include "api/params.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const Param *const rows = PARAMS(REQ(ID("id", "VM", "operate")), OPT(BOOL("force")),
                                        DEF("0", NUM("n")), OPT(ARR("list", P_STRING)),
                                        OPT(CHOICE("mode", "a|b")));

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(RpcMessage) message = rpc_parse((const char *) data, size);
    for (unsigned i = 0; message && i < message->requests->len; i++) {
        RpcRequest *request = message->requests->pdata[i];
        json_decref(params_check(rows, request->method, request->params, NULL));
        if (request->id)
            rope_unref(rpc_result_text(request->id, request->params, NULL));
    }
    return 0;
}
