/* An echo server of bare callbacks: libev's watchers, and nothing else between epoll and recv.
 *
 *     cc -O2 -o echo_libev echo_libev.c -lev && ./echo_libev 127.0.0.1:0
 *
 * It does what echo.c does, with libev's loop in the place of one by hand: level-triggered, as libev is, and
 * a watcher for each connection. What a peer did not take is kept, and nothing more is read before it has left. */
#define _GNU_SOURCE
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"

enum { READ_BYTES_MAX = 64 * 1024 };

struct connection {
    ev_io watcher;
    char *rest; /* what the peer did not take */
    size_t length, sent;
};

static char buffer[READ_BYTES_MAX];

static void hang_up(struct ev_loop *loop, struct connection *connection) {
    ev_io_stop(loop, &connection->watcher);
    close(connection->watcher.fd);
    free(connection->rest);
    free(connection);
}

static void wait_for(struct ev_loop *loop, struct connection *connection, int events) {
    ev_io_stop(loop, &connection->watcher);
    ev_io_set(&connection->watcher, connection->watcher.fd, events);
    ev_io_start(loop, &connection->watcher);
}

static void keep(struct ev_loop *loop, struct connection *connection, const char *bytes, size_t length) {
    connection->rest = malloc(length);
    if (!connection->rest) die("malloc");
    memcpy(connection->rest, bytes, length);
    connection->length = length;
    connection->sent = 0;
    wait_for(loop, connection, EV_WRITE);
}

static void flush(struct ev_loop *loop, struct connection *connection) {
    size_t left = connection->length - connection->sent;
    ssize_t n = send(connection->watcher.fd, connection->rest + connection->sent, left, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return hang_up(loop, connection);
    if (n > 0) connection->sent += n;
    if (connection->sent < connection->length) return;
    free(connection->rest);
    connection->rest = NULL;
    wait_for(loop, connection, EV_READ);
}

static void on_event(struct ev_loop *loop, ev_io *watcher, int events) {
    struct connection *connection = (struct connection *)watcher; /* its first field */
    if (events & EV_WRITE) return flush(loop, connection);
    ssize_t length = recv(watcher->fd, buffer, sizeof buffer, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) return hang_up(loop, connection);
    ssize_t sent = send(watcher->fd, buffer, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return hang_up(loop, connection);
    if (sent < 0) sent = 0;
    if (sent < length) keep(loop, connection, buffer + sent, length - sent);
}

static void on_connection(struct ev_loop *loop, ev_io *listener, int events) {
    int fd;
    (void)events;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection) die("calloc");
        ev_io_init(&connection->watcher, on_event, fd, EV_READ);
        ev_io_start(loop, &connection->watcher);
    }
    if (errno != EAGAIN && errno != ECONNABORTED) die("accept4");
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: echo_libev IP:PORT\n");
        return 2;
    }
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL);
    if (!loop) die("ev_loop_new");
    ev_io listener;
    ev_io_init(&listener, on_connection, listen_on(argv[1]), EV_READ);
    ev_io_start(loop, &listener);
    ev_run(loop, 0);
    return 0;
}
