"""What is out: one record for every segment sent and not yet acknowledged cumulatively, in sequence."""

from __future__ import annotations

from typing import final

from lastack.model.time import Nanos
from lastack.native import mypyc_attr


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Sent:
    """A segment that occupies [seq, end). `sent_at` is its latest sending, `first_sent_at` its first.

    `lost`: believed lost, and not resent since or lost again; `resent`: a retransmission of it is out.
    """

    __slots__ = ("end", "first_sent_at", "flags", "lost", "resent", "sacked", "sent_at", "seq", "times")

    def __init__(self, seq: int, end: int, flags: int, now: Nanos) -> None:
        self.seq = seq
        self.end = end
        self.flags = flags
        self.sent_at: Nanos = now
        self.first_sent_at: Nanos = now
        self.times = 1
        self.sacked = False
        self.lost = False
        self.resent = False


@mypyc_attr(acyclic=True)
@final
class Flight:
    """The records and their counts. `in_network` is Linux's tcp_packets_in_flight(), RFC 6675's pipe in segments."""

    __slots__ = ("lost", "records", "resend_from", "resent", "sacked")

    def __init__(self) -> None:
        self.records: list[Sent] = []
        self.resend_from = 0
        """Nothing before this sequence number is to be sent again."""
        self.sacked = 0
        self.lost = 0
        self.resent = 0

    def in_network(self) -> int:
        """Segments believed to be on their way."""
        return len(self.records) - self.sacked - self.lost + self.resent

    def forget(self, sent: Sent) -> None:
        """Take a record out of the counts, because it was delivered."""
        if sent.sacked:
            self.sacked -= 1
        if sent.lost:
            self.lost -= 1
        if sent.resent:
            self.resent -= 1

    def mark_lost(self, sent: Sent) -> None:
        """Believe a segment lost, or its retransmission."""
        if sent.resent:
            sent.resent = False
            self.resent -= 1
        if not sent.lost:
            sent.lost = True
            self.lost += 1
        self.resend_from = min(self.resend_from, sent.seq)

    def mark_sacked(self, sent: Sent) -> None:
        """Note that the receiver holds it."""
        if sent.lost:
            sent.lost = False
            self.lost -= 1
        if sent.resent:
            sent.resent = False
            self.resent -= 1
        sent.sacked = True
        self.sacked += 1

    def mark_resent(self, sent: Sent, now: Nanos) -> None:
        """Note that it was sent again."""
        self.mark_probed(sent, now)
        if not sent.resent:
            sent.resent = True
            self.resent += 1

    def mark_probed(self, sent: Sent, now: Nanos) -> None:
        """Note that it was sent again to probe the tail, which Linux does not count as out once more."""
        sent.times += 1
        sent.sent_at = now

    def first_lost(self) -> Sent | None:
        """The first segment to be sent again: lost, and no retransmission of it out."""
        if not self.lost:
            return None
        records = self.records
        for index in range(self.index_of(self.resend_from), len(records)):
            sent = records[index]
            if sent.lost and not sent.resent:
                self.resend_from = sent.seq
                return sent
        self.resend_from = records[-1].end if records else 0
        return None

    def index_of(self, seq: int) -> int:
        """Where the first record is that begins at `seq` or later."""
        records = self.records
        low, high = 0, len(records)
        while low < high:
            middle = (low + high) // 2
            if records[middle].seq < seq:
                low = middle + 1
            else:
                high = middle
        return low

    def collapse(self, sent: Sent, most: int, edge: int) -> None:
        """Take into a segment that is sent again the small ones behind it, whole, up to `most` octets of text.

        A FIN goes with them, and nothing beyond `edge`, the peer's window (tcp_retrans_try_collapse).
        """
        records = self.records
        at = records.index(sent) + 1
        while at < len(records):
            following = records[at]
            fin = following.flags & 1
            if sent.flags & 1 or following.sacked or following.end > edge or following.end - fin - sent.seq > most:
                return
            self.forget(following)
            sent.end = following.end
            sent.flags |= following.flags
            sent.times = max(sent.times, following.times)
            del records[at]

    def split(self, sent: Sent, octets: int) -> None:
        """Cut a record in two, the first of `octets` octets: the path got narrower, or the peer took only a part."""
        at = self.records.index(sent)
        rest = Sent(sent.seq + octets, sent.end, sent.flags, sent.sent_at)
        rest.first_sent_at, rest.times = sent.first_sent_at, sent.times
        sent.end = rest.seq
        sent.flags = 0  # FIN and PSH are of the last octet of what they came with
        self.records.insert(at + 1, rest)
        if sent.lost:
            self.mark_lost(rest)
        if sent.resent:
            rest.resent = True
            self.resent += 1
        if sent.sacked:
            rest.sacked = True
            self.sacked += 1
