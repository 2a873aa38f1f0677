"""One connection, as its owner and its stack see it. No input or output: time is an argument, segments are values.

Driving it: give it what arrived (`on_segment`, `on_icmp`) or what time it is (`on_timeout`), or call it (`send`,
`receive`, `shutdown`, `close`, `abort`); then take segments from `poll` until it says None, and ask `next_event` what
the owner should know. Nothing more leaves before the next of these, or before `next_timeout`.
"""

from __future__ import annotations

from typing import Final, final

from lastack.errors import CallError
from lastack.model.close import CloseKind
from lastack.model.state import State
from lastack.model.time import Nanos64
from lastack.native import i64
from lastack.wire.flags import FIN, RST, SYN
from lastack.wire.icmp import Problem
from lastack.wire.segment import Segment
from lastack.wire.seq import Seq, expand

from . import arrival, calls, handshake, output, syn_sent, timeouts
from .events import CLOSED as CLOSED_EVENT
from .events import Event
from .info import TcpInfo, tcp_info
from .settings import keepalive_idle
from .tcb import CLOSED_BIT, SYN_SENT_BIT, SYN_STATES, Tcb
from .timers import NEVER

_EVENTS: Final = [Event(bits) for bits in range(CLOSED_EVENT + 1)]
"""By their number."""
_SOFT: Final = {
    Problem.NETWORK_UNREACHABLE: "ENETUNREACH",
    Problem.HOST_UNREACHABLE: "EHOSTUNREACH",
    Problem.TIME_EXCEEDED: "EHOSTUNREACH",
    Problem.PROTOCOL_UNREACHABLE: "ENOPROTOOPT",
    Problem.PORT_UNREACHABLE: "ECONNREFUSED",
    Problem.PROHIBITED: "EHOSTUNREACH",
    Problem.PARAMETER: "EPROTO",
}


_LINK_DOWN: Final = (Problem.NETWORK_UNREACHABLE, Problem.HOST_UNREACHABLE)


