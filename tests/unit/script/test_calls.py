"""System calls beyond the usual ones do the same on the engine and on the running kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lastack.script.play import KERNEL, SIM, How, play
from lastack.script.runner import Run

Play = Callable[[str], Run]

OPEN = """\
0 `sysctl -w net.ipv4.tcp_timestamps=0`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
"""

SAME = {
    "epoll tells what is ready, with what it was told": """
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLOUT, fd=44}) = 0
+0 epoll_wait(5, {events=EPOLLOUT, fd=44}, 1, 0) = 1
+0 < P. 1:6(5) ack 1 win 257
+0 > . 1:1(0) ack 6
+0 epoll_wait(5, [{events=EPOLLIN|EPOLLOUT, u64=44}], 4, 0) = 1
+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLIN, ptr=45}) = 0
+0 epoll_wait(5, {events=EPOLLIN, ptr=45}, 1, 0) = 1
+0 epoll_ctl(5, EPOLL_CTL_DEL, 4, ...) = 0
+0 epoll_wait(5, {events=0, fd=0}, 1, 0) = 0
+0 close(5) = 0
+0 epoll_wait(5, ..., 1, 0) = -1 EBADF""",
    "epoll waits, and no longer than it is told to": """
+0 epoll_create1(EPOLL_CLOEXEC) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0
+0...0.2 epoll_wait(5, ..., 1, 200) = 0
+.3...0.4 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, -1) = 1
+.1 < P. 1:6(5) ack 1 win 257
+0 > . 1:1(0) ack 6""",
    "an edge is told of once": """
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLET, fd=4}) = 0
+0 < P. 1:6(5) ack 1 win 257
+0 > . 1:1(0) ack 6
+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1
+0 epoll_wait(5, ..., 1, 0) = 0
+.1 < P. 6:11(5) ack 1 win 257
+0 > . 1:1(0) ack 11
+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1
+0 epoll_wait(5, ..., 1, 0) = 0
+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLIN|EPOLLONESHOT, fd=4}) = 0
+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1
+0 < P. 11:16(5) ack 1 win 257
+0 > . 1:1(0) ack 16
+0 epoll_wait(5, ..., 1, 0) = 0""",
    "epoll of a listener and of two sockets": """
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN, fd=3}) = 0
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLRDHUP, fd=4}) = 0
+0 < 41000 > 8080 S 0:0(0) win 1000 <mss 1000>
+0 > 8080 > 41000 S. 0:0(0) ack 1 <...>
+0 < 41000 > 8080 . 1:1(0) ack 1 win 1000
+0 epoll_wait(5, {events=EPOLLIN, fd=3}, 4, 0) = 1
+0 < 40000 > 8080 F. 1:1(0) ack 1 win 257
+0 > 8080 > 40000 . 1:1(0) ack 2
+0 epoll_wait(5, [{events=EPOLLIN|EPOLLRDHUP, fd=4}, {events=EPOLLIN, fd=3}], 4, 0) = 2
+0 close(4) = 0
+0 > 8080 > 40000 F. 1:1(0) ack 2
+0 epoll_wait(5, {events=EPOLLIN, fd=3}, 4, 0) = 1""",
    "epoll says what cannot be": """
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLIN, fd=4}) = -1 ENOENT
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = -1 EEXIST
+0 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, fd=4}) = -1 EINVAL
+0 epoll_ctl(5, EPOLL_CTL_ADD, 9, {events=EPOLLIN, fd=4}) = -1 EBADF
+0 epoll_wait(5, ..., 0, 0) = -1 EINVAL
+0 listen(5, 1) = -1 ENOTSOCK""",
    "octets go from a socket through a pipe to a socket": """
+0 pipe([6, 7]) = 0
+0 < P. 1:6(5) ack 1 win 257
+0 > . 1:1(0) ack 6
+0 splice(4, NULL, 7, NULL, 1000, 0) = 5
+0 splice(6, NULL, 4, NULL, 3, 0) = 3
+0 > P. 1:4(3) ack 6
+0 < . 6:6(0) ack 4 win 257
+0 read(6, ..., 100) = 2
+0 write(7, "xyz", 3) = 3
+0 poll([{fd=6, events=POLLIN|POLLOUT, revents=POLLIN}, {fd=7, events=POLLOUT, revents=POLLOUT}], 2, 0) = 2
+0 read(6, "xyz", 100) = 3
+0...0.1 splice(4, NULL, 7, NULL, 1000, SPLICE_F_NONBLOCK) = 4
+.1 < P. 6:10(4) ack 4 win 257
+.04 > . 4:4(0) ack 10
+0 read(6, ..., 100) = 4
+0 splice(6, NULL, 4, NULL, 1000, SPLICE_F_NONBLOCK) = -1 EAGAIN
+0 splice(4, NULL, 4, NULL, 1000, 0) = -1 EINVAL
+0 read(7, ..., 1) = -1 EBADF
+0 write(6, ..., 1) = -1 EBADF
+0 listen(6, 1) = -1 ENOTSOCK
+0 fcntl(6, F_SETFL, O_NONBLOCK) = 0
+0 read(6, ..., 100) = -1 EAGAIN
+0 close(7) = 0
+0 poll([{fd=6, events=POLLIN, revents=POLLHUP}], 1, 0) = 1
+0 read(6, ..., 100) = 0
+0 splice(6, NULL, 4, NULL, 1000, 0) = 0""",
    "nobody reads a pipe": """
