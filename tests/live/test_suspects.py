"""What real processes do about their sockets: leak them, wait on them, watch them, or are busy elsewhere."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from lastack.live.suspects import look
from lastack.live.syscalls import BY_MACHINE
from lastack.model.host import Wait
from lastack.model.time import SECOND

pytestmark = [
    pytest.mark.root,  # a process of one's own may be asked too, but not where Yama restricts that to one's children
    pytest.mark.skipif(platform.machine() not in BY_MACHINE, reason="the system calls of this machine are not known"),
]

SERVER = """
import json, os, select, socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", 0))
clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
a, b, c = (listener.accept()[0] for _ in clients)
# The peers close their side: a, b and c are in CLOSE_WAIT.
for client in clients:
    client.shutdown(socket.SHUT_WR)
def background(do):
    threading.Thread(target=do, daemon=True).start()
def ready():
    print(json.dumps({s: [os.fstat(t.fileno()).st_ino, t.fileno()] for s, t in
        {"a": a, "b": b, "c": c, "listener": listener, "client": clients[0]}.items()}), flush=True)
"""
"""A process with both ends of three connections: the server's ends are a, b and c."""

WAIT = "ready()\nsys.stdin.read()\n"


class Child:
    """A server in a process of its own, and what is seen of it."""

    def __init__(self, process: subprocess.Popen[bytes], held: dict[str, list[int]]) -> None:
        self.process = process
        self.held = held

    def look(self, *names: str) -> list[Wait]:
        suspects = [(self.held[name][0], self.process.pid, self.held[name][1]) for name in names]
        return list(look(suspects, time.monotonic_ns() + 10 * SECOND, time.monotonic_ns))

    def until(self, name: str, holds: Callable[[Wait], Any]) -> Wait:
        """Look until it is as expected, for ten seconds at most; the last look."""
        deadline = time.monotonic() + 10
        while not holds(last := self.look(name)[0]) and time.monotonic() < deadline:
            time.sleep(0.005)
        return last


@contextmanager
def server(code: str) -> Iterator[Child]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", SERVER + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "the server did not come up"
        yield Child(process, json.loads(line))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdin.close()
        process.stdout.close()
        process.wait()


def test_a_socket_that_nobody_cares_about_is_neither_watched_nor_waited_on() -> None:
    with server(WAIT) as leak:
        wait = leak.until("a", lambda wait: wait.waiting)
        assert (wait.polled, wait.blocked) == (False, "")
        assert (wait.threads, wait.threads_running, wait.waiting) == (1, 0, (("read", 1),))


def test_a_thread_that_receives_is_blocked_on_that_socket_alone() -> None:
    with server("background(lambda: clients[0].recv(1))\n" + WAIT) as busy:
        wait = busy.until("client", lambda wait: wait.blocked)
        assert wait.blocked == "recvfrom"
        assert busy.look("a")[0].blocked == ""


def test_a_thread_that_still_answers_a_peer_that_does_not_read_is_blocked_on_it() -> None:
    with server("background(lambda: a.sendall(bytes(64 << 20)))\n" + WAIT) as busy:
        assert busy.until("a", lambda wait: wait.blocked).blocked == "sendto"


def test_a_socket_in_an_epoll_set_is_watched() -> None:
    with server("e = select.epoll()\ne.register(a, select.EPOLLIN)\n" + WAIT) as loop:
        assert [wait.polled for wait in loop.look("a", "b")] == [True, False]


def test_a_socket_watched_for_writing_or_already_reported_once_is_not_watched_for_its_end() -> None:
    code = """
e = select.epoll()
e.register(a, select.EPOLLOUT)
e.register(b, select.EPOLLIN | select.EPOLLONESHOT)
e.register(c, select.EPOLLRDHUP | select.EPOLLET)
assert {f for f, _ in e.poll()} >= {b.fileno()}
"""
    with server(code + WAIT) as loop:
        assert [wait.polled for wait in loop.look("a", "b", "c")] == [False, False, True]


def test_a_set_that_a_child_inherited_watches_the_socket_under_whatever_number() -> None:
    code = """
e = select.epoll()
e.register(a, select.EPOLLIN)
moved = os.dup2(a.fileno(), 90)
a.close()
a = socket.socket(fileno=moved)
"""
    with server(code + WAIT) as loop:
        assert loop.held["a"][1] == 90
        assert loop.look("a")[0].polled is True


def test_a_thread_in_poll_is_told_to_be_there_and_not_to_be_blocked_on_the_socket() -> None:
    with server(
        "p = select.poll()\np.register(clients[0])\np.modify(clients[0], 1)\nbackground(p.poll)\n" + WAIT
    ) as loop:
        wait = loop.until("a", lambda wait: {"poll", "ppoll"} & dict(wait.waiting).keys())
        assert {"poll", "ppoll"} & dict(wait.waiting).keys()
        assert wait.blocked == ""


def test_workers_that_wait_for_a_lock_are_counted() -> None:
    code = """
lock = threading.Lock()
lock.acquire()
for _ in range(7):
    background(lock.acquire)
"""
    with server(code + WAIT) as stuck:
        expected = (("futex", 7), ("read", 1))
        wait = stuck.until("a", lambda wait: wait.waiting == expected)
        assert (wait.threads, wait.waiting) == (8, expected)


def test_a_thread_that_computes_is_running() -> None:
    code = "ready()\nwhile True: pass\n"
    with server(code) as busy:
        wait = busy.until("a", lambda wait: wait.threads_running)
        assert (wait.threads, wait.threads_running, wait.waiting) == (1, 1, ())


def test_a_socket_that_was_closed_meanwhile_has_no_wait() -> None:
    code = "ready()\na.close()\nprint('closed', flush=True)\nsys.stdin.read()\n"
    with server(code) as process:
        assert process.process.stdout is not None
        assert process.process.stdout.readline() == b"closed\n"
        assert [wait.inode for wait in process.look("a", "b")] == [process.held["b"][0]]


def test_a_process_that_has_ended_has_no_wait() -> None:
    with server(WAIT) as process:
        process.process.kill()
        process.process.wait()
        assert process.look("a", "b") == []


def test_without_the_right_to_look_there_is_no_wait_and_no_error() -> None:
    with server(WAIT) as process:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                status = 0 if process.look("a") == [] else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
