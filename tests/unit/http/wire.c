/* Blocking sockets with a receive deadline. */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int wire_connect(guint16 port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = { .tv_sec = 10 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (connect(fd, (struct sockaddr *) &address, sizeof address) < 0)
        g_error("connect to port %u: %s", port, g_strerror(errno));
    return fd;
}

void wire_send(int fd, const char *bytes, gssize n)
{
    size_t left = n < 0 ? strlen(bytes) : (size_t) n;
    while (left) {
        ssize_t put = send(fd, bytes, left, MSG_NOSIGNAL);
        if (put <= 0)
            return;
        bytes += put;
        left -= (size_t) put;
    }
}

static char *receive(int fd, const char *until)
{
    GString *all = g_string_new(NULL);
    char buffer[65536];
    while (!until || !strstr(all->str, until)) {
        ssize_t n = recv(fd, buffer, until ? 1 : sizeof buffer, 0);
        if (n > 0) {
            g_string_append_len(all, buffer, n);
            continue;
        }
        if (n < 0)
            g_string_append(all, errno == EAGAIN ? "<TIMEOUT>" : "<RESET>");
        break;
    }
    return g_string_free(all, FALSE);
}

char *wire_drain(int fd)
{
    char *text = receive(fd, NULL);
    close(fd);
    return text;
}

char *wire_until(int fd, const char *text)
{
    return receive(fd, text);
}

char *wire_ask(guint16 port, const char *bytes)
{
    int fd = wire_connect(port);
    wire_send(fd, bytes, -1);
    return wire_drain(fd);
}
