"""A segment's every field comes out as it went in, by the other codec of this package."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.capture.kernels import codes as c
from lastack.capture.kernels.frame import frame
from lastack.capture.packets import DSACK, FAST_OPEN, ICMP, MULTIPATH, OPTIONS, OPTIONS_UNREAD, SIGNED, WIDTH, packet_at
from lastack.wire import IcmpMessage, Packet, Segment
from lastack.wire.icmp import Problem, Quote

from .made import START, ethernet, ip, ipv4, ipv6, only, pcap, read, rows, segment

u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
addresses = st.one_of(
    st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4)),
    st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)),
)


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    flags, payload = draw(st.integers(0, 0x1FF)), draw(st.binary(max_size=50))
    made = Segment(draw(u16), draw(u16), draw(u32), draw(u32), flags, draw(u16), payload)
    made.mss, made.window_scale = draw(st.none() | u16), draw(st.none() | st.integers(0, 14))
    made.sack_permitted = draw(st.booleans())
    if draw(st.booleans()):
        made.ts_value, made.ts_echo = draw(u32), draw(u32)
    made.sack = tuple(draw(st.lists(st.tuples(u32, u32), max_size=1)))
    source, destination = draw(addresses)
    packet = Packet(source, destination, made, ttl=draw(u8), ident=draw(u16))
    packet.traffic_class, packet.dont_fragment = draw(u8), draw(st.booleans())
    return packet


def decoded(octets: bytes, link: int = 101) -> tuple[int, list[int], list[int]]:
    """What becomes of a frame, its row, and the counts."""
    row, counts, state = [0] * WIDTH, [0] * c.COUNTS, [0] * c.STATE
    return frame(octets, 0, len(octets), len(octets), link, row, 0, counts, state), row, counts


@given(packets())
def test_every_field_comes_out_as_it_went_in(packet: Packet) -> None:
    what, row, counts = decoded(packet.encode())
    assert (what, counts[6]) == (c.ROW, 1)
    found, made = packet_at(row, 0), packet.segment
    assert made is not None
    assert (found.source_port, found.destination_port, found.seq, found.ack) == (
        made.src_port,
        made.dst_port,
        made.seq,
        made.ack,
    )
    assert (found.flags, found.window, found.length) == (made.flags, made.window, len(made.payload))
    assert (found.mss, found.wscale) == (made.mss, made.window_scale)
    assert found.sack_permitted == made.sack_permitted
    assert (found.ts_value, found.ts_echo) == (made.ts_value, None if made.ts_value is None else made.ts_echo)
    assert found.sack_blocks == len(made.sack)
    assert found.ttl == packet.ttl
    assert found.ip_id == (packet.ident if len(packet.source) == 4 else None)
    assert not found.marks & OPTIONS_UNREAD


@given(st.binary(max_size=40), st.integers(5, 15))
def test_no_options_are_too_strange_to_read(options: bytes, words: int) -> None:
    header = pack("!HHIIHHHH", 1, 2, 3, 4, words << 12 | 16, 6, 0, 0) + options.ljust(40, b"\0")[: words * 4 - 20]
    what, row, _ = decoded(ipv4(6, header))
    assert what == c.ROW
    assert packet_at(row, 0).length == 0


def sacked(*blocks: tuple[int, int], ack: int) -> int:
    made = segment(ack=ack, sack=blocks, ts_value=None)
    row = decoded(ipv4(6, Packet(bytes(4), bytes(4), made).encode()[20:]))[1]
    return row[OPTIONS]


@pytest.mark.parametrize(
    ("blocks", "ack", "twice"),
    [
        ([(500, 600)], 1000, True),
        ([(0xFFFF_FF00, 0xFFFF_FFF0)], 1000, True),
        ([(1000, 1100)], 1000, False),
        ([(2000, 2100)], 1000, False),
        ([(2000, 2100), (1900, 2200)], 1000, True),
        ([(1900, 2200), (3000, 3100)], 1000, False),
    ],
)
def test_a_block_that_came_twice_is_told_from_one_that_came_early(
    blocks: list[tuple[int, int]], ack: int, twice: bool
) -> None:
    options = sacked(*blocks, ack=ack)
    assert bool(options & DSACK) == twice
    assert options >> 26 & 0xF == len(blocks)


@pytest.mark.parametrize(
    ("option", "bit"),
    [
        (b"\x22\x02\1\1", FAST_OPEN),
        (b"\xfe\x04\xf9\x89", FAST_OPEN),
        (b"\x1e\x04\0\0", MULTIPATH),
        (b"\x13\x12" + bytes(16) + b"\1\1", SIGNED),
        (b"\x1d\x04\0\0", SIGNED),
        (b"\xfe\x04\0\1", 0),
    ],
)
def test_other_options_are_noted(option: bytes, bit: int) -> None:
    header = pack("!HHIIHHHH", 1, 2, 3, 4, (5 + len(option) // 4) << 12 | 2, 6, 0, 0) + option
    row = decoded(ipv4(6, header))[1]
    assert row[OPTIONS] == bit


@pytest.mark.parametrize("words", [0, 4, 15])
def test_a_header_length_that_cannot_be_is_malformed(words: int) -> None:
    what, _, counts = decoded(ipv4(6, pack("!HHIIHHHH", 1, 2, 3, 4, words << 12, 6, 0, 0)))
    assert (what, counts[c.MALFORMED]) == (c.NOTHING, 1)


def test_a_packet_shorter_than_it_says_is_cut_and_not_malformed(tmp_path: Path) -> None:
    captures = read(tmp_path, pcap([(START, ethernet(ip()[:-9]))]))
    assert [one.length for one in rows(captures)] == [9]


@pytest.mark.parametrize("six", [False, True])
def test_an_icmp_error_that_quotes_a_segment_is_a_row_of_its_own_kind(six: bool, tmp_path: Path) -> None:
    quoted = ip(six)[: 40 + 20 if six else 28]
    kind, code = (1, 4) if six else (3, 1)
    message = bytes((kind, code)) + bytes(6) + quoted
    found = only(tmp_path, ethernet(ipv6(58, message) if six else ipv4(1, message)))
    assert found.marks & ICMP
    assert found.window == kind << 8 | code
    assert (found.source_port, found.destination_port, found.seq) == (40000, 443, 0x1234_5678)
    assert found.source == ("2001:db8::1" if six else "192.0.2.1")


def test_what_icmp_says_beside_errors_on_tcp_is_only_counted(tmp_path: Path) -> None:
    echo = ipv4(1, b"\x08\0" + bytes(40))
    about_udp = ipv4(1, b"\3\3" + bytes(6) + ipv4(17, bytes(8)))
    captures = read(tmp_path, pcap([(START, ethernet(echo)), (START, ethernet(about_udp))]))
    assert rows(captures) == []
    assert captures.summary().not_tcp == {"ICMP": 2}


def test_the_engines_own_icmp_messages_are_read() -> None:
    made = IcmpMessage(Problem.PORT_UNREACHABLE, Quote(bytes(4), bytes(4), 1, 2, 3), quoted=ip()[:28])
    what, row, _ = decoded(Packet(b"\1\2\3\4", b"\5\6\7\x08", None, made).encode())
    assert what == c.ROW
    assert packet_at(row, 0).seq == 0x1234_5678
