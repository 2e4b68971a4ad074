/* What libcurl connects, it does not speak on. */
#include "http/raw.h"

#include "base/error.h"

static CURL *easy_new(const RawConfig *config, const char *url, HttpPin *pin)
{
    unsigned timeout_ms = config->connect_timeout_ms ? config->connect_timeout_ms : RAW_CONNECT_MS;
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) timeout_ms);
    pin->wanted = config->trust == HTTP_TRUST_FINGERPRINT ? config->fingerprint : NULL;
    if (config->trust != HTTP_TRUST_SYSTEM)
        pin_set(easy, pin);
    return easy;
}

static bool is_trust_failure(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_ISSUER_ERROR;
}

static void set_error(RawConnection *raw, GUri *uri, CURLcode code, const char *cause,
                      GError **error)
{
    int port = g_uri_get_port(uri);
    g_autofree char *host_port =
        g_strdup_printf("%s:%d", g_uri_get_host(uri), port > 0 ? port : 443);
    if (!is_trust_failure(code) && !raw->pin.refused) {
        err_set(error, ERR_NETWORK, "%s: %s", host_port, *cause ? cause : curl_easy_strerror(code));
        return;
    }
    g_autofree char *asked = *raw->pin.seen ? NULL : http_fingerprint(host_port, NULL);
    const char *seen = *raw->pin.seen ? raw->pin.seen : asked;
    const char *detail[] = { seen, NULL };
    err_set_detail(error, ERR_TLS, detail,
                   "the certificate of %s is not trusted; its SHA-256 fingerprint is %s", host_port,
                   seen ? seen : "unknown");
}

static bool is_tls(GUri *uri)
{
    const char *scheme = g_uri_get_scheme(uri);
    return g_str_equal(scheme, "wss") || g_str_equal(scheme, "https");
}

bool raw_connect(RawConnection *raw, GUri *uri, const RawConfig *config, GError **error)
{
    char cause[CURL_ERROR_SIZE] = "";
    g_autofree char *url = g_uri_join(G_URI_FLAGS_NONE, is_tls(uri) ? "https" : "http", NULL,
                                      g_uri_get_host(uri), g_uri_get_port(uri), "/", NULL, NULL);
    raw->easy = easy_new(config, url, &raw->pin);
    curl_easy_setopt(raw->easy, CURLOPT_ERRORBUFFER, cause);
    CURLcode code = curl_easy_perform(raw->easy);
    curl_easy_setopt(raw->easy, CURLOPT_ERRORBUFFER, NULL);
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (code == CURLE_OK)
        code = curl_easy_getinfo(raw->easy, CURLINFO_ACTIVESOCKET, &fd);
    raw->fd = fd;
    if (code == CURLE_OK)
        return true;
    set_error(raw, uri, code, cause, error);
    return false;
}

void raw_close(RawConnection *raw)
{
    curl_easy_cleanup(raw->easy);
    raw->easy = NULL;
}
