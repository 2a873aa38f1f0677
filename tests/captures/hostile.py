"""Captures that nobody should be able to make: every known frame, damaged in every way that we can think of.

`try_frame` and `try_capture` hold the reader to what it promises of any octets at all: nothing raises but CaptureError,
nothing is read beyond what was captured, compiled and plain kernels say the same, numbers stay in their columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from struct import pack, unpack_from
from typing import Final

from tests.unit.capture.made import START, block, enhanced, ethernet, interface, ip, pcap, section, statistics
from tests.unit.capture.test_fragments import pieces
from tests.unit.capture.test_links import LINKS, TAGS, TUNNELS, UNREAD

from lastack.capture.kernels import codes as c
from lastack.capture.kernels.frame import frame
from lastack.capture.kernels.records import walk_pcap, walk_pcapng
from lastack.capture.packets import ACK, FLAGS, IP, LENGTH, NUMBER, OPTIONS, PORTS, SEQ, TIME, WIDTH, WINDOW
from lastack.capture.sources import open_captures
from lastack.errors import CaptureError

FRAMES: Final = [
    *LINKS.values(),
    *((1, octets) for octets in TAGS.values()),
    *((1, ethernet(octets)) for octets in TUNNELS.values()),
    *((1, octets) for octets in UNREAD.values()),
    *((1, ethernet(part)) for six in (False, True) for part in pieces(ip(six, payload=bytes(900)), 400)),
]
"""(link type, octets) of one frame of every kind."""


def corpus() -> list[bytes]:
    """Whole captures with every frame in them, in both formats and both orders."""
    made = [pcap([(START, octets) for _, octets in FRAMES if _ == 1], order=order) for order in "<>"]
    for order in "<>":
        out = [section(order)]
        for i, (link, octets) in enumerate(FRAMES):
            out.append(interface(link, (9, bytes((i * 37 & 0xFF,))), order=order))
            out.append(enhanced(START + i, octets, of=i, order=order))
        out += [block(77, bytes(40), order), statistics(0, (5, bytes(8)), order=order)]
        simple = block(3, pack(order + "I", len(FRAMES[0][1])) + FRAMES[0][1], order)
        made.append(b"".join(out) + simple + section() + interface() + enhanced(START, FRAMES[0][1]))
    return made


def damaged(random: Random, octets: bytes) -> bytes:
    """The same with something wrong: bits, numbers, missing or repeated stretches."""
    made = bytearray(octets)
    for _ in range(random.choice((1, 1, 2, 5, 30))):
        at = random.randrange(len(made))
        what = random.randrange(6)
        if what == 0:
            made[at] ^= 1 << random.randrange(8)
        elif what == 1:
            made[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif what == 2:
            number = random.choice((0, 1, 4, 16, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, random.getrandbits(32)))
            made[at : at + 4] = pack(random.choice("<>") + "I", number)
        elif what == 3:
            del made[at : at + random.choice((1, 4, 100))]
        elif what == 4:
            made[at:at] = made[random.randrange(len(made)) :][: random.choice((4, 60, 2000))]
        else:
            made[at : at + 2] = (unpack_from(">H", bytes(made[at : at + 2]).ljust(2, b"\0"))[0] + 1 & 0xFFFF).to_bytes(
                2, "big"
            )
        if not made:
            return octets[:1]
    return bytes(made)


def try_frame(link: int, octets: bytes, length: int) -> None:
    """One frame, in a buffer that ends where the frame does: reading on would raise."""
    row, counts, state = [0] * WIDTH, [0] * c.COUNTS, [0] * c.STATE
    what = frame(octets, 0, len(octets), max(length, len(octets)), link, row, 0, counts, state)
    assert (what == c.ROW) == (counts[6] + counts[c.ICMP_ERRORS] == 1)
    assert what == c.ROW or sum(counts) == 1
    if what == c.ROW:
        check_row(row)


def try_walk(octets: bytes) -> None:
    """The walks over records, in a buffer that ends where the octets do: reading on would raise."""
    for walk, start in ((walk_pcap, 24), (walk_pcapng, 0)):
        counts, packets = [0] * c.COUNTS, [0] * (200 * WIDTH)
        interfaces = [value for link, _ in FRAMES for value in (link, 1, 0, 0, 0, 1 << 30, 0, 0)]
        for big in (0, 1):
            state = [0] * c.STATE
            state[c.STOP], state[c.LIMIT], state[c.ROOM], state[c.UNTIL] = len(octets), 1 << 18, 200, 1 << 62
            state[c.POSITION], state[c.HEADER], state[c.BIG], state[c.INTERFACES] = start, 16, big, len(FRAMES)
            while (why := walk(octets, state, interfaces, counts, packets)) in (c.BLOCK, c.FRAGMENTED, c.FULL):
                state[c.COUNT] = 0
                if why == c.BLOCK:
                    at = state[c.POSITION]
                    length = int.from_bytes(octets[at + 4 : at + 8], "big" if big else "little")
                    state[c.POSITION] += max(4, length)


def check_row(row: list[int]) -> None:
    """Every number of a row is one that its column may hold."""
    assert 0 <= row[PORTS] < 1 << 32
    assert 0 <= row[SEQ] < 1 << 32
    assert 0 <= row[ACK] < 1 << 32
    assert -1 <= row[WINDOW] < 1 << 16
    assert 0 <= row[LENGTH] < 1 << 32
    assert 0 <= row[FLAGS] < 1 << 25
    assert 0 <= row[IP] < 1 << 28
    assert 0 <= row[OPTIONS] < 1 << 35
    assert min(row) >= -(1 << 63)
    assert max(row) < 1 << 63
    assert row[TIME] == 0 or row[NUMBER] > 0


def outcome(path: Path, fast: bool) -> tuple[object, list[list[int]]]:
    """What the reader makes of a file."""
    captures = open_captures([path], fast=fast)
    rows: list[list[int]] = []
    try:
        for packets, count in captures.batches():
            rows += [[int(value) for value in packets[i * WIDTH : (i + 1) * WIDTH]] for i in range(count)]
    except CaptureError as error:
        return str(error), rows
    found = captures.summary()
    assert found.frames <= path.stat().st_size // 12
    assert found.frames >= len(rows)
    return found, rows


def try_capture(path: Path, octets: bytes, *, fast: bool) -> None:
    """One capture, by the plain kernels, and by the compiled ones if `fast`."""
    try_walk(octets)
    path.write_bytes(octets)
    plain = outcome(path, fast=False)
    for row in plain[1]:
        check_row(row)
    if fast:
        assert outcome(path, fast=True) == plain


def damage(seed: int) -> Iterator[tuple[int, bytes]]:
    """Damaged captures without end, each with the seed that makes it."""
    whole = corpus()
    while True:
        random = Random(seed)
        yield seed, damaged(random, random.choice(whole))
        seed += 1
