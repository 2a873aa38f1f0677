"""A peer that wants our memory, or others' connections slow: no clause of a standard, but what Linux does about it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND
from lastack.stack import Socket
from lastack.tcp import SocketOptions
from lastack.wire import Packet, Segment, address_bytes
from lastack.wire.flags import ACK, SYN
from lastack.wire.icmp import Problem

from .conftest import HERE, THERE, Talk


def test_a_router_that_quotes_what_was_never_sent_makes_no_path_narrower(talk: Talk) -> None:
    talk.accepted()
    for off in (1, 1000, -1000, 1 << 30):
        talk.icmp(Problem.TOO_BIG, 1 + off, mtu=600)
    there = address_bytes(THERE)
    assert talk.stack.host.paths.mtu(there, 1500, talk.now) == 1500
    talk.icmp(Problem.TOO_BIG, 1, mtu=600)
    assert talk.stack.host.paths.mtu(there, 1500, talk.now) == 600


def test_a_shut_window_holds_no_more_than_an_initial_flight_and_its_like(talk: Talk) -> None:
    socket = talk.accepted()
    talk.say(".", 1, 1, window=0)
    taken = sum(socket.send(bytes(1000), talk.now) for _ in range(5000))
    assert taken == 87_040  # what Linux gives a connection of Ethernet's segments before its window grows


def test_the_send_buffer_grows_with_the_congestion_window(talk: Talk) -> None:
    socket = talk.accepted()
    acked, taken = 1, 0
    for _ in range(40):
        taken += socket.send(bytes(1 << 22), talk.now)
        talk.flush()
        talk.now += 10 * MILLISECOND
        acked = max([acked, *(1 + segment.seq - talk.iss - 1 + len(segment.payload) for segment in talk.take())])
        talk.say(".", 1, acked)
    assert socket.connection.sender.capacity > 200_000
    assert acked > 1_000_000


def test_what_nobody_reads_takes_its_octets_however_small_they_came(talk: Talk) -> None:
    socket = talk.accepted()
    for at in range(1, 20_001, 2):
        talk.say(".", at, 1, b"xy")
    assert len(socket.connection.receiver.chunks or ()) <= 128
    assert socket.receive(1 << 20, talk.now) == b"xy" * 10_000


def test_holes_without_number_are_not_kept_and_the_text_arrives_all_the_same(make_talk: Callable[..., Talk]) -> None:
    talk = make_talk(tcp_sack=1)
    socket = talk.accepted(sack_permitted=True)
    for at in range(2, 2002, 2):
        talk.say(".", at, 1, b"b")
    held = socket.connection.receiver.reassembly
    assert held is not None
    assert len(held.pieces) == 256
    assert talk.stack.counters.TCPOFODrop == 1000 - 256
    for at in range(1, 2001):
        talk.say(".", at, 1, b"a" if at & 1 else b"b")
    assert socket.receive(1 << 20, talk.now) == b"ab" * 1000
    talk.wait(SECOND)
    assert not talk.told()


def test_a_syn_that_comes_twice_before_it_is_answered_is_answered_once(talk: Talk) -> None:
    talk.listen()
    packet = Packet(address_bytes(THERE), address_bytes(HERE), Segment(4000, 80, 1, 0, SYN, 65_535, b""))
    talk.stack.on_packet(packet, talk.now)
    talk.stack.on_packet(packet, talk.now)
    talk.flush()
    assert [segment.flags for segment in talk.take()] == [SYN | ACK]


def shut_out(talk: Talk, options: SocketOptions | None = None, *, close: bool = False) -> tuple[Socket, list[int]]:
    """A window that stays shut, however often the peer is asked and answers, for two hours.

    The connection, and when the peer was asked, in seconds.
    """
    socket = talk.accepted(options)
    talk.say(".", 1, 1, window=0)
    socket.send(bytes(50_000), talk.now)
    if close:
        socket.close(talk.now)
    talk.flush()
    began, asked = talk.now, []
    while talk.now - began < 7200 * SECOND and (due := talk.stack.next_timeout()) is not None:
        talk.now = due
        talk.stack.on_timeout(due)
        talk.flush()
        if talk.take():
            asked.append((due - began) // SECOND)
            talk.say(".", 1, 1, window=0)
    return socket, asked


def test_answers_of_a_shut_window_make_probes_no_more_frequent(talk: Talk) -> None:
    socket, asked = shut_out(talk)
    assert socket.state is State.ESTABLISHED
    assert 65 <= len(asked) <= 75
    assert {later - earlier for earlier, later in pairwise(asked[12:])} == {120}


def test_a_shut_window_that_nobody_waits_for_is_given_up_though_it_answers(talk: Talk) -> None:
    socket, asked = shut_out(talk, close=True)
    assert socket.state is State.CLOSED
    assert not talk.stack.host.sockets
    # As Linux: when the time-out of 200 ms has been doubled to two minutes.
    assert len(asked) == 10


def test_the_user_timeout_counts_while_a_shut_window_answers(talk: Talk) -> None:
    socket, asked = shut_out(talk, SocketOptions(tcp_user_timeout=30_000))
    assert socket.state is State.CLOSED
    assert socket.connection.error == "ETIMEDOUT"
    assert max(asked) <= 60
