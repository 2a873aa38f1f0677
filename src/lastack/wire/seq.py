"""Arithmetic of sequence numbers modulo 2^32 (RFC 9293 3.4).

On the wire they wrap. Inside a connection they do not: `expand` turns a number from the wire into the integer nearest
to one already known, and from there on `<` and `-` are just that; `& MASK` puts it back on the wire.
"""

from __future__ import annotations

from typing import Final

from lastack.native import i64

Seq = i64
"""A sequence number. Unwrapped it grows no further than 2^63."""

MASK: Final = 0xFFFF_FFFF
HALF: Final = 0x8000_0000


def add(seq: Seq, octets: i64) -> Seq:
    """The sequence number `octets` after `seq`, wrapped."""
    return (seq + octets) & MASK


def distance(start: Seq, end: Seq) -> i64:
    """How far `end` is after `start`: negative where it is before; exactly half the space apart counts as before."""
    return ((end - start + HALF) & MASK) - HALF


def before(a: Seq, b: Seq) -> bool:
    """Whether `a` comes before `b`."""
    return ((a - b) & MASK) >= HALF


def after(a: Seq, b: Seq) -> bool:
    """Whether `a` comes after `b`."""
    return ((b - a) & MASK) >= HALF


def within(seq: Seq, start: Seq, size: i64) -> bool:
    """Whether `seq` is one of the `size` numbers from `start` on."""
    return ((seq - start) & MASK) < size


def overlaps(seq: Seq, end: Seq, start: Seq, size: i64) -> bool:
    """Whether a segment [seq, end), or an empty one at `seq`, has a place in the window (tcp_in_window)."""
    if seq == start:
        return True
    stop = (start + size) & MASK
    return (after(end, start) and before(seq, stop)) or seq == end == stop


def expand(seq: Seq, near: Seq) -> Seq:
    """The unwrapped number that is `seq` modulo 2^32 and nearest to `near`."""
    return near + ((seq - near + HALF) & MASK) - HALF
