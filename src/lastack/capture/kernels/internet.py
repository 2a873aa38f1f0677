"""IPv4 and IPv6 headers, down to the transport, into a row."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Final

from lastack.capture.kernels.codes import FRAGMENTS, MALFORMED, PLACE, PLACE_END, PLACE_MARKS
from lastack.capture.kernels.link import SHORT
from lastack.capture.kernels.octets import put, s64, u8, u16, u32
from lastack.capture.packets import (
    CUT,
    DST_HIGH,
    DST_LOW,
    IP,
    IPV6,
    LENGTH_GUESSED,
    NO_ID,
    SRC_HIGH,
    SRC_LOW,
)
from lastack.model.address import MAPPED_PREFIX

BAD: Final = -1 - MALFORMED
PART: Final = -1 - FRAGMENTS


def ipv4(
    octets: Sequence[int],
    at: int,
    end: int,
    wire_end: int,
    marks: int,
    packets: MutableSequence[int],
    row: int,
    state: MutableSequence[int],
) -> tuple[int, int, int, int, int]:
    """An IPv4 header (RFC 791 3.1): the protocol (or why none), its offset, both ends of its octets, and marks."""
    if end - at < 20:
        return SHORT, at, end, wire_end, marks
    header = (u8(octets, at) & 15) << 2
    total = u16(octets, at + 2)
    if u8(octets, at) >> 4 != 4 or header < 20 or 0 < total < header:
        return BAD, at, end, wire_end, marks
    marks &= ~(LENGTH_GUESSED | CUT | IPV6)
    if total:
        wire_end = at + total
    else:
        marks |= LENGTH_GUESSED
    if end < wire_end:
        marks |= CUT
    else:
        end = wire_end
    word = u16(octets, at + 6)
    if word & 0x3FFF:
        # More fragments, or an offset.
        put(state, PLACE, at)
        put(state, PLACE_END, end)
        put(state, PLACE_MARKS, marks)
        return PART, at, end, wire_end, marks
    put(packets, row + SRC_HIGH, 0)
    put(packets, row + SRC_LOW, MAPPED_PREFIX | u32(octets, at + 12))
    put(packets, row + DST_HIGH, 0)
    put(packets, row + DST_LOW, MAPPED_PREFIX | u32(octets, at + 16))
    put(
        packets,
        row + IP,
        u16(octets, at + 4) | u8(octets, at + 8) << 17 | (u8(octets, at + 1) & 3) << 25 | (word & 0x4000) << 13,
    )
    return u8(octets, at + 9), at + header, end, wire_end, marks


def ipv6(
    octets: Sequence[int],
    at: int,
    end: int,
    wire_end: int,
    marks: int,
    packets: MutableSequence[int],
    row: int,
    state: MutableSequence[int],
) -> tuple[int, int, int, int, int]:
    """An IPv6 header and its extensions (RFC 8200 3, 4): as `ipv4`."""
    if end - at < 40:
        return SHORT, at, end, wire_end, marks
    word = u32(octets, at)
    if word >> 28 != 6:
        return BAD, at, end, wire_end, marks
    marks = marks & ~(LENGTH_GUESSED | CUT) | IPV6
    length = u16(octets, at + 4)
    if length:
        wire_end = at + 40 + length
    else:
        # A jumbogram, or segmentation offload: the frame's length is the packet's.
        marks |= LENGTH_GUESSED
    if end < wire_end:
        marks |= CUT
    else:
        end = wire_end
    put(packets, row + SRC_HIGH, s64(octets, at + 8))
    put(packets, row + SRC_LOW, s64(octets, at + 16))
    put(packets, row + DST_HIGH, s64(octets, at + 24))
    put(packets, row + DST_LOW, s64(octets, at + 32))
    put(packets, row + IP, NO_ID | u8(octets, at + 7) << 17 | (word >> 20 & 3) << 25)
    protocol = u8(octets, at + 6)
    start = at
    at += 40
    while protocol in (0, 43, 44, 51, 60, 135, 139, 140):
        if end - at < 8:
            return SHORT, at, end, wire_end, marks
        if protocol == 44:
            if u16(octets, at + 2) & 0xFFF9:
                put(state, PLACE, start)
                put(state, PLACE_END, end)
                put(state, PLACE_MARKS, marks)
                return PART, at, end, wire_end, marks
            size = 8
        elif protocol == 51:
            size = (u8(octets, at + 1) + 2) << 2
        else:
            size = (u8(octets, at + 1) + 1) << 3
        protocol = u8(octets, at)
        at += size
    return protocol, at, end, wire_end, marks
