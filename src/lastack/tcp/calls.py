"""The calls of the owner: OPEN, SEND, RECEIVE, CLOSE, ABORT (RFC 9293 3.10.1 to 3.10.5), as in Linux's sockets."""

from __future__ import annotations

from typing import Final

from lastack.errors import CallError
from lastack.model.close import CloseKind
from lastack.model.state import State, bits
from lastack.model.time import MILLISECOND, SECOND, Nanos64
from lastack.native import i64
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK

from . import departure, handshake
from .members import (
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from .tcb import Tcb
from .timers import NEVER

_MAY_SEND: Final[i64] = bits(State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT)
_ENDS: Final[i64] = bits(
    State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT, State.CLOSED
)
_GONE: Final[i64] = bits(State.CLOSED, State.TIME_WAIT)
_LINGERS: Final[i64] = bits(State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)
_RESETS: Final[i64] = bits(State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.FIN_WAIT_2)


def open_active(tcb: Tcb, now: Nanos64) -> None:
    """Active OPEN (RFC 9293 3.10.1): the SYN is the next thing to leave."""
    tcb.active = True
    tcb.counters.TcpActiveOpens += 1
    tcb.receiver.open_window(tcb.local_mss)
    tcb.sender.heard_at = now
    tcb.move(SYN_SENT, "active OPEN", now)


def open_passive(tcb: Tcb, syn: Segment, now: Nanos64) -> None:
    """A SYN for a listener (RFC 9293 3.10.7.2, third): the answer is the next thing to leave."""
    tcb.state = LISTEN
    handshake.take_syn(tcb, syn, syn.seq, now)
    tcb.receiver.open_window(tcb.local_mss - (12 if tcb.timestamps else 0))
    tcb.receiver.acked = tcb.receiver.nxt
    tcb.sender.heard_at = now
    tcb.move(SYN_RECEIVED, "rcv SYN", now)


def open_by_cookie(tcb: Tcb, syn: Segment, now: Nanos64) -> None:
    """The ACK of a cookie: `syn` is the SYN as far as the cookie remembers it, and our own was acknowledged."""
    tcb.state = LISTEN
    sender = tcb.sender
    handshake.take_syn(tcb, syn, syn.seq, now)
    tcb.receiver.open_window(tcb.local_mss - (12 if tcb.timestamps else 0))
    sender.una = sender.nxt = sender.iss + 1
    if tcb.timestamps and syn.ts_echo:
        # Nobody has noted when the cookie was sent, but its echo tells.
        elapsed = (tcb.clock(now) - syn.ts_echo) & MASK
        sender.rtt.sample(max(elapsed, 1) * MILLISECOND, sender.una, sender.nxt, now)
    handshake.established(tcb, "rcv ACK of a SYN cookie", now)


def send(tcb: Tcb, data: bytes, now: Nanos64) -> i64:
    """Queue octets. How many the buffer took; 0 means wait for WRITABLE.

    Raises CallError after an error of the connection (its code, once), after CLOSE or shutdown, or without a
    connection (RFC 9293 3.10.2).
    """
    if tcb.error is not None:
        _raise_error(tcb)
    if tcb.sender.fin_queued or not tcb.bit & _MAY_SEND:
        raise CallError(f"cannot send in {tcb.state.name}", "EPIPE")
    sender = tcb.sender
    room = sender.room()
    if room < len(data):
        tcb.waiting_room = True
        data = data[:room]
    sender.queue(data)
    return len(data)


def receive(tcb: Tcb, limit: i64, now: Nanos64) -> bytes | None:
    """Octets in order, `limit` of them at most. None: nothing yet; empty: the end of file.

    Raises CallError with the connection's error, once, when nothing is left to read (RFC 9293 3.10.3).
    """
    receiver = tcb.receiver
    if receiver.unread:
        data = receiver.read(limit) if receiver.urgent < 0 else receiver.read_around(limit, tcb.options.so_oobinline)
        if receiver.autotune_limit:
            receiver.grow(tcb.sender.rtt.smoothed, tcb.sender.mss, now)
        _acknowledge_reading(tcb)
        # A read that comes to the FIN has taken it in, though it tells of it only the next time (tcp_recvmsg).
        tcb.end_read = receiver.fin_at >= 0 and not receiver.unread and len(data) < limit
        if data:
            return data
    if receiver.fin_at < 0:
        # After the peer's FIN nothing could follow, so that an error is no news to a reader.
        _raise_error(tcb)
    if receiver.fin_at >= 0 or tcb.shut_read or tcb.bit & _GONE:
        tcb.end_read = receiver.fin_at >= 0
        return b""
    return None


def receive_urgent(tcb: Tcb) -> bytes | None:
    """The urgent octet (MSG_OOB). None: it has not come yet; empty: it will not come.

    Raises CallError EINVAL where nothing is urgent, where it was read, or with SO_OOBINLINE (RFC 6093 3.2).
    """
    receiver = tcb.receiver
    if receiver.urgent < 0 or receiver.urgent_read or tcb.options.so_oobinline:
        raise CallError("there is no urgent octet out of band", "EINVAL")
    octet = receiver.read_urgent()
    over = tcb.shut_read or receiver.fin_at >= 0 or tcb.bit & _GONE
    return octet if octet or over else None


def _acknowledge_reading(tcb: Tcb) -> None:
    """The reader has made room: an ACK may be due now, or a larger window worth telling (tcp_cleanup_rbuf)."""
    receiver = tcb.receiver
    if tcb.bit & _GONE:
        return
    due = receiver.wants_ack and (
        receiver.nxt - receiver.acked > receiver.mss_seen
        or (receiver.pushed > (1 if receiver.replying else 0) and not receiver.unread)
    )
    if due or (not tcb.shut_read and receiver.wants_update()):
        receiver.owe_ack()


def _raise_error(tcb: Tcb) -> None:
    if tcb.error is not None:
        error, tcb.error = tcb.error, None
        raise CallError(f"the connection failed: {error}", error)


def shutdown(tcb: Tcb, read: bool, write: bool, now: Nanos64) -> None:
    """Close one direction or both (inet_shutdown). Raises CallError ENOTCONN where there is no connection any more.

    One that is being opened is given up.
    """
    if tcb.state is SYN_SENT:
        tcb.fail("ECONNRESET", CloseKind.UNSEEN, "CLOSE", now)
        return
    if tcb.bit & _GONE or tcb.leaving:
        raise CallError("there is no connection to shut down", "ENOTCONN")
    if write:
        shutdown_write(tcb, now)
    if read:
        tcb.shut_read = True


def shutdown_write(tcb: Tcb, now: Nanos64) -> None:
    """Say that nothing more will be sent, and go on receiving (RFC 9293 3.10.4, half close)."""
    sender = tcb.sender
    if sender.fin_queued:
        return
    sender.queue_fin()
    if tcb.state is ESTABLISHED:
        tcb.move(FIN_WAIT_1, "CLOSE", now)
    elif tcb.state is CLOSE_WAIT:
        tcb.move(LAST_ACK, "CLOSE", now)


def close(tcb: Tcb, now: Nanos64) -> None:
    """Give the socket up (RFC 9293 3.10.4, tcp_close).

    Unread octets, or SO_LINGER with 0, make it a RST; otherwise what is queued and a FIN are still delivered, by a
    connection that nobody holds.
    """
    if tcb.orphan or tcb.lingers_until != NEVER:
        return
    tcb.shut_read = True
    receiver = tcb.receiver
    linger = tcb.options.so_linger
    if tcb.state is CLOSED or tcb.state is TIME_WAIT or tcb.leaving:
        tcb.orphan = True
    elif receiver.unread:
        tcb.counters.TCPAbortOnClose += 1
        tcb.orphan = True
        departure.abort(tcb, "close with unread data", now)
    elif linger is not None and linger == 0:
        tcb.counters.TCPAbortOnData += 1
        tcb.orphan = True
        abort(tcb, "linger 0", now)
    elif tcb.state is SYN_SENT:
        tcb.orphan = True
        tcb.end(CloseKind.UNSEEN, "CLOSE", now)
    else:
        shutdown_write(tcb, now)
        if tcb.state is SYN_RECEIVED:
            tcb.move(FIN_WAIT_1, "CLOSE", now)
        _give_up(tcb, linger, now)


def _give_up(tcb: Tcb, linger: int | None, now: Nanos64) -> None:
    """Nobody holds it from now on, or, lingering, only when our FIN is acknowledged or so many seconds are over."""
    if linger and tcb.bit & _LINGERS:
        tcb.lingers_until = now + linger * SECOND
        return
    tcb.orphan = True
    if tcb.state is FIN_WAIT_2:
        departure.orphaned_in_fin_wait_2(tcb, now)


def abort(tcb: Tcb, cause: str, now: Nanos64) -> None:
    """End it at once; the peer is told by a RST where it may know of the connection (RFC 9293 3.10.5).

    A row that waits is nobody's: it goes on waiting, as Linux's do.
    """
    if tcb.leaving:
        return
    state = tcb.state
    unsent = tcb.sender.unsent or tcb.sender.fin_unsent()
    if tcb.bit & _RESETS or (tcb.bit & _ENDS and unsent and state is not CLOSED):
        departure.abort(tcb, cause, now)
    else:
        tcb.end(CloseKind.RESET_SENT, cause, now)
