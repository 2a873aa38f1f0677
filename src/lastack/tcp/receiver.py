"""The receiving half: RCV.NXT and the window, what waits to be read, when an ACK is owed (RFC 9293 3.3.1, 3.8.6)."""

from __future__ import annotations

from typing import final

from lastack.model.time import MILLISECOND, Nanos
from lastack.native import mypyc_attr

from .reassembly import Reassembly
from .settings import Settings


@mypyc_attr(acyclic=True)
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
        "ts_recent",
        "ts_recent_at",
        "unread",
        "urgent",
        "urgent_read",
        "wants_ack",
        "window",
    )

    def __init__(self, settings: Settings, buffer: int, mss: int) -> None:
        self.irs = 0
        self.nxt = 0
        self.acked = 0
        # A window is half of the buffer, the rest is for overhead; a buffer set by hand (SO_RCVBUF) is doubled first.
        self.capacity = buffer or settings.tcp_rmem[1] // 2
        self.autotune_limit = 0 if buffer or not settings.tcp_moderate_rcvbuf else settings.tcp_rmem[2] // 2
        self.window = 0
        self.clamp = 0xFFFF
        self.scale = 0
        self.chunks: list[bytes] = []
        self.unread = 0
        self.copied = 0
        self.reassembly: Reassembly | None = None
        self.fin_at = -1
        self.urgent = -1
        """Where the urgent octet is that was not read over yet; -1: nothing is urgent."""
        self.urgent_read = False
        self.duplicate: tuple[int, int] | None = None
        # The delayed ACK (inet_connection_sock.icsk_ack).
        self.acks_owed = 0
        self.wants_ack = False
        self.delay_min: Nanos = settings.delayed_ack_min_ms * MILLISECOND
        self.delay_max: Nanos = settings.delayed_ack_max_ms * MILLISECOND
        self.delay: Nanos = 0
        self.quick = 0
        self.max_quick = settings.quick_acks
        self.replying = False
        self.pushed = 0
        # Small or pushed segments since the last ACK, 2 at most (ICSK_ACK_PUSHED, ICSK_ACK_PUSHED2).
        self.mss_seen = min(mss, 536)
        self.last_data_at: Nanos = 0
        # Timestamps (RFC 7323 4.3) and the growth of the buffer (tcp_rcv_space_adjust).
        self.ts_recent = 0
        self.ts_recent_at: Nanos = 0
        self.space = 0
        self.space_at: Nanos = 0
        self.space_seq = 0

    def begin(self, irs: int) -> None:
        """The peer's SYN has come."""
        self.irs = irs
        self.nxt = self.acked = self.copied = self.space_seq = irs + 1

    # -- the window

    def open_window(self, mss: int) -> None:
        """The first window (tcp_select_initial_window): whole segments, no more than 16 bits hold."""
        space = min(self.capacity, 0xFFFF)
        self.window = space - space % mss if space > mss else space
        # What was read in the last round trip: to begin with, an initial window of the peer's.
        self.space = min(self.window, 10 * mss)

    def remaining(self) -> int:
        """How far beyond `nxt` the peer may send."""
        left = self.acked + self.window - self.nxt
        return left if left > 0 else 0

    def select(self) -> int:
        """The window that there is room for, without the silly ones (RFC 9293 3.8.6.2.2, __tcp_select_window)."""
        held = self.unread if self.reassembly is None else self.unread + self.reassembly.octets
        free = self.capacity - held
        mss = min(self.mss_seen, self.capacity)
        if free < self.capacity >> 4 or free < mss:
            return 0
        free = min(free, self.clamp << self.scale)
        if self.scale:
            unit = 1 << self.scale
            return (free + unit - 1) // unit * unit
        window = self.window
        if window <= free - mss or window > free:
            return free - free % mss
        return window

    def advertise(self) -> int:
        """The window for the segment that is leaving now; its right edge never moves back (RFC 9293 3.8.6)."""
        window = self.select()
        current = self.remaining()
        if window < current:
            unit = 1 << self.scale
            window = (current + unit - 1) // unit * unit
        self.window = window
        self.acked = self.nxt
        self.acks_owed = 0
        self.wants_ack = False
        return min(window >> self.scale, 0xFFFF)

    # -- text

    def take(self, data: bytes) -> None:
        """Octets in their turn."""
        self.chunks.append(data)
        self.unread += len(data)
        self.nxt += len(data)

    def hold(self, seq: int, data: bytes, fin: bool) -> bool:
        """Octets ahead of their turn, and whether a FIN follows them. Whether any were new."""
        if self.reassembly is None:
            self.reassembly = Reassembly()
        return self.reassembly.put(seq, data, fin)

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

    def read(self, limit: int) -> bytes:
        """Up to `limit` octets in order, taken out of the queue."""
        chunks = self.chunks
        if len(chunks) == 1 and len(chunks[0]) <= limit:
            data = chunks[0]
            chunks.clear()
        else:
            data = self._gather(limit)
        self.unread -= len(data)
        self.copied += len(data)
        return data

    def read_urgent(self) -> bytes:
        """The urgent octet, out of band and once; empty where it has not come yet."""
        at = self.urgent - self.copied
        if at >= self.unread:
            return b""
        self.urgent_read = True
        for chunk in self.chunks:
            if at < len(chunk):
                return chunk[at : at + 1]
            at -= len(chunk)
        return b""

    def read_around(self, limit: int, inline: bool) -> bytes:
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

    def _gather(self, limit: int) -> bytes:
        taken, size = 0, 0
        chunks = self.chunks
        while taken < len(chunks) and size + len(chunks[taken]) <= limit:
            size += len(chunks[taken])
            taken += 1
        pieces = chunks[:taken]
        del chunks[:taken]
        if chunks and size < limit:
            pieces.append(chunks[0][: limit - size])
            chunks[0] = chunks[0][limit - size :]
        return b"".join(pieces)

    def grow(self, rtt: Nanos, mss: int, now: Nanos) -> None:
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

    def arrived(self, octets: int, pushed: bool, rto: Nanos, now: Nanos) -> None:
        """Text has come, in a segment of so many octets: an ACK is due, some time (tcp_event_data_recv)."""
        self.wants_ack = True
        if octets < self.mss_seen:
            self.pushed = 2 if self.pushed else 1
        elif pushed:
            self.pushed = max(self.pushed, 1)
        self.mss_seen = max(self.mss_seen, octets)
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
        wanted = self.window // (2 * self.mss_seen) if self.mss_seen else 0
        self.quick = max(self.quick, min(wanted or 2, self.max_quick))

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

    def delay_for(self, srtt: Nanos) -> Nanos:
        """How long to delay an ACK (tcp_send_delayed_ack): before the first text, a tick of the clock."""
        delay = self.delay or MILLISECOND
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

    def wants_update(self) -> bool:
        """Whether the reader has made so much room that the peer should be told (tcp_cleanup_rbuf)."""
        now_open = self.remaining()
        if 2 * now_open > self.capacity:
            return False
        window = self.select()
        return window > 0 and window >= 2 * now_open

    # -- timestamps

    def remember(self, value: int | None, seq: int, now: Nanos) -> None:
        """Keep the timestamp of a segment that covers the last ACK sent (RFC 7323 4.3)."""
        if value is not None and seq <= self.acked and (value - self.ts_recent) & 0xFFFF_FFFF < 0x8000_0000:
            self.ts_recent = value
            self.ts_recent_at = now

    def stale(self, value: int, now: Nanos) -> bool:
        """Whether a timestamp is older than the last good one, and that one is to be believed (RFC 7323 5.3, 5.5)."""
        # Not before(): a value half of the number space ahead is as old as it is new, and Linux lets it pass.
        behind = (self.ts_recent - value) & 0xFFFF_FFFF
        # A tick of difference is let pass (TCP_PAWS_WINDOW), and 0 is no timestamp to compare with.
        return 1 < behind < 0x8000_0000 and self.ts_recent != 0 and now - self.ts_recent_at < _PAWS_LIMIT


_PAWS_LIMIT: Nanos = 24 * 24 * 3600 * 1000 * MILLISECOND
"""After 24 idle days a timestamp may have wrapped (RFC 7323 5.5)."""