+0 pipe([6, 7]) = 0
+0 close(6) = 0
+0 write(7, ..., 1) = -1 EPIPE""",
    "what is peeked at stays": """
+0 recv(4, ..., 10, MSG_PEEK|MSG_DONTWAIT) = -1 EAGAIN
+0...0.1 recv(4, ..., 3, MSG_PEEK) = 3
+.1 < P. 1:6(5) ack 1 win 257
+0 > . 1:1(0) ack 6
+0 recv(4, ..., 100, MSG_PEEK) = 5
+0 recv(4, ..., 100, 0) = 5
+0 < F. 6:6(0) ack 1 win 257
+.04 > . 1:1(0) ack 7
+0 recv(4, ..., 100, MSG_PEEK) = 0
+0 recv(4, ..., 100, 0) = 0""",
    "the urgent octet is read out of band": """
+0 recv(4, ..., 1, MSG_OOB) = -1 EINVAL
+0 < PU. 1:6(5) ack 1 win 257 urg 3
+0 > . 1:1(0) ack 6
+0 poll([{fd=4, events=POLLIN|POLLPRI, revents=POLLIN|POLLPRI}], 1, 0) = 1
+0 ioctl(4, SIOCINQ, [2]) = 0
+0 recv(4, ..., 1, MSG_OOB|MSG_PEEK) = 1
+0 recv(4, ..., 100, MSG_PEEK) = 2
+0 read(4, ..., 100) = 2
+0 read(4, ..., 100) = 2""",
    "an urgent octet alone is nothing to read": """
+0 < PU. 1:2(1) ack 1 win 257 urg 1
+0 > . 1:1(0) ack 2
+0 poll([{fd=4, events=POLLIN|POLLPRI, revents=POLLPRI}], 1, 0) = 1
+0 recv(4, ..., 1, MSG_OOB) = 1
+0 recv(4, ..., 1, MSG_OOB) = -1 EINVAL
+0 poll([{fd=4, events=POLLIN|POLLPRI, revents=0}], 1, 0) = 0
+0 recv(4, ..., 1, MSG_DONTWAIT) = -1 EAGAIN""",
    "inline it is text": """
+0 setsockopt(4, SOL_SOCKET, SO_OOBINLINE, [1], 4) = 0
+0 getsockopt(4, SOL_SOCKET, SO_OOBINLINE, [1], [4]) = 0
+0 < PU. 1:6(5) ack 1 win 257 urg 3
+0 > . 1:1(0) ack 6
+0 recv(4, ..., 1, MSG_OOB) = -1 EINVAL
+0 ioctl(4, SIOCINQ, [5]) = 0
+0 read(4, ..., 100) = 2
+0 read(4, ..., 100) = 3""",
    "a read waits as long as the socket says": """
+0 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=0, tv_usec=200000}, 16) = 0
+0 getsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=0, tv_usec=200000}, [16]) = 0
+0...0.2 read(4, ..., 100) = -1 EAGAIN
+.2...0.3 read(4, ..., 100) = 5
+.1 < P. 1:6(5) ack 1 win 257
+0 > . 1:1(0) ack 6
+0...0.2 recv(4, ..., 100, MSG_PEEK) = -1 EAGAIN
+.2 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=0, tv_usec=1000000}, 16) = -1 EDOM""",
    "accept waits as long as the listener says": """
+0 setsockopt(3, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=0, tv_usec=200000}, 16) = 0
+0...0.2 accept(3, ..., ...) = -1 EAGAIN""",
    "epoll after a reset": """
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLET, fd=4}) = 0
+0 epoll_wait(5, {events=EPOLLOUT, fd=4}, 1, 0) = 1
+0 < R. 1:1(0) ack 1 win 0
+0 epoll_wait(5, {events=EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLERR|EPOLLHUP, fd=4}, 1, 0) = 1
+0 epoll_wait(5, ..., 1, 0) = 0
+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [104], [4]) = 0
+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=0, fd=4}) = 0
+0 epoll_wait(5, {events=EPOLLHUP, fd=4}, 1, 0) = 1
+0 close(4) = 0
+0 epoll_wait(5, ..., 1, 0) = 0""",
    "epoll of a half closed connection": """
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLRDHUP, fd=4}) = 0
+0 shutdown(4, SHUT_WR) = 0
+0 > F. 1:1(0) ack 1
+0 epoll_wait(5, ..., 1, 0) = 0
+.01 < . 1:1(0) ack 2 win 257
+0 epoll_wait(5, ..., 1, 0) = 0
+.01 < F. 1:1(0) ack 2 win 257
+0 > . 2:2(0) ack 2
+0 epoll_wait(5, {events=EPOLLIN|EPOLLRDHUP|EPOLLHUP, fd=4}, 1, 0) = 1""",
    "epoll of a socket that was never connected": """
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 6
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 6, {events=EPOLLIN|EPOLLOUT, fd=6}) = 0
+0 epoll_wait(5, {events=EPOLLOUT|EPOLLHUP, fd=6}, 1, 0) = 1""",
    "epoll tells no more than there is room for, and the others next": """
