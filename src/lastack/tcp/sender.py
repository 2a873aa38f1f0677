"""The sending half: SND.UNA to SND.NXT, the peer's window, what is out and what waits (RFC 9293 3.3.1)."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import MILLISECOND, Nanos64
from lastack.native import i64, mypyc_attr
from lastack.wire.flags import FIN, SYN
from lastack.wire.seq import Seq

from .congestion.choice import make_controller
from .congestion.controller import Controller
from .flight import Flight, Sent
from .recovery import LOSS, Recovery
from .rtt import Rtt
from .scoreboard import Scoreboard
from .send_buffer import SendBuffer
from .settings import Settings


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Acked:
    """What an ACK came to: octets and segments newly acknowledged, whether the SYN or the FIN was among them.

    `rtt` is a measurement on segments sent once, or -1 (Karn's rule, RFC 6298 3).
    """

    __slots__ = (
        "doubtful",
        "fin",
        "moved",
        "octets",
        "original",
        "overtaken",
        "rtt",
        "segments",
        "sent_at",
        "syn",
        "whole",
    )

    def __init__(self) -> None:
        self.moved: i64 = 0
        """Sequence numbers by which it moved SND.UNA."""
        self.doubtful = False
        self.fin = False
        self.syn = False
        self.original = False
        """Something was among them that was sent before the last time-out and never again (FLAG_ORIG_SACK_ACKED)."""
        self.whole = False
        """All of at least one segment is acknowledged cumulatively."""
        self.octets: i64 = 0
        self.segments: i64 = 0
        self.rtt: Nanos64 = -1
        self.sent_at: Nanos64 = -1
        """When the last sent of them was sent."""
        self.overtaken: i64 = 0
        """How often it shows that segments were overtaken: its SACKs may, and its cumulative ACK."""


_FIRST_WINDOW: Final = 10
_OVERHEAD: Final = 640
_RECORD: Final = 256
"""What Linux adds to a segment that it keeps, before and after rounding up: its headers, its struct sk_buff."""

NOTHING: Final = Acked()
"""What most segments of a peer that only sends come to."""


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Sender:
    """Sequence numbers are unwrapped; windows in octets, unscaled; `mss` is what a segment carries of text."""

    __slots__ = (
        "_acked",
        "active_at",
        "buffer",
        "capacity",
        "control",
        "fin_queued",
        "first_retransmit_at",
        "flight",
        "heard_at",
        "iss",
        "last",
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
    )

    def __init__(self, settings: Settings, iss: Seq, congestion: str, buffer: i64) -> None:
        self.iss: Seq = iss
        self.una: Seq = iss
        self.nxt: Seq = iss
        self.window: i64 = 0
        self.wl1: Seq = 0
        self.max_window: i64 = 0
        self.scale: i64 = 0
        self.mss: i64 = 536
        self.peer_mss: i64 = 536
        self.buffer = SendBuffer(iss + 1)
        self.capacity: i64 = buffer or settings.tcp_wmem[2]
        self.flight = Flight()
        self.rtt = Rtt(settings.initial_rto_ms * MILLISECOND, settings.rto_min, settings.rto_max)
        name = congestion or settings.tcp_congestion_control
        self.control: Controller = make_controller(name, settings.initial_window_segments)
        self.recovery = Recovery(self.flight, self.control, self.rtt, settings)
        self.fin_queued = False
        self.last: Seq = iss + 1
        """The end of all that is queued, a FIN included."""
        self.small_end: Seq = iss
        """The end of the last segment that was smaller than it might be (snd_sml, Minshall)."""
        self.retransmits: i64 = 0
        """Time-outs in a row (icsk_retransmits)."""
        self.total_retransmits: i64 = 0
        self.first_retransmit_at: Nanos64 = -1
        self.probes: i64 = 0
        """Unanswered window or keepalive probes in a row (icsk_probes_out)."""
        self.active_at: Nanos64 = 0
        self.last_sent_at: Nanos64 = 0
        # How far the congestion window is made use of (tcp_cwnd_validate), since `usage_seq` was not acknowledged.
        self.limited = False
        self.most_out: i64 = 0
        self.usage_seq: Seq = iss
        self.heard_at: Nanos64 = 0
        """When the last ACK came."""
        self._acked = Acked()
        """What `acknowledge` gives back, one for all of them."""

    # -- what there is

    @property
    def unsent(self) -> i64:
        """Octets queued and never sent."""
        left = self.buffer.end - self.nxt
        if left < 0:
            return 0
        return left

    def fin_unsent(self) -> bool:
        """Whether a FIN is queued and has not left."""
        return self.fin_queued and self.nxt < self.last

    def room(self) -> i64:
        """Octets that the send buffer still takes."""
        left = self.capacity - (self.buffer.end - self.buffer.start)
        if left < 0:
            return 0
        return left

    def expand(self, most: int) -> None:
        """Let the buffer grow with the congestion window, to twice what that lets out (tcp_sndbuf_expand)."""
        kept = (1 << int(self.mss + _OVERHEAD - 1).bit_length()) + _RECORD
        wanted = 2 * max(self.control.window, _FIRST_WINDOW) * kept
        if wanted > self.capacity:
            self.capacity = min(wanted, most)

    def usable(self) -> i64:
        """Octets that the peer's window still takes (RFC 9293 3.8.6.2.1)."""
        return self.una + self.window - self.nxt

    # -- what happens

    def queue(self, data: bytes) -> None:
        """The owner has more to say."""
        self.buffer.append(data)
        self.last = self.buffer.end

    def queue_fin(self) -> None:
        """The owner has said everything."""
        self.fin_queued = True
        self.last += 1

    def sent(self, end: Seq, flags: i64, now: Nanos64) -> None:
        """A segment [nxt, end) has left for the first time."""
        flight = self.flight
        if not flight.count:
            self.active_at = now
        flight.add(Sent(self.nxt, end, flags, now))
        self.nxt = end
        self.last_sent_at = now
        self.recovery.prr_out += 1

    def note_use(self, limited: bool) -> None:
        """Something was sent, or, `limited`, the congestion window kept it back."""
        out = self.flight.count
        if limited or self.una >= self.usage_seq or (not self.limited and out > self.most_out):
            self.limited = limited
            self.most_out = out
            self.usage_seq = self.nxt

    def fills_window(self) -> bool:
        """Whether the congestion window is what limits, so that it may grow (tcp_is_cwnd_limited, RFC 7661 4.1)."""
        control = self.control
        return self.limited or (control.window < control.threshold and control.window < 2 * self.most_out)

    def acknowledge(self, ack: Seq, blocks: tuple[tuple[int, int], ...], now: Nanos64) -> Acked:
        """Take in a cumulative ACK, una <= ack <= nxt, and its SACK blocks. What it came to holds until the next."""
        if ack == self.una and not blocks:
            return NOTHING
        acked = self._acked
        acked.doubtful = acked.fin = acked.syn = acked.original = acked.whole = False
        acked.moved = acked.octets = acked.segments = acked.overtaken = 0
        acked.rtt = acked.sent_at = -1
        recovery = self.recovery
        highest = recovery.highest_sacked(self.una)
        if blocks and recovery.sack:
            self._read_blocks(ack, blocks, acked, now)
        if ack > self.una:
            acked.moved = ack - self.una
            self._advance(ack, highest, acked, now)
        if acked.doubtful:
            acked.rtt = -1
        if recovery.reordering is not None and acked.sent_at >= 0:
            recovery.reordering.delivered(acked.sent_at, now)
        return acked

    def _read_blocks(self, ack: Seq, blocks: tuple[tuple[int, int], ...], acked: Acked, now: Nanos64) -> None:
        """Note what the receiver holds beyond a hole."""
        recovery = self.recovery
        board = recovery.board
        if board is None:
            board = recovery.board = Scoreboard()
        board.highest = max(board.highest, self.una)
        board.read(self.flight, blocks, self.una, ack, self.nxt)
        for sent in board.fresh:
            acked.segments += 1
            self._delivered(sent, acked, now)
        undo = recovery.undo
        if board.overtaken >= 0 and (recovery.phase != LOSS or (undo is not None and undo.marker >= 0)):
            recovery.overtaken(board.overtaken, board.highest, self.mss)
            acked.overtaken += 1
        if board.twice is not None:
            self._read_duplicate(board, board.twice[0], board.twice[1], acked)

    def _read_duplicate(self, board: Scoreboard, left: Seq, right: Seq, acked: Acked) -> None:
        """The receiver has had [left, right) twice; more than was ever sent again is not believed (tcp_dsack_seen)."""
        recovery = self.recovery
        count = max(-((left - right) // self.mss), 1)
        if right - left > self.max_window:
            return
        board.duplicates += count
        if board.duplicates > self.total_retransmits:
            return
        # What was sent again in vain has arrived too.
        acked.segments += count
        if recovery.undo is not None:
            recovery.undo.reported(right, count if right <= self.una else board.again)
        if recovery.reordering is not None and (count > 1 or right != recovery.tail_probe_end):
            # A tail probe leaves by its timer, and not because one was thought lost.
            recovery.reordering.sent_twice = True

    def _advance(self, ack: Seq, highest: Seq, acked: Acked, now: Nanos64) -> None:
        """Forget what the cumulative ACK covers. `highest`: up to where something had been sacked before."""
        flight = self.flight
        gone: i64 = 0
        low = highest
        while gone < flight.count:
            sent = flight.records[flight.head + gone]
            if sent.end > ack:
                sent.seq = max(sent.seq, ack)
                break
            gone += 1
            if sent.flags & FIN:
                acked.fin = True
            if sent.flags & SYN:
                acked.syn = True
            if not sent.sacked:
                acked.segments += 1
                self._delivered(sent, acked, now)
                if sent.seq < low and sent.times == 1:
                    low = sent.seq
            if sent.sacked or sent.lost or sent.resent:
                flight.forget(sent)
        acked.whole = gone > 0
        flight.drop(gone)
        if low < highest:
            # A hole was filled, and not by what was sent again.
            self.recovery.overtaken(low, self.recovery.highest_sacked(ack), self.mss)
            acked.overtaken += 1
        buffer = self.buffer
        if buffer.start < buffer.end:
            start = buffer.start
            buffer.discard_below(ack)
            acked.octets = buffer.start - start
        self.una = ack
        self.retransmits = 0
        self.probes = 0
        self.first_retransmit_at = -1

    def _delivered(self, sent: Sent, acked: Acked, now: Nanos64) -> None:
        """One segment has arrived: measure the round trip if it was sent once; the longest counts."""
        if sent.sent_at > acked.sent_at:
            acked.sent_at = sent.sent_at
        if sent.times == 1:
            rtt = now - sent.sent_at
            if rtt > acked.rtt:
                acked.rtt = rtt
            if sent.end <= self.recovery.high:
                acked.original = True
        else:
            # What was sent once may have waited for what was sent twice: nothing can be measured on this ACK.
            acked.doubtful = True
        if self.recovery.sack:
            self.recovery.delivered(sent, now)

    def update_window(self, window: i64, seq: Seq, ack: Seq) -> bool:
        """RFC 9293 3.10.7.4, fifth step: take the window of a segment that is no older, before its ACK is taken in.

        Whether it is.
        """
        if not self.newer_window(window, seq, ack):
            return False
        self.window = window
        if window > self.max_window:
            self.max_window = window
        self.wl1 = seq
        return True

    def newer_window(self, window: i64, seq: Seq, ack: Seq) -> bool:
        """Whether a window is news (tcp_may_update_window): of a later segment or ACK, or of the same and larger.

        So that no SND.WL2 is needed.
        """
        return ack > self.una or self.wl1 < seq or (self.wl1 == seq and (window > self.window or not window))

    def acceptable(self, scale: i64) -> Seq:
        """The sequence number of a segment without text: where the window has shrunk, not beyond it.

        What one step of the scale may have rounded away does not count (tcp_acceptable_seq).
        """
        edge = self.una + self.window
        return self.nxt if self.nxt <= edge or (scale and self.nxt - edge < 1 << scale) else edge

    def resize(self, mss: i64) -> None:
        """Segments carry `mss` octets from now on; what is out and larger is cut, to be sent again in parts."""
        self.mss = mss
        for sent in self.flight.out():
            part = sent
            while part.end - part.seq - (1 if part.flags & FIN else 0) > mss:
                part = self.flight.split(part, mss)
