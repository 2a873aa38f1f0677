"""Makes captures of short connections, to measure readers with: python benchmarks/captures.py FILE [--connections N].

Eight packets a connection on average, and two more for every further exchange: 250,000 connections are 2 million
packets, 1,000,000 with `--exchanges 2` are 10 million. It is pcap with nanoseconds, Ethernet, timestamps option and
right checksums, and every connection has a four-tuple of its own: of ten connections one is reset by the client after
the answer, one repeats its request, one repeats its FIN; a fifth of all are IPv6. Thousands are open at any time. The
same arguments make the same octets.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.int64]

WIDEST: Final = 16 + 14 + 40 + 40 + 80
"""Octets of the longest record."""
AT_ONCE: Final = 20_000
"""Connections made in one go; a multiple of 50, so that every go has the same mixture."""
START_NS: Final = 1_700_000_000 * 1_000_000_000
SPACING_NS: Final = 40_000
"""From the start of one connection to the next: 25,000 a second."""

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
REQUEST, ANSWER = 40, 80
MIXTURE: Final = 10
RESET, REPEATED_REQUEST, REPEATED_FIN = 0, 1, 2

# One segment: from the client, when (in round trips after the start), flags, octets of payload, sequence and
# acknowledgment numbers relative to those of the sides, and which tenths of the connections have it.
Shape = tuple[bool, float, int, int, int, int, tuple[int, ...]]
ALL: Final = tuple(range(MIXTURE))
NOT_RESET: Final = tuple(range(1, MIXTURE))


def segments(exchanges: int) -> list[Shape]:
    """The segments of a connection with so many requests and answers."""
    asked, answered, end = REQUEST * exchanges, ANSWER * exchanges, 3.5 * exchanges
    shapes: list[Shape] = [
        (True, 0.0, SYN, 0, 0, 0, ALL),
        (False, 0.5, SYN | ACK, 0, 0, 1, ALL),
        (True, 1.0, ACK, 0, 1, 1, ALL),
        (True, 1.01, PSH | ACK, REQUEST, 1, 1, ALL),
        (True, 2.9, PSH | ACK, REQUEST, 1, 1, (REPEATED_REQUEST,)),
        (False, 3.5, PSH | ACK, ANSWER, 1, 1 + REQUEST, ALL),
    ]
    for i in range(1, exchanges):
        shapes.append((True, 3.5 * i + 0.5, PSH | ACK, REQUEST, 1 + REQUEST * i, 1 + ANSWER * i, ALL))
        shapes.append((False, 3.5 * i + 3.5, PSH | ACK, ANSWER, 1 + ANSWER * i, 1 + REQUEST * (i + 1), ALL))
    return [
        *shapes,
        (True, end + 0.5, RST | ACK, 0, 1 + asked, 1, (RESET,)),
        (True, end + 0.51, FIN | ACK, 0, 1 + asked, 1 + answered, NOT_RESET),
        (True, end + 2.5, FIN | ACK, 0, 1 + asked, 1 + answered, (REPEATED_FIN,)),
        (False, end + 3.0, FIN | ACK, 0, 1 + answered, 2 + asked, NOT_RESET),
        (True, end + 3.5, ACK, 0, 2 + asked, 2 + answered, NOT_RESET),
    ]


def big_endian(records: NDArray[np.uint8], at: int, values: Column | int, octets: int) -> None:
    """Write one number into every record, in network order."""
    for i in range(octets):
        records[:, at + i] = np.asarray(values) >> 8 * (octets - 1 - i) & 0xFF


def folded(records: NDArray[np.uint8], start: int, stop: int, more: Column | int = 0) -> Column:
    """The Internet checksum (RFC 1071) of these octets of every record, with `more` added to the sum."""
    words = records[:, start:stop].astype(np.int64)
    total = (words[:, 0::2] << 8).sum(axis=1) + words[:, 1::2].sum(axis=1) + more
    while np.any(total >> 16):
        total = (total & 0xFFFF) + (total >> 16)
    return np.asarray(~total & 0xFFFF)


def transport_header(
    records: NDArray[np.uint8],
    transport: int,
    length: int,
    ids: Column,
    times: Column,
    out: bool,
    flags: int,
    payload: int,
    seq: int,
    ack: int,
    pseudo: Column,
) -> None:
    """The TCP header and payload of every record; `pseudo` is the checksum of its addresses."""
    port = 1024 + ids // 20011 * 37 % 64000
    big_endian(records, transport, port if out else 443, 2)
    big_endian(records, transport + 2, 443 if out else port, 2)
    client_isn, server_isn = ids * 2_654_435_761 & 0xFFFF_FFFF, ids * 40_503 + 77 & 0xFFFF_FFFF
    mine, other = (client_isn, server_isn) if out else (server_isn, client_isn)
    big_endian(records, transport + 4, mine + seq & 0xFFFF_FFFF, 4)
    if flags & ACK:
        big_endian(records, transport + 8, other + ack & 0xFFFF_FFFF, 4)
    big_endian(records, transport + 12, (length - transport - payload) // 4 << 12 | flags, 2)
    big_endian(records, transport + 14, 64240 if flags & SYN else 502, 2)
    words = "020405b40402080a" if flags & SYN else "0101080a"
    after = transport + 20 + len(words) // 2
    records[:, transport + 20 : after] = list(bytes.fromhex(words))
    big_endian(records, after, times // 1_000_000 + ids & 0xFFFF_FFFF, 4)
    big_endian(records, after + 4, ids & 0xFFFF_FFFF if flags & ACK else 0, 4)
    if flags & SYN:
        big_endian(records, after + 8, 0x01030307, 4)
    records[:, length - payload : length] = 0x61
    sums = folded(records, transport, length, (~pseudo & 0xFFFF) + 6 + (length - transport))
    big_endian(records, transport + 16, sums, 2)


def segment(
    ids: Column, times: Column, six: bool, out: bool, flags: int, payload: int, seq: int, ack: int
) -> tuple[NDArray[np.uint8], int]:
    """One segment of each of these connections: records padded to WIDEST, and their length."""
    options = 20 if flags & SYN else 12
    network, transport = 30, 30 + (40 if six else 20)
    length = transport + 20 + options + payload
    records = np.zeros((len(ids), WIDEST), np.uint8)
    for at, values in (
        (0, times // 1_000_000_000),
        (4, times % 1_000_000_000),
        (8, np.full_like(ids, length - 16)),
        (12, np.full_like(ids, length - 16)),
    ):
        records[:, at : at + 4] = values.astype("<u4").view(np.uint8).reshape(-1, 4)
    records[:, 16:28] = list(bytes.fromhex("020000000001020000000002"))
    big_endian(records, 28, 0x86DD if six else 0x0800, 2)
    client, server = 0x0A00_0000 + ids % 20011, 0x0AC8_0000 + ids % 7
    source, destination = (client, server) if out else (server, client)
    if six:
        big_endian(records, network, 0x6000_0000, 4)
        big_endian(records, network + 4, length - transport, 2)
        big_endian(records, network + 6, 0x0640 if out else 0x063C, 2)
        for at, address in ((8, source), (24, destination)):
            big_endian(records, network + at, 0x2001_0DB8, 4)
            big_endian(records, network + at + 12, address, 4)
        pseudo = folded(records, network + 8, network + 40)
    else:
        big_endian(records, network, 0x4500, 2)
        big_endian(records, network + 2, length - network, 2)
        big_endian(records, network + 4, ids * 7 + times // 1_000_000, 2)
        big_endian(records, network + 6, 0x4000, 2)
        big_endian(records, network + 8, 0x4006 if out else 0x3C06, 2)
        big_endian(records, network + 12, source, 4)
        big_endian(records, network + 16, destination, 4)
        big_endian(records, network + 10, folded(records, network, transport), 2)
        pseudo = folded(records, network + 12, network + 20)
    transport_header(records, transport, length, ids, times, out, flags, payload, seq, ack, pseudo)
    return records, length


def made(first: int, count: int, exchanges: int) -> Iterator[tuple[Column, NDArray[np.uint8], int]]:
    """All segments of `count` connections from the ordinal `first` on: times, records, length of each record."""
    ids = np.arange(first, first + count, dtype=np.int64)
    round_trip = 1_000_000 + ids * 7_919_993 % 99_000_000
    for six in (False, True):
        for out, when, flags, payload, seq, ack, tenths in segments(exchanges):
            chosen = ((ids // MIXTURE % 5 == 0) == six) & np.isin(ids % MIXTURE, tenths)
            some = ids[chosen]
            times = START_NS + some * SPACING_NS + (round_trip[chosen] * when).astype(np.int64)
            yield times, *segment(some, times, six, out, flags, payload, seq, ack)


def write(file: BinaryIO, connections: int, exchanges: int = 1) -> int:
    """Write a capture of so many connections; returns the number of packets."""
    file.write(bytes.fromhex("4d3cb2a1020004000000000000000000ffff000001000000"))
    times, sizes = np.empty(0, np.int64), np.empty(0, np.int64)
    records = np.empty((0, WIDEST), np.uint8)
    packets = 0
    for first in range(0, connections, AT_ONCE):
        count = min(AT_ONCE, connections - first)
        parts = list(made(first, count, exchanges))
        times = np.concatenate([times, *(part[0] for part in parts)])
        records = np.concatenate([records, *(part[1] for part in parts)])
        sizes = np.concatenate([sizes, *(np.full(len(part[0]), part[2]) for part in parts)])
        order = np.argsort(times, kind="stable")
        last = first + count == connections
        # What is later than the first segment to come waits for it.
        ready = len(order) if last else int(np.sum(times < START_NS + (first + count) * SPACING_NS))
        now, later = order[:ready], order[ready:]
        file.write(records[now][np.arange(WIDEST) < sizes[now, None]].tobytes())
        times, records, sizes = times[later], records[later], sizes[later]
        packets += ready
    return packets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--connections", type=int, default=250_000)
    parser.add_argument("--exchanges", type=int, default=1, help="requests and answers of a connection")
    arguments = parser.parse_args()
    with arguments.file.open("wb") as file:
        packets = write(file, arguments.connections, arguments.exchanges)
    print(f"{arguments.file}: {packets} packets of {arguments.connections} connections")


if __name__ == "__main__":
    main()
