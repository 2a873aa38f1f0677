"""A segment arrives in TIME_WAIT, or in a FIN_WAIT_2 that nobody holds (tcp_timewait_state_process).

The steps of the RFC for these two, on what a row of the table says; with RFC 1337, RFC 6191 and RFC 7323's timestamps.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.tcp.counters import Counters
from lastack.tcp.settings import Settings
from lastack.wire.flags import ACK, FIN, RST, SYN
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK, after, before, overlaps

from .timewait import FIN_WAIT_2, TIMESTAMPS, Wait

_ISN_STEP: Final = 65_535 + 2
_PAWS_LIMIT: Final[Nanos] = 24 * 24 * 3600 * SECOND


class Verdict(IntEnum):
    """What is to be done (enum tcp_tw_status)."""

    NOTHING = 0
    ACKNOWLEDGE = 1
    RESET = 2
    END = 3
    """A RST has ended the wait."""
    REOPEN = 4
    """A new SYN may have the four-tuple, with an initial sequence number beyond `snd_nxt`."""


def arrive(wait: Wait, segment: Segment, settings: Settings, counters: Counters, now: Nanos) -> Verdict:
    """What a segment does to a connection that waits."""
    stale = _stale(wait, segment, now)
    if wait.flags & FIN_WAIT_2:
        return _in_fin_wait_2(wait, segment, stale, settings, counters, now)
    flags = segment.flags
    if not stale and segment.seq == wait.rcv_nxt and (segment.length == 0 or flags & RST):
        # In order, and empty: either a RST, or an ACK that came late.
        if flags & RST:
            if not settings.tcp_rfc1337:
                return Verdict.END
        else:
            wait.until = now + _length(settings)
        _remember(wait, segment, now)
        return Verdict.NOTHING
    if flags & SYN and not flags & (RST | ACK) and not stale and _newer(wait, segment):
        return Verdict.REOPEN
    if stale:
        counters.PAWSTimewait += 1
    if flags & RST:
        return Verdict.NOTHING
    if stale or flags & ACK:
        # Above all the FIN that comes again: its ACK was lost, and the wait begins anew (RFC 9293 3.10.7.4).
        wait.until = now + _length(settings)
    return _limited(wait, segment, settings, counters, now)


def _in_fin_wait_2(
    wait: Wait, segment: Segment, stale: bool, settings: Settings, counters: Counters, now: Nanos
) -> Verdict:
    """The peer's FIN is awaited; its text has no reader any more."""
    flags = segment.flags
    end = (segment.seq + segment.length) & MASK
    if stale or not overlaps(segment.seq, end, wait.rcv_nxt, wait.window << wait.scale):
        # Linux answers even a RST.
        return _limited(wait, segment, settings, counters, now)
    if flags & RST:
        return Verdict.END
    if flags & SYN and not before(segment.seq, wait.rcv_nxt):
        return Verdict.RESET
    if not flags & ACK or not after(end, wait.rcv_nxt) or end == segment.seq:
        return Verdict.NOTHING
    if not flags & FIN or end != (wait.rcv_nxt + 1) & MASK:
        # New text after CLOSE (RFC 9293 3.6.1).
        return Verdict.RESET
    wait.flags &= ~FIN_WAIT_2
    wait.rcv_nxt = end
    _remember(wait, segment, now)
    wait.until = now + _length(settings)
    return Verdict.ACKNOWLEDGE


def _length(settings: Settings) -> Nanos:
    return max(settings.time_wait_ms * MILLISECOND, 1)


def _stale(wait: Wait, segment: Segment, now: Nanos) -> bool:
    """RFC 7323 5.3, R1: the timestamp is older than the last one."""
    if segment.ts_value is None or not wait.flags & TIMESTAMPS:
        return False
    if wait.timestamp_age(now) >= _PAWS_LIMIT:
        return False
    return before(segment.ts_value, wait.ts_recent)


def _newer(wait: Wait, segment: Segment) -> bool:
    """A SYN that cannot be of the old connection: RFC 9293 3.6.1 by its number, RFC 6191 by its timestamp."""
    if after(segment.seq, wait.rcv_nxt):
        return True
    stamped = segment.ts_value is not None and wait.flags & TIMESTAMPS
    return bool(stamped) and before(wait.ts_recent, segment.ts_value or 0)


def _remember(wait: Wait, segment: Segment, now: Nanos) -> None:
    if segment.ts_value is not None and wait.flags & TIMESTAMPS:
        wait.ts_recent = segment.ts_value
        wait.ts_at = now // MILLISECOND & MASK


def _limited(wait: Wait, segment: Segment, settings: Settings, counters: Counters, now: Nanos) -> Verdict:
    """An ACK, if the last one was long enough ago (tcp_timewait_check_oow_rate_limit).

    Text and FIN are no part of a loop of ACKs, and always answered.
    """
    if segment.length and not segment.flags & SYN:
        return Verdict.ACKNOWLEDGE
    at = now // MILLISECOND & MASK
    last = wait.acked_at
    if last and (at - last) & MASK < settings.tcp_invalid_ratelimit:
        if wait.flags & FIN_WAIT_2:
            counters.TCPACKSkippedFinWait2 += 1
        else:
            counters.TCPACKSkippedTimeWait += 1
        return Verdict.NOTHING
    wait.acked_at = at
    return Verdict.ACKNOWLEDGE


def last_ack(wait: Wait, segment: Segment, ts_offset: int, now: Nanos) -> Segment:
    """The last ACK once more: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>. `ts_offset`: where our timestamps begin."""
    answer = Segment(segment.dst_port, segment.src_port, wait.snd_nxt, wait.rcv_nxt, ACK, wait.window)
    if wait.flags & TIMESTAMPS:
        answer.ts_value = (now // MILLISECOND + ts_offset) & MASK
        answer.ts_echo = wait.ts_recent
    return answer


def next_isn(wait: Wait) -> int:
    """Where a connection that takes the four-tuple over begins: beyond all that the old one can have sent."""
    return (wait.snd_nxt + _ISN_STEP) & MASK or 1
