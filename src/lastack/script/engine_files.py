"""Descriptors on the engine that are no sockets: pipes, and epoll's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lastack.errors import ScriptError
from lastack.stack.listener import Listener
from lastack.stack.sock import Socket
from lastack.tcp.settings import SocketOptions

from .symbols import ERRNO, SYMBOLS

_IN, _OUT, _ERR, _HUP = (SYMBOLS[f"POLL{name}"] for name in ("IN", "OUT", "ERR", "HUP"))
_ADD, _DELETE, _MODIFY = (SYMBOLS[f"EPOLL_CTL_{name}"] for name in ("ADD", "DEL", "MOD"))
_EDGE, _ONCE = SYMBOLS["EPOLLET"], SYMBOLS["EPOLLONESHOT"]
TIME_OUTS: Final = {(SYMBOLS["SOL_SOCKET"], SYMBOLS[name]): name for name in ("SO_RCVTIMEO", "SO_SNDTIMEO")}
"""The options that end the waiting of a call, by level and number."""
_CAPACITY: Final = 65_536

Look = Callable[[int], tuple[int, object]]
"""The events of a descriptor, and something that is another whenever something new has happened to it."""


def failed(name: str) -> OSError:
    """The error of a system call, by its name."""
    return OSError(ERRNO.get(name, 0), name)


class File:
    """What a descriptor of a socket stands for."""

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
        self.time_outs = dict.fromkeys(TIME_OUTS.values(), 0)
        """ns; 0: for ever."""


def connected(file: File) -> Socket:
    """The connection of a socket. Raises OSError ENOTCONN: it has none."""
    if file.socket is None:
        raise failed("ENOTCONN")
    return file.socket


class Pipe:
    """Octets on their way, and which ends are open."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.moved = 0
        self.open = {False: True, True: True}
        """By whether it is the end to write to."""

    @property
    def room(self) -> int:
        """Octets that can be written."""
        return _CAPACITY - len(self.octets)


class PipeEnd:
    """One end of a pipe."""

    def __init__(self, pipe: Pipe, writes: bool) -> None:
        self.pipe = pipe
        self.writes = writes
        self.blocking = True

    def read(self, limit: int) -> bytes | None:
        """Octets; None: none yet; empty: nobody will write any. Raises OSError on the wrong end."""
        if self.writes:
            raise failed("EBADF")
        data = bytes(self.pipe.octets[:limit])
        return None if not data and self.pipe.open[True] else data

    def take(self, count: int) -> None:
        """So many have been read."""
        del self.pipe.octets[:count]

    def write(self, data: bytes) -> int:
        """How many octets there was room for. Raises OSError on the wrong end, and where nobody reads."""
        if not self.writes:
            raise failed("EBADF")
        if not self.pipe.open[False]:
            raise failed("EPIPE")
        taken = data[: self.pipe.room]
        self.pipe.octets += taken
        self.pipe.moved += len(taken)
        return len(taken)

    def close(self) -> None:
        """Close this end."""
        self.pipe.open[self.writes] = False

    def events(self) -> int:
        """What poll() says (pipe_poll)."""
        if self.writes:
            return (_OUT if self.pipe.room else 0) | (0 if self.pipe.open[False] else _ERR)
        return (_IN if self.pipe.octets else 0) | (0 if self.pipe.open[True] else _HUP)


class _Watched:
    def __init__(self, events: int, data: int) -> None:
        self.events = events
        self.data = data
        self.seen: object = None
        self.armed = True


class Epoll:
    """Descriptors that are waited for together (epoll(7)).

    With EPOLLET a descriptor is told of again when something new has come to it.
    """

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}

    def control(self, operation: int, fd: int, events: int, data: int) -> None:
        """EPOLL_CTL_ADD, MOD, DEL. Raises OSError."""
        there = fd in self._watched
        if operation not in (_ADD, _MODIFY, _DELETE):
            raise failed("EINVAL")
        if there == (operation == _ADD):
            raise failed("EEXIST" if there else "ENOENT")
        if operation == _DELETE:
            self.forget(fd)
        else:
            self._watched[fd] = _Watched(events, data)

    def forget(self, fd: int) -> None:
        """It was closed."""
        self._watched.pop(fd, None)

    def ready(self, limit: int, look: Look) -> list[tuple[int, int]]:
        """(events, data) of those where something is to be done; they are told of hereby. Raises OSError EINVAL."""
        if limit <= 0:
            raise failed("EINVAL")
        found: list[tuple[int, int]] = []
        for fd, watched in list(self._watched.items()):
            bits, state = look(fd)
            bits &= watched.events | _ERR | _HUP
            news = watched.armed and not (watched.events & _EDGE and state == watched.seen)
            if bits and news and len(found) < limit:
                watched.seen = state
                watched.armed = not watched.events & _ONCE
                found.append((bits, watched.data))
                # Those that were told of come last the next time: nobody starves.
                self._watched[fd] = self._watched.pop(fd)
        return found


def splice(
    source: PipeEnd | None, sink: PipeEnd | None, receive: Callable[[int], bytes], send: Callable[[bytes], int],
    limit: int, wait: Callable[[PipeEnd], None],
) -> int:  # fmt: skip
    """Move octets between a pipe and a socket, which `receive` and `send` stand for. Raises OSError.

    `wait` raises what a call does that would have to wait for the pipe.
    """
    if source is not None and sink is None:
        data = source.read(limit)
        if data is None:
            wait(source)
        count = send(data) if data else 0
        source.take(count)
        return count
    if sink is not None and source is None:
        if not sink.pipe.room:
            wait(sink)
        return sink.write(receive(min(limit, sink.pipe.room)))
    raise failed("EINVAL") if source is None else ScriptError("splice() from pipe to pipe is not there on the engine")
