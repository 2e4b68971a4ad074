/* What an HTTP server answers, over a real connection: a status, or an error, and in time. */
#include "http/client.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    int listener;
    const uint8_t *data;
    size_t size;
} Answer;

static int listen_somewhere(guint16 *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    g_assert_true(fd >= 0 && bind(fd, (struct sockaddr *) &address, n) == 0 && listen(fd, 8) == 0);
    g_assert_true(getsockname(fd, (struct sockaddr *) &address, &n) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* One connection: hears the request out, answers, hangs up. */
static void *answer_main(void *data)
{
    Answer *answer = data;
    char request[4096] = "";
    size_t n = 0;
    int fd = accept(answer->listener, NULL, NULL);
    while (n < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
        ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t) got;
        request[n] = '\0';
    }
    for (size_t at = 0; at < answer->size;) {
        ssize_t sent = send(fd, answer->data + at, answer->size - at, MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        at += (size_t) sent;
    }
    shutdown(fd, SHUT_WR);
    close(fd);
    return NULL;
}

static void see_header(const char *name, const char *value, void *user)
{
    g_assert_true(name && value);
    for (const char *each = name; *each; each++)
        g_assert_false(g_ascii_isupper(*each));
}

static void make_call(const char *url)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) body = NULL;
    HttpCall call = { .url = url,
                      .header_seen = see_header,
                      .once = true,
                      .stall_timeout_ms = 5000,
                      .total_timeout_ms = 8000 };
    int status = http_fetch(&call, 1 << 20, &body, &error);
    g_assert_true(status ? status >= 100 && status <= 999 && body && !error : error && !body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static guint16 port;
    static int listener = -1;
    if (listener < 0)
        listener = listen_somewhere(&port);
    Answer answer = { listener, data, size };
    pthread_t server;
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/", port);
    g_assert_true(pthread_create(&server, NULL, answer_main, &answer) == 0);
    make_call(url);
    pthread_join(server, NULL);
    return 0;
}
