"""The transmission control block: all that is known of one connection, and the one place that writes its state."""

from __future__ import annotations

from typing import Final, final

from lastack.model.close import CloseKind, Closer
from lastack.model.state import FIN_RECEIVED, FIN_SENT, RECEIVES_TEXT, TRANSITIONS, State, bits
from lastack.model.time import MILLISECOND, Nanos64
from lastack.native import i64, mypyc_attr
from lastack.wire.flags import ACK, FIN, RST, SYN
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK, Seq

from . import events
from .challenges import Challenges
from .counters import Counters
from .members import CLOSED, LOCAL, NOBODY, OPEN, ORDERLY, REMOTE
from .observer import Observer
from .receiver import Receiver
from .sender import Sender
from .settings import Settings, SocketOptions
from .timers import NEVER, RETRANSMIT

_AFTER: Final = [bits(*(each.after for each in TRANSITIONS if each.before == state)) for state in range(max(State) + 1)]
"""By a state's number, the states that may follow it."""

WINDOW_PROBE: Final = 1
KEEPALIVE_PROBE: Final = 2
_OPEN_BITS: Final = bits(State.ESTABLISHED, State.CLOSE_WAIT)

SYN_SENT_BIT: Final[i64] = bits(State.SYN_SENT)
SYN_RECEIVED_BIT: Final[i64] = bits(State.SYN_RECEIVED)
CLOSED_BIT: Final[i64] = bits(State.CLOSED)
SYN_STATES: Final[i64] = bits(State.SYN_SENT, State.SYN_RECEIVED)
RECEIVES_TEXT_BITS: Final[i64] = bits(*RECEIVES_TEXT)
FIN_WAITS: Final[i64] = bits(State.FIN_WAIT_1, State.FIN_WAIT_2)
FIN_SENT_BITS: Final[i64] = bits(*FIN_SENT)
FIN_RECEIVED_BITS: Final[i64] = bits(*FIN_RECEIVED)
GONE: Final[i64] = bits(State.CLOSED, State.TIME_WAIT)


def in_syn_queue(tcb: Tcb) -> bool:
    """Whether it is no socket yet, but a request in its listener's SYN queue (struct request_sock)."""
    return tcb.listener != 0 and tcb.state is State.SYN_RECEIVED


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Tally:
    """What went over the wire, in both directions, as the columns of a ConnectionTable are called."""

    __slots__ = (
        "close_kind",
        "fin_in",
        "fin_out",
        "first_closer",
        "octets_in",
        "octets_out",
        "opened_at",
        "reset_cause",
        "rst_in",
        "rst_out",
        "segments_in",
        "segments_out",
        "since",
        "syn_in",
        "syn_out",
    )

    def __init__(self, now: Nanos64) -> None:
        self.segments_in: i64 = 0
        self.segments_out: i64 = 0
        self.octets_in: i64 = 0
        self.octets_out: i64 = 0
        self.syn_in: i64 = 0
        self.syn_out: i64 = 0
        self.fin_in: i64 = 0
        self.fin_out: i64 = 0
        self.rst_in: i64 = 0
        self.rst_out: i64 = 0
        self.first_closer: Closer = NOBODY
        self.close_kind: CloseKind = OPEN
        self.reset_cause = ""
        self.opened_at: Nanos64 = now
        self.since: Nanos64 = now
        """When the present state was entered."""

    def control(self, flags: i64, out: bool) -> None:
        """Count a SYN, FIN or RST, and note who began to close."""
        if flags & SYN:
            if out:
                self.syn_out += 1
            else:
                self.syn_in += 1
        if flags & FIN:
            if out:
                self.fin_out += 1
            else:
                self.fin_in += 1
        if flags & RST:
            if out:
                self.rst_out += 1
            else:
                self.rst_in += 1
        if flags & (FIN | RST) and self.first_closer is NOBODY:
            self.first_closer = LOCAL if out else REMOTE


