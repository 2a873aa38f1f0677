"""What arrived ahead of its turn, kept until the hole before it is filled (RFC 9293 3.10.7.4, seventh step)."""

from __future__ import annotations

from typing import Final, final

from lastack.native import mypyc_attr

from .ranges import Ranges

_RECENT: Final = 32
"""More than four blocks never fit into a segment; whoever makes thousands of holes shall not make us look at all."""


@mypyc_attr(acyclic=True)
@final
class Reassembly:
    """Segments beyond a hole, without overlap, in ascending order; and the ranges they make, for SACK.

    `fin` is the sequence number of a FIN that came early, or -1. Where two segments overlap the octets that came
    first are kept, as the RFC leaves free and Linux does.
    """

    __slots__ = ("fin", "octets", "pieces", "ranges", "recent")

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.ranges = Ranges()
        self.recent: list[tuple[int, int]] = []
        """Ranges, the one that grew last first (RFC 2018 4)."""
        self.octets = 0
        self.fin = -1

    def put(self, seq: int, data: bytes, fin: bool = False) -> bool:
        """Keep what is new of `data`, and of a FIN behind it. Whether there was any."""
        end = seq + len(data)
        fresh: list[tuple[int, bytes]] = []
        at = seq
        pieces = self.pieces
        for index in range(max(self._after(seq) - 1, 0), len(pieces)):
            left, piece = pieces[index]
            right = left + len(piece)
            if right <= at:
                continue
            if left >= end:
                break
            if left > at:
                fresh.append((at, data[at - seq : left - seq]))
            at = max(at, right)
        if at < end:
            fresh.append((at, data[at - seq :]))
        for item in fresh:
            self.octets += len(item[1])
            self._insert(item)
        new = bool(fresh) or (fin and self.fin != end)
        if fin:
            self.fin = end
        grown = self.ranges.add(seq, end + fin)
        others = [r for r in self.recent if r[1] < grown[0] or r[0] > grown[1]]
        self.recent = [grown, *others[: _RECENT - 1]]
        return new

    def _insert(self, item: tuple[int, bytes]) -> None:
        self.pieces.insert(self._after(item[0]), item)

    def _after(self, seq: int) -> int:
        """Where the first piece is that begins after `seq`."""
        pieces = self.pieces
        low, high = 0, len(pieces)
        while low < high:
            middle = (low + high) // 2
            if pieces[middle][0] <= seq:
                low = middle + 1
            else:
                high = middle
        return low

    def take(self, seq: int) -> list[bytes]:
        """What now follows `seq` without a hole, taken out."""
        ready: list[bytes] = []
        gone = 0
        for left, piece in self.pieces:
            if left > seq or 0 <= self.fin <= seq:
                # Beyond a hole, or beyond the peer's own FIN.
                break
            gone += 1
            self.octets -= len(piece)
            right = left + len(piece) if self.fin < 0 else min(left + len(piece), self.fin)
            if right > seq:
                ready.append(piece[seq - left : right - left])
                seq = right
        if gone:
            del self.pieces[:gone]
        self.ranges.discard_below(seq)
        self.recent = [r for r in self.recent if r[0] > seq]
        return ready

    @property
    def highest(self) -> int:
        """The end of the last octet held, or -1."""
        return self.ranges.items[-1][1] if self.ranges.items else -1
