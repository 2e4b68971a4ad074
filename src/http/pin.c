/* OpenSSL's verification is replaced for a context, so that a wrong certificate ends the handshake
 * before a byte of the request, or a password, is sent. Resumed sessions are not verified again and
 * are therefore off. */
#include "http/pin.h"

#include "http/client.h"

#include "base/error.h"
#include "base/mutant.h"
#include "base/openssl.h"
#include "http/easy.h"

#include <string.h>

enum { PROBE_TIMEOUT_MS = 20000 };

bool pin_equal(const char *a, const char *b)
{
    for (;; a++, b++) {
        while (*a == ':')
            a++;
        while (*b == ':')
            b++;
        if (g_ascii_tolower(*a) != g_ascii_tolower(*b))
            return false;
        if (!*a)
            return true;
    }
}

static void format(char text[PIN_TEXT], const guint8 *digest, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        g_snprintf(text + 3 * i, 4, "%02x%s", digest[i], i + 1 < n ? ":" : "");
}

static int on_verify(X509_STORE_CTX *context, void *user)
{
    HttpPin *pin = user;
    guint8 digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    X509 *cert = X509_STORE_CTX_get0_cert(context);
    if (cert && X509_digest(cert, EVP_sha256(), digest, &n) == 1 && n == 32)
        format(pin->seen, digest, n);
    pin->refused = n != 32 || (pin->wanted && !pin_equal(pin->wanted, pin->seen) &&
                               !MUTANT(http_pin_ignored)); /* mutant: http_client */
    if (pin->refused)
        X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REJECTED);
    return !pin->refused;
}

CURLcode pin_context(CURL *easy, void *context, void *user)
{
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, on_verify, user);
    return CURLE_OK;
}

void pin_set(CURL *easy, HttpPin *pin)
{
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, pin_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, pin);
}

char *http_fingerprint(const char *host_port, GError **error)
{
    HttpPin pin = { 0 };
    char cause[CURL_ERROR_SIZE] = "";
    g_autofree char *url = g_strconcat("https://", host_port, "/", NULL);
    CURL *easy = easy_take("fingerprint");
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, cause);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) PROBE_TIMEOUT_MS);
    pin_set(easy, &pin);
    CURLcode code = easy_perform(easy);
    easy_give(easy);
    if (*pin.seen) /* whatever came after */
        return g_strdup(pin.seen);
    err_set(error, code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_NETWORK,
            "%s presents no certificate: %s", host_port, *cause ? cause : curl_easy_strerror(code));
    return NULL;
}
