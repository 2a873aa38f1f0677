"""IP datagrams put together again from their fragments (RFC 791 3.2, RFC 8200 4.5), bounded in memory and time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

WAIT_NS: Final = 30 * 1_000_000_000
"""How long the pieces of a datagram wait for each other (net.ipv4.ipfrag_time), by the capture's clock."""
MOST_OCTETS: Final = 16 << 20
"""Octets that wait at any time; the oldest datagrams give way."""
MOST_PIECES: Final = 256
"""Pieces of one datagram: 64 KiB at an MTU of 576 octets have half as many."""
_PIECE_COST: Final = 128
"""What a piece costs beside its octets, so that a million empty ones are not for free."""


class _Piece(NamedTuple):
    start: int
    octets: bytes
    more: bool


@dataclass(slots=True)
class _Datagram:
    since: int
    head: bytes = b""
    pieces: dict[int, bytes] = field(default_factory=dict)
    end: int | None = None
    cost: int = 0


class Fragments:
    """Waits for the fragments of datagrams. `lost` counts fragments of datagrams that were given up."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[bytes, int], _Datagram] = OrderedDict()
        self._octets = 0
        self._given_up = 0

    def add(self, packet: bytes, now: int) -> bytes | None:
        """One fragment, from its IP header on; the whole datagram where it was the last that was missing.

        What overlaps with other content drops the datagram, as RFC 5722 and Linux want it. A fragment that the snap
        length cut can never be whole, and counts as given up.
        """
        self._forget(now)
        read = _ipv4(packet) if packet[0] >> 4 == 4 else _ipv6(packet)
        if read is None:
            self._given_up += 1
            return None
        key, head, piece = read
        waiting = self._waiting.setdefault(key, _Datagram(now))
        known = waiting.pieces.get(piece.start)
        end = piece.start + len(piece.octets)
        if known is None:
            if self._overlaps(waiting, piece, end):
                self._drop(key)
                self._given_up += 1
                return None
            waiting.pieces[piece.start] = piece.octets
            cost = len(piece.octets) + _PIECE_COST
            waiting.cost += cost
            self._octets += cost
        elif known != piece.octets:
            self._drop(key)
            self._given_up += 1
            return None
        if piece.start == 0:
            waiting.head = head
        if not piece.more:
            waiting.end = end
        return self._whole(key, waiting)

    @property
    def lost(self) -> int:
        """Fragments that never became a datagram, those still waiting among them."""
        return self._given_up + sum(len(one.pieces) for one in self._waiting.values())

    def _overlaps(self, waiting: _Datagram, piece: _Piece, end: int) -> bool:
        """Whether a new piece lies on another, or beyond the end, or says another end, or is one too many."""
        if len(waiting.pieces) >= MOST_PIECES:
            return True
        if waiting.end is not None and (end > waiting.end or not piece.more):
            return True
        if not piece.more and any(start + len(octets) > end for start, octets in waiting.pieces.items()):
            return True
        return any(start < end and piece.start < start + len(octets) for start, octets in waiting.pieces.items())

    def _whole(self, key: tuple[bytes, int], waiting: _Datagram) -> bytes | None:
        if waiting.end is None or sum(map(len, waiting.pieces.values())) < waiting.end:
            return None
        body = b"".join(octets for _, octets in sorted(waiting.pieces.items()))
        head = bytearray(waiting.head)
        length = len(body) + (len(head) if head[0] >> 4 == 4 else len(head) - 40)
        at = 2 if head[0] >> 4 == 4 else 4
        # A datagram longer than its own header can say (a hostile one) says 0: by the length of what there is.
        head[at : at + 2] = (length if length <= 0xFFFF else 0).to_bytes(2, "big")
        self._octets -= waiting.cost
        del self._waiting[key]
        return bytes(head) + body

    def _drop(self, key: tuple[bytes, int]) -> None:
        gone = self._waiting.pop(key)
        self._octets -= gone.cost
        self._given_up += len(gone.pieces)

    def _forget(self, now: int) -> None:
        """Give up what is too old or too much; the oldest is first."""
        while self._waiting:
            key, oldest = next(iter(self._waiting.items()))
            if self._octets <= MOST_OCTETS and now - oldest.since <= WAIT_NS:
                return
            self._drop(key)


def _ipv4(packet: bytes) -> tuple[tuple[bytes, int], bytes, _Piece] | None:
    """Key, header without its fragment fields, and piece; None where the packet was cut or makes no sense."""
    header = (packet[0] & 15) << 2
    total = int.from_bytes(packet[2:4], "big")
    word = int.from_bytes(packet[6:8], "big")
    if len(packet) < total or total < header or len(packet) < header:
        return None
    octets = packet[header:total]
    more = bool(word & 0x2000)
    if more and len(octets) & 7:
        return None
    head = packet[:6] + bytes((packet[6] & 0x40, 0)) + packet[8:header]
    return (
        (packet[12:20] + packet[9:10], int.from_bytes(packet[4:6], "big")),
        head,
        _Piece((word & 0x1FFF) << 3, octets, more),
    )


def _ipv6(packet: bytes) -> tuple[tuple[bytes, int], bytes, _Piece] | None:
    """As `_ipv4`: the header is everything before the fragment header, which the next header field then skips."""
    end = 40 + int.from_bytes(packet[4:6], "big")
    at, field_at, kind = 40, 6, packet[6]
    while kind != 44:
        if kind not in (0, 43, 60) or len(packet) < at + 8:
            return None
        kind, field_at, at = packet[at], at, at + ((packet[at + 1] + 1) << 3)
    if len(packet) < end or end < at + 8:
        return None
    word = int.from_bytes(packet[at + 2 : at + 4], "big")
    octets = packet[at + 8 : end]
    if word & 1 and len(octets) & 7:
        return None
    head = packet[:field_at] + packet[at : at + 1] + packet[field_at + 1 : at]
    key = packet[8:40], int.from_bytes(packet[at + 4 : at + 8], "big")
    return key, head, _Piece(word & 0xFFF8, octets, bool(word & 1))
