"""What is out: one record for every segment sent and not yet acknowledged cumulatively, in sequence."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import Nanos64
from lastack.native import i64, mypyc_attr
from lastack.wire.seq import Seq

_SHIFTED: Final = 32
"""So many records that are gone, and more than are left, are worth shifting the list for."""


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Sent:
    """A segment that occupies [seq, end). `sent_at` is its latest sending, `times` how often it was sent.

    `lost`: believed lost, and not resent since or lost again; `resent`: a retransmission of it is out.
    """

    __slots__ = ("end", "flags", "lost", "resent", "sacked", "sent_at", "seq", "times")

    def __init__(self, seq: Seq, end: Seq, flags: i64, now: Nanos64) -> None:
        self.seq: Seq = seq
        self.end: Seq = end
        self.flags: i64 = flags
        self.sent_at: Nanos64 = now
        self.times: i64 = 1
        self.sacked = False
        self.lost = False
        self.resent = False


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Flight:
    """The records of what is out: those of `records` from `head` on. What is before is gone, and shifted out in bulk.

    Where nothing is out, the place of a first one is kept: mostly there is one segment out, and then none, and a list
    that is emptied gives its memory back only to ask for it again.

    `count`: how many are out; `sacked`, `lost`, `resent`: how many of them are.
    """

    __slots__ = ("count", "head", "lost", "records", "resend_from", "resent", "sacked")

    def __init__(self) -> None:
        self.records: list[Sent] = []
        self.head: i64 = 0
        self.count: i64 = 0
        self.resend_from: Seq = 0
        """Nothing before this sequence number is to be sent again."""
        self.sacked: i64 = 0
        self.lost: i64 = 0
        self.resent: i64 = 0

    def add(self, sent: Sent) -> None:
        """It is the last of those that are out."""
        if self.head and not self.count:
            self.records[0] = sent
            self.head = 0
        else:
            self.records.append(sent)
        self.count += 1

    def drop(self, gone: i64) -> None:
        """The first so many are acknowledged."""
        self.count -= gone
        self.head += gone
        if not self.count and self.head:
            if self.head > 1:
                del self.records[1:]
            self.head = 1
        elif self.head >= _SHIFTED and self.head > self.count:
            del self.records[: self.head]
            self.head = 0

    def first(self) -> Sent:
        """The earliest that is out; there must be one."""
        return self.records[self.head]

    def out(self) -> list[Sent]:
        """Those that are out, in sequence."""
        return self.records[self.head :]

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

    def mark_resent(self, sent: Sent, now: Nanos64) -> None:
        """Note that it was sent again."""
        self.mark_probed(sent, now)
        if not sent.resent:
            sent.resent = True
            self.resent += 1

    def mark_probed(self, sent: Sent, now: Nanos64) -> None:
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
        self.resend_from = 0
        if self.count:
            self.resend_from = records[-1].end
        return None

    def index_of(self, seq: Seq) -> i64:
        """Where the first record is, of those that are out, that begins at `seq` or later."""
        records = self.records
        low: i64 = self.head
        high: i64 = len(records)
        while low < high:
            middle = (low + high) // 2
            if records[middle].seq < seq:
                low = middle + 1
            else:
                high = middle
        return low

    def collapse(self, sent: Sent, most: i64, edge: Seq) -> None:
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
            self.count -= 1

    def split(self, sent: Sent, octets: i64) -> Sent:
        """Cut a record in two, the first of `octets` octets, as the path got narrower. The second."""
        at = self.records.index(sent)
        rest = Sent(sent.seq + octets, sent.end, sent.flags, sent.sent_at)
        rest.times = sent.times
        sent.end = rest.seq
        sent.flags = 0  # FIN and PSH are of the last octet of what they came with
        self.records.insert(at + 1, rest)
        self.count += 1
        if sent.lost:
            self.mark_lost(rest)
        if sent.resent:
            rest.resent = True
            self.resent += 1
        if sent.sacked:
            rest.sacked = True
            self.sacked += 1
        return rest