@final
class Connection(Tcb):
    """A TCB with what its owner and its stack do; opened by `calls.open_active` or `calls.open_passive`."""

    __slots__ = ()

    # -- what happened

    def on_segment(self, segment: Segment, now: Nanos64) -> None:
        """A segment for this connection has arrived (RFC 9293 3.10.7)."""
        tally = self.tally
        tally.segments_in += segment.count if segment.gso else 1
        if segment.flags & (SYN | FIN | RST):
            tally.control(segment.flags, False)
        if self.bit & SYN_SENT_BIT:
            syn_sent.arrive(self, segment, now)
        elif not self.bit & CLOSED_BIT:
            arrival.arrive(self, segment, now)

    def on_icmp(self, problem: Problem, mss: i64, seq: Seq, now: Nanos64) -> None:
        """An ICMP error quotes a segment of this connection (RFC 5461, RFC 9293 3.9.2.2, tcp_v4_err).

        One that speaks of nothing that is out is ignored. While opening, a hard error ends the connection; later it
        is only remembered, for the case that retransmission gives up. `mss`: for TOO_BIG, what fits in a segment.
        """
        sender = self.sender
        at = expand(seq, sender.una)
        if not sender.una <= at <= sender.nxt or self.state is State.CLOSED:
            self.counters.OutOfWindowIcmps += 1
            return
        if problem is Problem.TOO_BIG:
            self._narrower(mss, now)
            return
        error = _SOFT.get(problem)
        if error is None:
            return
        if self.bit & SYN_STATES:
            self.counters.TcpAttemptFails += 1
            self.fail(error, CloseKind.UNREACHABLE, f"rcv ICMP {problem.name.lower().replace('_', ' ')}", now)
        else:
            self.soft_error = error
            if problem in _LINK_DOWN:
                timeouts.revert_back_off(self, at, now)

    def _narrower(self, mss: i64, now: Nanos64) -> None:
        """RFC 1191: the path takes less than was thought. What is out and too large is sent again, smaller."""
        sender = self.sender
        if mss >= self.local_mss or mss < self.settings.tcp_min_snd_mss:
            return
        self.local_mss = mss
        sender.resize(handshake.send_mss(self))
        if not self.bit & SYN_STATES:
            for sent in sender.flight.out():
                if not sent.sacked and (not sent.lost or sent.resent):
                    sender.flight.mark_lost(sent)
            sender.recovery.resend_all(sender.nxt)

    def on_timeout(self, now: Nanos64) -> None:
        """`next_timeout` has come; harmless before it."""
        if self.deadline() <= now:
            timeouts.on_timeout(self, now)

    # -- what follows

    def poll(self, now: Nanos64) -> Segment | None:
        """The next segment to send, or None until something happens."""
        return output.next_segment(self, now)

    def next_timeout(self) -> Nanos64 | None:
        """When to call `on_timeout`; None: no timer is armed."""
        at = self.deadline()
        return None if at == NEVER else at

    def deadline(self) -> Nanos64:
        """The same as a plain number, NEVER where no timer is armed."""
        # Without min(), which is a call wherever this is not compiled, and this is asked all the time.
        at = self.retransmit_at
        if self.delayed_ack_at < at:
            at = self.delayed_ack_at
        if self.keepalive_at < at:
            at = self.keepalive_at
        if self.lingers_until < at:
            at = self.lingers_until
        return at

    def next_event(self) -> Event | None:
        """What the owner should know and has not been told yet."""
        pending = self.events
        if not pending:
            return None
        lowest = pending & -pending
        self.events = pending & ~lowest
        return _EVENTS[lowest]

    # -- the owner's calls

    def send(self, data: bytes, now: Nanos64) -> i64:
        """Queue octets; how many were taken. Raises CallError (EPIPE, or the connection's error)."""
        return calls.send(self, data, now)

    def receive(self, limit: i64, now: Nanos64) -> bytes | None:
        """Octets in order; None: nothing yet; empty: end of file. Raises CallError with the connection's error."""
        return calls.receive(self, limit, now)

    def receive_urgent(self) -> bytes | None:
        """The urgent octet, out of band (MSG_OOB); None: it has not come yet. Raises CallError EINVAL: none is."""
        return calls.receive_urgent(self)

    def shutdown(self, how: str, now: Nanos64) -> None:
        """Close one direction, or both, and keep the socket. `how`: `read`, `write` or `both`."""
        if how not in ("read", "write", "both"):
            raise CallError(f"shutdown of {how!r}: it is read, write or both", "EINVAL")
        calls.shutdown(self, how != "write", how != "read", now)

    def close(self, now: Nanos64) -> None:
        """Give the socket up; what was sent and a FIN are still delivered, unless unread data or SO_LINGER forbid."""
        calls.close(self, now)

    def abort(self, now: Nanos64, cause: str = "ABORT") -> None:
        """End it at once, with a RST where the peer may know of it."""
        calls.abort(self, cause, now)

    def set_keepalive(self, on: bool, now: Nanos64) -> None:
        """SO_KEEPALIVE on a connection that is open already: the timer starts, or stops."""
        self.options.so_keepalive = on
        if self.orphan or self.bit & SYN_STATES or self.state is State.CLOSED:
            return
        self.keepalive_at = now + keepalive_idle(self.settings, self.options) if on else NEVER

    def set_quickack(self, on: bool) -> None:
        """TCP_QUICKACK: acknowledge at once from now on, or, off, only with what we have to say; not for ever."""
        receiver = self.receiver
        receiver.replying = not on
        if on and receiver.wants_ack:
            receiver.owe_ack()

    # -- what it is

    def info(self, now: Nanos64) -> TcpInfo:
        """What getsockopt(TCP_INFO) says."""
        return tcp_info(self, now)
