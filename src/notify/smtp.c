/* One connection for one message: mail is rare. */
#include "notify/smtp.h"

#include "base/error.h"
#include "base/mutant.h"

#include <curl/curl.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 20000,
    TOTAL_TIMEOUT_MS = 120000,
    MAX_WORDS_BYTES = 200,
};

typedef struct {
    const char *left;
    gsize n_left;
    Cancel *cancel;
    char words[MAX_WORDS_BYTES]; /* with which the server refused last */
    char cause[CURL_ERROR_SIZE];
} Sending;

/* --- libcurl's callbacks --- */

static size_t on_source(char *data, size_t size, size_t n, void *user)
{
    Sending *sending = user;
    n = MIN(size * n, sending->n_left);
    memcpy(data, sending->left, n);
    sending->left += n;
    sending->n_left -= n;
    return n;
}

static size_t on_line(char *data, size_t size, size_t n, void *user)
{
    Sending *sending = user;
    n *= size;
    if (n == 0 || !strchr("45", data[0]))
        return n;
    g_autofree char *line = g_utf8_make_valid(data, (gssize) n);
    g_strlcpy(sending->words, g_strstrip(line), sizeof sending->words);
    for (char *c = sending->words; *c; c++)
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    return n;
}

static int on_progress(void *user, curl_off_t n_down, curl_off_t have_down, curl_off_t n_up,
                       curl_off_t have_up)
{
    return cancel_is_set(((Sending *) user)->cancel);
}

/* --- The call --- */

/* "smtp://host:port/name"; free with curl_free. NULL: the host cannot be one. */
static char *make_url(const SmtpServer *server)
{
    CURLU *url = curl_url();
    bool tls = server->security == SMTP_TLS, bare_v6 = strchr(server->host, ':') != NULL;
    g_autofree char *host = bare_v6 && server->host[0] != '['
                                ? g_strdup_printf("[%s]", server->host)
                                : g_strdup(server->host);
    g_autofree char *port = g_strdup_printf("%u", server->port ? server->port : tls ? 465 : 25);
    g_autofree char *path = g_strdup_printf("/%s", server->name ? server->name : "");
    char *text = NULL;
    bool ok = curl_url_set(url, CURLUPART_SCHEME, tls ? "smtps" : "smtp", 0) == CURLUE_OK &&
              curl_url_set(url, CURLUPART_HOST, host, 0) == CURLUE_OK &&
              curl_url_set(url, CURLUPART_PORT, port, 0) == CURLUE_OK &&
              curl_url_set(url, CURLUPART_PATH, path, CURLU_URLENCODE) == CURLUE_OK;
    if (ok)
        curl_url_get(url, CURLUPART_URL, &text, 0);
    curl_url_cleanup(url);
    return text;
}

static void set_trust(CURL *easy, const SmtpServer *server)
{
    static const long modes[] = {
        [SMTP_UPGRADE] = CURLUSESSL_TRY,
        [SMTP_FORCE] = CURLUSESSL_ALL,
        [SMTP_PLAIN] = CURLUSESSL_NONE,
        [SMTP_TLS] = CURLUSESSL_ALL,
    };
    /* mutant: system:test_plugins.Plugins.test_encrypted */
    bool lenient = server->security == SMTP_FORCE && MUTANT(smtp_force);
    curl_easy_setopt(easy, CURLOPT_USE_SSL, modes[lenient ? SMTP_UPGRADE : server->security]);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, server->trust_any ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, server->trust_any ? 0L : 2L);
    if (server->user) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, server->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, server->password ? server->password : "");
    }
}

static void set_callbacks(CURL *easy, Sending *sending)
{
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_source);
    curl_easy_setopt(easy, CURLOPT_READDATA, sending);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_line);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, sending);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, sending);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, sending->cause);
}

static CURLcode perform(const SmtpServer *server, const char *url, const char *from,
                        struct curl_slist *recipients, Sending *sending)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return CURLE_FAILED_INIT;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) TOTAL_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, recipients);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) sending->n_left);
    set_trust(easy, server);
    set_callbacks(easy, sending);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_cleanup(easy);
    return code;
}

static ErrCode code_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
        return ERR_NETWORK;
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return ERR_TLS;
    case CURLE_LOGIN_DENIED:
        return ERR_BAD_LOGIN;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_ABORTED_BY_CALLBACK:
        return ERR_CANCELLED;
    default:
        return ERR_PROTOCOL;
    }
}

static void fail(const SmtpServer *server, const Sending *sending, CURLcode code, GError **error)
{
    const char *cause = sending->cause[0] ? sending->cause : curl_easy_strerror(code);
    bool refused = (code_of(code) == ERR_PROTOCOL || code_of(code) == ERR_BAD_LOGIN) &&
                   sending->words[0];
    err_set(error, code_of(code), "the mail server %s took no message: %s%s%s", server->host, cause,
            refused ? ": " : "", refused ? sending->words : "");
}

bool smtp_send(const SmtpServer *server, const char *from, const char *const *to, GBytes *message,
               Cancel *cancel, GError **error)
{
    gsize n;
    const char *data = g_bytes_get_data(message, &n);
    Sending sending = { .left = data, .n_left = n, .cancel = cancel };
    char *url = make_url(server);
    if (!url) {
        err_set(error, ERR_INVALID, "host: \"%s\" is no name or address of a server", server->host);
        return false;
    }
    struct curl_slist *recipients = NULL;
    for (; *to; to++)
        recipients = curl_slist_append(recipients, *to);
    CURLcode code = perform(server, url, from, recipients, &sending);
    curl_slist_free_all(recipients);
    curl_free(url);
    if (code != CURLE_OK)
        fail(server, &sending, code, error);
    return code == CURLE_OK;
}
