"""The transmission control block: all that is known of one connection, and the one place that writes its state."""

from __future__ import annotations

from typing import Final, final

from lastack.model.close import CloseKind, Closer
from lastack.model.state import TRANSITIONS, State, bits
from lastack.model.time import MILLISECOND, Nanos
from lastack.native import mypyc_attr
from lastack.wire.flags import ACK, FIN, RST, SYN
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK

from . import events
from .challenges import Challenges
from .counters import Counters
from .observer import Observer
from .receiver import Receiver
from .sender import Sender
from .settings import Settings, SocketOptions
from .timers import NEVER, Timers

_AFTER: Final = [0] * (max(State) + 1)
for _transition in TRANSITIONS:
    _AFTER[_transition.before] |= 1 << _transition.after

SYN_SENT_BIT: Final = bits(State.SYN_SENT)
SYN_RECEIVED_BIT: Final = bits(State.SYN_RECEIVED)
CLOSED_BIT: Final = bits(State.CLOSED)
SYN_STATES: Final = bits(State.SYN_SENT, State.SYN_RECEIVED)
RECEIVES_TEXT_BITS: Final = bits(State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)
FIN_WAITS: Final = bits(State.FIN_WAIT_1, State.FIN_WAIT_2)
FIN_SENT_BITS: Final = bits(State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT)
FIN_RECEIVED_BITS: Final = bits(State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT)
GONE: Final = bits(State.CLOSED, State.TIME_WAIT)
_OPEN_BITS: Final = bits(State.ESTABLISHED, State.CLOSE_WAIT)


# Looked up once: a member of an enumeration costs more than what is done with it.
_NOBODY: Final = Closer.NOBODY
_LOCAL: Final = Closer.LOCAL
_REMOTE: Final = Closer.REMOTE
_OPEN: Final = CloseKind.OPEN
_CLOSED: Final = State.CLOSED


def in_syn_queue(tcb: Tcb) -> bool:
    """Whether it is no socket yet, but a request in its listener's SYN queue (struct request_sock)."""
    return tcb.listener != 0 and tcb.state is State.SYN_RECEIVED


@mypyc_attr(acyclic=True)
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

    def __init__(self, now: Nanos) -> None:
        self.segments_in = 0
        self.segments_out = 0
        self.octets_in = 0
        self.octets_out = 0
        self.syn_in = 0
        self.syn_out = 0
        self.fin_in = 0
        self.fin_out = 0
        self.rst_in = 0
        self.rst_out = 0
        self.first_closer: Closer = _NOBODY
        self.close_kind: CloseKind = _OPEN
        self.reset_cause = ""
        self.opened_at: Nanos = now
        self.since: Nanos = now
        """When the present state was entered."""

    def control(self, flags: int, out: bool) -> None:
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
        if flags & (FIN | RST) and self.first_closer is _NOBODY:
            self.first_closer = _LOCAL if out else _REMOTE


