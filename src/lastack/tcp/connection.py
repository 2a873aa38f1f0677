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
from .settings import SocketOptions, keepalive_idle
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
class Connection:
    """A TCP connection around its TCB, opened by `calls.open_active` or `calls.open_passive`, mostly by a Stack."""

    __slots__ = ("tcb",)

    def __init__(self, tcb: Tcb) -> None:
        self.tcb = tcb

    # -- what happened

    def on_segment(self, segment: Segment, now: Nanos64) -> None:
        """A segment for this connection has arrived (RFC 9293 3.10.7)."""
        tcb = self.tcb
        tally = tcb.tally
        tally.segments_in += segment.count if segment.gso else 1
        if segment.flags & (SYN | FIN | RST):
            tally.control(segment.flags, False)
        if tcb.bit & SYN_SENT_BIT:
            syn_sent.arrive(tcb, segment, now)
        elif not tcb.bit & CLOSED_BIT:
            arrival.arrive(tcb, segment, now)

    def on_icmp(self, problem: Problem, mss: i64, seq: Seq, now: Nanos64) -> None:
        """An ICMP error quotes a segment of this connection (RFC 5461, RFC 9293 3.9.2.2, tcp_v4_err).

        One that speaks of nothing that is out is ignored. While opening, a hard error ends the connection; later it
        is only remembered, for the case that retransmission gives up. `mss`: for TOO_BIG, what fits in a segment.
        """
        tcb = self.tcb
        sender = tcb.sender
        at = expand(seq, sender.una)
        if not sender.una <= at <= sender.nxt or tcb.state is State.CLOSED:
            tcb.counters.OutOfWindowIcmps += 1
            return
        if problem is Problem.TOO_BIG:
            self._narrower(mss, now)
            return
        error = _SOFT.get(problem)
        if error is None:
            return
        if tcb.bit & SYN_STATES:
            tcb.counters.TcpAttemptFails += 1
            tcb.fail(error, CloseKind.UNREACHABLE, f"rcv ICMP {problem.name.lower().replace('_', ' ')}", now)
        else:
            tcb.soft_error = error
            if problem in _LINK_DOWN:
                timeouts.revert_back_off(tcb, at, now)

    def _narrower(self, mss: i64, now: Nanos64) -> None:
        """RFC 1191: the path takes less than was thought. What is out and too large is sent again, smaller."""
        tcb = self.tcb
        sender = tcb.sender
        if mss >= tcb.local_mss or mss < tcb.settings.tcp_min_snd_mss:
            return
        tcb.local_mss = mss
        sender.resize(handshake.send_mss(tcb))
        if not tcb.bit & SYN_STATES:
            for sent in sender.flight.out():
                if not sent.sacked and (not sent.lost or sent.resent):
                    sender.flight.mark_lost(sent)
            sender.recovery.resend_all(sender.nxt)

    def on_timeout(self, now: Nanos64) -> None:
        """`next_timeout` has come; harmless before it."""
        if self.deadline() <= now:
            timeouts.on_timeout(self.tcb, now)

    # -- what follows

    def poll(self, now: Nanos64) -> Segment | None:
        """The next segment to send, or None until something happens."""
        return output.next_segment(self.tcb, now)

    def next_timeout(self) -> Nanos64 | None:
        """When to call `on_timeout`; None: no timer is armed."""
        at = self.deadline()
        return None if at == NEVER else at

    def deadline(self) -> Nanos64:
        """The same as a plain number, NEVER where no timer is armed."""
        # Without min(), which is a call wherever this is not compiled, and this is asked all the time.
        tcb = self.tcb
        timers = tcb.timers
        at = timers.retransmit
        if timers.delayed_ack < at:
            at = timers.delayed_ack
        if timers.keepalive < at:
            at = timers.keepalive
        if tcb.lingers_until < at:
            at = tcb.lingers_until
        return at

    def next_event(self) -> Event | None:
        """What the owner should know and has not been told yet."""
        pending = self.tcb.events
        if not pending:
            return None
        lowest = pending & -pending
        self.tcb.events = pending & ~lowest
        return _EVENTS[lowest]

    # -- the owner's calls

    def send(self, data: bytes, now: Nanos64) -> i64:
        """Queue octets; how many were taken. Raises CallError (EPIPE, or the connection's error)."""
        return calls.send(self.tcb, data, now)

    def receive(self, limit: i64, now: Nanos64) -> bytes | None:
        """Octets in order; None: nothing yet; empty: end of file. Raises CallError with the connection's error."""
        return calls.receive(self.tcb, limit, now)

    def receive_urgent(self) -> bytes | None:
        """The urgent octet, out of band (MSG_OOB); None: it has not come yet. Raises CallError EINVAL: none is."""
        return calls.receive_urgent(self.tcb)

    def shutdown(self, how: str, now: Nanos64) -> None:
        """Close one direction, or both, and keep the socket. `how`: `read`, `write` or `both`."""
        if how not in ("read", "write", "both"):
            raise CallError(f"shutdown of {how!r}: it is read, write or both", "EINVAL")
        calls.shutdown(self.tcb, how != "write", how != "read", now)

    def close(self, now: Nanos64) -> None:
        """Give the socket up; what was sent and a FIN are still delivered, unless unread data or SO_LINGER forbid."""
        calls.close(self.tcb, now)

    def abort(self, now: Nanos64, cause: str = "ABORT") -> None:
        """End it at once, with a RST where the peer may know of it."""
        calls.abort(self.tcb, cause, now)

    def set_keepalive(self, on: bool, now: Nanos64) -> None:
        """SO_KEEPALIVE on a connection that is open already: the timer starts, or stops."""
        tcb = self.tcb
        tcb.options.so_keepalive = on
        if tcb.orphan or tcb.bit & SYN_STATES or tcb.state is State.CLOSED:
            return
        tcb.timers.keepalive = now + keepalive_idle(tcb.settings, tcb.options) if on else NEVER

    def set_quickack(self, on: bool) -> None:
        """TCP_QUICKACK: acknowledge at once from now on, or, off, only with what we have to say; not for ever."""
        receiver = self.tcb.receiver
        receiver.replying = not on
        if on and receiver.wants_ack:
            receiver.owe_ack()

    # -- what it is

    @property
    def state(self) -> State:
        """Its state; TIME_WAIT stays even when the table has forgotten it: ask the stack."""
        return self.tcb.state

    @property
    def options(self) -> SocketOptions:
        """The socket's options, to be set at any time."""
        return self.tcb.options

    @property
    def error(self) -> str | None:
        """The error (name of an errno) that the next call will raise."""
        return self.tcb.error

    def info(self, now: Nanos64) -> TcpInfo:
        """What getsockopt(TCP_INFO) says."""
        return tcp_info(self.tcb, now)
