"""Peers that lie: nothing falls over, memory stays bounded, and an honest client is served all the while."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastack.drive.services import Echo, Files, FileServer
from lastack.linux.namespaces import Namespace
from lastack.model.state import State
from lastack.wire.flags import ACK, FIN, PSH, RST, SYN
from lastack.wire.icmp import IcmpMessage, Problem, Quote
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK, add

from .liar import LyingLine, growth
from .line import KERNEL, OURS

pytestmark = pytest.mark.root

PORT = 7
MB = 1_000_000


@pytest.fixture
def line(private_network: Namespace) -> Iterator[LyingLine]:
    line = LyingLine()
    line.driver.serve(PORT, Echo, backlog=128)
    yield line
    line.close()


def honest(line: LyingLine) -> float:
    """An honest client says something and hears it; how many seconds that took."""

    def talk() -> float:
        began = time.monotonic()
        with socket.create_connection((OURS[4], PORT), timeout=20) as one:
            one.sendall(b"honest")
            one.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: one.recv(100), b"")) == b"honest"
        return time.monotonic() - began

    return line.beside(talk)


# -- many packets


def test_garbage_is_counted_or_refused_and_nobody_is_kept_waiting(line: LyingLine) -> None:
    dice = random.Random(1)

    def pour() -> None:
        for number in range(20_000):
            ports = dice.choice((PORT, 80, dice.randrange(65536)))
            segment = Segment(
                dice.randrange(65536), ports, dice.getrandbits(32), dice.getrandbits(32), dice.getrandbits(8),
                dice.getrandbits(16), dice.randbytes(dice.choice((0, 0, 1, 1400))),
            )  # fmt: skip
            segment.mss = dice.choice((None, 0, 1, 536, 65535))
            segment.window_scale = dice.choice((None, 0, 14, 255))
            segment.ts_value = dice.choice((None, 0, dice.getrandbits(32)))
            segment.ts_echo = dice.getrandbits(32)
            line.say(segment, f"10.9.0.{dice.randrange(3, 250)}")
            if not number % 5000:
                line.settle()
                assert honest(line) < 20
        line.settle()

    assert growth(pour) < 60 * MB
    assert len(line.stack.host.sockets) <= 129
    assert honest(line) < 20


def test_garbage_octets_are_dropped_by_the_device(line: LyingLine) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        for size in (0, 1, 19, 20, 40, 1400):
            raw.sendto(os.urandom(size), (OURS[4], 0))
    assert honest(line) < 20


def test_through_a_flood_of_syns_an_honest_client_gets_in(line: LyingLine) -> None:
    count = 50_000

    def flood() -> None:
        dice = random.Random(2)
        for number in range(count):
            segment = Segment(dice.randrange(1024, 65536), PORT, dice.getrandbits(32), 0, SYN, 65535, b"")
            segment.mss = 1460
            line.say(segment, f"10.9.0.{dice.randrange(3, 250)}")
            if not number % 500:
                line.settle()
            if not number % 10_000:
                assert honest(line) < 20
        line.settle()

    assert growth(flood) < 40 * MB
    assert len(line.stack.host.sockets) <= 129
    assert line.stack.counters.SyncookiesSent > count // 2
    assert line.stack.counters.SyncookiesRecv > 0


def test_acks_that_pretend_to_bring_cookies_open_nothing(line: LyingLine) -> None:
    dice = random.Random(3)
    for _ in range(20_000):
        line.say(Segment(dice.randrange(1024, 65536), PORT, dice.getrandbits(32), dice.getrandbits(32), ACK, 9, b""))
    line.settle()
    assert not line.stack.host.sockets
    assert honest(line) < 20


# -- blind attacks on a connection of others


class Victim:
    """An honest connection between the kernel and our echo, of which an attacker knows the four-tuple."""

    def __init__(self, line: LyingLine) -> None:
        self.line = line
        self.kernel = line.beside(lambda: socket.create_connection((OURS[4], PORT), timeout=20))
        self.port = self.kernel.getsockname()[1]
        self.says(b"before")
        tcb = next(iter(line.stack.host.sockets.values())).connection
        self.expected = tcb.receiver.nxt & MASK
        self.window = tcb.receiver.window
        self.acknowledged = tcb.sender.una & MASK

    def says(self, word: bytes) -> None:
        def talk() -> bytes:
            self.kernel.sendall(word)
            return self.kernel.recv(len(word), socket.MSG_WAITALL)

        assert self.line.beside(talk) == word

    def attacked(self, flags: int, off: int, data: bytes = b"", ack: int | None = None) -> None:
        acknowledged = self.acknowledged if ack is None else ack
        segment = Segment(self.port, PORT, add(self.expected, off & MASK), acknowledged & MASK, flags, 9, data)
        self.line.say(segment, KERNEL[4])
        self.line.settle()


@pytest.fixture
def victim(line: LyingLine) -> Iterator[Victim]:
    victim = Victim(line)
    yield victim
    victim.kernel.close()


OUTSIDE = (-1, -100_000, 10_000_000, 1 << 31)


@pytest.mark.parametrize("flags", [RST, RST | ACK, SYN, SYN | ACK])
@pytest.mark.parametrize("off", [*OUTSIDE, 1, 1000, 40_000])
def test_a_blind_rst_or_syn_that_misses_ends_nothing(victim: Victim, flags: int, off: int) -> None:
    for _ in range(20):
        victim.attacked(flags, off)
    victim.says(b"after")


def test_a_blind_syn_at_the_very_number_ends_nothing_either(victim: Victim) -> None:
    victim.attacked(SYN, 0)
    victim.says(b"after")
    assert victim.line.stack.counters.TCPSYNChallenge == 1


def test_only_a_rst_at_the_very_number_is_believed(victim: Victim) -> None:
    victim.attacked(RST, 0)
    assert not victim.line.stack.host.sockets


@pytest.mark.parametrize("ack", [1 << 31, 5_000_000, -5_000_000])
def test_blind_data_with_an_impossible_ack_is_not_taken(victim: Victim, ack: int) -> None:
    victim.attacked(ACK | PSH, 0, b"poison", victim.acknowledged + ack)
    victim.says(b"clean")


def test_blind_icmp_does_not_shrink_what_others_send(victim: Victim) -> None:
    ends = address_bytes(OURS[4]), address_bytes(KERNEL[4])
    quote = Quote(*ends, PORT, victim.port, add(victim.acknowledged, 1_000_000))
    for problem in (Problem.TOO_BIG, Problem.PORT_UNREACHABLE, Problem.PROTOCOL_UNREACHABLE):
        victim.line.liar.inject(Packet(ends[1], ends[0], None, IcmpMessage(problem, quote, 68)))
    victim.line.settle()
    victim.says(b"after")
    assert victim.line.stack.host.paths.mtu(ends[1], 1500, victim.line.driver.now()) == 1500


# -- peers that hold on


@pytest.fixture
def files(line: LyingLine, tmp_path: Path) -> int:
    """A server of a large file, at port 80."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1_000_000_000)
    site = Files(tmp_path)
    line.driver.serve(80, lambda: FileServer(site))
    return 80


