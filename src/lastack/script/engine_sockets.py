"""System calls on the engine: descriptors, options, and Linux's errno for whatever does not work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lastack.errors import CallError, ScriptError
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.stack.listener import Listener
from lastack.stack.sock import Socket
from lastack.stack.stack import Stack
from lastack.tcp.settings import SocketOptions
from lastack.tcp.timers import NEVER
from lastack.wire.ip import address_bytes

from .symbols import ERRNO, SYMBOLS
from .target import Sockets

_NONBLOCK: Final = SYMBOLS["SOCK_NONBLOCK"]
_SOCKET: Final = SYMBOLS["SOL_SOCKET"]
_TCP: Final = SYMBOLS["SOL_TCP"]
_HOW: Final = ("read", "write", "both")
_IN, _PRI, _OUT, _ERR, _HUP, _RDHUP = (SYMBOLS[f"POLL{name}"] for name in ("IN", "PRI", "OUT", "ERR", "HUP", "RDHUP"))
_OPTIONS: Final = {
    (_SOCKET, "SO_REUSEADDR"): "so_reuseaddr",
    (_SOCKET, "SO_REUSEPORT"): "so_reuseport",
    (_SOCKET, "SO_KEEPALIVE"): "so_keepalive",
    (_SOCKET, "SO_SNDBUF"): "so_sndbuf",
    (_SOCKET, "SO_RCVBUF"): "so_rcvbuf",
    (_SOCKET, "SO_SNDBUFFORCE"): "so_sndbuf",
    (_SOCKET, "SO_RCVBUFFORCE"): "so_rcvbuf",
    (0, "IP_BIND_ADDRESS_NO_PORT"): "ip_bind_address_no_port",
    (_TCP, "TCP_NODELAY"): "tcp_nodelay",
    (_TCP, "TCP_CORK"): "tcp_cork",
    (_TCP, "TCP_MAXSEG"): "tcp_maxseg",
    (_TCP, "TCP_KEEPIDLE"): "tcp_keepidle",
    (_TCP, "TCP_KEEPINTVL"): "tcp_keepintvl",
    (_TCP, "TCP_KEEPCNT"): "tcp_keepcnt",
    (_TCP, "TCP_SYNCNT"): "tcp_syncnt",
    (_TCP, "TCP_LINGER2"): "tcp_linger2",
    (_TCP, "TCP_DEFER_ACCEPT"): "tcp_defer_accept",
    (_TCP, "TCP_USER_TIMEOUT"): "tcp_user_timeout",
}
_NAMED: Final = {(level, SYMBOLS[name]): attribute for (level, name), attribute in _OPTIONS.items()}
_RANGES: Final = {
    "tcp_keepidle": (1, 32_767),
    "tcp_keepintvl": (1, 32_767),
    "tcp_keepcnt": (1, 127),
    "tcp_syncnt": (1, 127),
    "tcp_user_timeout": (0, 1 << 31),
    "tcp_maxseg": (0, 32_767),
}
_ESTABLISHED: Final = frozenset(State) - {State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED}
_LINUX_STATE: Final = {
    State.ESTABLISHED: 1, State.SYN_SENT: 2, State.SYN_RECEIVED: 3, State.FIN_WAIT_1: 4, State.FIN_WAIT_2: 5,
    State.TIME_WAIT: 6, State.CLOSED: 7, State.CLOSE_WAIT: 8, State.LAST_ACK: 9, State.LISTEN: 10, State.CLOSING: 11,
}  # fmt: skip


class Blocks(Exception):
    """The call has to wait."""


class _File:
    """What a descriptor stands for."""

    def __init__(self, blocking: bool) -> None:
        self.blocking = blocking
        self.options = SocketOptions()
        self.local: tuple[str, int] | None = None
        self.socket: Socket | None = None
        self.listener: Listener | None = None
        self.connecting = False
        """connect() has not told yet how it went."""
        self.sent = 0
        """Octets of a send() that waits for room, taken so far."""
        self.shut = False


class EngineSockets(Sockets):
    """Descriptors of one process on a stack. A call that has to wait raises Blocks and is made again later."""

    def __init__(self, stack: Stack, clock: Callable[[], Nanos]) -> None:
        self._stack = stack
        self._clock = clock
        self._files: dict[int, _File] = {}
        self.wake: Nanos | None = None
        """When a waiting call wants to be made again at the latest."""
        self._deadlines: dict[int, Nanos] = {}

    # -- opening

    def socket(self, family: int, kind: int, protocol: int) -> int:
        """A new descriptor."""
        if kind & 0xF != SYMBOLS["SOCK_STREAM"] or protocol not in (0, SYMBOLS["IPPROTO_TCP"]):
            raise _failed("EPROTONOSUPPORT")
        return self._new(_File(not kind & _NONBLOCK))

    def _new(self, file: _File) -> int:
        fd = 3
        while fd in self._files:
            fd += 1
        self._files[fd] = file
        return fd

    def bind(self, fd: int, address: tuple[str, int]) -> int:
        """Give it a local address and port."""
        file = self._file(fd)
        host = self._stack.host
        reuse = file.options.so_reuseaddr
        taken = address[1] in host.listeners and not file.options.so_reuseport
        if address[1] and (taken or not host.ports.may_bind(address_bytes(address[0]), address[1], reuse)):
            raise _failed("EADDRINUSE")
        file.local = address
        return 0

    def listen(self, fd: int, backlog: int) -> int:
        """Accept connections from now on."""
        file = self._file(fd)
        if file.socket is not None:
            raise _failed("EINVAL")
        with _Errors():
            if file.listener is None:
                file.listener = self._stack.listen((file.local or ("0.0.0.0", 0))[1], backlog, file.options)
            else:
                file.listener.limit = min(backlog, self._stack.settings.somaxconn)
        return 0

    def accept(self, fd: int, flags: int) -> int:
        """The descriptor of the next connection."""
        file = self._file(fd)
        if file.listener is None:
            raise _failed("EINVAL")
        socket = self._stack.accept(file.listener)
        if socket is None:
            self._wait(file)
            raise AssertionError
        accepted = _File(not flags & _NONBLOCK)
        accepted.socket = socket
        accepted.options = socket.options
        return self._new(accepted)

    def connect(self, fd: int, address: tuple[str, int]) -> int:
        """Open a connection."""
        file = self._file(fd)
        if file.listener is not None:
            raise _failed("EISCONN")
        if file.socket is None:
            with _Errors():
                file.socket = self._stack.connect(address, self._clock(), file.options, file.local)
            file.connecting = True
            if not file.blocking:
                raise _failed("EINPROGRESS")
            raise Blocks
        if file.socket.state is State.SYN_SENT:
            if file.blocking:
                raise Blocks
            raise _failed("EALREADY")
        if file.connecting:
            file.connecting = False
            self._raise_error(file.socket)
            return 0
        raise _failed("EISCONN" if file.socket.state in _ESTABLISHED else "ECONNABORTED")

    # -- data

    def send(self, fd: int, data: bytes, flags: int) -> int:
        """Send octets."""
        file = self._file(fd)
        socket = self._connected(file)
        if socket.state is State.SYN_SENT:
            self._wait(file, flags)
        with _Errors():
            taken = socket.send(data[file.sent :], self._clock())
        waits = file.blocking and not flags & SYMBOLS["MSG_DONTWAIT"]
        file.sent += taken
        if file.sent < len(data) and (waits or not file.sent):
            self._wait(file, flags)
        done, file.sent = file.sent, 0
        return done

    def receive(self, fd: int, limit: int, flags: int) -> bytes:
        """Octets, or none at the end of file."""
        if flags & ~(SYMBOLS["MSG_DONTWAIT"] | SYMBOLS["MSG_NOSIGNAL"]):
            raise ScriptError("recv() with these flags is not there on the engine: MSG_DONTWAIT alone is")
        file = self._file(fd)
        socket = self._connected(file)
        with _Errors():
            data = socket.receive(limit, self._clock())
        if data is None:
            self._wait(file, flags)
            raise AssertionError
        return data

    def shutdown(self, fd: int, how: int) -> int:
        """Close one direction, or both."""
        file = self._file(fd)
        if how not in (0, 1, 2):
            raise _failed("EINVAL")
        if file.listener is not None:
            self._stack.unlisten(file.listener, self._clock())
            file.listener = None
            return 0
        with _Errors():
            self._connected(file).shutdown(_HOW[how], self._clock())
        return 0

    def close(self, fd: int) -> int:
        """Give the descriptor up; with SO_LINGER that takes time."""
        file = self._file(fd)
        if file.listener is not None:
            self._stack.unlisten(file.listener, self._clock())
        if file.socket is not None:
            if not file.shut:
                file.shut = True
                file.socket.close(self._clock())
            if file.blocking and file.socket.connection.tcb.lingers_until != NEVER:
                raise Blocks
        del self._files[fd]
        return 0

    # -- options

    def set_option(self, fd: int, level: int, name: int, value: int | bytes | tuple[int, ...]) -> int:
        """setsockopt()."""
        file = self._file(fd)
        if (level, name) == (_SOCKET, SYMBOLS["SO_LINGER"]) and isinstance(value, tuple):
            file.options.so_linger = value[1] if value[0] else None
        elif (level, name) == (_TCP, SYMBOLS["TCP_CONGESTION"]) and isinstance(value, bytes):
            if value not in (b"cubic", b"reno", b"newreno"):
                raise _failed("ENOENT")
            file.options.tcp_congestion = "cubic" if value == b"cubic" else "newreno"
        elif (level, name) == (_TCP, SYMBOLS["TCP_QUICKACK"]) and isinstance(value, int):
            self._connected(file).set_quickack(bool(value), self._clock())
        elif isinstance(value, int):
            self._set(file, level, name, value)
        else:
            raise _failed("EINVAL")
        return 0

    def _set(self, file: _File, level: int, name: int, value: int) -> None:
        attribute = _NAMED.get((level, name))
        if attribute is None:
            raise _failed("ENOPROTOOPT")
        low, high = _RANGES.get(attribute, (-(1 << 31), 1 << 31))
        if not low <= value <= high:
            raise _failed("EINVAL")
        if attribute in ("so_sndbuf", "so_rcvbuf"):
            # The kernel takes twice as much, for its own book-keeping (socket(7)).
            value *= 2
        present = getattr(file.options, attribute)
        setattr(file.options, attribute, bool(value) if isinstance(present, bool) else value)
        if file.socket is not None:
            if attribute == "so_keepalive":
                file.socket.set_keepalive(bool(value), self._clock())
            elif attribute == "tcp_keepidle" and file.options.so_keepalive:
                # What is over of the idle time counts (tcp_sock_set_keepidle_locked).
                file.socket.set_keepalive(True, file.socket.connection.tcb.sender.heard_at)
            # A push of what Nagle's algorithm or the cork held back.
            file.socket.schedule.touch(file.socket)

    def get_option(self, fd: int, level: int, name: int) -> int | bytes | tuple[int, ...]:
        """getsockopt()."""
        file = self._file(fd)
        if (level, name) == (_SOCKET, SYMBOLS["SO_ERROR"]):
            error = "" if file.socket is None else file.socket.connection.tcb.error
            if file.socket is not None:
                file.socket.connection.tcb.error = None
                file.connecting = file.connecting and not error
            return ERRNO[error] if error else 0
        if (level, name) == (_SOCKET, SYMBOLS["SO_LINGER"]):
            linger = file.options.so_linger
            return (0, 0) if linger is None else (1, linger)
        if (level, name) == (_TCP, SYMBOLS["TCP_CONGESTION"]):
            return (file.options.tcp_congestion or self._stack.settings.tcp_congestion_control).encode()
        if (level, name) == (_TCP, SYMBOLS["TCP_MAXSEG"]) and file.socket is not None:
            return file.socket.info(self._clock()).snd_mss
        attribute = _NAMED.get((level, name))
        if attribute is None:
            raise _failed("ENOPROTOOPT")
        return int(getattr(file.options, attribute) or self._default(attribute))

    def _default(self, attribute: str) -> int:
        """What holds where the socket says nothing of its own."""
        settings = self._stack.settings
        named = {
            "tcp_keepidle": settings.tcp_keepalive_time,
            "tcp_keepintvl": settings.tcp_keepalive_intvl,
            "tcp_keepcnt": settings.tcp_keepalive_probes,
            "tcp_syncnt": settings.tcp_syn_retries,
            "tcp_linger2": settings.tcp_fin_timeout,
            "so_sndbuf": settings.tcp_wmem[1],
            "so_rcvbuf": settings.tcp_rmem[1],
        }
        return named.get(attribute, 0)

    def fcntl(self, fd: int, command: int, argument: int) -> int:
        """F_GETFL and F_SETFL."""
        file = self._file(fd)
        if command == SYMBOLS["F_GETFL"]:
            return SYMBOLS["O_RDWR"] | (0 if file.blocking else _NONBLOCK)
        if command == SYMBOLS["F_SETFL"]:
            file.blocking = not argument & _NONBLOCK
        return 0

    def ioctl(self, fd: int, request: int) -> int:
        """SIOCINQ, SIOCOUTQ, SIOCOUTQNSD."""
        tcb = self._connected(self._file(fd)).connection.tcb
        if request == SYMBOLS["SIOCINQ"]:
            return tcb.receiver.unread
        if request == SYMBOLS["SIOCOUTQ"]:
            return len(tcb.sender.buffer)
        if request == SYMBOLS["SIOCOUTQNSD"]:
            return tcb.sender.unsent
        raise _failed("ENOTTY")

    # -- waiting

    def poll(self, wanted: list[tuple[int, int]], timeout: Nanos | None) -> list[int]:
        """The events of each descriptor."""
        found = [self._events(fd) & (events | _ERR | _HUP) for fd, events in wanted]
        if any(found) or timeout == 0:
            self._deadlines.clear()
            return found
        if timeout is not None:
            until = self._deadlines.setdefault(wanted[0][0] if wanted else -1, self._clock() + timeout)
            if self._clock() >= until:
                self._deadlines.clear()
                return found
            self.wake = until if self.wake is None else min(self.wake, until)
        raise Blocks

    def _events(self, fd: int) -> int:
        """What poll() says (tcp_poll)."""
        file = self._files.get(fd)
        if file is None:
            return SYMBOLS["POLLNVAL"]
        if file.listener is not None:
            return _IN if len(file.listener) else 0
        if file.socket is None:
            return _OUT | _HUP
        tcb = file.socket.connection.tcb
        if tcb.state is State.SYN_SENT:
            return 0
        gone = tcb.state is State.CLOSED
        end = gone or tcb.receiver.fin_at >= 0 or tcb.shut_read
        both = gone or (end and tcb.sender.fin_queued)
        events = (_HUP if both else 0) | (_RDHUP | _IN if end else 0) | (_IN if tcb.receiver.unread else 0)
        events |= _ERR if tcb.error is not None else 0
        room = tcb.sender.fin_queued or gone or 3 * tcb.sender.room() > tcb.sender.capacity
        return events | (_OUT if room else 0)

    def info(self, fd: int) -> dict[str, int]:
        """tcp_info."""
        file = self._file(fd)
        if file.socket is None:
            state = State.CLOSED if file.listener is None else State.LISTEN
            return {"tcpi_state": _LINUX_STATE[state]}
        fields = file.socket.info(self._clock())._asdict()
        fields["state"] = _LINUX_STATE[self._stack.state_of(file.socket)]
        return {f"tcpi_{name}": int(value) for name, value in fields.items()}

    # -- what they share

    def _file(self, fd: int) -> _File:
        file = self._files.get(fd)
        if file is None:
            raise _failed("EBADF")
        return file

    def _connected(self, file: _File) -> Socket:
        if file.socket is None:
            raise _failed("ENOTCONN")
        return file.socket

    def _raise_error(self, socket: Socket) -> None:
        tcb = socket.connection.tcb
        if tcb.error is not None:
            error, tcb.error = tcb.error, None
            raise _failed(error)

    def _wait(self, file: _File, flags: int = 0) -> None:
        """Raise what a call does that would have to wait."""
        if file.blocking and not flags & SYMBOLS["MSG_DONTWAIT"]:
            raise Blocks
        raise _failed("EAGAIN")


def _failed(name: str) -> OSError:
    return OSError(ERRNO.get(name, 0), name)


class _Errors:
    """Turns the engine's CallError into the OSError that a system call would give."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CallError):
            raise _failed(error.code or "EINVAL") from None
