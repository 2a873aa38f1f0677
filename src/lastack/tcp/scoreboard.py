"""What SACKs tell of the flight (RFC 2018, RFC 2883)."""

from __future__ import annotations

from typing import Final, final

from lastack.native import i64, mypyc_attr
from lastack.wire.seq import Seq, expand

from .flight import Flight, Sent

_BLOCKS: Final = 16
"""So many blocks are remembered; more than four are seldom told of at once."""


@mypyc_attr(acyclic=True)
@final
class Scoreboard:
    """What one ACK's blocks came to."""

    __slots__ = ("_known", "again", "duplicates", "fresh", "highest", "overtaken", "twice")

    def __init__(self) -> None:
        self.fresh: list[Sent] = []
        self.twice: tuple[int, int] | None = None
        """What the receiver has had twice (RFC 2883)."""
        self.again: i64 = 0
        """How many segments of that are still out, and were sent again."""
        self.overtaken: Seq = -1
        """Where the first of those begins that were sent once and arrived after what follows them; -1: none did."""
        self.highest: Seq = 0
        """Up to where something is sacked."""
        self.duplicates: i64 = 0
        """Segments that it has had twice, in all (tcpi_dsack_dups)."""
        self._known: dict[int, int] = {}

    def forget(self) -> None:
        """The receiver may have thrown away what it told of: read everything anew."""
        self._known.clear()
        self.highest = 0

    def read(self, flight: Flight, blocks: tuple[tuple[int, int], ...], una: Seq, ack: Seq, nxt: Seq) -> None:
        """Mark what the blocks name. `una` is before this ACK, `ack` what it acknowledges."""
        self.fresh = []
        self.twice = None
        self.again = 0
        self.overtaken = -1
        if len(self._known) > _BLOCKS:
            self._known.clear()
        edges = [(expand(left, una), expand(right, una)) for left, right in blocks]
        first = edges[0]
        # RFC 2883 4: a first block below the cumulative ACK, or inside the second, reports a duplicate.
        if first[0] < ack or (len(edges) > 1 and edges[1][0] <= first[0] and first[1] <= edges[1][1]):
            self.twice = first
            edges = edges[1:]
            self._look_at_duplicates(flight, first[0], first[1])
        for left, right in sorted(edges):
            if left < ack or right > nxt or left >= right:
                continue
            self._mark(flight, left, right)

    def _look_at_duplicates(self, flight: Flight, left: Seq, right: Seq) -> None:
        """Of what it has had twice, see what was sent again, in vain where it was sacked before (tcp_sacktag_one)."""
        records = flight.records
        for index in range(flight.index_of(left), len(records)):
            sent = records[index]
            if sent.end > right:
                break
            if sent.times > 1:
                self.again += 1
                if sent.sacked and self.overtaken < 0:
                    self.overtaken = sent.seq

    def _mark(self, flight: Flight, left: Seq, right: Seq) -> None:
        """Mark the records inside one block; a record that straddles an edge is not held whole, so it stays."""
        records = flight.records
        # A block mostly grows at its right edge: what the last ACK told need not be told again.
        known = self._known.get(left, left)
        low = flight.index_of(known if known <= right else left)
        while low < len(records) and records[low].end <= right:
            sent = records[low]
            low += 1
            if sent.sacked:
                continue
            if sent.times == 1 and sent.seq < self.highest and (self.overtaken < 0 or sent.seq < self.overtaken):
                self.overtaken = sent.seq
            self.highest = max(self.highest, sent.end)
            flight.mark_sacked(sent)
            self.fresh.append(sent)
        self._known[left] = records[low - 1].end if low > flight.head else left
