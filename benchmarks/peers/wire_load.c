/* The kernel's part in benchmarks/wire.py: the client that everybody is measured with, and a server to compare with.
 *
 *   wire_load ask ADDRESS PORT COUNT AT_ONCE   COUNT connections, AT_ONCE at a time, over 16 ports from PORT on
 *   wire_load bulk ADDRESS PORT OCTETS         one transfer, until the peer has closed as well
 *   wire_load serve ADDRESS                    answer on all these ports until standard input ends; says "ready" first
 *
 * 100 octets on ports 1000 to 1015 are answered with 500, and the client closes first; on 1100 to 1115 the server does.
 * Port 9 takes in everything; port 19 is told with 16 digits how many octets to send, and closes.
 * Each prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORTS = 16, REQUEST = 100, RESPONSE = 500, CLIENT_CLOSES = 1000, SERVER_CLOSES = 1100, DISCARD = 9, CHARGEN = 19, ORDER = 16 };
enum { EVENTS = 256, CHUNK = 1 << 20, MOST = 1 << 16 };

static char buffer[CHUNK];
static int left_of[MOST]; /* of each descriptor: octets that are still to come; -1 where none are awaited yet */
static int port_of[MOST];

static void fail(const char *doing) { perror(doing); exit(1); }

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static struct sockaddr_in place(const char *address, int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1) fail(address);
    return at;
}

static void watch(int poll, int fd, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (fd >= MOST || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void begin(int poll, const char *address, int port) {
    struct sockaddr_in to = place(address, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) fail("socket");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail("connect");
    left_of[fd] = -1;
    watch(poll, fd, EPOLLOUT);
}

/* One connection goes on; whether it is over. */
static int go_on(int poll, int fd, int port) {
    if (left_of[fd] < 0) {
        static const char request[REQUEST];
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (send(fd, request, REQUEST, MSG_NOSIGNAL) != REQUEST) fail("send");
        left_of[fd] = RESPONSE;
        epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event);
        return 0;
    }
    for (;;) {
        ssize_t got = recv(fd, buffer, CHUNK, 0);
        if (got < 0 && errno == EAGAIN) return 0;
        if (got < 0) fail("recv");
        left_of[fd] -= got;
        if (got == 0 || (left_of[fd] == 0 && port < SERVER_CLOSES)) break;
    }
    if (left_of[fd]) { fprintf(stderr, "an answer of %d octets\n", RESPONSE - left_of[fd]); exit(1); }
    close(fd);
    return 1;
}

static void ask(const char *address, int port, long count, long at_once) {
    int poll = epoll_create1(0);
    long begun = 0, done = 0;
    struct epoll_event events[EVENTS];
    double start = seconds();
    for (; begun < at_once && begun < count; begun++) begin(poll, address, port + begun % PORTS);
    while (done < count) {
        int ready = epoll_wait(poll, events, EVENTS, 30000);
        if (ready <= 0) { fprintf(stderr, "%ld of %ld connections, then silence\n", done, count); exit(1); }
        for (int i = 0; i < ready; i++) {
            if (!go_on(poll, events[i].data.fd, port)) continue;
            done++;
            if (begun < count) begin(poll, address, port + begun++ % PORTS);
        }
    }
    printf("{\"wall_s\": %f, \"done\": %ld, \"client_cpu_s\": %f}\n", seconds() - start, done, cpu());
}

static void transfer(const char *address, int port, long octets) {
    struct sockaddr_in to = place(address, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    long done = 0;
    ssize_t some = 1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    double start = seconds();
    if (port == DISCARD) {
        for (; done < octets; done += some)
            if ((some = send(fd, buffer, octets - done < CHUNK ? octets - done : CHUNK, MSG_NOSIGNAL)) <= 0) fail("send");
        shutdown(fd, SHUT_WR);
        if (recv(fd, buffer, 1, 0) != 0) fail("recv");
    } else {
        char order[ORDER + 1];
        snprintf(order, sizeof order, "%*ld", ORDER, octets);
        if (send(fd, order, ORDER, MSG_NOSIGNAL) != ORDER) fail("send");
        for (; some > 0; done += some)
            if ((some = recv(fd, buffer, CHUNK, 0)) < 0) fail("recv");
        if (done != octets) { fprintf(stderr, "%ld of %ld octets\n", done, octets); exit(1); }
    }
    printf("{\"wall_s\": %f, \"done\": %ld, \"client_cpu_s\": %f}\n", seconds() - start, done, cpu());
}

/* -- the server */

static void hear(int poll, const char *address, int port) {
    struct sockaddr_in at = place(address, port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096)) fail("listen");
    port_of[fd] = port;
    left_of[fd] = -1;
    watch(poll, fd, EPOLLIN);
}

/* A whole transfer: nobody else is served meanwhile. */
static void bulk(int fd, int port) {
    char order[ORDER + 1] = {0};
    ssize_t some;
    if (port == DISCARD) {
        while (recv(fd, buffer, CHUNK, 0) > 0) {}
    } else if (recv(fd, order, ORDER, MSG_WAITALL) == ORDER) {
        for (long left = atol(order); left > 0; left -= some)
            if ((some = send(fd, buffer, left < CHUNK ? left : CHUNK, MSG_NOSIGNAL)) <= 0) break;
    }
    close(fd);
}

static void take(int poll, int listener) {
    int port = port_of[listener], slow = port < CLIENT_CLOSES, fd;
    while ((fd = accept4(listener, NULL, NULL, slow ? 0 : SOCK_NONBLOCK)) >= 0) {
        if (slow) { bulk(fd, port); continue; }
        port_of[fd] = port;
        left_of[fd] = REQUEST;
        watch(poll, fd, EPOLLIN);
    }
}

static void answer(int fd) {
    static const char response[RESPONSE];
    ssize_t got = recv(fd, buffer, CHUNK, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { close(fd); return; }
    left_of[fd] -= got;
    if (left_of[fd] > 0) return;
    send(fd, response, RESPONSE, MSG_NOSIGNAL);
    if (port_of[fd] >= SERVER_CLOSES) close(fd);
}

static void serve(const char *address) {
    int poll = epoll_create1(0);
    struct epoll_event events[EVENTS];
    for (int i = 0; i < PORTS; i++) {
        hear(poll, address, CLIENT_CLOSES + i);
        hear(poll, address, SERVER_CLOSES + i);
    }
    hear(poll, address, DISCARD);
    hear(poll, address, CHARGEN);
    watch(poll, STDIN_FILENO, EPOLLIN);
    puts("ready");
    fflush(stdout);
    double used = cpu();
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO) { printf("{\"cpu_s\": %f}\n", cpu() - used); return; }
            if (left_of[fd] < 0) take(poll, fd); else answer(fd);
        }
    }
}

int main(int count, char **words) {
    struct rlimit most = {MOST, MOST};
    setrlimit(RLIMIT_NOFILE, &most);
    if (count == 3 && !strcmp(words[1], "serve")) serve(words[2]);
    else if (count == 6 && !strcmp(words[1], "ask")) ask(words[2], atoi(words[3]), atol(words[4]), atol(words[5]));
    else if (count == 5) transfer(words[2], atoi(words[3]), atol(words[4]));
    else { fprintf(stderr, "see the first comment of wire_load.c\n"); return 2; }
    return 0;
}