ASKED = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"


def test_windows_that_are_shut_for_ever_cost_a_send_buffer_each(line: LyingLine, files: int) -> None:
    def hold() -> None:
        for number in range(200):
            peer = line.peer(files, 20_000 + number)
            peer.say(ACK, ASKED * 20, window=0)
        line.settle()
        line.driver.run(1)

    assert growth(hold) < 200 * 0.2 * MB
    held = [one.connection.sender.buffer for one in line.stack.host.sockets.values()]
    assert len(held) == 200
    assert max(map(len, held)) <= 100_000
    assert honest(line) < 20


def test_probes_of_a_shut_window_become_rare(line: LyingLine, files: int) -> None:
    peer = line.peer(files)
    peer.say(ACK, ASKED, window=0)
    line.settle()
    before = len(peer.heard())
    line.driver.run(2)
    probes = len(peer.heard()) - before
    assert 2 <= probes <= 5


def test_slow_readers_cost_no_more_than_their_windows_allow(line: LyingLine, files: int) -> None:
    def read_slowly() -> list[socket.socket]:
        clients = [socket.create_connection((OURS[4], files), timeout=20) for _ in range(100)]
        for one in clients:
            one.sendall(ASKED)
        for _ in range(20):
            for one in clients:
                one.recv(1)
        return clients

    clients: list[socket.socket] = []
    assert growth(lambda: clients.extend(line.beside(read_slowly))) < 100 * 5 * MB
    assert honest(line) < 20
    for one in clients:
        one.close()
    line.until(lambda: not any(one.listener for one in line.stack.host.sockets.values()))


