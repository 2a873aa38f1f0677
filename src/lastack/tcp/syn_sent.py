"""A segment arrives in SYN_SENT (RFC 9293 3.10.7.3)."""

from __future__ import annotations

from typing import Final

from lastack.model.close import CloseKind
from lastack.model.time import MILLISECOND, Nanos64
from lastack.wire.flags import ACK, FIN, RST, SYN
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK, Seq, expand

from . import arrival, departure, handshake, output
from .members import SYN_RECEIVED
from .tcb import Tcb
from .timers import NEVER, RETRANSMIT

_AT_ONCE: Final = 8 * MILLISECOND
"""TCP_TIMEOUT_MIN: two ticks, here of 250 Hz."""


def arrive(tcb: Tcb, segment: Segment, now: Nanos64) -> None:
    """The steps, in the RFC's order."""
    sender = tcb.sender
    ack = expand(segment.ack, sender.una)
    if segment.flags & ACK and not _acceptable(tcb, segment, ack, now):
        return
    if segment.flags & RST:
        _reset(tcb, segment, now)
    elif segment.flags & SYN:
        _synchronize(tcb, segment, ack, now)
    # Fifth: neither SYN nor RST: drop the segment.


def _acceptable(tcb: Tcb, segment: Segment, ack: Seq, now: Nanos64) -> bool:
    """First, check the ACK bit: one that our SYN cannot have caused is answered with <SEQ=SEG.ACK><CTL=RST>."""
    sender = tcb.sender
    if not sender.una < ack <= sender.nxt:
        if not sender.retransmits and sender.flight.count:
            # Our RST ends what the peer has left of an old connection: the SYN need not wait for its time-out.
            tcb.arm(RETRANSMIT, now + _AT_ONCE)
    elif not _never_sent(tcb, segment, now):
        return True
    if not segment.flags & RST:
        tcb.reply(departure.reset_to(tcb, segment.ack))
    return False


def _never_sent(tcb: Tcb, segment: Segment, now: Nanos64) -> bool:
    """Whether it echoes a timestamp of before our SYN (RFC 7323 3.2, and PAWS for the active opener)."""
    if not tcb.settings.tcp_timestamps or segment.stamp < 0 or not segment.ts_echo:
        return False
    behind = (tcb.clock(now) - segment.ts_echo) & MASK
    if behind <= (now - tcb.tally.opened_at) // MILLISECOND + 1:
        return False
    tcb.counters.PAWSActive += 1
    return True


def _reset(tcb: Tcb, segment: Segment, now: Nanos64) -> None:
    """Second, check the RST bit: with an acceptable ACK it refuses the connection, otherwise it is dropped."""
    if segment.flags & ACK:
        tcb.counters.TcpAttemptFails += 1
        tcb.fail("ECONNREFUSED", CloseKind.REFUSED, "rcv RST", now)


def _synchronize(tcb: Tcb, segment: Segment, ack: Seq, now: Nanos64) -> None:
    """Fourth, check the SYN bit."""
    sender, receiver = tcb.sender, tcb.receiver
    handshake.take_syn(tcb, segment, segment.seq, now)
    if not segment.flags & ACK:
        # Both ends have opened at once: answer the SYN with the SYN again, and now with an ACK.
        receiver.open_window(sender.mss)
        tcb.move(SYN_RECEIVED, "rcv SYN", now)
        # It is a segment of its own, and no retransmission of ours; but it has nothing new for tcpOutSegs.
        tcb.counters.TcpOutSegs -= 1
        tcb.reply(output.syn(tcb, now))
        tcb.retransmit_at = now + sender.rtt.rto
        return
    acked = sender.acknowledge(ack, (), now)
    if acked.rtt >= 0:
        sender.rtt.sample(acked.rtt, sender.una, sender.nxt, now)
    tcb.retransmit_at = NEVER
    handshake.established(tcb, "rcv SYN,ACK", now)
    receiver.acks_owed = 1
    if segment.payload or segment.flags & FIN:
        arrival.text_and_fin(tcb, segment, segment.seq + 1, now)
