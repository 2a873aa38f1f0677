"""The two FINs and what follows them: the last states of a connection (RFC 9293 3.6, 3.10.7.4 eighth step)."""

from __future__ import annotations

from typing import Final

from lastack.model.close import CloseKind
from lastack.model.time import MILLISECOND, SECOND, Nanos64
from lastack.wire.flags import RST
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK, Seq

from . import events
from .members import (
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    HALF_CLOSED,
    LAST_ACK,
    ORDERLY,
    SIMULTANEOUS,
    SYN_RECEIVED,
    TIME_WAIT,
)
from .tcb import Tcb
from .timers import NEVER

_ROW: Final = 60 * SECOND
"""TCP_TIMEWAIT_LEN: a FIN_WAIT_2 that nobody holds is a row for so long at most."""
_NO_WAIT: Final = "TCP_LINGER2 below 0"


def fin_received(tcb: Tcb, now: Nanos64) -> None:
    """Eighth, check the FIN bit: RCV.NXT goes over it, the reader learns of the end, the state changes."""
    receiver = tcb.receiver
    receiver.fin_at = receiver.nxt
    receiver.nxt += 1
    receiver.reassembly = None
    receiver.wants_ack = True
    tcb.events |= events.END_OF_FILE
    state = tcb.state
    if state is ESTABLISHED or state is SYN_RECEIVED:
        # The owner may close soon, so that the ACK can ride on our FIN (tcp_fin: pingpong mode).
        receiver.replying = True
        receiver.duplicate = None
        tcb.tally.close_kind = HALF_CLOSED
        tcb.move(CLOSE_WAIT, "rcv FIN", now)
    elif state is FIN_WAIT_1:
        receiver.owe_ack()
        tcb.tally.close_kind = SIMULTANEOUS
        tcb.move(CLOSING, "rcv FIN", now)
    elif state is FIN_WAIT_2:
        receiver.owe_ack()
        if tcb.tally.close_kind is not SIMULTANEOUS:
            tcb.tally.close_kind = ORDERLY
        time_wait(tcb, "rcv FIN", now)


def fin_acknowledged(tcb: Tcb, fin: bool, now: Nanos64) -> None:
    """Fifth step, our FIN is acknowledged, by a segment with a `fin` or without: three states are over."""
    state = tcb.state
    if state is FIN_WAIT_1:
        tcb.tally.close_kind = HALF_CLOSED
        tcb.move(FIN_WAIT_2, "rcv ACK of FIN", now)
        if not tcb.orphan:
            return
        if tcb.options.tcp_linger2 < 0:
            # Nobody wants to wait; the peer is told as if there were no connection.
            tcb.counters.TCPAbortOnData += 1
            tcb.reply(reset_to(tcb, tcb.sender.una))
            tcb.tally.reset_cause = _NO_WAIT
            tcb.end(CloseKind.RESET_SENT, _NO_WAIT, now)
        elif fin and fin_wait_2_time(tcb) <= _ROW:
            # Its FIN may be one that was had before; a row would take it for the one that is waited for.
            tcb.keepalive_at = now + fin_wait_2_time(tcb)
        else:
            orphaned_in_fin_wait_2(tcb, now)
    elif state is CLOSING:
        time_wait(tcb, "rcv ACK of FIN", now)
    elif state is LAST_ACK:
        tcb.end(ORDERLY, "rcv ACK of FIN", now)
        tcb.tally.close_kind = ORDERLY


def time_wait(tcb: Tcb, cause: str, now: Nanos64) -> None:
    """Both FINs are acknowledged: 2 MSL remain, and for those a row in a table is enough."""
    tcb.move(TIME_WAIT, cause, now)
    length = tcb.settings.time_wait_ms * MILLISECOND
    if tcb.settings.tcp_tw_recycle and tcb.timestamps and length:
        # Kernels before 4.12: 3.5 time-outs were thought enough where timestamps tell the old from the new.
        length = min(length, tcb.sender.rtt.rto * 7 // 2)
    tcb.leave(length)


def fin_wait_2_time(tcb: Tcb) -> Nanos64:
    """How long an orphan may wait for the peer's FIN (tcp_fin_time); NEVER where the settings name no limit."""
    seconds = tcb.options.tcp_linger2 or tcb.settings.tcp_fin_timeout
    if seconds <= 0:
        return NEVER
    return max(seconds * SECOND, tcb.sender.rtt.rto * 7 // 2)


def orphaned_in_fin_wait_2(tcb: Tcb, now: Nanos64) -> None:
    """Nobody holds the socket: 60 s or less are waited for as a row, more first with a timer (tcp_close).

    A negative TCP_LINGER2 means no waiting at all.
    """
    if tcb.options.tcp_linger2 < 0:
        tcb.counters.TCPAbortOnLinger += 1
        abort(tcb, _NO_WAIT, now)
        return
    wait = fin_wait_2_time(tcb)
    if wait == NEVER:
        return
    if wait > _ROW:
        tcb.keepalive_at = now + wait - _ROW
    else:
        tcb.leave(wait)


def fin_wait_2_timed_out(tcb: Tcb, now: Nanos64) -> None:
    """The timer of an orphan in FIN_WAIT_2 goes off (tcp_keepalive_timer).

    What exceeds a minute has been waited for, and Linux waits as long again as a row (not for the minute that is
    left). Where there was no more than a minute, all of it has passed, and a RST ends it.
    """
    left = fin_wait_2_time(tcb) - _ROW
    if left > 0:
        tcb.leave(max(left, tcb.sender.rtt.rto * 7 // 2))
    else:
        abort(tcb, "tcp_fin_timeout", now)


def reset_to(tcb: Tcb, ack: Seq) -> Segment:
    """<SEQ=SEG.ACK><CTL=RST>: the answer to a segment that there is no connection for (RFC 9293 3.5.2)."""
    tcb.counters.TcpOutRsts += 1
    return Segment(tcb.local_port, tcb.remote_port, ack & MASK, 0, RST, 0)


def abort(tcb: Tcb, cause: str, now: Nanos64) -> None:
    """Send a RST and forget everything (RFC 9293 3.10.5)."""
    tcb.counters.TcpOutRsts += 1
    tcb.tally.reset_cause = cause
    tcb.reply(tcb.reset_segment(tcb.sender.acceptable(tcb.receiver.scale), now))
    tcb.end(CloseKind.RESET_SENT, cause, now)


def stop_lingering(tcb: Tcb, now: Nanos64) -> None:
    """A lingering close() returns: our FIN is acknowledged, or the time is over (sk_stream_wait_close)."""
    if tcb.lingers_until == NEVER:
        return
    tcb.lingers_until = NEVER
    tcb.orphan = True
    if tcb.state is FIN_WAIT_2:
        orphaned_in_fin_wait_2(tcb, now)
