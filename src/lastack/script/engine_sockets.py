"""System calls on the engine: descriptors, options, and Linux's errno for whatever does not work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

from lastack.errors import CallError, ScriptError
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.stack.sock import Socket
from lastack.stack.stack import Stack
from lastack.tcp.tcb import Tcb
from lastack.tcp.timers import NEVER
from lastack.wire.ip import address_bytes

from . import engine_options as options
from .engine_files import Epoll, File, Pipe, PipeEnd, connected, failed, splice
from .symbols import SYMBOLS
from .target import Blocks, Pending, Sockets

_NONBLOCK: Final = SYMBOLS["SOCK_NONBLOCK"]
_SOCKET: Final = SYMBOLS["SOL_SOCKET"]
_TCP: Final = SYMBOLS["SOL_TCP"]
_HOW: Final = ("read", "write", "both")
_IN, _PRI, _OUT, _ERR, _HUP, _RDHUP = (SYMBOLS[f"POLL{name}"] for name in ("IN", "PRI", "OUT", "ERR", "HUP", "RDHUP"))
_DONTWAIT, _PEEK, _OOB = (SYMBOLS[f"MSG_{name}"] for name in ("DONTWAIT", "PEEK", "OOB"))
_RECEIVING: Final = _DONTWAIT | _PEEK | _OOB | SYMBOLS["MSG_NOSIGNAL"]
_SENDING: Final = _DONTWAIT | SYMBOLS["MSG_NOSIGNAL"]
_ESTABLISHED: Final = frozenset(State) - {State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED}
_LINUX_STATE: Final = {
    State.ESTABLISHED: 1, State.SYN_SENT: 2, State.SYN_RECEIVED: 3, State.FIN_WAIT_1: 4, State.FIN_WAIT_2: 5,
    State.TIME_WAIT: 6, State.CLOSED: 7, State.CLOSE_WAIT: 8, State.LAST_ACK: 9, State.LISTEN: 10, State.CLOSING: 11,
}  # fmt: skip


class EngineSockets(Sockets):
    """Descriptors of one process on a stack. A call that has to wait raises Blocks and is made again later."""

    def __init__(self, stack: Stack, clock: Callable[[], Nanos]) -> None:
        self._stack = stack
        self._clock = clock
        self._files: dict[int, File | PipeEnd | Epoll] = {}
        self.wake: Nanos | None = None
        """When a waiting call wants to be made again at the latest."""
        self.current = Pending()
        """The call that is being made."""

    # -- opening

    def socket(self, family: int, kind: int, protocol: int) -> int:
        """A new descriptor."""
        if kind & 0xF != SYMBOLS["SOCK_STREAM"] or protocol not in (0, SYMBOLS["IPPROTO_TCP"]):
            raise failed("EPROTONOSUPPORT")
        return self._new(File(not kind & _NONBLOCK))

    def _new(self, file: File | PipeEnd | Epoll) -> int:
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
            raise failed("EADDRINUSE")
        file.local = address
        return 0

    def listen(self, fd: int, backlog: int) -> int:
        """Accept connections from now on."""
        file = self._file(fd)
        if file.socket is not None:
            raise failed("EINVAL")
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
            raise failed("EINVAL")
        socket = self._stack.accept(file.listener)
        if socket is None:
            self._wait(file, 0, "SO_RCVTIMEO")
        accepted = File(not flags & _NONBLOCK)
        accepted.socket = socket
        accepted.options = socket.options
        return self._new(accepted)

    def connect(self, fd: int, address: tuple[str, int]) -> int:
        """Open a connection."""
        file = self._file(fd)
        if file.listener is not None:
            raise failed("EISCONN")
        if file.socket is None:
            with _Errors():
                file.socket = self._stack.connect(address, self._clock(), file.options, file.local)
            file.connecting = True
            if not file.blocking:
                raise failed("EINPROGRESS")
        if file.socket.state is State.SYN_SENT:
            if not file.blocking:
                raise failed("EALREADY")
            self._wait(file, 0, "SO_SNDTIMEO", "EINPROGRESS")
        if file.connecting:
            file.connecting = False
            self._raise_error(file.socket)
            return 0
        raise failed("EISCONN" if file.socket.state in _ESTABLISHED else "ECONNABORTED")

    # -- data

    def send(self, fd: int, data: bytes, flags: int) -> int:
        """Send octets."""
        end = self._files.get(fd)
        if isinstance(end, PipeEnd):
            return end.write(data) or self._wait(end)
        if flags & ~_SENDING:
            raise ScriptError("send() with these flags is not there on the engine: MSG_DONTWAIT and MSG_NOSIGNAL are")
        file = self._file(fd)
        socket = connected(file)
        if socket.state is State.SYN_SENT:
            self._wait(file, flags, "SO_SNDTIMEO")
        with _Errors():
            taken = socket.send(data[file.sent :], self._clock())
        waits = file.blocking and not flags & _DONTWAIT
        file.sent += taken
        if file.sent < len(data) and (waits or not file.sent):
            try:
                self._wait(file, flags, "SO_SNDTIMEO")
            except OSError:
                if not file.sent:
                    raise
        done, file.sent = file.sent, 0
        return done

    def receive(self, fd: int, limit: int, flags: int) -> bytes:
        """Octets, or none at the end of file."""
        if flags & ~_RECEIVING:
            raise ScriptError(
                "recv() with these flags is not there on the engine: MSG_DONTWAIT, MSG_PEEK and MSG_OOB are"
            )
        end = self._files.get(fd)
        if isinstance(end, PipeEnd):
            octets = end.read(limit)
            if octets is None:
                self._wait(end)
            end.take(len(octets or b""))
            return octets or b""
        file = self._file(fd)
        if flags & _OOB and file.socket is None and file.listener is None:
            raise failed("EINVAL")
        socket = connected(file)
        data: bytes | None = None
        with _Errors():
            if flags & _OOB:
                data = socket.receive_urgent()
            else:
                data = (flags & _PEEK and _peek(socket, limit)) or socket.receive(limit, self._clock())
        if data is None:
            # A call for the urgent octet never waits (tcp_recv_urg).
            self._wait(file, flags | (_DONTWAIT if flags & _OOB else 0), "SO_RCVTIMEO")
        return data

    def shutdown(self, fd: int, how: int) -> int:
        """Close one direction, or both."""
        file = self._file(fd)
        if how not in (0, 1, 2):
            raise failed("EINVAL")
        if file.listener is not None:
            self._stack.unlisten(file.listener, self._clock())
            file.listener = None
            return 0
        with _Errors():
            connected(file).shutdown(_HOW[how], self._clock())
        return 0

    def close(self, fd: int) -> int:
        """Give the descriptor up; with SO_LINGER that takes time."""
        other = self._files.get(fd)
        if isinstance(other, (PipeEnd, Epoll)):
            if isinstance(other, PipeEnd):
                other.close()
            self._forget(fd)
            return 0
        file = self._file(fd)
        if file.listener is not None:
            self._stack.unlisten(file.listener, self._clock())
        if file.socket is not None:
            if not file.shut:
                file.shut = True
                file.socket.close(self._clock())
            if file.blocking and file.socket.connection.lingers_until != NEVER:
                raise Blocks
        self._forget(fd)
        return 0

    def _forget(self, fd: int) -> None:
        del self._files[fd]
        for epoll in self._files.values():
            if isinstance(epoll, Epoll):
                epoll.forget(fd)

    # -- options

    def set_option(self, fd: int, level: int, name: int, value: int | bytes | tuple[int, ...]) -> int:
        """setsockopt()."""
        options.set_option(self._file(fd), level, name, value, self._clock())
        return 0

    def get_option(self, fd: int, level: int, name: int) -> int | bytes | tuple[int, ...]:
        """getsockopt()."""
        return options.get_option(self._file(fd), level, name, self._stack.settings, self._clock())

    def fcntl(self, fd: int, command: int, argument: int) -> int:
        """F_GETFL and F_SETFL."""
        end = self._files.get(fd)
        file = end if isinstance(end, PipeEnd) else self._file(fd)
        if command == SYMBOLS["F_GETFL"]:
            return SYMBOLS["O_RDWR"] | (0 if file.blocking else _NONBLOCK)
        if command == SYMBOLS["F_SETFL"]:
            file.blocking = not argument & _NONBLOCK
        return 0

    def ioctl(self, fd: int, request: int) -> int:
        """SIOCINQ, SIOCOUTQ, SIOCOUTQNSD."""
        tcb = connected(self._file(fd)).connection
        if request == SYMBOLS["SIOCINQ"]:
            ahead = _ahead(tcb)
            return ahead if 0 <= ahead < tcb.receiver.unread else tcb.receiver.unread
        if request == SYMBOLS["SIOCOUTQ"]:
            return len(tcb.sender.buffer)
        if request == SYMBOLS["SIOCOUTQNSD"]:
            return tcb.sender.unsent
        raise failed("ENOTTY")

    # -- waiting

    def poll(self, wanted: list[tuple[int, int]], timeout: Nanos | None) -> list[int]:
        """The events of each descriptor."""
        found = [self._events(fd) & (events | _ERR | _HUP) for fd, events in wanted]
        if not any(found) and timeout != 0 and not self._over(timeout):
            raise Blocks
        return found

    def epoll_create(self, flags: int) -> int:
        """A new descriptor, which waits for others."""
        return self._new(Epoll())

    def epoll_ctl(self, epoll: int, operation: int, fd: int, events: int, data: int) -> int:
        """Add, change or remove what it waits for."""
        watched = self._files.get(fd)
        if watched is None:
            raise failed("EBADF")
        if isinstance(watched, Epoll):
            raise ScriptError("an epoll that waits for an epoll is not there on the engine")
        self._epoll(epoll).control(operation, fd, events, data)
        return 0

    def epoll_wait(self, epoll: int, limit: int, timeout: Nanos | None) -> list[tuple[int, int]]:
        """The events that there are."""
        found = self._epoll(epoll).ready(limit, self._look)
        if not found and timeout != 0 and not self._over(timeout):
            raise Blocks
        return found

    def _look(self, fd: int) -> tuple[int, object]:
        """The events of a descriptor, and what is another whenever something has come."""
        events, file = self._events(fd), self._files[fd]
        if isinstance(file, PipeEnd):
            return events, (events, file.pipe.moved)
        if isinstance(file, File) and file.socket is not None:
            return events, (events, file.socket.connection.receiver.nxt)
        return events, (events, len(file.listener) if isinstance(file, File) and file.listener is not None else 0)

    def pipe(self) -> tuple[int, int]:
        """The two ends of a new pipe."""
        made = Pipe()
        return self._new(PipeEnd(made, False)), self._new(PipeEnd(made, True))

    def splice(self, fd: int, out: int, limit: int, flags: int) -> int:
        """Move octets between a pipe and a socket. SPLICE_F_NONBLOCK is of the pipe alone (tcp_splice_read)."""
        ends = [end if isinstance(end := self._files.get(number), PipeEnd) else None for number in (fd, out)]
        hurry = _DONTWAIT if flags & SYMBOLS["SPLICE_F_NONBLOCK"] else 0
        return splice(
            ends[0],
            ends[1],
            lambda octets: self.receive(fd, octets, 0),
            lambda data: self.send(out, data, 0),
            limit,
            lambda end: self._wait(end, hurry),
        )

    def _events(self, fd: int) -> int:
        """What poll() says (tcp_poll)."""
        file = self._files.get(fd)
        if file is None:
            return SYMBOLS["POLLNVAL"]
        if isinstance(file, PipeEnd):
            return file.events()
        if isinstance(file, Epoll):
            raise ScriptError("poll() of an epoll is not there on the engine")
        if file.listener is not None:
            return _IN if len(file.listener) else 0
        if file.socket is None:
            return _OUT | _HUP
        tcb = file.socket.connection
        if tcb.state is State.SYN_SENT:
            return 0
        gone = tcb.state is State.CLOSED
        end = gone or tcb.receiver.fin_at >= 0 or tcb.shut_read
        both = gone or (end and tcb.sender.fin_queued)
        # An urgent octet that is next, and out of band, is nothing to read yet.
        ahead = _ahead(tcb)
        text = tcb.receiver.unread > (ahead == 0)
        events = (_HUP if both else 0) | (_RDHUP | _IN if end else 0) | (_IN if text else 0)
        urgent = tcb.receiver.urgent - tcb.receiver.copied
        events |= _PRI if 0 <= urgent < tcb.receiver.unread and not tcb.receiver.urgent_read else 0
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

    def _file(self, fd: int) -> File:
        file = self._files.get(fd)
        if file is None:
            raise failed("EBADF")
        if not isinstance(file, File):
            raise failed("ENOTSOCK")
        return file

    def _epoll(self, fd: int) -> Epoll:
        file = self._files.get(fd)
        if not isinstance(file, Epoll):
            raise failed("EBADF" if file is None else "EINVAL")
        return file

    def _raise_error(self, socket: Socket) -> None:
        tcb = socket.connection
        if tcb.error is not None:
            error, tcb.error = tcb.error, None
            raise failed(error)

    def _wait(self, file: File | PipeEnd, flags: int = 0, time_out: str = "", error: str = "EAGAIN") -> NoReturn:
        """Raise what a call does that would have to wait, for as long as an option of the socket says."""
        if file.blocking and not flags & _DONTWAIT:
            limit = file.time_outs[time_out] if isinstance(file, File) and time_out else 0
            if not self._over(limit or None):
                raise Blocks
            raise failed(error)
        raise failed("EAGAIN")

    def _over(self, timeout: Nanos | None) -> bool:
        """Whether the call that is being made has waited long enough; else it is woken when it has."""
        if timeout is None:
            return False
        if self.current.until is None:
            self.current.until = self._clock() + timeout
        self.wake = self.current.until if self.wake is None else min(self.wake, self.current.until)
        return self._clock() >= self.current.until


def _ahead(tcb: Tcb) -> int:
    """Octets before an urgent one that is not part of the text; -1: there is none."""
    urgent = tcb.receiver.urgent
    return -1 if urgent < 0 or tcb.options.so_oobinline else urgent - tcb.receiver.copied


def _peek(socket: Socket, limit: int) -> bytes:
    """What receive() would give, left where it is."""
    tcb = socket.connection
    data, ahead = b"".join(tcb.receiver.chunks or (tcb.receiver.text,)), _ahead(tcb)
    return data[1:][:limit] if ahead == 0 else data[: min(limit, ahead)] if ahead > 0 else data[:limit]


class _Errors:
    """Turns the engine's CallError into the OSError that a system call would give."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CallError):
            raise failed(error.code or "EINVAL") from None
