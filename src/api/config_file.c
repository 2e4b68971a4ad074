/* The file around the document: JSON, maybe in gzip, maybe sealed, in any order that people have
 * made of it. */
#include "api/config_private.h"
#include "api/error.h"
#include "codec/codec.h"
#include "codec/openpgp.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_WRAPPERS = 4 };

static bool is_gzip(GBytes *data)
{
    gsize n;
    const guint8 *bytes = g_bytes_get_data(data, &n);
    return n > 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static GBytes *unseal(GBytes *data, const char *passphrase, GError **error)
{
    gsize n;
    const void *bytes = g_bytes_get_data(data, &n);
    if (!passphrase) {
        api_error_invalid(error, "this configuration is sealed: give its passphrase");
        return NULL;
    }
    GBytes *text = openpgp_open(bytes, n, passphrase, CONFIG_MAX_BYTES, error);
    if (!text)
        g_prefix_error(error, "the configuration: ");
    return text;
}

static GBytes *expand(GBytes *data, GError **error)
{
    gsize n;
    const void *bytes = g_bytes_get_data(data, &n);
    GBytes *text = codec_expand_all(codec_find("gzip"), bytes, n, CONFIG_MAX_BYTES, error);
    if (!text)
        g_prefix_error(error, "the configuration: ");
    return text;
}

json_t *config_open(GBytes *file, const char *passphrase, GError **error)
{
    g_autoptr(GBytes) data = g_bytes_ref(file);
    for (unsigned i = 0; i < MAX_WRAPPERS; i++) {
        bool sealed = openpgp_is_sealed(g_bytes_get_data(data, NULL), g_bytes_get_size(data));
        if (!sealed && !is_gzip(data))
            break;
        GBytes *inside = sealed ? unseal(data, passphrase, error) : expand(data, error);
        if (!inside)
            return NULL;
        g_bytes_unref(data);
        data = inside;
    }
    json_error_t problem;
    gsize n;
    const char *text = g_bytes_get_data(data, &n);
    json_t *document = json_loadb(text ? text : "", n, 0, &problem);
    if (!document)
        api_error_invalid(error, "the configuration is not JSON: line %d: %s", problem.line,
                          problem.text);
    else if (!json_is_object(document)) {
        api_error_invalid(error, "the configuration must be an object of lists");
        g_clear_pointer(&document, json_decref);
    }
    return document;
}

static GBytes *compress_text(char *text, gsize n, GError **error)
{
    const Codec *codec = codec_find("gzip");
    gsize max = codec_bound(codec, n);
    g_autofree guint8 *packed = g_malloc(max);
    gsize n_packed = codec_compress(codec, text, n, packed, max, error);
    return n_packed ? g_bytes_new(packed, n_packed) : NULL;
}

GBytes *config_close(char *text, bool compress, const char *passphrase, GError **error)
{
    gsize n = strlen(text);
    g_autoptr(GBytes) data = compress ? compress_text(text, n, error) : g_bytes_new(text, n);
    explicit_bzero(text, n);
    free(text);
    if (!data || !passphrase)
        return g_steal_pointer(&data);
    return openpgp_seal(g_bytes_get_data(data, NULL), g_bytes_get_size(data), passphrase, error);
}
