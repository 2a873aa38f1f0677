"""The receiving half: RCV.NXT and the window, what waits to be read, when an ACK is owed (RFC 9293 3.3.1, 3.8.6)."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import MILLISECOND, Nanos64
from lastack.native import i64, mypyc_attr
from lastack.wire.seq import HALF, MASK, Seq

from .reassembly import Reassembly
from .settings import Settings

_PAWS_LIMIT: Final = 24 * 24 * 3600 * 1000 * MILLISECOND
"""After 24 idle days a timestamp may have wrapped (RFC 7323 5.5)."""


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Receiver:
    """Sequence numbers are unwrapped; `window` is in octets and counts from `acked`, the last ACK that was sent."""

    __slots__ = (
        "acked",
        "acks_owed",
        "autotune_limit",
        "capacity",
        "chunks",
        "clamp",
        "copied",
        "delay",
        "delay_max",
        "delay_min",
        "duplicate",
        "fin_at",
        "irs",
        "last_data_at",
        "max_quick",
        "mss_seen",
        "nxt",
        "pushed",
        "quick",
        "reassembly",
        "replying",
        "scale",
        "space",
        "space_at",
        "space_seq",
        "text",
        "ts_recent",
        "ts_recent_at",
        "unread",
        "urgent",
        "urgent_read",
        "wants_ack",
        "window",
    )

    def __init__(self, settings: Settings, buffer: i64, mss: i64) -> None:
        self.irs: Seq = 0
        self.nxt: Seq = 0
        self.acked: Seq = 0
        # A window is half of the buffer, the rest is for overhead; a buffer set by hand (SO_RCVBUF) is doubled first.
        self.capacity: i64 = buffer or settings.tcp_rmem[1] // 2
        self.autotune_limit: i64 = settings.tcp_rmem[2] // 2
        if buffer or not settings.tcp_moderate_rcvbuf:
            self.autotune_limit = 0
        self.window: i64 = 0
        self.clamp: i64 = 0xFFFF
        self.scale: i64 = 0
        # Text in order that was not read yet. Mostly that is one chunk, and no list is made for it.
        self.text = b""
        """The only chunk; empty where there are several."""
        self.chunks: list[bytes] | None = None
        self.unread: i64 = 0
        self.copied: i64 = 0
        self.reassembly: Reassembly | None = None
        self.fin_at: Seq = -1
        self.urgent: Seq = -1
        """Where the urgent octet is that was not read over yet; -1: nothing is urgent."""
        self.urgent_read = False
        self.duplicate: tuple[int, int] | None = None
        # The delayed ACK (inet_connection_sock.icsk_ack).
        self.acks_owed: i64 = 0
        self.wants_ack = False
        self.delay_min: Nanos64 = settings.delayed_ack_min_ms * MILLISECOND
        self.delay_max: Nanos64 = settings.delayed_ack_max_ms * MILLISECOND
        self.delay: Nanos64 = 0
        self.quick: i64 = 0
        self.max_quick: i64 = settings.quick_acks
        self.replying = False
        self.pushed: i64 = 0
        # Small or pushed segments since the last ACK, 2 at most (ICSK_ACK_PUSHED, ICSK_ACK_PUSHED2).
        self.mss_seen: i64 = min(mss, 536)
        self.last_data_at: Nanos64 = 0
        # Timestamps (RFC 7323 4.3) and the growth of the buffer (tcp_rcv_space_adjust).
        self.ts_recent: i64 = 0
        self.ts_recent_at: Nanos64 = 0
        self.space: i64 = 0
        self.space_at: Nanos64 = 0
        self.space_seq: Seq = 0

    def begin(self, irs: Seq) -> None:
        """The peer's SYN has come."""
        self.irs = irs
        self.nxt = self.acked = self.copied = self.space_seq = irs + 1

    # -- the window

    def open_window(self, mss: i64) -> None:
        """The first window (tcp_select_initial_window): whole segments, no more than 16 bits hold."""
        space = min(self.capacity, 0xFFFF)
        self.window = space - space % mss if space > mss else space
        # What was read in the last round trip: to begin with, an initial window of the peer's.
        self.space = min(self.window, 10 * mss)

    def remaining(self) -> i64:
        """How far beyond `nxt` the peer may send."""
        left = self.acked + self.window - self.nxt
        if left < 0:
            return 0
        return left

    def select(self) -> i64:
        """The window that there is room for, without the silly ones (RFC 9293 3.8.6.2.2, __tcp_select_window)."""
        free = self.capacity - self.unread
        if self.reassembly is not None:
            free -= self.reassembly.octets
        mss, capacity, scale = self.mss_seen, self.capacity, self.scale
        if capacity < mss:
            mss = capacity
        if free < capacity >> 4 or free < mss:
            return 0
        most = self.clamp << scale
        if most < free:
            free = most
        if scale:
            return (free + (1 << scale) - 1) >> scale << scale
        window = self.window
        if window <= free - mss or window > free:
            return free - free % mss
        return window

    def advertise(self) -> i64:
        """The window for the segment that is leaving now; its right edge never moves back (RFC 9293 3.8.6)."""
        window = self.select()
        current = self.acked + self.window - self.nxt
        if window < current:
            window = (current + (1 << self.scale) - 1) >> self.scale << self.scale
        self.window = window
        self.acked = self.nxt
        self.acks_owed = 0
        self.wants_ack = False
        window >>= self.scale
        if window > 0xFFFF:
            return 0xFFFF
        return window

    # -- text

    def take(self, data: bytes) -> None:
        """Octets in their turn."""
        octets: i64 = len(data)
        if not self.unread:
            self.text = data
        elif self.chunks is None:
            self.chunks = [self.text, data]
            self.text = b""
        else:
            self.chunks.append(data)
        self.unread += octets
        self.nxt += octets

    def hold(self, seq: Seq, data: bytes, fin: bool) -> bool:
        """Octets ahead of their turn, and whether a FIN follows them. Whether any were new."""
        if self.reassembly is None:
            self.reassembly = Reassembly()
        return self.reassembly.put(seq, data, fin)

    def crowded(self) -> bool:
        """Whether nothing more is held beyond a hole: every piece costs more than its octets (skb->truesize)."""
        held = self.reassembly
        return held is not None and len(held.pieces) >= max(self.capacity >> 8, 64)

    def collapse(self) -> None:
        """Join what nobody reads and came in small pieces, which take more memory than their octets (tcp_collapse)."""
        chunks = self.chunks
        if chunks is not None and len(chunks) >= 128 and self.unread < len(chunks) << 9:
            self.text = b"".join(chunks)
            self.chunks = None

    def release(self, tell: bool = False) -> bool:
        """Take what the hole held back. Whether it ends with the peer's FIN, which is then next.

        `tell`: report with the next ACK what has come twice (RFC 2883 4.1).
        """
        held = self.reassembly
        if held is None:
            return False
        twice = held.ranges.items[0] if held.ranges.items else (self.nxt, self.nxt)
        if tell and twice[0] < self.nxt:
            self.duplicate = (twice[0], min(twice[1], self.nxt))
        for piece in held.take(self.nxt):
            self.take(piece)
        fin = held.fin == self.nxt
        if not held.pieces and (fin or held.fin < 0):
            self.reassembly = None
        return fin

    def read(self, limit: i64) -> bytes:
        """Up to `limit` octets in order, taken out of the queue."""
        chunks = self.chunks
        if self.unread <= limit:
            # Nearly always: whoever reads, reads everything.
            data = self.text if chunks is None else b"".join(chunks)
            self.text = b""
            self.chunks = None
            self.copied += self.unread
            self.unread = 0
            return data
        if chunks is None:
            data = self.text[:limit]
            self.text = self.text[limit:]
        else:
            data = self._gather(chunks, limit)
        octets: i64 = len(data)
        self.unread -= octets
        self.copied += octets
        return data

    def read_urgent(self) -> bytes:
        """The urgent octet, out of band and once; empty where it has not come yet."""
        at = self.urgent - self.copied
        if at >= self.unread:
            return b""
        self.urgent_read = True
        for chunk in self.chunks or (self.text,):
            if at < len(chunk):
                return chunk[at : at + 1]
            at -= len(chunk)
        return b""

    def read_around(self, limit: i64, inline: bool) -> bytes:
        """Octets in order, where one of them is urgent: a read ends before it, and the next one leaves it out.

        `inline`: leaves it in (tcp_recvmsg_locked).
        """
        ahead = self.urgent - self.copied
        if not ahead:
            if not inline:
                self.read(1)
            self.urgent = -1
        elif ahead > 0:
            limit = min(limit, ahead)
        return self.read(limit)

    def _gather(self, chunks: list[bytes], limit: i64) -> bytes:
        """The first `limit` octets; there are more."""
        taken: i64 = 0
        size: i64 = 0
        while size + len(chunks[taken]) <= limit:
            size += len(chunks[taken])
            taken += 1
        pieces = chunks[:taken]
        del chunks[:taken]
        if size < limit:
            pieces.append(chunks[0][: limit - size])
            chunks[0] = chunks[0][limit - size :]
        if len(chunks) == 1:
            self.text = chunks[0]
            self.chunks = None
        return b"".join(pieces)

    def grow(self, rtt: Nanos64, mss: i64, now: Nanos64) -> None:
        """Once a round trip, see whether the reader keeps up, and if so make room for twice as much."""
        if now - self.space_at < rtt or rtt == 0:
            return
        copied = self.copied - self.space_seq
        if copied > self.space and self.autotune_limit > self.capacity:
            wanted = 2 * copied + 16 * mss
            wanted += 2 * (wanted * (copied - self.space) // max(self.space, 1))
            self.capacity = min(max(wanted, self.capacity), self.autotune_limit)
        self.space = max(self.space, copied)
        self.space_seq = self.copied
        self.space_at = now

    # -- acknowledging

    def arrived(self, octets: i64, pushed: bool, rto: Nanos64, now: Nanos64) -> None:
        """Text has come, in a segment of so many octets: an ACK is due, some time (tcp_event_data_recv)."""
        self.wants_ack = True
        if octets < self.mss_seen:
            self.pushed = 2 if self.pushed else 1
        else:
            self.mss_seen = octets
            if pushed and not self.pushed:
                self.pushed = 1
        if self.delay == 0:
            self.quicken()
            self.delay = self.delay_min
        else:
            gap = now - self.last_data_at
            if gap <= self.delay_min // 2:
                self.delay = (self.delay >> 1) + self.delay_min // 2
            elif gap < self.delay:
                self.delay = min((self.delay >> 1) + gap, rto)
            elif gap > rto:
                self.quicken()
        self.last_data_at = now

    def quicken(self) -> None:
        """The next so many ACKs are not to be delayed (tcp_incr_quickack)."""
        wanted: i64 = 2
        if self.mss_seen and self.window >= 2 * self.mss_seen:
            wanted = self.window // (2 * self.mss_seen)
        if wanted > self.max_quick:
            wanted = self.max_quick
        if wanted > self.quick:
            self.quick = wanted

    def quicken_now(self) -> None:
        """The same, and what looked like a dialogue is none (tcp_enter_quickack_mode)."""
        self.quicken()
        self.replying = False
        self.delay = self.delay_min

    def ack_at_once(self) -> bool:
        """Whether an ACK that is due must not wait (__tcp_ack_snd_check, RFC 9293 3.8.6.3)."""
        if self.acks_owed:
            return True
        if self.nxt - self.acked > self.mss_seen:
            return True
        if self.quick and not self.replying:
            return True
        return self.reassembly is not None

    def delay_for(self, srtt: Nanos64) -> Nanos64:
        """How long to delay an ACK (tcp_send_delayed_ack): before the first text, a tick of the clock."""
        delay = self.delay
        if not delay:
            delay = MILLISECOND
        if delay > self.delay_min:
            most = self.delay_max if self.replying or self.pushed else 500 * MILLISECOND
            if srtt:
                most = min(most, max(srtt, self.delay_min))
            delay = min(delay, most)
        return min(delay, self.delay_max)

    def spend_quick(self) -> None:
        """An ACK has left."""
        if self.quick:
            self.quick -= 1
            if self.quick == 0:
                self.delay = self.delay_min
        self.pushed = 0

    def owe_ack(self) -> None:
        """An ACK is due now, if none is yet."""
        if not self.acks_owed:
            self.acks_owed = 1

    def wants_update(self) -> bool:
        """Whether the reader has made so much room that the peer should be told (tcp_cleanup_rbuf)."""
        now_open = self.remaining()
        if 2 * now_open > self.capacity:
            return False
        window = self.select()
        return window > 0 and window >= 2 * now_open

    # -- timestamps

    def remember(self, stamp: i64, seq: Seq, now: Nanos64) -> None:
        """Keep the timestamp (-1: there is none) of a segment that covers the last ACK sent (RFC 7323 4.3)."""
        if stamp >= 0 and seq <= self.acked and (stamp - self.ts_recent) & MASK < HALF:
            self.ts_recent = stamp
            self.ts_recent_at = now

    def stale(self, stamp: i64, now: Nanos64) -> bool:
        """Whether a timestamp is older than the last good one, and that one is to be believed (RFC 7323 5.3, 5.5)."""
        # Not before(): a value half of the number space ahead is as old as it is new, and Linux lets it pass.
        behind = (self.ts_recent - stamp) & MASK
        # A tick of difference is let pass (TCP_PAWS_WINDOW), and 0 is no timestamp to compare with.
        return 1 < behind < HALF and self.ts_recent != 0 and now - self.ts_recent_at < _PAWS_LIMIT