def test_silent_peers_are_given_up(line: LyingLine) -> None:
    line.stack.settings.tcp_retries2 = 1
    peer = line.peer(PORT)
    peer.say(ACK, b"echo this")
    line.until(lambda: not line.stack.host.sockets, 20)


# -- peers that break the rules within a connection


def test_an_ack_of_what_was_never_sent_changes_nothing(line: LyingLine) -> None:
    peer = line.peer(PORT)
    for off in (1, 1_000_000, 1 << 31, -1, -1_000_000):
        peer.say(ACK, ack=off)
        peer.say(ACK, b"poison", ack=off if off > 0 else 1 << 30)
    line.settle()
    assert peer.is_open()
    assert line.our_states() == [State.ESTABLISHED]


def test_sacks_of_what_was_never_sent_change_nothing(line: LyingLine) -> None:
    peer = line.peer(PORT)
    for blocks in ([(1, 2)], [(0, MASK)], [(1 << 31, 5)], [(9, 9)] * 4, [(peer.ack, add(peer.ack, 1 << 20))]):
        peer.say(ACK, sack=tuple(blocks))
    line.settle()
    assert peer.is_open()


def test_overlaps_with_other_octets_are_one_stream_all_the_same(line: LyingLine) -> None:
    dice = random.Random(4)
    listener = line.driver.listen(99)
    for turn in range(20):
        peer = line.peer(99, 50_000 + turn)
        ours = listener.accept(5)
        for _ in range(200):
            at = dice.randrange(1, 5000)
            peer.say(ACK, bytes((dice.randrange(256),)) * dice.randrange(1, 1000), seq=at)
        peer.say(ACK, b"!")
        for at in range(0, 6000, 1000):
            peer.say(ACK, b"?" * 1000, seq=at)
        peer.say(ACK | FIN, seq=6000)
        line.settle()
        ours.settimeout(5)
        stream = b"".join(iter(ours.recv, b""))
        assert len(stream) == 6000
        assert stream.startswith(b"!")
        ours.close()


def test_a_fin_that_moves_is_the_end_of_one_stream(line: LyingLine) -> None:
    listener = line.driver.listen(99)
    peer = line.peer(99)
    ours = listener.accept(5)
    for at in (5000, 100, 3000, 10):
        peer.say(ACK | FIN, b"x", seq=at)
    peer.say(ACK, b"0123456789")
    line.settle()
    ours.settimeout(5)
    assert ours.recv().startswith(b"0123456789")


@pytest.mark.parametrize("ahead", [0, 1], ids=["in order", "with holes"])
def test_a_window_full_of_single_octets_costs_little(line: LyingLine, ahead: int) -> None:
    count = 50

    def fill() -> None:
        for number in range(count):
            peer = line.peer(99, 20_000 + number)
            for at in range(0, 4000, 2):
                peer.say(ACK, b"xy"[: 2 - ahead], seq=at + ahead)
            line.settle()

    listener = line.driver.listen(99)
    assert growth(fill) < count * 0.2 * MB
    for one in line.stack.host.sockets.values():
        held = one.connection.receiver
        assert len(held.chunks or ()) <= 128
        assert held.reassembly is None or len(held.reassembly.pieces) <= 256
    assert honest(line) < 20
    listener.close()


def test_a_segment_size_of_nothing_is_not_believed(line: LyingLine, files: int) -> None:
    segment = Segment(33_000, files, 1000, 0, SYN, 65535, b"")
    segment.mss = 1
    line.say(segment)
    line.settle()
    answer = line.liar.heard[-1].segment
    assert answer is not None
    line.say(Segment(33_000, files, 1001, add(answer.seq, 1), ACK, 65535, ASKED))
    line.settle()
    sizes = {len(packet.segment.payload) for packet in line.liar.heard if packet.segment is not None}
    assert max(sizes) >= 36
