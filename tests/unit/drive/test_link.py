"""Channels: when packets arrive, in which order, and which do not."""

from __future__ import annotations

import pytest

from lastack.drive.faults import bare_ack, every, fin, rst, syn, syn_ack, text
from lastack.drive.link import Channel
from lastack.model.time import MILLISECOND, SECOND
from lastack.stack import Dice
from lastack.tcp.timers import NEVER
from lastack.wire import Packet, Segment
from lastack.wire.flags import ACK, FIN, RST, SYN


def packet(number: int = 0, size: int = 0, flags: int = ACK) -> Packet:
    return Packet(b"\x0a\0\0\1", b"\x0a\0\0\2", Segment(1, 2, number, 0, flags, 0, bytes(size)))


def arrivals(channel: Channel) -> list[tuple[int, int]]:
    found = []
    while (at := channel.arrives) != NEVER:
        taken = channel.take()
        assert taken.segment is not None
        found.append((at, taken.segment.seq))
    return found


def test_a_delay_keeps_the_order() -> None:
    channel = Channel(Dice(1))
    channel.fate.delay = 5
    for number in range(3):
        assert channel.transmit(packet(number), 10 * number) == ""
    assert arrivals(channel) == [(5, 0), (15, 1), (25, 2)]


def test_a_rate_puts_packets_one_after_the_other() -> None:
    channel = Channel(Dice(1))
    channel.fate.rate = 8_000
    for number in range(3):
        channel.transmit(packet(number, 60), 0)
    # 100 octets at 8 kbit/s take 100 ms.
    assert [at // MILLISECOND for at, _ in arrivals(channel)] == [100, 200, 300]


def test_a_full_queue_loses_what_comes_last() -> None:
    channel = Channel(Dice(1))
    channel.fate.rate, channel.fate.queue = 8_000, 250
    told = [channel.transmit(packet(number, 60), 0) for number in range(5)]
    assert told == ["", "", "", "lost: queue full", "lost: queue full"]
    assert channel.lost == 2


def test_a_held_packet_is_overtaken() -> None:
    channel = Channel(Dice(1))
    channel.fate.delay = 1
    channel.hold(10, nth=2)
    for number in range(4):
        channel.transmit(packet(number), number)
    assert arrivals(channel) == [(1, 0), (3, 2), (4, 3), (12, 1)]


def test_a_doubled_packet_comes_twice() -> None:
    channel = Channel(Dice(1))
    channel.double(delay=7)
    channel.transmit(packet(1), 0)
    channel.transmit(packet(2), 0)
    assert arrivals(channel) == [(0, 1), (0, 2), (7, 1)]


@pytest.mark.parametrize(("nth", "times", "left"), [(1, 1, [1, 2, 3]), (3, 1, [0, 1, 3]), (2, 2, [0, 3]), (2, 0, [0])])
def test_the_nth_and_so_many_after_it_are_lost(nth: int, times: int, left: list[int]) -> None:
    channel = Channel(Dice(1))
    channel.lose(nth=nth, times=times)
    for number in range(4):
        channel.transmit(packet(number), 0)
    assert [number for _, number in arrivals(channel)] == left


def test_a_damaged_packet_does_not_arrive() -> None:
    channel = Channel(Dice(1))
    channel.damage(nth=2)
    told = [channel.transmit(packet(number, 10), 0) for number in range(3)]
    assert told == ["", "damaged", ""]
    assert [number for _, number in arrivals(channel)] == [0, 2]


def test_loss_comes_as_often_as_it_should() -> None:
    channel = Channel(Dice(1))
    channel.fate.loss = 0.2
    for number in range(2000):
        channel.transmit(packet(number), 0)
    assert 330 < channel.lost < 470


def test_nothing_passes_a_cut_link() -> None:
    channel = Channel(Dice(1))
    channel.fate.delay = SECOND
    channel.transmit(packet(), 0)
    channel.fate.up = False
    channel.clear()
    assert channel.transmit(packet(), 1) == "lost: link down"
    assert channel.arrives == NEVER


def test_every_kind_of_segment_has_a_name() -> None:
    kinds = {
        syn: packet(flags=SYN),
        syn_ack: packet(flags=SYN | ACK),
        fin: packet(flags=FIN | ACK),
        rst: packet(flags=RST),
        text: packet(size=1),
        bare_ack: packet(),
    }
    for where, its in kinds.items():
        assert [other for other in kinds if other(its)] == [where]
        assert every(its)
