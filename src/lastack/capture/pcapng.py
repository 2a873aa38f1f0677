"""pcapng between its packets (draft-ietf-opsawg-pcapng): sections, interfaces, statistics. Kernels read the packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from lastack.capture.kernels.codes import FARTHEST
from lastack.errors import DecodeError

MOST_INTERFACES: Final = 1 << 16
"""Interfaces that a file may have, in all its sections, before it is not believed."""

_MAGIC: Final = 0x1A2B3C4D
_END: Final = 0
_IF_NAME: Final = 2
_IF_TSRESOL: Final = 9
_IF_TSOFFSET: Final = 14
_ISB_IFDROP: Final = 5
_ISB_OSDROP: Final = 7
_SECOND: Final = 1_000_000_000


@dataclass(slots=True)
class Interface:
    """What a capture was taken on, and what it says that it lost there."""

    name: str
    link: int
    snap_length: int = 0
    multiply: int = 1_000
    """Nanoseconds a tick, where that is whole; else 0."""
    divide: int = 0
    """Ticks a nanosecond, where that is whole; else 0."""
    shift: int = 0
    """The exponent, where a tick is a negative power of two of a second; with `divide`, what to divide by once more."""
    offset_ns: int = 0
    highest: int = 1 << 32
    """The upper 32 bits of a tick count beyond which no time is believed."""
    frames: int = 0
    dropped: int | None = None
    """Frames lost by the interface or the system, where statistics say so."""


def section_order(octets: bytes) -> bool | None:
    """Whether the section that begins here has its numbers in network order; None where none begins."""
    if len(octets) < 12 or octets[:4] != b"\x0a\x0d\x0d\x0a":
        return None
    if octets[8:12] == _MAGIC.to_bytes(4, "big"):
        return True
    return False if octets[8:12] == _MAGIC.to_bytes(4, "little") else None


def options(octets: bytes, big: bool) -> Iterator[tuple[int, bytes]]:
    """The options at the end of a block, as far as they make sense."""
    head = Struct(">HH" if big else "<HH")
    at = 0
    while len(octets) - at >= 4:
        code, length = head.unpack_from(octets, at)
        if code == _END or len(octets) - at - 4 < length:
            return
        yield code, octets[at + 4 : at + 4 + length]
        at += 4 + (length + 3 & ~3)


def interface(body: bytes, big: bool, ordinal: int) -> Interface:
    """An interface description block (4.2). Raises DecodeError where it is too short."""
    if len(body) < 8:
        raise DecodeError("an interface description needs 8 octets", at=0)
    link, _, snap_length = Struct(">HHI" if big else "<HHI").unpack_from(body)
    found = Interface(f"interface {ordinal}", link, snap_length)
    resolution = 6
    for code, value in options(body[8:], big):
        if code == _IF_NAME:
            found.name = value.decode(errors="replace")
        elif code == _IF_TSRESOL and len(value) == 1:
            resolution = value[0]
        elif code == _IF_TSOFFSET and len(value) == 8:
            seconds = int.from_bytes(value, "big" if big else "little", signed=True)
            found.offset_ns = max(-FARTHEST, min(FARTHEST, seconds * _SECOND))
    _resolve(found, resolution)
    return found


def _resolve(of: Interface, resolution: int) -> None:
    """Set how its ticks become nanoseconds: 10^-n seconds each, or 2^-n with the upper bit set (4.2, if_tsresol)."""
    exponent = resolution & 0x7F
    of.multiply = of.divide = of.shift = 0
    of.highest = 1 << 32
    if resolution & 0x80:
        # Finer than 2^-62 all of the 64 bits are less than 4 seconds; nobody means that.
        of.shift = min(exponent, 62)
        if exponent < 32:
            of.highest = max(1, FARTHEST // _SECOND << exponent >> 32)
    elif exponent <= 9:
        of.multiply = 10 ** (9 - exponent)
        of.highest = max(1, FARTHEST // of.multiply >> 32)
    else:
        of.divide = 10 ** min(exponent - 9, 9)
        of.shift = 10 ** min(max(exponent - 18, 0), 18)


def statistics(body: bytes, big: bool) -> tuple[int, int | None]:
    """An interface statistics block (4.6): of which interface, and frames dropped where it says so."""
    if len(body) < 12:
        raise DecodeError("interface statistics need 12 octets", at=0)
    number = Struct(">Q" if big else "<Q").unpack
    said: list[int] = [
        number(value)[0]
        for code, value in options(body[12:], big)
        if code in (_ISB_IFDROP, _ISB_OSDROP) and len(value) == 8
    ]
    return Struct(">I" if big else "<I").unpack_from(body)[0], sum(said) if said else None
