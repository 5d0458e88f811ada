/* The reference: an echo server as one would write it by hand, on edge-triggered epoll.
 *
 *     cc -O2 -o echo_c echo.c && ./echo_c 127.0.0.1:0
 *
 * All connections share one buffer of 64 KiB. A connection has no memory of its own, except what its
 * peer did not take: that is kept, and nothing more is read before it has left. Both directions are
 * registered once, so nothing but accept, recv, send and epoll_wait is ever called on the way. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"

enum { READ_BYTES_MAX = 64 * 1024, EVENTS_MAX = 1024, FILES_MAX = 1 << 20 };

struct rest {
    size_t length, sent;
    char bytes[];
};

static char buffer[READ_BYTES_MAX];
static struct rest *rests[FILES_MAX]; /* by descriptor; the pages of it are touched when used */

static void hang_up(int fd) {
    free(rests[fd]);
    rests[fd] = NULL;
    close(fd);
}

static void keep(int fd, const char *bytes, size_t length) {
    struct rest *rest = malloc(sizeof *rest + length);
    if (!rest) die("malloc");
    *rest = (struct rest){.length = length};
    memcpy(rest->bytes, bytes, length);
    rests[fd] = rest;
}

/* Whether the connection is fit to be read: it lives, and nothing is kept for it. */
static int flush(int fd) {
    struct rest *rest = rests[fd];
    if (!rest) return 1;
    ssize_t n = send(fd, rest->bytes + rest->sent, rest->length - rest->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        hang_up(fd);
        return 0;
    }
    if (n > 0) rest->sent += n;
    if (rest->sent < rest->length) return 0;
    free(rest);
    rests[fd] = NULL;
    return 1;
}

static void echo(int fd, uint32_t events) {
    if (!flush(fd)) return;
    for (;;) {
        ssize_t length = recv(fd, buffer, sizeof buffer, 0);
        if (length < 0 && errno == EAGAIN) return;
        if (length <= 0) return hang_up(fd);
        ssize_t sent = send(fd, buffer, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return hang_up(fd);
        if (sent < 0) sent = 0;
        if (sent < length) return keep(fd, buffer + sent, length - sent);
        /* A short read emptied the socket; an end that was announced before it must still be read. */
        if (length < READ_BYTES_MAX && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    }
}

static void accept_all(int epoll, int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.fd = fd}};
        if (fd >= FILES_MAX) close(fd);
        else if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    }
    if (errno != EAGAIN && errno != ECONNABORTED) die("accept4");
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: echo_c IP:PORT\n");
        return 2;
    }
    static struct epoll_event events[EVENTS_MAX];
    int listener = listen_on(argv[1]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {EPOLLIN | EPOLLET, {.fd = listener}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) die("epoll_ctl");
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener) accept_all(epoll, listener);
            else echo(events[i].data.fd, events[i].events);
        }
    }
}
