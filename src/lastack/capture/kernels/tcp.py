"""A TCP header, or an ICMP error that quotes one, into a row."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Final

from lastack.capture.kernels.codes import CUT_SHORT, ICMP_ERRORS, MALFORMED, NOTHING, ROW
from lastack.capture.kernels.octets import bump, put, s64, u8, u16, u32
from lastack.capture.packets import (
    ACK,
    DSACK,
    DST_HIGH,
    DST_LOW,
    FAST_OPEN,
    FLAGS,
    ICMP,
    LENGTH,
    MULTIPATH,
    OPTIONS,
    OPTIONS_UNREAD,
    PORTS,
    SACK_PERMITTED,
    SACK_SHIFT,
    SEQ,
    SIGNED,
    SRC_HIGH,
    SRC_LOW,
    TS_ECHO,
    TS_VALUE,
    WINDOW,
    WSCALE_SHIFT,
)
from lastack.model.address import MAPPED_PREFIX

_TCP: Final = 6
_ONLY_TIMESTAMPS: Final = 0x0101_080A


def segment(
    octets: Sequence[int],
    at: int,
    end: int,
    wire_end: int,
    marks: int,
    packets: MutableSequence[int],
    row: int,
    counts: MutableSequence[int],
) -> int:
    """A TCP header (RFC 9293 3.1), captured up to `end` of a packet that ends at `wire_end`. ROW, or NOTHING counted.

    The first 14 octets, with the flags, are enough: a snap length of 68 leaves that much behind IPv6.
    """
    if end - at < 14:
        bump(counts, CUT_SHORT if end < wire_end and wire_end - at >= 20 else MALFORMED, 1)
        return NOTHING
    word = u16(octets, at + 12)
    header = (word >> 12) << 2
    if header < 20 or header > wire_end - at:
        bump(counts, MALFORMED, 1)
        return NOTHING
    ack = u32(octets, at + 8)
    put(packets, row + PORTS, u32(octets, at))
    put(packets, row + SEQ, u32(octets, at + 4))
    put(packets, row + ACK, ack)
    put(packets, row + WINDOW, u16(octets, at + 14) if end - at >= 16 else -1)
    put(packets, row + LENGTH, wire_end - at - header)
    if header == 32 and end - at >= 32 and u32(octets, at + 20) == _ONLY_TIMESTAMPS:
        put(packets, row + TS_VALUE, u32(octets, at + 24))
        put(packets, row + TS_ECHO, u32(octets, at + 28))
        put(packets, row + OPTIONS, 0)
    else:
        put(packets, row + TS_VALUE, -1)
        put(packets, row + TS_ECHO, -1)
        put(packets, row + OPTIONS, 0)
        if header > 20:
            marks |= options(octets, at + 20, at + header, end, ack, packets, row)
    put(packets, row + FLAGS, word & 0x1FF | marks)
    bump(counts, _TCP, 1)
    return ROW


def options(
    octets: Sequence[int], at: int, stop: int, end: int, ack: int, packets: MutableSequence[int], row: int
) -> int:
    """The options of a header (RFC 9293 3.2) into the row; OPTIONS_UNREAD where they are cut or malformed, else 0."""
    found = 0
    unread = 0
    if stop > end:
        stop, unread = end, OPTIONS_UNREAD
    while at < stop:
        kind = u8(octets, at)
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        size = u8(octets, at + 1) if stop - at >= 2 else 0
        if size < 2 or size > stop - at:
            unread = OPTIONS_UNREAD
            break
        if kind == 8 and size == 10:
            put(packets, row + TS_VALUE, u32(octets, at + 2))
            put(packets, row + TS_ECHO, u32(octets, at + 6))
        elif kind == 2 and size == 4:
            found |= u16(octets, at + 2) + 1
        elif kind == 3 and size == 3:
            found |= (u8(octets, at + 2) + 1) << WSCALE_SHIFT
        elif kind == 4 and size == 2:
            found |= SACK_PERMITTED
        elif kind == 5 and size >= 10:
            found |= selective(octets, at + 2, (size - 2) >> 3, ack)
        elif kind in (19, 29):
            found |= SIGNED
        elif kind == 30:
            found |= MULTIPATH
        elif kind == 34 or (kind in (253, 254) and size >= 4 and u16(octets, at + 2) == 0xF989):
            found |= FAST_OPEN
        at += size
    put(packets, row + OPTIONS, found)
    return unread


def selective(octets: Sequence[int], at: int, blocks: int, ack: int) -> int:
    """SACK blocks: how many, and whether the first says that something came twice (RFC 2883 4)."""
    left, right = u32(octets, at), u32(octets, at + 4)
    twice = (ack - left - 1) & 0xFFFF_FFFF < 0x8000_0000
    if not twice and blocks > 1:
        outer = u32(octets, at + 8)
        twice = (left - outer) & 0xFFFF_FFFF < 0x8000_0000 and (
            u32(octets, at + 12) - right
        ) & 0xFFFF_FFFF < 0x8000_0000
    return (DSACK if twice else 0) | blocks << SACK_SHIFT


def quoted(
    octets: Sequence[int],
    at: int,
    end: int,
    version: int,
    marks: int,
    packets: MutableSequence[int],
    row: int,
    counts: MutableSequence[int],
) -> int:
    """An ICMP message (RFC 792, 4443): ROW where it is an error that quotes a TCP segment, else NOTHING counted."""
    bump(counts, 1 if version == 4 else 58, 1)
    if end - at < 8 + 20 + 8:
        return NOTHING
    kind = u8(octets, at)
    message = u16(octets, at)
    at += 8
    if version == 4:
        if kind not in (3, 4, 11, 12) or u8(octets, at) >> 4 != 4 or u16(octets, at + 6) & 0x1FFF:
            return NOTHING
        protocol, header = u8(octets, at + 9), (u8(octets, at) & 15) << 2
        put(packets, row + SRC_HIGH, 0)
        put(packets, row + SRC_LOW, MAPPED_PREFIX | u32(octets, at + 12))
        put(packets, row + DST_HIGH, 0)
        put(packets, row + DST_LOW, MAPPED_PREFIX | u32(octets, at + 16))
    else:
        if kind not in (1, 2, 3, 4) or u8(octets, at) >> 4 != 6 or end - at < 48:
            return NOTHING
        protocol, header = u8(octets, at + 6), 40
        put(packets, row + SRC_HIGH, s64(octets, at + 8))
        put(packets, row + SRC_LOW, s64(octets, at + 16))
        put(packets, row + DST_HIGH, s64(octets, at + 24))
        put(packets, row + DST_LOW, s64(octets, at + 32))
    if protocol != _TCP or end - at < header + 8:
        return NOTHING
    at += header
    put(packets, row + PORTS, u32(octets, at))
    put(packets, row + SEQ, u32(octets, at + 4))
    put(packets, row + ACK, 0)
    put(packets, row + FLAGS, marks | ICMP)
    put(packets, row + WINDOW, message)
    put(packets, row + LENGTH, 0)
    put(packets, row + TS_VALUE, -1)
    put(packets, row + TS_ECHO, -1)
    put(packets, row + OPTIONS, 0)
    bump(counts, ICMP_ERRORS, 1)
    return ROW