class Tcb:
    """One connection. The steps of RFC 9293 3.10 are functions of it; its parts know nothing of it.

    It has three timers, as in Linux: one for what is out, one for the delayed ACK, one for keeping watch. Each is the
    instant at which it goes off, NEVER where it is off.
    """

    __slots__ = (
        "active",
        "armed_for",
        "bit",
        "challenges",
        "counters",
        "deferred",
        "delayed_ack_at",
        "end_read",
        "error",
        "events",
        "keepalive_at",
        "leaving",
        "lingers_until",
        "listener",
        "local_mss",
        "local_port",
        "number",
        "observer",
        "oow_at",
        "options",
        "orphan",
        "patience",
        "probe_due",
        "receiver",
        "remote_port",
        "replies",
        "retransmit_at",
        "sack",
        "scaling",
        "sender",
        "settings",
        "shut_read",
        "soft_error",
        "state",
        "tally",
        "timestamps",
        "ts_offset",
        "waiting_room",
    )

    def __init__(
        self,
        settings: Settings,
        options: SocketOptions,
        counters: Counters,
        local_port: int,
        remote_port: int,
        iss: Seq,
        mss: i64,
        ts_offset: i64,
        now: Nanos64,
    ) -> None:
        self.settings, self.options, self.counters = settings, options, counters
        self.observer: Observer | None = None
        self.challenges: Challenges | None = None
        self.number = 0
        self.state: State = CLOSED
        self.bit: i64 = 1 << 7
        self.local_port, self.remote_port = local_port, remote_port
        self.local_mss: i64 = min(mss, options.tcp_maxseg) if options.tcp_maxseg else mss
        self.sender = Sender(settings, iss, options.tcp_congestion, options.so_sndbuf)
        self.receiver = Receiver(settings, options.so_rcvbuf, self.local_mss)
        self.retransmit_at: Nanos64 = NEVER
        self.armed_for: i64 = RETRANSMIT
        """What the first timer is for (icsk_pending)."""
        self.delayed_ack_at: Nanos64 = NEVER
        self.keepalive_at: Nanos64 = NEVER
        """Keepalive; of an orphan in FIN_WAIT_2, what is left of its time; of one that lingers, the end of that."""
        self.tally = Tally(now)
        self.events: i64 = 0
        self.error: str | None = None
        self.soft_error: str | None = None
        self.replies: list[Segment] | None = None
        """Segments that are ready to leave, and go before anything else."""
        self.active = self.timestamps = self.sack = self.scaling = self.shut_read = False
        self.ts_offset: i64 = ts_offset
        self.listener = 0
        """The port of the listener it came in by, or 0."""
        self.leaving: Nanos64 = 0
        """Longer than 0: only this much time is left to it, as a row in the table of those that wait."""
        self.lingers_until: Nanos64 = NEVER
        self.oow_at: Nanos64 = -NEVER
        """When an ACK was last sent for a segment out of the window (RFC 5961 7)."""
        self.deferred: i64 = 0
        """TCP_DEFER_ACCEPT: the ACK of our SYN has come, and is believed with text, or after so many time-outs."""
        self.patience: i64 = 0
        """How often its SYN,ACK may be sent again, where its listener's queue is crowded; 0: as the settings say."""
        self.probe_due: i64 = 0
        """The probe that is to leave: WINDOW_PROBE, KEEPALIVE_PROBE; 0: none."""
        self.orphan = self.end_read = self.waiting_room = False
        """close() was called, and no process holds it any more; the owner has read the end of file; it found the send
        buffer full, and is to be told when there is room."""

    def move(self, state: State, cause: str, now: Nanos64) -> None:
        """Go to another state, because of `cause`. Raises AssertionError where TRANSITIONS has no such way."""
        before = self.state
        # As plain numbers, which compiled code can shift and count by.
        old: i64 = before
        new: i64 = state
        bit: i64 = 1 << new
        if not _AFTER[old] & bit:
            raise AssertionError(f"{before.name} to {state.name} by {cause!r} is no lawful transition")
        self.state = state
        self.bit = bit
        self.tally.since = now
        if bit & GONE:
            self.clear_timers()
            self.events |= events.CLOSED
        if self.observer is not None:
            self.observer.moved(self.number, before, state, cause, now)

    def fail(self, error: str, kind: CloseKind, cause: str, now: Nanos64) -> None:
        """End the connection with an error (the name of an errno) for its owner."""
        self.error = error
        self.events |= events.ERROR
        self.end(kind, cause, now)

    def end(self, kind: CloseKind, cause: str, now: Nanos64) -> None:
        """End the connection: nothing is sent, nothing is kept but what can still be read."""
        if self.tally.close_kind is OPEN or kind is not ORDERLY:
            self.tally.close_kind = kind
        # No wait follows, and no ACK that was still to come.
        self.leaving = 0
        self.receiver.acks_owed = 0
        self.receiver.wants_ack = False
        if self.state is not CLOSED:
            if self.bit & _OPEN_BITS:
                self.counters.TcpEstabResets += 1
            self.move(CLOSED, cause, now)

    def leave(self, duration: Nanos64) -> None:
        """Nothing more is needed of it than a row that waits for so long."""
        self.leaving = max(duration, 1)
        self.clear_timers()
        self.events |= events.CLOSED

    def arm(self, purpose: i64, at: Nanos64) -> None:
        """Set the first timer."""
        self.armed_for = purpose
        self.retransmit_at = at

    def clear_timers(self) -> None:
        """Switch all off."""
        self.retransmit_at = NEVER
        self.delayed_ack_at = NEVER
        self.keepalive_at = NEVER

    def reply(self, segment: Segment) -> None:
        """Let a segment leave as it is."""
        if self.replies is None:
            self.replies = [segment]
        else:
            self.replies.append(segment)

    def next_reply(self) -> Segment | None:
        """The first of those that are ready, or None."""
        replies = self.replies
        if replies is None:
            return None
        segment = replies.pop(0)
        if not replies:
            self.replies = None
        return segment

    def clock(self, now: Nanos64) -> i64:
        """The timestamp of now: milliseconds from an offset of its own (RFC 7323 4.1)."""
        return (now // MILLISECOND + self.ts_offset) & MASK

    def segment(self, seq: Seq, flags: i64, payload: bytes, now: Nanos64) -> Segment:
        """A segment that acknowledges all there is to acknowledge, window and options filled in."""
        receiver = self.receiver
        window = receiver.advertise()
        segment = Segment(
            self.local_port, self.remote_port, seq & MASK, receiver.nxt & MASK, flags | ACK, window, payload
        )
        if self.timestamps:
            segment.stamp = (now // MILLISECOND + self.ts_offset) & MASK
            segment.ts_echo = receiver.ts_recent
        if self.sack and (receiver.reassembly is not None or receiver.duplicate is not None):
            self._report(segment)
        self.delayed_ack_at = NEVER
        return segment

    def _report(self, segment: Segment) -> None:
        """Put on it what arrived beyond the hole, a duplicate first (RFC 2018 4, RFC 2883 4)."""
        receiver = self.receiver
        blocks: list[tuple[int, int]] = []
        if receiver.duplicate is not None:
            blocks.append(receiver.duplicate)
            receiver.duplicate = None
        if receiver.reassembly is not None:
            blocks.extend(receiver.reassembly.recent)
        # Beside text only what leaves the segment within the path's limit: the next ACK will tell the rest.
        room: int = self.sender.mss - len(segment.payload) - 4
        most = min(3 if segment.stamp >= 0 else 4, max(room // 8, 0))
        segment.sack = tuple((left & MASK, right & MASK) for left, right in blocks[:most])

    def reset_segment(self, seq: Seq, now: Nanos64) -> Segment:
        """A RST of our own accord: <SEQ=seq><ACK=RCV.NXT><CTL=RST,ACK> (RFC 9293 3.10.5)."""
        segment = Segment(self.local_port, self.remote_port, seq & MASK, self.receiver.nxt & MASK, RST | ACK, 0)
        if self.timestamps:
            segment.stamp = self.clock(now)
            segment.ts_echo = self.receiver.ts_recent
        if self.sack and (self.receiver.reassembly is not None or self.receiver.duplicate is not None):
            self._report(segment)
        return segment

    def limited(self, now: Nanos64) -> bool:
        """Whether one more ACK to something out of the window is refused (tcp_invalid_ratelimit, RFC 5961 7)."""
        if now - self.oow_at < self.settings.tcp_invalid_ratelimit * MILLISECOND:
            return True
        self.oow_at = now
        return False

    def challenge(self, now: Nanos64) -> None:
        """A challenge ACK (RFC 5961), if the rate allows."""
        if self.limited(now):
            self.counters.TCPACKSkippedChallenge += 1
            return
        if self.challenges is not None and not self.challenges.allowed(self.settings.tcp_challenge_ack_limit, now):
            return
        self.counters.TCPChallengeACK += 1
        self.receiver.acks_owed += 1
