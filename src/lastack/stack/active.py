"""Connections that we open: which address, which port, and which TIME_WAIT gives way (RFC 9293 3.10.1, RFC 6056)."""

from __future__ import annotations

from lastack.errors import CallError
from lastack.model.state import State
from lastack.model.time import MILLISECOND, Nanos
from lastack.tcp import calls
from lastack.tcp.settings import SocketOptions
from lastack.wire.ip import address_bytes, is_loopback

from . import demux, waiting
from .host import Host
from .sock import Socket
from .timewait import FIN_WAIT_2, TIMESTAMPS, Wait


def connect(
    host: Host,
    to: tuple[str, int],
    now: Nanos,
    options: SocketOptions,
    local: tuple[str, int] | None,
) -> Socket:
    """Open a connection. `local`: bind() first, to an address and a port (0: one of those that are free).

    Raises CallError EADDRNOTAVAIL where no port is left towards that destination, EADDRINUSE where bind()
    cannot have the port.
    """
    remote, remote_port = address_bytes(to[0]), to[1]
    address = _source(host, remote) if local is None else address_bytes(local[0])
    port, key, isn = _four_tuple(host, address, remote, remote_port, options, local, now)
    if not isn:
        isn = options.tcp_queue_seq
    if not isn:
        isn = host.secrets.initial(key, now)
    connection = host.connection(options, address, remote, port, remote_port, isn, now)
    socket = Socket(connection, key, address, remote, host.schedule, None)
    host.enter(socket, port, options.so_reuseaddr)
    calls.open_active(connection, now)
    return socket


def _source(host: Host, remote: bytes) -> bytes:
    """The address of ours to reach another from: of its family, on loopback the same."""
    if is_loopback(remote) and remote in host.addresses:
        return remote
    for address in host.addresses:
        if len(address) == len(remote) and is_loopback(address) == is_loopback(remote):
            return address
    raise CallError("no address of that family", "EADDRNOTAVAIL")


def _four_tuple(
    host: Host,
    address: bytes,
    remote: bytes,
    remote_port: int,
    options: SocketOptions,
    local: tuple[str, int] | None,
    now: Nanos,
) -> tuple[int, bytes, int]:
    """Its port, what the new connection will be known by, and the ISN that a TIME_WAIT prescribes (0: none does)."""
    if local is not None and (local[1] or not options.ip_bind_address_no_port):
        port = _bind(host, address, local[1], options)
        key = demux.four_tuple(address, remote, port, remote_port)
        # Without SO_REUSEADDR bind() gives a port that nobody uses, so that no four-tuple can be in the way.
        isn = _claim(host, key, now, named=bool(local[1])) if options.so_reuseaddr else 0
        if isn < 0:
            raise CallError("the connection exists, or is in TIME_WAIT", "EADDRNOTAVAIL")
        host.ports.bound.add(port)
        return port, key, isn
    destination = remote + address + remote_port.to_bytes(2, "big")
    for port in host.ports.candidates(host.settings, destination):
        if port in host.listeners:
            continue
        key = demux.four_tuple(address, remote, port, remote_port)
        isn = _claim(host, key, now) if host.ports.used(address, port) else 0
        if isn >= 0:
            return port, key, isn
    raise CallError("every port towards that destination is in use", "EADDRNOTAVAIL")


def _bind(host: Host, address: bytes, port: int, options: SocketOptions) -> int:
    """The port that bind() gives; 0 asks for any that is free."""
    if port:
        if _may_bind(host, address, port, options):
            return port
    else:
        for one in host.ports.bindable(host.settings, address):
            if _may_bind(host, address, one, options):
                return one
    raise CallError("the address is in use", "EADDRINUSE")


def _may_bind(host: Host, address: bytes, port: int, options: SocketOptions) -> bool:
    """Whether nobody is in the way who uses the port, or who listens there and does not share it (SO_REUSEPORT)."""
    if not host.ports.may_bind(address, port, options.so_reuseaddr):
        return False
    listeners = host.listeners.get(port)
    if listeners is not None:
        for listener in listeners:
            shared = options.so_reuseport and listener.options.so_reuseport
            if not shared and (listener.address is None or listener.address == address):
                return False
    return True


def _claim(host: Host, key: bytes, now: Nanos, named: bool = False) -> int:
    """Whether a four-tuple is free: 0 yes, -1 no, else the ISN with which a TIME_WAIT gives way (tcp_twsk_unique).

    `named`: bind() has asked for this very port, and then timestamps are enough, whatever tcp_tw_reuse says.
    """
    if key in host.sockets:
        return -1
    wait = host.rows(key).find(key)
    if wait is None:
        return 0
    if not wait.flags & TIMESTAMPS or not (named or _reusable(host, key, wait, now)):
        return -1
    host.counters.TWRecycled += 1
    host.forget_wait(wait, State.SYN_SENT, "connect() takes the port over", now)
    return waiting.next_isn(wait)


def _reusable(host: Host, key: bytes, wait: Wait, now: Nanos) -> bool:
    """Whether tcp_tw_reuse and its delay let connect() choose a port whose four-tuple waits."""
    mode = host.settings.tcp_tw_reuse
    if not mode or wait.flags & FIN_WAIT_2:
        return False
    if mode == 2 and not is_loopback(key[:4] if len(key) == 12 else key[:16]):
        return False
    return wait.timestamp_age(now) > host.settings.tcp_tw_reuse_delay * MILLISECOND
