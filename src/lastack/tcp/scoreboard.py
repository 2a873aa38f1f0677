"""What SACKs tell of the flight, and what follows for loss: RACK (RFC 8985) on top of RFC 2018's blocks."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import MILLISECOND, Nanos64
from lastack.native import i64, mypyc_attr
from lastack.wire.seq import MASK, Seq, before, expand

from .flight import Flight, Sent

_BLOCKS: Final = 16
"""So many blocks are remembered; more than four are seldom told of at once."""


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Rack:
    """The most recently sent of the segments that were delivered, and how much reordering to allow for.

    `at` and `end`: when it was sent, and its end; `rtt` how long it took. `steps`: quarters of the least round trip.
    """

    __slots__ = ("at", "echo", "end", "reordering_seen", "rtt", "steps")

    def __init__(self) -> None:
        self.at: Nanos64 = -1
        self.end: Seq = 0
        self.echo: i64 = -1
        """When the timestamp was said that an ACK echoes, in milliseconds; -1: it echoes none."""
        self.rtt: Nanos64 = 0
        self.reordering_seen = False
        self.steps: i64 = 1

    def delivered(self, sent: Sent, min_rtt: Nanos64, now: Nanos64) -> None:
        """RFC 8985 6.2 step 2: take note of a segment that was delivered."""
        rtt = now - sent.sent_at
        if sent.times > 1:
            spurious = self.echo >= 0 and before(self.echo, sent.sent_at // MILLISECOND & MASK)
            if spurious or rtt < min_rtt:
                # It answers an earlier sending, not this one.
                return
        self.rtt = rtt
        if sent.sent_at > self.at or (sent.sent_at == self.at and sent.end > self.end):
            self.at = sent.sent_at
            self.end = sent.end

    def window(self, min_rtt: Nanos64, srtt: Nanos64, duplicates: i64, threshold: i64, recovering: bool) -> Nanos64:
        """RFC 8985 6.2 step 4: how long to wait for what may only be late."""
        if not self.reordering_seen and (recovering or duplicates >= threshold):
            return 0
        return min(self.steps * min_rtt // 4, srtt)

    def detect(self, flight: Flight, allowed: Nanos64, now: Nanos64) -> tuple[i64, Nanos64]:
        """RFC 8985 6.2 step 5: mark what was sent earlier than something delivered, and long enough ago.

        How many were marked, and when the next would be (0: none is waited for).
        """
        marked: i64 = 0
        latest: Nanos64 = 0
        for index in range(flight.head, len(flight.records)):
            sent = flight.records[index]
            if sent.sent_at > self.at or (sent.sent_at == self.at and sent.end >= self.end):
                if sent.times == 1:
                    # What follows was first sent later still.
                    break
                continue
            if sent.sacked or (sent.lost and not sent.resent):
                continue
            left = sent.sent_at + self.rtt + allowed - now
            if left <= 0:
                flight.mark_lost(sent)
                marked += 1
            else:
                latest = max(latest, left)
        return marked, (now + latest if latest else 0)


@mypyc_attr(acyclic=True)
@final
class Scoreboard:
    """What one ACK's blocks came to."""

    __slots__ = ("_known", "fresh", "highest", "reordered", "twice")

    def __init__(self) -> None:
        self.fresh: list[Sent] = []
        self.twice: tuple[int, int] | None = None
        """What the receiver has had twice (RFC 2883)."""
        self.reordered = False
        self.highest: Seq = 0
        self._known: dict[int, int] = {}

    def forget(self) -> None:
        """The receiver may have thrown away what it told of: read everything anew."""
        self._known.clear()

    def read(self, flight: Flight, blocks: tuple[tuple[int, int], ...], una: Seq, ack: Seq, nxt: Seq) -> None:
        """Mark what the blocks name. `una` is before this ACK, `ack` what it acknowledges."""
        self.fresh = []
        self.twice = None
        self.reordered = False
        if len(self._known) > _BLOCKS:
            self._known.clear()
        edges = [(expand(left, una), expand(right, una)) for left, right in blocks]
        first = edges[0]
        # RFC 2883 4: a first block below the cumulative ACK, or inside the second, reports a duplicate.
        if first[0] < ack or (len(edges) > 1 and edges[1][0] <= first[0] and first[1] <= edges[1][1]):
            self.twice = first
            edges = edges[1:]
        for left, right in edges:
            if left < ack or right > nxt or left >= right:
                continue
            self._mark(flight, left, right)

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
            if sent.times == 1 and sent.end < self.highest:
                self.reordered = True
            self.highest = max(self.highest, sent.end)
            flight.mark_sacked(sent)
            self.fresh.append(sent)
        self._known[left] = records[low - 1].end if low > flight.head else left
