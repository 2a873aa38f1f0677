"""A device that cuts segments itself: fewer packets, and the same conversation on the wire."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lastack.drive.application import Application
from lastack.drive.pump import Device
from lastack.drive.station import Station
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack import Dice, Socket, Stack
from lastack.wire import Packet, Segment
from lastack.wire.flags import ACK
from lastack.wire.icmp import IcmpMessage, Problem, Quote
from lastack.wire.offload import LARGEST

HERE, THERE = ("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")
OCTETS = 2_000_000
WHOLE = (bytes(range(251)) * (OCTETS // 251 + 1))[:OCTETS]


class Cable(Device):
    """One end; whatever cannot be cut is cut here, as a network card does."""

    def __init__(self, gso_max_size: int = 0, joins: bool = False) -> None:
        self.mtu = 1500
        self.gso_max_size = gso_max_size
        self.joins = joins
        self.coming: list[Packet] = []
        self.sent: list[Packet] = []
        self.other = self
        self.loses: Callable[[Packet], bool] = lambda packet: False

    def receive(self, limit: int) -> list[Packet]:
        taken, self.coming = self.coming[:limit], self.coming[limit:]
        return taken

    def transmit(self, packet: Packet) -> None:
        self.sent.append(packet)
        for part in [packet] if self.other.joins else packet.parts():
            assert self.other.joins or part.size <= self.mtu
            if not self.loses(part):
                self.other.coming.append(part)


class Source(Application):
    at = 0

    def on_writable(self, socket: Socket, now: Nanos) -> None:
        while self.at < OCTETS and (taken := socket.send(WHOLE[self.at : self.at + 70_000], now)):
            self.at += taken
        if self.at == OCTETS:
            socket.close(now)


class Sink(Application):
    def __init__(self) -> None:
        self.got = bytearray()
        self.over = False

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        while data := socket.receive(1 << 20, now):
            self.got += data

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        self.over = True
        socket.close(now)


class Pair:
    """A sender and a receiver with a cable between them."""

    def __init__(self, family: int, gso_max_size: int, joins: bool = False) -> None:
        here, there = HERE if family == 4 else THERE
        self.near, self.far = Cable(gso_max_size), Cable(joins=joins)
        self.near.other, self.far.other = self.far, self.near
        self.client = Station(Stack([here], dice=Dice(1)), self.near)
        self.server = Station(Stack([there], dice=Dice(2)), self.far)
        self.sink, self.now = Sink(), SECOND
        self.server.serve(80, lambda: self.sink)
        self.socket = self.client.stack.connect((there, 80), self.now)
        self.socket.owner = Source()
        self.client.flush(self.now)

    def sent(self) -> list[Segment]:
        """What has left the sender."""
        return [packet.segment for packet in self.near.sent if packet.segment is not None]

    def run(self, done: Callable[[], bool]) -> None:
        while not done():
            self.now += MILLISECOND
            assert self.now < 60 * SECOND
            self.server.advance(self.now)
            self.client.advance(self.now)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("joins", [False, True], ids=["cut for the receiver", "as it is for the receiver"])
def test_many_segments_leave_as_one_packet(family: int, joins: bool) -> None:
    pair = Pair(family, LARGEST, joins)
    pair.run(lambda: pair.sink.over and not pair.far.coming)
    assert bytes(pair.sink.got) == WHOLE
    segments = pair.sent()
    largest = max(segments, key=lambda segment: len(segment.payload))
    assert largest.gso == (1448 if family == 4 else 1428)
    assert largest.count > 40
    assert len(segments) < OCTETS // 1448 // 5
    assert pair.client.stack.counters.TcpOutSegs == sum(segment.count for segment in segments)
    assert pair.client.stack.counters.TcpOutSegs == pair.server.stack.counters.TcpInSegs
    assert pair.client.stack.counters.TcpRetransSegs == 0


def test_the_windows_hold_as_ever() -> None:
    pair = Pair(4, LARGEST)
    pair.run(lambda: any(segment.payload for segment in pair.sent()))
    # RFC 6928: ten segments, and not the 45 that the device would take.
    assert sum(segment.count for segment in pair.sent() if segment.payload) == 10


def test_the_receiver_knows_how_large_segments_are() -> None:
    pair = Pair(4, LARGEST, joins=True)
    pair.run(lambda: len(pair.sink.got) > 500_000)
    accepted = next(iter(pair.server.stack.host.sockets.values()))
    assert accepted.info(pair.now).rcv_mss == 1448


def test_of_many_only_what_was_lost_is_sent_again() -> None:
    pair = Pair(4, LARGEST)
    lost: list[int] = []

    def loses(part: Packet) -> bool:
        """The sixth of the first large one."""
        large = pair.sent()[-1]
        if not lost and large.count > 40 and part.segment is not None and part.segment.seq == large.seq + 5 * 1448:
            lost.append(part.segment.seq)
            return True
        return False

    pair.near.loses = loses
    pair.run(lambda: pair.sink.over)
    assert len(pair.sink.got) == OCTETS
    assert lost
    assert pair.client.stack.counters.TcpRetransSegs == 1
    again = [segment for segment in pair.sent() if segment.seq == lost[0]]
    assert [len(segment.payload) for segment in again] == [1448]


def test_a_narrower_path_is_known_to_what_follows() -> None:
    pair = Pair(4, LARGEST)
    pair.run(lambda: len(pair.sink.got) > 100_000)
    sender = pair.socket.connection.sender
    quote = Quote(pair.socket.local, pair.socket.remote, pair.socket.local_endpoint.port, 80, sender.una & 0xFFFF_FFFF)
    error = IcmpMessage(Problem.TOO_BIG, quote, 1000)
    pair.client.stack.on_packet(Packet(pair.socket.remote, pair.socket.local, None, error), pair.now)
    pair.near.sent.clear()
    pair.near.mtu = 1000
    pair.run(lambda: pair.sink.over)
    assert len(pair.sink.got) == OCTETS
    assert {segment.gso for segment in pair.sent()} >= {948}


def test_what_cannot_be_cut_leaves_alone() -> None:
    pair = Pair(4, 0)
    pair.run(lambda: len(pair.sink.got) > 500_000)
    assert {segment.gso for segment in pair.sent()} == {0}


def test_an_ack_of_something_new_brings_its_window_also_a_smaller_one() -> None:
    pair = Pair(4, 0)
    pair.run(lambda: len(pair.sink.got) > 100_000)
    sender, receiver = pair.socket.connection.sender, pair.socket.connection.receiver
    assert sender.flight.records
    smaller = (sender.window >> sender.scale) - 1
    port, ack = pair.socket.local_endpoint.port, sender.una + 1
    acknowledgement = Segment(80, port, receiver.nxt & 0xFFFF_FFFF, ack & 0xFFFF_FFFF, ACK, smaller)
    acknowledgement.ts_value, acknowledgement.ts_echo = receiver.ts_recent, 1
    pair.client.stack.on_packet(Packet(pair.socket.remote, pair.socket.local, acknowledgement), pair.now)
    assert (sender.una, sender.window) == (ack, smaller << sender.scale)
