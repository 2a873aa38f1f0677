"""Captures made octet by octet: packets by `lastack.wire`, everything around them by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from struct import pack
from typing import Final

from lastack.capture.packets import Packet, packet_at
from lastack.capture.sources import Captures, open_captures
from lastack.wire import Packet as WirePacket
from lastack.wire import Segment, address_bytes
from lastack.wire.flags import ACK, PSH
from lastack.wire.pcapng import encode_block, encode_option

START: Final = 1_700_000_000_123_456_789
MACS: Final = bytes.fromhex("020000000001020000000002")

Frame = tuple[int, bytes]
"""Time in nanoseconds, octets."""


def segment(**changes: object) -> Segment:
    """A data segment with timestamps, changed as asked."""
    made = Segment(40000, 443, 0x1234_5678, 0x9ABC_DEF0, PSH | ACK, 502, b"some text")
    made.ts_value, made.ts_echo = 111, 222
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def ip(six: bool = False, ident: int = 77, **changes: object) -> bytes:
    """An IP packet with a segment in it."""
    source, destination = ("2001:db8::1", "2001:db8::2") if six else ("192.0.2.1", "198.51.100.2")
    return WirePacket(
        address_bytes(source), address_bytes(destination), segment(**changes), ttl=61, ident=ident
    ).encode()


def ethernet(payload: bytes, kind: int | None = None) -> bytes:
    """An Ethernet frame around a packet."""
    if kind is None:
        kind = 0x86DD if payload[0] >> 4 == 6 else 0x0800
    return MACS + kind.to_bytes(2, "big") + payload


def ipv4(protocol: int, payload: bytes, *, word: int = 0, ident: int = 5) -> bytes:
    """An IPv4 packet around anything."""
    head = pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, word, 64, protocol, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    return head + payload


def ipv6(following: int, payload: bytes) -> bytes:
    """An IPv6 packet around anything."""
    return pack("!IHBB", 0x6000_0000, len(payload), following, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + payload


def udp(port: int, payload: bytes) -> bytes:
    """A UDP datagram around anything."""
    return pack("!HHHH", 50000, port, 8 + len(payload), 0) + payload


def pcap(
    frames: Iterable[Frame], link: int = 1, *, order: str = "<", nano: bool = True, snap: Iterable[int] = ()
) -> bytes:
    """A pcap file; `snap` says to how many octets each frame is cut."""
    out = [pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, link)]
    for (at, octets), kept_octets in zip_longest(frames, snap):
        part = at % 1_000_000_000 // (1 if nano else 1_000)
        kept = octets[:kept_octets]
        out.append(pack(order + "IIII", at // 1_000_000_000, part, len(kept), len(octets)) + kept)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block in either byte order."""
    if order == "<":
        return encode_block(kind, body)
    length = pack(">I", 12 + len(body) + -len(body) % 4)
    return pack(">I", kind) + length + body + bytes(-len(body) % 4) + length


def section(order: str = "<") -> bytes:
    """A section header block."""
    return block(0x0A0D0D0A, pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, *options: tuple[int, bytes], order: str = "<", snap: int = 0) -> bytes:
    """An interface description block."""
    return block(1, pack(order + "HHI", link, 0, snap) + _options(options, order), order)


def enhanced(ticks: int, octets: bytes, of: int = 0, order: str = "<", length: int | None = None) -> bytes:
    """An enhanced packet block."""
    head = pack(order + "IIIII", of, ticks >> 32, ticks & 0xFFFF_FFFF, len(octets), length or len(octets))
    return block(6, head + octets, order)


def statistics(of: int, *options: tuple[int, bytes], order: str = "<") -> bytes:
    """An interface statistics block."""
    return block(5, pack(order + "III", of, 0, 0) + _options(options, order), order)


def _options(options: Sequence[tuple[int, bytes]], order: str) -> bytes:
    if order == "<":
        return b"".join(encode_option(code, value) for code, value in options) + (bytes(4) if options else b"")
    made = b"".join(pack(">HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in options)
    return made + (bytes(4) if options else b"")


def read(directory: Path, *files: bytes, fast: bool = False, follow: Callable[[], bool] | bool = False) -> Captures:
    """Captures of files with these octets."""
    paths = []
    for i, octets in enumerate(files):
        paths.append(directory / f"{i}.pcap")
        paths[-1].write_bytes(octets)
    return open_captures(paths, fast=fast, follow=follow)


def rows(captures: Captures) -> list[Packet]:
    """All packets in words."""
    return [packet_at(packets, i) for packets, count in captures.batches() for i in range(count)]


def only(directory: Path, frame: bytes, link: int = 1) -> Packet:
    """The only packet of a capture with one frame."""
    found = rows(read(directory, pcap([(START, frame)], link)))
    assert len(found) == 1
    return found[0]
