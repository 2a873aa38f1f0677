"""The sending half: SND.UNA to SND.NXT, the peer's window, what is out and what waits (RFC 9293 3.3.1)."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import MILLISECOND, Nanos
from lastack.native import mypyc_attr
from lastack.wire.flags import FIN, SYN

from .congestion.choice import make_controller
from .congestion.controller import Controller
from .flight import Flight, Sent
from .recovery import Recovery
from .rtt import Rtt
from .send_buffer import SendBuffer
from .settings import Settings


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Acked:
    """What an ACK came to: octets and segments newly acknowledged, whether the SYN or the FIN was among them.

    `rtt` is a measurement on segments sent once, or -1 (Karn's rule, RFC 6298 3).
    """

    __slots__ = ("advanced", "doubtful", "fin", "octets", "original", "rtt", "segments", "syn", "whole")

    def __init__(self) -> None:
        self.advanced = False
        self.doubtful = False
        self.fin = False
        self.syn = False
        self.original = False
        """Something was among them that was sent before the last time-out and never again (FLAG_ORIG_SACK_ACKED)."""
        self.whole = False
        """All of at least one segment is acknowledged cumulatively."""
        self.octets = 0
        self.segments = 0
        self.rtt: Nanos = -1


_NOTHING: Final = Acked()
"""What most segments of a peer that only sends come to."""


@mypyc_attr(acyclic=True)
@final
class Sender:
    """Sequence numbers are unwrapped; windows in octets, unscaled; `mss` is what a segment carries of text."""

    __slots__ = (
        "active_at",
        "buffer",
        "capacity",
        "control",
        "fin_queued",
        "first_retransmit_at",
        "flight",
        "heard_at",
        "iss",
        "last_sent_at",
        "limited",
        "max_window",
        "most_out",
        "mss",
        "nxt",
        "peer_mss",
        "probes",
        "recovery",
        "retransmits",
        "rtt",
        "scale",
        "small_end",
        "total_retransmits",
        "una",
        "usage_seq",
        "window",
        "wl1",
        "wl2",
    )

    def __init__(self, settings: Settings, iss: int, congestion: str, buffer: int) -> None:
        self.iss = iss
        self.una = iss
        self.nxt = iss
        self.window = 0
        self.wl1 = 0
        self.wl2 = 0
        self.max_window = 0
        self.scale = 0
        self.mss = 536
        self.peer_mss = 536
        self.buffer = SendBuffer(iss + 1)
        self.capacity = buffer or settings.tcp_wmem[2]
        self.flight = Flight()
        self.rtt = Rtt(settings.initial_rto_ms * MILLISECOND, settings.rto_min, settings.rto_max)
        name = congestion or settings.tcp_congestion_control
        self.control: Controller = make_controller(name, settings.initial_window_segments)
        self.recovery = Recovery(self.flight, self.control, self.rtt, settings.tcp_reordering)
        self.fin_queued = False
        self.small_end = iss
        """The end of the last segment that was smaller than it might be (snd_sml, Minshall)."""
        self.retransmits = 0
        """Time-outs in a row (icsk_retransmits)."""
        self.total_retransmits = 0
        self.first_retransmit_at: Nanos = -1
        self.probes = 0
        """Unanswered window or keepalive probes in a row (icsk_probes_out)."""
        self.active_at: Nanos = 0
        self.last_sent_at: Nanos = 0
        # How far the congestion window is made use of (tcp_cwnd_validate), since `usage_seq` was not acknowledged.
        self.limited = False
        self.most_out = 0
        self.usage_seq = iss
        self.heard_at: Nanos = 0
        """When the last ACK came."""

    # -- what there is

    @property
    def unsent(self) -> int:
        """Octets queued and never sent."""
        return max(self.buffer.end - self.nxt, 0)

    def fin_unsent(self) -> bool:
        """Whether a FIN is queued and has not left."""
        return self.fin_queued and self.nxt <= self.buffer.end

    def fin_acked(self) -> bool:
        """Whether our FIN was acknowledged."""
        return self.fin_queued and self.una > self.buffer.end

    def room(self) -> int:
        """Octets that the send buffer still takes."""
        return max(self.capacity - len(self.buffer), 0)

    def usable(self) -> int:
        """Octets that the peer's window still takes (RFC 9293 3.8.6.2.1)."""
        return self.una + self.window - self.nxt

    # -- what happens

    def sent(self, end: int, flags: int, now: Nanos) -> None:
        """A segment [nxt, end) has left for the first time."""
        if not self.flight.records:
            self.active_at = now
        self.flight.records.append(Sent(self.nxt, end, flags, now))
        self.nxt = end
        self.last_sent_at = now
        self.recovery.prr_out += 1

    def note_use(self, limited: bool) -> None:
        """Something was sent, or, `limited`, the congestion window kept it back."""
        out = len(self.flight.records)
        if limited or self.una >= self.usage_seq or (not self.limited and out > self.most_out):
            self.limited = limited
            self.most_out = out
            self.usage_seq = self.nxt

    def fills_window(self) -> bool:
        """Whether the congestion window is what limits, so that it may grow (tcp_is_cwnd_limited, RFC 7661 4.1)."""
        control = self.control
        return self.limited or (control.window < control.threshold and control.window < 2 * self.most_out)

    def acknowledge(self, ack: int, blocks: tuple[tuple[int, int], ...], now: Nanos) -> Acked:
        """Take in a cumulative ACK, una <= ack <= nxt, and its SACK blocks."""
        if ack == self.una and not blocks:
            return _NOTHING
        acked = Acked()
        flight = self.flight
        recovery = self.recovery
        if blocks and recovery.sack:
            board = recovery.board
            board.highest = max(board.highest, self.una)
            board.read(flight, blocks, self.una, ack, self.nxt)
            for sent in board.fresh:
                acked.segments += 1
                self._delivered(sent, acked, now)
            if board.reordered:
                recovery.rack.reordering_seen = True
            if board.twice is not None and recovery.undo is not None:
                left, right = board.twice
                count = max(-((left - right) // self.mss), 1)
                if right - left <= self.max_window and count <= self.total_retransmits:
                    recovery.undo.reported(right, count)
                    # What was sent again in vain has arrived too (tcp_dsack_seen).
                    acked.segments += count
        if ack > self.una:
            acked.advanced = True
            self._advance(ack, acked, now)
        if acked.doubtful:
            acked.rtt = -1
        return acked

    def _advance(self, ack: int, acked: Acked, now: Nanos) -> None:
        """Forget what the cumulative ACK covers."""
        flight = self.flight
        records = flight.records
        gone = 0
        for sent in records:
            if sent.end > ack:
                sent.seq = max(sent.seq, ack)
                break
            gone += 1
            if sent.flags & (FIN | SYN):
                acked.fin = acked.fin or bool(sent.flags & FIN)
                acked.syn = acked.syn or bool(sent.flags & SYN)
            if not sent.sacked:
                acked.segments += 1
                self._delivered(sent, acked, now)
            if sent.sacked or sent.lost or sent.resent:
                flight.forget(sent)
        acked.whole = gone > 0
        if gone == len(records):
            records.clear()
        elif gone:
            del records[:gone]
        start = self.buffer.start
        self.buffer.discard_below(ack)
        acked.octets = self.buffer.start - start
        self.una = ack
        self.retransmits = 0
        self.probes = 0
        self.first_retransmit_at = -1

    def _delivered(self, sent: Sent, acked: Acked, now: Nanos) -> None:
        """One segment has arrived: measure the round trip if it was sent once; the longest counts."""
        if sent.times == 1:
            acked.rtt = max(acked.rtt, now - sent.sent_at)
            if sent.end <= self.recovery.high:
                acked.original = True
        else:
            # What was sent once may have waited for what was sent twice: nothing can be measured on this ACK.
            acked.doubtful = True
        if self.recovery.sack:
            self.recovery.rack.delivered(sent, self.rtt.min_rtt, now)

    def update_window(self, window: int, seq: int, ack: int) -> bool:
        """RFC 9293 3.10.7.4, fifth step: take the window of a segment that is no older. Whether it was taken."""
        if self.newer_window(window, seq, ack):
            self.window = window
            self.max_window = max(self.max_window, window)
            self.wl1 = seq
            self.wl2 = ack
            return True
        return False

    def newer_window(self, window: int, seq: int, ack: int) -> bool:
        """Whether a window is news (tcp_may_update_window): of a later segment or ACK, or of the same and larger."""
        return ack > self.una or self.wl1 < seq or (self.wl1 == seq and (window > self.window or not window))

    def acceptable(self, scale: int) -> int:
        """The sequence number of a segment without text: where the window has shrunk, not beyond it.

        What one step of the scale may have rounded away does not count (tcp_acceptable_seq).
        """
        edge = self.una + self.window
        return self.nxt if self.nxt <= edge or (scale and self.nxt - edge < 1 << scale) else edge

    def resize(self, mss: int) -> None:
        """Segments carry `mss` octets from now on; what is out and larger is cut, to be sent again in parts."""
        self.mss = mss
        for sent in list(self.flight.records):
            part = sent
            while part.end - part.seq - (1 if part.flags & FIN else 0) > mss:
                self.flight.split(part, mss)
                part = self.flight.records[self.flight.records.index(part) + 1]
