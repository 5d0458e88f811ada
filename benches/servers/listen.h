/* How the servers in C listen: on IP:PORT, which they say, with Nagle's algorithm off for all connections. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int listen_on(char *address) {
    char *port = strrchr(address, ':');
    struct sockaddr_in addr = {.sin_family = AF_INET};
    if (port) *port++ = 0;
    if (!port || inet_pton(AF_INET, address, &addr.sin_addr) != 1) {
        fprintf(stderr, "expected an address of the form IP:PORT\n");
        exit(2);
    }
    addr.sin_port = htons(atoi(port));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    socklen_t size = sizeof addr;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (bind(fd, (struct sockaddr *)&addr, size) || listen(fd, SOMAXCONN)) die("listen");
    getsockname(fd, (struct sockaddr *)&addr, &size);
    printf("listening on %s:%d\n", address, ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}
