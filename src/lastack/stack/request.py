"""A segment arrives for a connection in the SYN queue: SYN_RECEIVED by passive OPEN (RFC 9293 3.10.7.4, tcp_check_req).

Nothing is known of the peer but its SYN, so that most of what is wrong is answered as if there were no connection.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from lastack.model.time import Nanos64
from lastack.tcp.tcb import Tcb
from lastack.wire.flags import ACK, RST, SYN
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK, add, before, overlaps

_CONTROL: Final = SYN | ACK | RST


class Verdict(IntEnum):
    """What is to be done."""

    NOTHING = 0
    REPEAT = 1
    """The SYN came again: so does its answer."""
    ACKNOWLEDGE = 2
    REFUSE = 3
    """<SEQ=SEG.ACK><CTL=RST>, and wait on."""
    RESET = 4
    """The same, and forget the connection."""
    END = 5
    """The peer's RST ends it."""
    COMPLETE = 6
    """The handshake is complete, unless the accept queue is full."""


def arrive(tcb: Tcb, segment: Segment, now: Nanos64) -> Verdict:
    """What a segment does to a connection in the SYN queue."""
    receiver, sender = tcb.receiver, tcb.sender
    rcv_nxt, isn = receiver.nxt & MASK, receiver.irs & MASK
    control = segment.flags & _CONTROL
    stale = _stale(tcb, segment)
    if segment.seq == isn and control == SYN and not stale:
        return Verdict.NOTHING if tcb.limited(now) else Verdict.REPEAT
    if stale:
        tcb.counters.PAWSEstab += 1
    if control & RST:
        return _reset(tcb, segment, stale, now)
    if control & ACK and segment.ack != add(sender.iss, 1):
        return Verdict.REFUSE
    # First, check the sequence number, and both timestamps.
    end = add(segment.seq, segment.length)
    if stale or _never_sent(tcb, segment) or not overlaps(segment.seq, end, rcv_nxt, receiver.window):
        # Text is no part of a loop of ACKs, and always answered (tcp_oow_rate_limited).
        text = segment.length and not control & SYN
        return Verdict.NOTHING if not text and tcb.limited(now) else Verdict.ACKNOWLEDGE
    if control & SYN and segment.seq != isn:
        return Verdict.RESET
    if not control & ACK:
        return Verdict.NOTHING
    return Verdict.COMPLETE


def _reset(tcb: Tcb, segment: Segment, stale: bool, now: Nanos64) -> Verdict:
    """Second, check the RST bit: at RCV.NXT it is believed, elsewhere in the window challenged (RFC 5961 3.2)."""
    rcv_nxt = tcb.receiver.nxt & MASK
    if stale or not overlaps(segment.seq, add(segment.seq, segment.length), rcv_nxt, tcb.receiver.window):
        return Verdict.NOTHING
    if segment.seq == rcv_nxt:
        return Verdict.END
    if tcb.limited(now):
        return Verdict.NOTHING
    tcb.counters.TCPChallengeACK += 1
    return Verdict.ACKNOWLEDGE


def _stale(tcb: Tcb, segment: Segment) -> bool:
    """RFC 7323 5.3 R1, for a RST too: the SYN is not old enough for its timestamp to be forgotten."""
    recent = tcb.receiver.ts_recent
    return segment.stamp >= 0 and recent != 0 and before(segment.stamp, recent)


def _never_sent(tcb: Tcb, segment: Segment) -> bool:
    """Whether it echoes a timestamp that none of our SYN,ACKs had."""
    if not tcb.timestamps or segment.stamp < 0 or not segment.ts_echo:
        return False
    if not tcb.sender.flight.count:
        return True
    first = tcb.clock(tcb.tally.opened_at)
    last = tcb.clock(tcb.sender.flight.first().sent_at)
    if (segment.ts_echo - first) & MASK <= (last - first) & MASK:
        return False
    tcb.counters.TSEcrRejected += 1
    return True