@final
class Tcb:
    """One connection. The steps of RFC 9293 3.10 are functions of it; its parts know nothing of it."""

    __slots__ = (
        "active",
        "bit",
        "challenges",
        "counters",
        "deferred",
        "end_read",
        "error",
        "events",
        "keepalive_due",
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
        "sack",
        "scaling",
        "sender",
        "settings",
        "shut_read",
        "soft_error",
        "state",
        "tally",
        "timers",
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
        iss: int,
        mss: int,
        ts_offset: int,
        now: Nanos,
    ) -> None:
        self.settings = settings
        self.options = options
        self.counters = counters
        self.observer: Observer | None = None
        self.challenges: Challenges | None = None
        self.number = 0
        self.state: State = _CLOSED
        self.bit = 1 << 7
        self.local_port = local_port
        self.remote_port = remote_port
        self.local_mss = min(mss, options.tcp_maxseg) if options.tcp_maxseg else mss
        self.sender = Sender(settings, iss, options.tcp_congestion, options.so_sndbuf)
        self.receiver = Receiver(settings, options.so_rcvbuf, self.local_mss)
        self.timers = Timers()
        self.tally = Tally(now)
        self.events = 0
        self.error: str | None = None
        self.soft_error: str | None = None
        self.replies: list[Segment] = []
        self.active = self.timestamps = self.sack = self.shut_read = False
        self.ts_offset = ts_offset
        self.orphan = False
        """close() was called: no process holds it any more."""
        self.listener = 0
        """The port of the listener it came in by, or 0."""
        self.scaling = False
        self.leaving: Nanos = 0
        """Longer than 0: only this much time is left to it, as a row in the table of those that wait."""
        self.lingers_until: Nanos = NEVER
        self.oow_at: Nanos = -NEVER
        """When an ACK was last sent for a segment out of the window (RFC 5961 7)."""
        self.deferred = 0
        """TCP_DEFER_ACCEPT: the ACK of our SYN has come, and is believed with text, or after so many time-outs."""
        self.patience = 0
        """How often its SYN,ACK may be sent again, where its listener's queue is crowded; 0: as the settings say."""
        self.end_read = False
        """The owner has read the end of file."""
        self.probe_due = self.keepalive_due = False
        self.waiting_room = False
        """The application found the send buffer full, and is to be told when there is room."""

    def move(self, state: State, cause: str, now: Nanos) -> None:
        """Go to another state, because of `cause`. Raises AssertionError where TRANSITIONS has no such way."""
        before = self.state
        # As plain numbers, which compiled code can shift and count by.
        old: int = before
        new: int = state
        bit = 1 << new
        if not _AFTER[old] & bit:
            raise AssertionError(f"{before.name} to {state.name} by {cause!r} is no lawful transition")
        self.state = state
        self.bit = bit
        self.tally.since = now
        if self.bit & GONE:
            self.timers.clear()
            self.events |= events.CLOSED
        if self.observer is not None:
            self.observer.moved(self.number, before, state, cause, now)

    def fail(self, error: str, kind: CloseKind, cause: str, now: Nanos) -> None:
        """End the connection with an error (the name of an errno) for its owner."""
        self.error = error
        self.events |= events.ERROR
        self.end(kind, cause, now)

    def end(self, kind: CloseKind, cause: str, now: Nanos) -> None:
        """End the connection: nothing is sent, nothing is kept but what can still be read."""
        if self.tally.close_kind is CloseKind.OPEN or kind is not CloseKind.ORDERLY:
            self.tally.close_kind = kind
        # No wait follows, and no ACK that was still to come.
        self.leaving = 0
        self.receiver.acks_owed = 0
        self.receiver.wants_ack = False
        if self.state is not State.CLOSED:
            if self.bit & _OPEN_BITS:
                self.counters.TcpEstabResets += 1
            self.move(State.CLOSED, cause, now)

    def leave(self, duration: Nanos) -> None:
        """Nothing more is needed of it than a row that waits for so long."""
        self.leaving = max(duration, 1)
        self.timers.clear()
        self.events |= events.CLOSED

    def clock(self, now: Nanos) -> int:
        """The timestamp of now: milliseconds from an offset of its own (RFC 7323 4.1)."""
        return (now // MILLISECOND + self.ts_offset) & MASK

    def segment(self, seq: int, flags: int, payload: bytes, now: Nanos) -> Segment:
        """A segment that acknowledges all there is to acknowledge, window and options filled in."""
        receiver = self.receiver
        window = receiver.advertise()
        segment = Segment(
            self.local_port, self.remote_port, seq & MASK, receiver.nxt & MASK, flags | ACK, window, payload
        )
        if self.timestamps:
            segment.ts_value = (now // MILLISECOND + self.ts_offset) & MASK
            segment.ts_echo = receiver.ts_recent
        if self.sack and (receiver.reassembly is not None or receiver.duplicate is not None):
            self._report(segment)
        self.timers.delayed_ack = NEVER
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
        room = self.sender.mss - len(segment.payload) - 4
        most = min(3 if segment.ts_value is not None else 4, max(room // 8, 0))
        segment.sack = tuple((left & MASK, right & MASK) for left, right in blocks[:most])

    def reset_segment(self, seq: int, now: Nanos) -> Segment:
        """A RST of our own accord: <SEQ=seq><ACK=RCV.NXT><CTL=RST,ACK> (RFC 9293 3.10.5)."""
        segment = Segment(self.local_port, self.remote_port, seq & MASK, self.receiver.nxt & MASK, RST | ACK, 0)
        if self.timestamps:
            segment.ts_value = self.clock(now)
            segment.ts_echo = self.receiver.ts_recent
        if self.sack and (self.receiver.reassembly is not None or self.receiver.duplicate is not None):
            self._report(segment)
        return segment

    def limited(self, now: Nanos) -> bool:
        """Whether one more ACK to something out of the window is refused (tcp_invalid_ratelimit, RFC 5961 7)."""
        if now - self.oow_at < self.settings.tcp_invalid_ratelimit * MILLISECOND:
            return True
        self.oow_at = now
        return False

    def challenge(self, now: Nanos) -> None:
        """A challenge ACK (RFC 5961), if the rate allows."""
        if self.limited(now):
            self.counters.TCPACKSkippedChallenge += 1
            return
        if self.challenges is not None and not self.challenges.allowed(self.settings.tcp_challenge_ack_limit, now):
            return
        self.counters.TCPChallengeACK += 1
        self.receiver.acks_owed += 1
