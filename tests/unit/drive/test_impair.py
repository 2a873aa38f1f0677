"""A bad wire around a good one, and a recorder around both: no kernel, no clock of its own."""

from __future__ import annotations

import io

import pytest

from lastack.drive.impair import OVERTAKEN, Impaired
from lastack.drive.link import Fate
from lastack.drive.pump import Wire
from lastack.drive.recorder import Recorder
from lastack.model.time import MILLISECOND
from lastack.wire import Packet, Segment, address_bytes
from lastack.wire.flags import ACK
from lastack.wire.packet import decode_packet
from lastack.wire.pcapng import ENHANCED_PACKET, decode_blocks, decode_packet_block

HERE, THERE = address_bytes("10.9.0.2"), address_bytes("10.9.0.1")


def numbered(count: int) -> list[Packet]:
    return [Packet(HERE, THERE, Segment(80, 4000, number, 0, ACK, 9, bytes(10))) for number in range(count)]


def numbers(packets: list[Packet]) -> list[int]:
    return [packet.segment.seq for packet in packets if packet.segment is not None]


class Good(Wire):
    """Gives what it was given to give, and keeps what it was sent."""

    mtu = 1500

    def __init__(self) -> None:
        self.coming: list[Packet] = []
        self.sent: list[Packet] = []
        self.closed = False

    def receive(self, limit: int) -> list[Packet]:
        taken, self.coming = self.coming[:limit], self.coming[limit:]
        return taken

    def transmit(self, packet: Packet) -> None:
        self.sent.append(packet)

    def fileno(self) -> int:
        return 7

    def close(self) -> None:
        self.closed = True


class Bench:
    """A good wire within a bad one, and the time."""

    def __init__(self, seed: int = 1, /, **fate: float) -> None:
        self.now = 0
        self.good = Good()
        fates = Fate(), Fate()
        for one in fates:
            for name, value in fate.items():
                setattr(one, name, value)
        self.bad = Impaired(self.good, *fates, lambda: self.now, seed)

    def both_ways(self, count: int) -> tuple[list[int], list[int]]:
        """What of so many packets comes through within a second, out and back."""
        for packet in numbered(count):
            self.bad.transmit(packet)
        self.good.coming = numbered(count)
        heard: list[Packet] = []
        for self.now in range(0, 1000 * MILLISECOND, MILLISECOND):
            while more := self.bad.receive(64):
                heard += more
        return numbers(self.good.sent), numbers(heard)


def test_a_wire_without_faults_changes_nothing() -> None:
    bench = Bench()
    assert bench.both_ways(200) == (list(range(200)), list(range(200)))
    assert (bench.bad.mtu, bench.bad.fileno(), bench.bad.next_timeout()) == (1500, 7, None)


@pytest.mark.parametrize("fault", ["loss", "corrupt"])
def test_a_share_is_lost_each_way(fault: str) -> None:
    out, back = Bench(**{fault: 0.1}).both_ways(5000)
    for way in (out, back):
        assert 4400 < len(way) < 4600
        assert way == sorted(way)
    assert out != back


def test_a_share_comes_twice() -> None:
    out, back = Bench(duplicate=0.1).both_ways(5000)
    for way in (out, back):
        assert 5400 < len(way) < 5600
        assert sorted(set(way)) == list(range(5000))


def test_a_share_is_overtaken() -> None:
    bench = Bench(reorder=0.5, reorder_by=OVERTAKEN)
    for packet in numbered(100):
        bench.bad.transmit(packet)
    early = numbers(bench.good.sent)
    assert 30 < len(early) < 70
    bench.now = OVERTAKEN
    bench.bad.receive(1)
    assert sorted(numbers(bench.good.sent)) == list(range(100))


def test_what_is_delayed_is_told_of_and_comes_then() -> None:
    bench = Bench(delay=20 * MILLISECOND)
    bench.bad.transmit(numbered(1)[0])
    assert bench.bad.next_timeout() == 20 * MILLISECOND
    bench.now = 20 * MILLISECOND - 1
    assert (bench.bad.receive(64), bench.good.sent) == ([], [])
    bench.now += 1
    bench.bad.receive(64)
    assert len(bench.good.sent) == 1
    assert bench.bad.next_timeout() is None


def test_the_same_seed_makes_the_same_throws() -> None:
    faults = {"loss": 0.1, "duplicate": 0.1, "reorder": 0.1, "reorder_by": OVERTAKEN, "corrupt": 0.05}
    assert Bench(3, **faults).both_ways(500) == Bench(3, **faults).both_ways(500)
    assert Bench(3, **faults).both_ways(500) != Bench(4, **faults).both_ways(500)


def test_closing_closes_what_is_within_and_drops_what_is_under_way() -> None:
    bench = Bench(delay=MILLISECOND)
    bench.bad.transmit(numbered(1)[0])
    bench.bad.close()
    assert bench.good.closed
    assert bench.bad.next_timeout() is None


def test_a_recorder_writes_both_ways_as_they_are_on_a_wire() -> None:
    good, file = Good(), io.BytesIO()
    recorder = Recorder(good, file, lambda: 12_345, "tun9")
    good.coming = numbered(2)
    recorder.receive(64)
    large = Packet(HERE, THERE, Segment(80, 4000, 100, 0, ACK, 9, bytes(2500)))
    assert large.segment is not None
    large.segment.gso = 1000
    recorder.transmit(large)
    assert numbers(good.sent) == [100]
    blocks = [block for block in decode_blocks(file.getvalue()) if block.kind == ENHANCED_PACKET]
    captured = [decode_packet_block(block) for block in blocks]
    assert {one.at_ns for one in captured} == {12_345}
    # Their checksums are right, or they could not be read; one that stands for three is three.
    assert numbers([decode_packet(one.data) for one in captured]) == [0, 1, 100, 1100, 2100]
