/* Framing: the frames recorded from XO, versions, batches, ids. */
#include "api/jsonrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* The answer of a server whose every method returns "0.1", or NULL. */
static char *answer(const char *text)
{
    g_autoptr(RpcMessage) message = rpc_parse(text, strlen(text));
    if (!message)
        return NULL;
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func((GDestroyNotify) rope_unref);
    for (unsigned i = 0; i < message->requests->len; i++) {
        RpcRequest *request = message->requests->pdata[i];
        json_t *result = json_string("0.1");
        if (request->id)
            g_ptr_array_add(texts, rpc_result_text(request->id, result, NULL));
        json_decref(result);
    }
    if (texts->len == 0)
        return NULL;
    g_autoptr(Rope) rope = message->is_batch ? rpc_batch_text(texts) : rope_ref(texts->pdata[0]);
    g_autoptr(GBytes) all = rope_flat(rope);
    return g_strndup(g_bytes_get_data(all, NULL), g_bytes_get_size(all));
}

static const struct {
    const char *sent, *received;
} frames[] = {
    { "{\"jsonrpc\":\"2.0\",\"id\":-9007199254740991,\"method\":\"m\"}",
      "{\"id\":-9007199254740991,\"jsonrpc\":\"2.0\",\"result\":\"0.1\"}" },
    { "{\"jsonrpc\":\"2.0\",\"id\":\"a string\",\"method\":\"m\",\"params\":{}}",
      "{\"id\":\"a string\",\"jsonrpc\":\"2.0\",\"result\":\"0.1\"}" },
    { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[]}",
      "{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":\"0.1\"}" },
    { "{\"jsonrpc\":\"2.0\",\"id\":7.5,\"method\":\"m\"}",
      "{\"id\":7.5,\"jsonrpc\":\"2.0\",\"result\":\"0.1\"}" },
    { "{\"jsonrpc\":\"2.0\",\"id\":7.1,\"method\":\"m\"}",
      "{\"id\":7.1,\"jsonrpc\":\"2.0\",\"result\":\"0.1\"}" },
    { "{\"jsonrpc\":\"2.0\",\"id\":1e3,\"method\":\"m\"}",
      "{\"id\":1000,\"jsonrpc\":\"2.0\",\"result\":\"0.1\"}" },
    { "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"m\",\"params\":{\"n\":123456789012345678901}}",
      "{\"id\":8,\"jsonrpc\":\"2.0\",\"result\":\"0.1\"}" },
    { "{\"id\":4,\"method\":\"m\",\"params\":[]}",
      "{\"id\":4,\"jsonrpc\":\"2.0\",\"result\":\"0.1\"}" },
    { "[{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"m\"},{\"jsonrpc\":\"2.0\",\"method\":\"m\"}]",
      "[{\"id\":2,\"jsonrpc\":\"2.0\",\"result\":\"0.1\"}]" },
    { "{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", NULL },
    { "{\"id\":4,\"method\":\"m\",\"params\":{}}", NULL },
    { "{\"jsonrpc\":\"1.5\",\"id\":5,\"method\":\"m\"}", NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":6}", NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":7}", NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"m\",\"params\":3}", NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}", NULL },
    { "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"m\"}", NULL },
    { "not json", NULL },
    { "[]", NULL },
    { "", NULL },
    { "{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":true}", NULL },
};

static void test_frames(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(frames); i++) {
        g_autofree char *got = answer(frames[i].sent);
        if (frames[i].received)
            assert_string_equal(got, frames[i].received);
        else
            assert_null(got);
    }
}

static void test_void_is_true(void **state)
{
    json_t *id = json_integer(3);
    g_autoptr(Rope) rope = rpc_result_text(id, NULL, NULL);
    g_autoptr(GBytes) text = rope_flat(rope);
    const char *want = "{\"id\":3,\"jsonrpc\":\"2.0\",\"result\":true}";
    assert_int_equal(g_bytes_get_size(text), strlen(want));
    assert_memory_equal(g_bytes_get_data(text, NULL), want, strlen(want));
    json_decref(id);
}

static void test_too_large_batch(void **state)
{
    g_autoptr(GString) text = g_string_new("[1");
    for (unsigned i = 0; i < RPC_MAX_BATCH; i++)
        g_string_append(text, ",{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"m\"}");
    g_string_append(text, "]");
    assert_null(rpc_parse(text->str, text->len));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_frames),
                                        cmocka_unit_test(test_void_is_true),
                                        cmocka_unit_test(test_too_large_batch) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
