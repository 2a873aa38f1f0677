"""Connections that others open: SYNs, SYN queue, cookies, accept queue (RFC 9293 3.10.7.2, tcp_conn_request)."""

from __future__ import annotations

from typing import Final

from lastack.errors import CallError
from lastack.model.close import CloseKind
from lastack.model.state import State
from lastack.model.time import SECOND, Nanos
from lastack.tcp import calls, handshake
from lastack.tcp.connection import Connection
from lastack.tcp.settings import SocketOptions
from lastack.tcp.tcb import Tcb
from lastack.wire.flags import FIN
from lastack.wire.icmp import Problem
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK, before

from . import request
from .cookies import VALID
from .host import Host
from .listener import Admission, Listener
from .request import Verdict
from .reset import reset_for
from .sock import Socket

_ENDS_REQUESTS: Final = (
    Problem.NETWORK_UNREACHABLE,
    Problem.HOST_UNREACHABLE,
    Problem.TIME_EXCEEDED,
    Problem.PARAMETER,
)
_RECYCLE_MEMORY: Final[Nanos] = 60 * SECOND
"""TCP_PAWS_MSL: how long tcp_tw_recycle remembers a host's timestamp."""


def listen(host: Host, at: int | tuple[str, int], backlog: int, options: SocketOptions) -> Listener:
    """Listen on a port of every address, or on (address, port). Raises CallError EADDRINUSE."""
    address, port = (None, at) if isinstance(at, int) else (address_bytes(at[0]), at[1])
    there = host.listeners.get(port, [])
    for other in there:
        overlap = address is None or other.address is None or address == other.address
        if overlap and not (options.so_reuseport and other.options.so_reuseport):
            raise CallError(f"somebody listens on port {port} already", "EADDRINUSE")
    if not there and not host.ports.may_bind(address, port, options.so_reuseaddr):
        raise CallError(f"port {port} is in use", "EADDRINUSE")
    listener = Listener(address, port, min(backlog, host.settings.somaxconn), options)
    host.listeners.setdefault(port, there).append(listener)
    return listener


def unlisten(host: Host, listener: Listener, now: Nanos) -> None:
    """Close a listener: those that were not accepted are reset (inet_csk_listen_stop)."""
    host.listeners[listener.port].remove(listener)
    if not host.listeners[listener.port]:
        del host.listeners[listener.port]
    for socket in list(host.sockets.values()):
        if socket.listener is listener and not socket.accepted:
            if socket.connection.state is State.SYN_RECEIVED:
                socket.connection.end(CloseKind.UNSEEN, "listener closed", now)
            else:
                socket.abort(now)
                socket.connection.orphan = True
            host.schedule.touch(socket)


def accept(host: Host, listener: Listener) -> Socket | None:
    """The next established connection of a listener, or None. What happened to it so far is told now."""
    socket = listener.accept()
    if socket is not None and socket.connection.events:
        host.schedule.notice(socket)
    return socket


def listener_for(host: Host, local: bytes, segment: Segment) -> Listener | None:
    """Who listens there; among several (SO_REUSEPORT) the hash of the source chooses."""
    found = host.listeners.get(segment.dst_port)
    if not found:
        return None
    if len(found) == 1 and (found[0].address is None or found[0].address == local):
        return found[0]
    exact = [one for one in found if one.address == local] or [one for one in found if one.address is None]
    if not exact:
        return None
    return exact[host.secrets.digest(segment.src_port.to_bytes(2, "big")) % len(exact)]


def on_syn(host: Host, listener: Listener, packet: Packet, segment: Segment, key: bytes, isn: int, now: Nanos) -> None:
    """A SYN for a listener (tcp_conn_request)."""
    if segment.flags & FIN:
        # Nobody opens and closes at once.
        return
    if _recycled(host, packet.source, segment, now):
        host.counters.PAWSPassive += 1
        return
    admission = listener.admit_syn(host.settings, host.counters, bool(isn))
    if admission is Admission.DROP:
        return
    if admission is Admission.COOKIE:
        _send_cookie(host, listener, packet, segment, key, now)
        return
    options = listener.options.copy()
    connection = _connection(host, options, packet, segment, isn or host.secrets.initial(key, now), now)
    calls.open_passive(connection, segment, now)
    listener.asked(_enter(host, listener, connection, packet, key))
    connection.tally.segments_in += 1
    connection.tally.syn_in += 1


def _connection(
    host: Host, options: SocketOptions, packet: Packet, segment: Segment, isn: int, now: Nanos
) -> Connection:
    """A connection with whoever sent this packet."""
    local_port, remote_port = segment.dst_port, segment.src_port
    return host.connection(options, packet.destination, packet.source, local_port, remote_port, isn, now)


def _recycled(host: Host, source: bytes, segment: Segment, now: Nanos) -> bool:
    """tcp_tw_recycle: one host, one clock. Behind a NAT that is not so, and the slower clock is locked out."""
    if not host.settings.tcp_tw_recycle or segment.ts_value is None:
        return False
    stamp, at = host.seen_stamps.get(source, (0, -_RECYCLE_MEMORY))
    return now - at < _RECYCLE_MEMORY and before(segment.ts_value + 1 & MASK, stamp)


