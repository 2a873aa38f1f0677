"""A segment arrives in TIME_WAIT, or in a FIN_WAIT_2 that nobody holds (tcp_timewait_state_process).

The steps of the RFC for these two, on a row of the table: RFC 1337, RFC 6191, and RFC 7323's timestamps included.
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

from .timewait import FIN_WAIT_2, SCALE_AT, TIMESTAMPS, Rows

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


def arrive(rows: Rows, row: int, segment: Segment, settings: Settings, counters: Counters, now: Nanos) -> Verdict:
    """What a segment does to a row."""
    stale = _stale(rows, row, segment, now)
    if rows.flags[row] & FIN_WAIT_2:
        return _in_fin_wait_2(rows, row, segment, stale, settings, counters, now)
    rcv_nxt = rows.rcv_nxt[row]
    flags = segment.flags
    if not stale and segment.seq == rcv_nxt and (segment.length == 0 or flags & RST):
        # In order, and empty: either a RST, or an ACK that came late.
        if flags & RST and not settings.tcp_rfc1337:
            return Verdict.END
        rows.restart(row, _length(settings), now)
        _remember(rows, row, segment, now)
        return Verdict.NOTHING
    if flags & SYN and not flags & (RST | ACK) and not stale and _newer(rows, row, segment):
        return Verdict.REOPEN
    if stale:
        counters.PAWSTimewait += 1
    if flags & RST:
        return Verdict.NOTHING
    if stale or flags & ACK:
        # Above all the FIN that comes again: its ACK was lost, and the wait begins anew (RFC 9293 3.10.7.4).
        rows.restart(row, _length(settings), now)
    return _limited(rows, row, segment, settings, counters, now)


def _in_fin_wait_2(
    rows: Rows,
    row: int,
    segment: Segment,
    stale: bool,
    settings: Settings,
    counters: Counters,
    now: Nanos,
) -> Verdict:
    """The peer's FIN is awaited; its text has no reader any more."""
    rcv_nxt = rows.rcv_nxt[row]
    flags = segment.flags
    end = (segment.seq + segment.length) & MASK
    window = rows.window[row] << (rows.flags[row] >> SCALE_AT)
    if stale or not overlaps(segment.seq, end, rcv_nxt, window):
        # Linux answers even a RST.
        return _limited(rows, row, segment, settings, counters, now)
    if flags & RST:
        return Verdict.END
    if flags & SYN and not before(segment.seq, rcv_nxt):
        return Verdict.RESET
    if not flags & ACK or not after(end, rcv_nxt) or end == segment.seq:
        return Verdict.NOTHING
    if not flags & FIN or end != (rcv_nxt + 1) & MASK:
        # New text after CLOSE (RFC 9293 3.6.1).
        return Verdict.RESET
    rows.flags[row] &= ~FIN_WAIT_2
    rows.rcv_nxt[row] = end
    _remember(rows, row, segment, now)
    rows.restart(row, _length(settings), now)
    return Verdict.ACKNOWLEDGE


def _length(settings: Settings) -> Nanos:
    return max(settings.time_wait_ms * MILLISECOND, 1)


def _stale(rows: Rows, row: int, segment: Segment, now: Nanos) -> bool:
    """RFC 7323 5.3, R1: the timestamp is older than the last one."""
    if segment.ts_value is None or not rows.flags[row] & TIMESTAMPS:
        return False
    if rows.timestamp_age(row, now) >= _PAWS_LIMIT:
        return False
    return before(segment.ts_value, rows.ts_recent[row])


def _newer(rows: Rows, row: int, segment: Segment) -> bool:
    """A SYN that cannot be of the old connection: RFC 9293 3.6.1 by its number, RFC 6191 by its timestamp."""
    if after(segment.seq, rows.rcv_nxt[row]):
        return True
    stamped = segment.ts_value is not None and rows.flags[row] & TIMESTAMPS
    return bool(stamped) and before(rows.ts_recent[row], segment.ts_value or 0)


def _remember(rows: Rows, row: int, segment: Segment, now: Nanos) -> None:
    if segment.ts_value is not None and rows.flags[row] & TIMESTAMPS:
        rows.ts_recent[row] = segment.ts_value
        rows.ts_at[row] = now // SECOND & MASK


def _limited(rows: Rows, row: int, segment: Segment, settings: Settings, counters: Counters, now: Nanos) -> Verdict:
    """An ACK, if the last one was long enough ago (tcp_timewait_check_oow_rate_limit).

    Text and FIN are no part of a loop of ACKs, and always answered.
    """
    if segment.length and not segment.flags & SYN:
        return Verdict.ACKNOWLEDGE
    at = now // MILLISECOND & MASK
    last = rows.acked_at[row]
    if last and (at - last) & MASK < settings.tcp_invalid_ratelimit:
        if rows.flags[row] & FIN_WAIT_2:
            counters.TCPACKSkippedFinWait2 += 1
        else:
            counters.TCPACKSkippedTimeWait += 1
        return Verdict.NOTHING
    rows.acked_at[row] = at
    return Verdict.ACKNOWLEDGE


def last_ack(rows: Rows, row: int, segment: Segment, now: Nanos) -> Segment:
    """The last ACK once more: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>."""
    answer = Segment(segment.dst_port, segment.src_port, rows.snd_nxt[row], rows.rcv_nxt[row], ACK, rows.window[row])
    if rows.flags[row] & TIMESTAMPS:
        answer.ts_value = (now // MILLISECOND + rows.ts_offset[row]) & MASK
        answer.ts_echo = rows.ts_recent[row]
    return answer


def next_isn(rows: Rows, row: int) -> int:
    """Where a connection that takes the four-tuple over begins: beyond all that the old one can have sent."""
    return (rows.snd_nxt[row] + _ISN_STEP) & MASK or 1