+0 pipe([6, 7]) = 0
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT, fd=4}) = 0
+0 epoll_ctl(5, EPOLL_CTL_ADD, 7, {events=EPOLLOUT, fd=7}) = 0
+0 epoll_wait(5, {events=EPOLLOUT, fd=4}, 1, 0) = 1
+0 epoll_wait(5, {events=EPOLLOUT, fd=7}, 1, 0) = 1
+0 epoll_wait(5, {events=EPOLLOUT, fd=4}, 1, 0) = 1""",
    "a write waits as long as the socket says, and tells what went": """
+0 setsockopt(4, SOL_SOCKET, SO_SNDTIMEO, {tv_sec=0, tv_usec=50000}, 16) = 0
+0 < . 1:1(0) ack 1 win 0
+0...0.05 write(4, ..., 10000000) = ...
+.05...0.1 write(4, ..., 10000000) = -1 EAGAIN""",
    "a pipe takes as much as there is room for": """
+0 pipe([6, 7]) = 0
+0 fcntl(7, F_SETFL, O_NONBLOCK) = 0
+0 write(7, ..., 65536) = 65536
+0 write(7, ..., 1) = -1 EAGAIN
+0 poll([{fd=7, events=POLLOUT, revents=0}], 1, 0) = 0
+0 read(6, ..., 100000) = 65536""",
    "a splice at the end of file": """
+0 pipe([6, 7]) = 0
+0 < FP. 1:6(5) ack 1 win 257
+.04 > . 1:1(0) ack 7
+0 splice(4, NULL, 7, NULL, 3, 0) = 3
+0 splice(4, NULL, 7, NULL, 1000, 0) = 2
+0 splice(4, NULL, 7, NULL, 1000, 0) = 0
+0 read(6, ..., 100) = 5""",
    "peeking past an urgent octet": """
+0 < PU. 1:6(5) ack 1 win 257 urg 3
+0 > . 1:1(0) ack 6
+0 recv(4, "\\0\\0", 100, 0) = 2
+0 recv(4, ..., 100, MSG_PEEK) = 2
+0 recv(4, ..., 100, 0) = 2
+0 recv(4, ..., 1, MSG_OOB) = -1 EINVAL""",
    "nobody may read what has no connection": """
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 6
+0 recv(6, ..., 10, MSG_PEEK) = -1 ENOTCONN
+0 recv(6, ..., 10, MSG_OOB) = -1 EINVAL
+0 recv(3, ..., 10, MSG_PEEK) = -1 ENOTCONN
+0 pipe([8, 9]) = 0
+0 splice(6, NULL, 9, NULL, 10, 0) = -1 ENOTCONN""",
    "FIONBIO is another way to not wait": """
+0 ioctl(4, FIONBIO, [1]) = 0
+0 read(4, ..., 1) = -1 EAGAIN
+0 fcntl(4, F_GETFL, 0) = 2050
+0 ioctl(4, FIONBIO, [0]) = 0
+0 fcntl(4, F_GETFL, 0) = 2""",
}
CONNECT = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_SNDTIMEO, {tv_sec=0, tv_usec=200000}, 16) = 0
+0...0.2 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) <...>
"""


@pytest.fixture(params=[SIM, pytest.param(KERNEL, marks=pytest.mark.root)])
def played(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    def go(text: str) -> Run:
        path = tmp_path / "calls.pkt"
        path.write_text(text)
        return play(path, How(on=request.param))

    return go


@pytest.mark.parametrize("about", SAME)
def test_calls_do_the_same_on_both(played: Play, about: str) -> None:
    run = played(OPEN + SAME[about].lstrip())
    assert run.passed, str(run.failure)


def test_connect_waits_as_long_as_the_socket_says(played: Play) -> None:
    run = played(CONNECT)
    assert run.passed, str(run.failure)


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("+0 epoll_wait(5, {fd=4}, 1, 0) = 0", "{events=..., fd=...}"),
        ("+0 pipe(6) = 0", "pipe() needs"),
        ("+0 epoll_create(1) = 5\n+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1", "1 expected, 0 came"),
        (
            "+0 epoll_create(1) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT, fd=4}) = 0\n"
            "+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1",
            "POLLIN of 4 expected, POLLOUT of 4 came",
        ),
    ],
)
def test_what_is_not_so_is_said(played: Play, rest: str, words: str) -> None:
    assert words in str(played(OPEN + rest).failure)