def _enter(host: Host, listener: Listener, connection: Connection, packet: Packet, key: bytes) -> Socket:
    connection.listener = listener.port
    socket = Socket(connection, key, packet.destination, packet.source, host.schedule, listener)
    host.enter(socket, listener.port, listener.options.so_reuseaddr)
    return socket


def _send_cookie(host: Host, listener: Listener, packet: Packet, segment: Segment, key: bytes, now: Nanos) -> None:
    """Answer a SYN and keep nothing."""
    isn = host.cookies.make(key, segment, now)
    connection = _connection(host, listener.options.copy(), packet, segment, isn, now)
    host.numbers -= 1
    connection.observer = None
    calls.open_passive(connection, segment, now)
    answer = connection.poll(now)
    if answer is None:
        return
    if answer.ts_value is not None:
        answer.ts_value = host.cookies.timestamp(answer.ts_value, segment)
    else:
        # Without timestamps there is nowhere to keep them.
        answer.window_scale = None
        answer.sack_permitted = False
    listener.cookies_until = now + VALID
    host.counters.SyncookiesSent += 1
    host.reply(packet, answer)


def on_cookie(host: Host, listener: Listener, packet: Packet, segment: Segment, key: bytes, now: Nanos) -> bool:
    """An ACK that completes no handshake we know of may bring a cookie. Whether it did."""
    if now >= listener.cookies_until:
        return False
    mss = host.cookies.check(key, segment, now)
    if mss is None:
        host.counters.SyncookiesFailed += 1
        return False
    if listener.full():
        host.counters.ListenOverflows += 1
        host.counters.ListenDrops += 1
        return True
    host.counters.SyncookiesRecv += 1
    connection = _connection(host, listener.options.copy(), packet, segment, (segment.ack - 1) & MASK, now)
    syn = host.cookies.recall(segment, mss)
    calls.open_by_cookie(connection, syn, now)
    socket = _enter(host, listener, connection, packet, key)
    _queue_accept(host, listener, socket)
    connection.on_segment(segment, now)
    return True


def on_request(host: Host, socket: Socket, listener: Listener, packet: Packet, segment: Segment, now: Nanos) -> None:
    """A segment for a connection that is still in the SYN queue."""
    tcb = socket.connection
    verdict = request.arrive(tcb, segment, now)
    if verdict is Verdict.REPEAT:
        handshake.repeat(tcb, now)
    elif verdict is Verdict.ACKNOWLEDGE:
        tcb.receiver.acks_owed += 1
    elif verdict is Verdict.REFUSE:
        refuse(host, packet, segment)
    elif verdict is Verdict.RESET:
        refuse(host, packet, segment)
        _drop_request(host, tcb, CloseKind.RESET_SENT, "rcv SYN", now)
    elif verdict is Verdict.END:
        _drop_request(host, tcb, CloseKind.RESET_RECEIVED, "rcv RST", now)
    elif verdict is Verdict.COMPLETE:
        admission = listener.admit_ack(socket, segment, host.settings, host.counters)
        if admission is Admission.TAKE:
            socket.connection.on_segment(segment, now)
        elif admission is Admission.RESET:
            refuse(host, packet, segment)
            _drop_request(host, tcb, CloseKind.RESET_SENT, "accept queue full", now)
    if tcb.state is not State.SYN_RECEIVED:
        listener.answered(socket)
        if tcb.state is not State.CLOSED:
            _queue_accept(host, listener, socket)


def on_complaint(host: Host, socket: Socket, problem: Problem, seq: int, now: Nanos) -> None:
    """An ICMP error quotes our SYN,ACK: what will not pass soon ends the request, silently (tcp_req_err)."""
    tcb = socket.connection
    if seq != tcb.sender.iss & MASK:
        host.counters.OutOfWindowIcmps += 1
    elif problem in _ENDS_REQUESTS:
        host.counters.ListenDrops += 1
        tcb.end(CloseKind.UNREACHABLE, f"rcv ICMP {problem.name.lower().replace('_', ' ')}", now)


def _drop_request(host: Host, tcb: Tcb, kind: CloseKind, cause: str, now: Nanos) -> None:
    host.counters.TcpAttemptFails += 1
    host.counters.EmbryonicRsts += 1
    tcb.tally.reset_cause = cause
    tcb.end(kind, cause, now)


def refuse(host: Host, packet: Packet, segment: Segment) -> None:
    """Answer a segment as if there were no connection."""
    reset = reset_for(segment)
    if reset is not None:
        host.counters.TcpOutRsts += 1
        host.reply(packet, reset)


def _queue_accept(host: Host, listener: Listener, socket: Socket) -> None:
    """It is open, and waits for accept()."""
    host.counters.TcpPassiveOpens += 1
    listener.accept_queue.append(socket)
    host.schedule.notice(socket)
