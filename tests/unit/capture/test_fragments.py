"""Fragments become the datagram that they were, in any order; what never becomes whole is counted and let go."""

from __future__ import annotations

from pathlib import Path
from random import Random
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.capture.fragments import MOST_OCTETS, WAIT_NS, Fragments
from lastack.capture.packets import REASSEMBLED, TUNNEL

from .made import START, ethernet, ip, ipv4, pcap, read, rows

PAYLOAD = bytes(range(256)) * 8


def pieces(packet: bytes, size: int, extension: bytes = b"") -> list[bytes]:
    """A packet in fragments of so many octets each; IPv6 may have an extension header before the fragment header."""
    if packet[0] >> 4 == 4:
        head, body = packet[:20], packet[20:]
    else:
        head, body = packet[:40], packet[40:]
    out = []
    for at in range(0, len(body), size):
        part, more = body[at : at + size], at + size < len(body)
        if len(head) == 20:
            word = at >> 3 | (0x2000 if more else 0)
            out.append(head[:2] + pack("!H2sH", 20 + len(part), head[4:6], word) + head[8:] + part)
        else:
            fragment = pack("!BBHI", 6, 0, at | more, 0xABCDE)
            chain = (extension[:1] and b"\x2c" + extension[1:]) + fragment
            first = bytes((60,)) if extension else b"\x2c"
            out.append(head[:4] + pack("!H", len(chain) + len(part)) + first + head[7:] + chain + part)
    return out


@given(st.integers(1, 40).map(lambda n: n * 8), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_fragments_become_the_datagram_that_they_were(size: int, six: bool, extended: bool, random: Random) -> None:
    packet = ip(six, payload=PAYLOAD[:1000])
    extension = b"\0\0" + bytes(6) if six and extended else b""
    parts = pieces(packet, size, extension)
    random.shuffle(parts)
    # Again, before the last that is missing.
    parts[1:1] = parts[:1]
    waiting = Fragments()
    (whole,) = [whole for part in parts if (whole := waiting.add(part, START))]
    assert whole[8:10] + whole[12:] == packet[8:10] + packet[12:] if not six else whole.endswith(packet[40:])


@pytest.mark.parametrize("six", [False, True])
def test_a_segment_in_fragments_is_one_row_with_the_time_of_the_last(six: bool, tmp_path: Path) -> None:
    parts = pieces(ip(six, payload=PAYLOAD), 800)
    frames = [(START + i, ethernet(part)) for i, part in enumerate(parts[::-1])]
    captures = read(tmp_path, pcap([*frames, (START + 9, ethernet(ip(six)))]))
    found = rows(captures)
    assert [(one.length, one.time, one.number) for one in found] == [(2048, START + 2, 3), (9, START + 9, 4)]
    assert found[0].marks & REASSEMBLED
    assert (captures.summary().fragments, captures.summary().fragments_lost) == (3, 0)


@pytest.mark.parametrize("six", [False, True])
def test_the_header_of_the_first_fragment_counts(six: bool, tmp_path: Path) -> None:
    parts = [bytearray(part) for part in pieces(ip(six, payload=PAYLOAD), 800)]
    for part in parts[1:]:
        part[7 if six else 8] = 3
    for order in (1, -1):
        captures = read(tmp_path, pcap([(START, ethernet(bytes(part))) for part in parts[::order]]))
        assert [one.ttl for one in rows(captures)] == [61]


def test_fragments_in_a_tunnel_in_fragments_are_found(tmp_path: Path) -> None:
    inner = pieces(ip(payload=PAYLOAD), 1400)
    frames: list[tuple[int, bytes]] = []
    for i, part in enumerate(inner):
        for outer in pieces(ipv4(4, part, ident=900 + i), 1000):
            frames.append((START + len(frames), ethernet(outer)))
    found = rows(read(tmp_path, pcap(frames)))
    assert [one.length for one in found] == [2048]
    assert found[0].marks & TUNNEL
    assert found[0].marks & REASSEMBLED


def test_a_fragment_that_never_comes_is_counted(tmp_path: Path) -> None:
    parts = pieces(ip(payload=PAYLOAD), 800)
    captures = read(tmp_path, pcap([(START, ethernet(part)) for part in parts[1:]]))
    assert rows(captures) == []
    assert captures.summary().fragments_lost == 2


def test_fragments_that_were_cut_cannot_become_whole(tmp_path: Path) -> None:
    parts = pieces(ip(payload=PAYLOAD), 800)
    captures = read(tmp_path, pcap([(START, ethernet(part)) for part in parts], snap=[96] * 3))
    assert rows(captures) == []
    assert captures.summary().fragments_lost == 3


def test_fragments_of_datagrams_are_told_apart() -> None:
    one, other = pieces(ip(ident=1, payload=b"1" * 800), 400), pieces(ip(ident=2, payload=b"2" * 800), 400)
    waiting = Fragments()
    whole = [waiting.add(part, START) for part in (one[0], other[1], other[0], one[1], one[2], other[2])]
    assert [found is not None for found in whole] == [False] * 4 + [True] * 2


def test_pieces_that_overlap_with_other_content_drop_the_datagram() -> None:
    parts = pieces(ip(payload=b"1" * 800), 400)
    lying = pieces(ip(payload=b"2" * 800), 408)
    waiting = Fragments()
    assert [waiting.add(part, START) for part in (parts[0], lying[1], parts[1], parts[2])] == [None] * 4
    again = pieces(ip(payload=b"2" * 800), 400)
    waiting = Fragments()
    assert [waiting.add(part, START) for part in (parts[0], again[0], parts[1], parts[2])] == [None] * 4


def test_the_pieces_wait_only_so_long() -> None:
    parts = pieces(ip(payload=b"1" * 800), 400)
    waiting = Fragments()
    waiting.add(parts[0], START)
    waiting.add(parts[1], START + WAIT_NS + 1)
    assert waiting.add(parts[2], START + WAIT_NS + 2) is None
    assert waiting.lost == 3


def test_endless_fragments_take_bounded_memory() -> None:
    waiting = Fragments()
    for i in range(15_000):
        part = bytearray(pieces(ip(ident=i & 0xFFFF, payload=bytes(1480)), 1400)[0])
        part[12:16] = i.to_bytes(4, "big")
        waiting.add(bytes(part), START)
    assert waiting._octets <= MOST_OCTETS + 2000
    assert waiting.lost == 15_000
