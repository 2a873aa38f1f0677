"""The kernel's own sockets at the other end: who closes first, what arrives, how many at once."""

from __future__ import annotations

import hashlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from lastack.drive.blocking import BlockingSocket
from lastack.drive.services import Echo
from lastack.model.state import State

from .line import KERNEL, OURS, Line

pytestmark = pytest.mark.root

PORT = 7
PIECE = 100_000
COUNT = 10_000
Pair = tuple[Line, socket.socket, BlockingSocket]
FAMILIES = pytest.mark.parametrize("family", [4, 6])


def kernel_client(family: int) -> socket.socket:
    return socket.create_connection((OURS[family], PORT), timeout=30)


def kernel_server(family: int) -> socket.socket:
    one = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6)
    one.bind((KERNEL[family], PORT))
    one.listen(16)
    one.settimeout(30)
    return one


@pytest.fixture(params=["ours listens", "kernel listens"])
def pair(request: pytest.FixtureRequest, any_line: Line) -> Iterator[Pair]:
    """A connection: the kernel's end and ours."""
    line = any_line
    if request.param == "ours listens":
        listener = line.driver.listen(PORT)
        theirs = line.beside(lambda: kernel_client(4))
        ours = listener.accept(30)
    else:
        with kernel_server(4) as server:
            ours = line.driver.connect((KERNEL[4], PORT), timeout=30)
            theirs, _ = line.beside(server.accept)
    ours.settimeout(30)
    yield line, theirs, ours
    theirs.close()


# -- who closes first


def test_who_closes_first_waits_and_the_other_does_not(pair: Pair) -> None:
    line, theirs, ours = pair
    ours.close()
    assert line.beside(lambda: theirs.recv(1)) == b""
    theirs.close()
    line.until(lambda: line.our_states() == [State.TIME_WAIT])
    line.until(lambda: line.kernel_states(PORT) == [])


def test_when_the_kernel_closes_first_it_is_the_one_that_waits(pair: Pair) -> None:
    line, theirs, ours = pair
    theirs.close()
    assert ours.recv() == b""
    line.until(lambda: line.our_states() == [State.CLOSE_WAIT])
    ours.close()
    line.until(lambda: line.kernel_states(PORT) == [State.TIME_WAIT])
    line.until(lambda: line.our_states() == [])


def test_a_half_close_leaves_the_other_direction_open(pair: Pair) -> None:
    line, theirs, ours = pair
    ours.shutdown()
    assert line.beside(lambda: theirs.recv(1)) == b""
    theirs.sendall(b"still here")
    assert ours.recv() == b"still here"
    theirs.shutdown(socket.SHUT_WR)
    assert ours.recv() == b""
    line.until(lambda: line.our_states() == [State.TIME_WAIT])


def test_a_reset_is_told_to_the_other(pair: Pair) -> None:
    line, theirs, ours = pair
    ours.abort()
    # One that is lost is made good when the other says something.
    theirs.settimeout(5)
    with pytest.raises(ConnectionResetError):
        line.beside(lambda: [theirs.send(b"anybody?") and theirs.recv(1) for _ in range(2)])
    line.until(lambda: line.kernel_states(PORT) == [] and line.our_states() == [])


def test_both_closing_at_once_is_the_end_for_both(pair: Pair) -> None:
    line, theirs, ours = pair
    theirs.close()
    ours.close()
    line.until(lambda: not {*line.our_states(), *line.kernel_states(PORT)} - {State.TIME_WAIT})
    assert line.our_states() + line.kernel_states(PORT)


# -- what arrives


def size(line: Line) -> int:
    """Octets that are sent in a moment: many where the line is clean."""
    return 3_000_000 if line.bad else 60_000_000


@FAMILIES
def test_what_the_kernel_sends_arrives_octet_for_octet(any_line: Line, family: int) -> None:
    listener = any_line.driver.listen(PORT)

    def send() -> bytes:
        sent = hashlib.sha256()
        with kernel_client(family) as one:
            for _ in range(size(any_line) // PIECE):
                piece = os.urandom(PIECE)
                sent.update(piece)
                one.sendall(piece)
        return sent.digest()

    sending = any_line.start(send)
    heard = hashlib.sha256()
    with listener.accept(30) as ours:
        ours.settimeout(30)
        while piece := ours.recv(1 << 20):
            heard.update(piece)
    assert heard.digest() == sending.result()


@FAMILIES
def test_what_we_send_arrives_octet_for_octet(any_line: Line, family: int) -> None:
    def receive() -> bytes:
        heard = hashlib.sha256()
        one, _ = server.accept()
        with one:
            while piece := one.recv(1 << 18):
                heard.update(piece)
        return heard.digest()

    with kernel_server(family) as server:
        receiving = any_line.start(receive)
        sent = hashlib.sha256()
        with any_line.driver.connect((KERNEL[family], PORT), timeout=30) as ours:
            for _ in range(size(any_line) // PIECE):
                piece = os.urandom(PIECE)
                sent.update(piece)
                ours.sendall(piece)
        assert receiving.result() == sent.digest()


@FAMILIES
def test_an_echo_comes_back_as_it_was(any_line: Line, family: int) -> None:
    any_line.driver.serve(PORT, Echo)
    said = os.urandom(1_000_000)

    def say(one: socket.socket) -> None:
        one.sendall(said)
        one.shutdown(socket.SHUT_WR)

    with any_line.beside(lambda: kernel_client(family)) as one:
        saying = any_line.start(lambda: say(one))
        heard = any_line.beside(lambda: b"".join(iter(lambda: one.recv(1 << 16), b"")))
        saying.result()
    assert heard == said


def test_nobody_there_is_a_refusal_both_ways(line: Line) -> None:
    with pytest.raises(ConnectionRefusedError):
        line.beside(lambda: kernel_client(4))
    with pytest.raises(ConnectionRefusedError):
        line.driver.connect((KERNEL[4], PORT), timeout=30)


# -- many


@pytest.fixture
def many_files() -> Iterator[int]:
    """How many sockets this process may open: 10,000, or a skip."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < COUNT + 200:
        pytest.skip(f"no more than {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, COUNT + 200), hard))
    yield COUNT
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_connections_at_once(line: Line, many_files: int) -> None:
    line.driver.serve(PORT, Echo)

    def talk() -> int:
        clients = [kernel_client(4) for _ in range(many_files)]
        for number, one in enumerate(clients):
            one.sendall(number.to_bytes(4, "big"))
        heard = sum(int.from_bytes(one.recv(4), "big") == number for number, one in enumerate(clients))
        for one in clients:
            one.close()
        return heard

    most = 0
    talking = line.start(talk)
    while not talking.over:
        line.driver.step(0.01)
        most = max(most, len(line.stack.host.sockets))
    assert talking.result() == most == many_files
    line.until(lambda: not line.stack.host.sockets)
