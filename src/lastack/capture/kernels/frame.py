"""One frame, from whatever it begins with to a row of a batch."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Final

from lastack.capture.kernels.between import step
from lastack.capture.kernels.codes import CUT_SHORT, FRAGMENT, FRAGMENTS, LAYERS, MALFORMED, NOTHING
from lastack.capture.kernels.internet import PART, ipv4, ipv6
from lastack.capture.kernels.link import IPV4, IPV6, SHORT, first_header, unwrap
from lastack.capture.kernels.octets import bump, u8
from lastack.capture.kernels.tcp import quoted, segment
from lastack.capture.kernels.tunnels import inside
from lastack.capture.packets import TUNNEL

_TCP: Final = 6
_DEEPEST: Final = 32
"""Headers inside each other, at most."""


def frame(
    octets: Sequence[int],
    at: int,
    end: int,
    wire_end: int,
    link: int,
    packets: MutableSequence[int],
    row: int,
    counts: MutableSequence[int],
    state: MutableSequence[int],
) -> int:
    """A frame of a link type, captured up to `end`, on the wire up to `wire_end`: as `decode`."""
    link, at, _, _ = unwrap(octets, at, end, link)
    kind, at, marks = first_header(octets, at, end, link)
    return decode(octets, at, end, wire_end, kind, marks, packets, row, counts, state)


def decode(
    octets: Sequence[int],
    at: int,
    end: int,
    wire_end: int,
    kind: int,
    marks: int,
    packets: MutableSequence[int],
    row: int,
    counts: MutableSequence[int],
    state: MutableSequence[int],
) -> int:
    """What begins with a header of this kind, into the row at `row` except TIME and NUMBER.

    ROW, NOTHING (a count says why), or FRAGMENT: it is part of a datagram, and `state` says where it lies.
    """
    for _ in range(_DEEPEST):
        if kind < 0:
            if kind == PART:
                bump(counts, FRAGMENTS, 1)
                return FRAGMENT
            bump(counts, -1 - kind if kind != SHORT else CUT_SHORT if end < wire_end else MALFORMED, 1)
            return NOTHING
        if kind in (IPV4, IPV6):
            # The packet's own version counts: more than one program gets the type before it wrong.
            version = u8(octets, at) >> 4 if end > at else 0
            if version == 6:
                kind, at, end, wire_end, marks = ipv6(octets, at, end, wire_end, marks, packets, row, state)
            else:
                kind, at, end, wire_end, marks = ipv4(octets, at, end, wire_end, marks, packets, row, state)
            if kind == _TCP:
                return segment(octets, at, end, wire_end, marks, packets, row, counts)
            if kind == (58 if version == 6 else 1):
                return quoted(octets, at, end, version, marks, packets, row, counts)
            if kind >= 0:
                kind, at = inside(octets, at, end, kind)
                marks |= TUNNEL
        else:
            kind, at, seen = step(octets, at, end, kind)
            marks |= seen
    bump(counts, LAYERS, 1)
    return NOTHING
