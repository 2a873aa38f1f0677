"""System calls on the kernel's own sockets."""

from __future__ import annotations

import errno
import os
import select
import socket as net
import struct
import threading
from contextlib import suppress
from typing import Final

from lastack.live.tcpinfo import decode
from lastack.model.time import MILLISECOND, SECOND, Nanos

from .symbols import SYMBOLS
from .target import Sockets

_NUMBER: Final = struct.Struct("@i")
_TEXT: Final = frozenset({(SYMBOLS["SOL_TCP"], SYMBOLS["TCP_CONGESTION"])})
_LINGER: Final = (SYMBOLS["SOL_SOCKET"], SYMBOLS["SO_LINGER"])
_TIMES: Final = frozenset({(SYMBOLS["SOL_SOCKET"], SYMBOLS[name]) for name in ("SO_RCVTIMEO", "SO_SNDTIMEO")})
_INFO: Final = 512
_SLICE: Final = 0.5
"""Seconds after which one who waits for ever looks whether he still should: closing an epoll wakes nobody."""


class KernelSockets(Sockets):
    """Descriptors of this process. Made and used by one thread, closed by another when a script is over."""

    def __init__(self) -> None:
        self._open: dict[int, net.socket] = {}
        self._epolls: dict[int, select.epoll] = {}
        self._told: dict[tuple[int, int], int] = {}
        """What the script wants to be told with the events of (epoll, descriptor)."""
        self._pipes: set[int] = set()
        self._lock = threading.Lock()

    def socket(self, family: int, kind: int, protocol: int) -> int:
        """A new descriptor."""
        return self._keep(net.socket(family, kind & 0xF, protocol), kind)

    def _keep(self, made: net.socket, flags: int) -> int:
        # Python's own time-outs would make every call a poll() first: blocking is the descriptor's affair alone.
        made.setblocking(not flags & SYMBOLS["SOCK_NONBLOCK"])
        with self._lock:
            self._open[made.fileno()] = made
        return made.fileno()

    def bind(self, fd: int, address: tuple[str, int]) -> int:
        """Give it a local address and port."""
        here = self._socket(fd)
        here.bind(_address(here, address))
        return 0

    def listen(self, fd: int, backlog: int) -> int:
        """Accept connections from now on."""
        self._socket(fd).listen(backlog)
        return 0

    def accept(self, fd: int, flags: int) -> int:
        """The descriptor of the next connection."""
        made, _ = self._socket(fd).accept()
        return self._keep(made, flags)

    def connect(self, fd: int, address: tuple[str, int]) -> int:
        """Open a connection."""
        here = self._socket(fd)
        code = here.connect_ex(_address(here, address))
        if code:
            raise OSError(code, errno.errorcode.get(code, str(code)))
        return 0

    def send(self, fd: int, data: bytes, flags: int) -> int:
        """Send octets, without a signal where nobody reads any more."""
        if fd in self._pipes:
            return os.write(fd, data)
        return self._socket(fd).send(data, flags | SYMBOLS["MSG_NOSIGNAL"])

    def receive(self, fd: int, limit: int, flags: int) -> bytes:
        """Octets, or none at the end of file."""
        if fd in self._pipes:
            return os.read(fd, limit)
        return self._socket(fd).recv(limit, flags)

    def shutdown(self, fd: int, how: int) -> int:
        """Close one direction, or both."""
        self._socket(fd).shutdown(how)
        return 0

    def close(self, fd: int) -> int:
        """Give the descriptor up."""
        if fd in self._pipes or fd in self._epolls:
            with self._lock:
                self._pipes.discard(fd)
                epoll = self._epolls.pop(fd, None)
            os.close(fd) if epoll is None else epoll.close()
            return 0
        here = self._socket(fd)
        with self._lock:
            del self._open[fd]
        here.close()
        return 0

    def set_option(self, fd: int, level: int, name: int, value: int | bytes | tuple[int, ...]) -> int:
        """setsockopt()."""
        here = self._socket(fd)
        if isinstance(value, tuple):
            layout = "@ll" if (level, name) in _TIMES else f"@{len(value)}i"
            here.setsockopt(level, name, struct.pack(layout, *value))
        else:
            here.setsockopt(level, name, value)
        return 0

    def get_option(self, fd: int, level: int, name: int) -> int | bytes | tuple[int, ...]:
        """getsockopt()."""
        here = self._socket(fd)
        if (level, name) in _TEXT:
            return here.getsockopt(level, name, 64).rstrip(b"\0")
        if (level, name) in _TIMES:
            seconds, microseconds = struct.unpack("@ll", here.getsockopt(level, name, 16))
            return int(seconds), int(microseconds)
        if (level, name) == _LINGER:
            onoff, linger = struct.unpack("@ii", here.getsockopt(level, name, 8))
            return int(onoff), int(linger)
        return here.getsockopt(level, name)

    def fcntl(self, fd: int, command: int, argument: int) -> int:
        """F_GETFL and F_SETFL."""
        import fcntl

        if command == SYMBOLS["F_SETFL"]:
            blocking = not argument & SYMBOLS["O_NONBLOCK"]
            os.set_blocking(fd, blocking) if fd in self._pipes else self._socket(fd).setblocking(blocking)
            return 0
        if fd not in self._pipes:
            self._socket(fd)
        return fcntl.fcntl(fd, command, argument)

    def ioctl(self, fd: int, request: int) -> int:
        """SIOCINQ, SIOCOUTQ, SIOCOUTQNSD."""
        import fcntl

        self._socket(fd)
        written: int = _NUMBER.unpack(fcntl.ioctl(fd, request, bytes(4)))[0]
        return written

    def poll(self, wanted: list[tuple[int, int]], timeout: Nanos | None) -> list[int]:
        """The events of each descriptor."""
        waiting = select.poll()
        for fd, events in wanted:
            waiting.register(fd, events)
        found = dict(waiting.poll(None if timeout is None else timeout // MILLISECOND))
        return [found.get(fd, 0) for fd, _ in wanted]

    def epoll_create(self, flags: int) -> int:
        """A new descriptor, which waits for others."""
        made = select.epoll()
        with self._lock:
            self._epolls[made.fileno()] = made
        return made.fileno()

    def epoll_ctl(self, epoll: int, operation: int, fd: int, events: int, data: int) -> int:
        """Add, change or remove what it waits for."""
        waiting = self._epoll(epoll)
        if operation == SYMBOLS["EPOLL_CTL_DEL"]:
            waiting.unregister(fd)
        elif operation == SYMBOLS["EPOLL_CTL_MOD"]:
            waiting.modify(fd, events)
        elif operation == SYMBOLS["EPOLL_CTL_ADD"]:
            waiting.register(fd, events)
        else:
            raise OSError(errno.EINVAL, "EINVAL")
        self._told[epoll, fd] = data
        return 0

    def epoll_wait(self, epoll: int, limit: int, timeout: Nanos | None) -> list[tuple[int, int]]:
        """The events that there are."""
        if limit <= 0:
            raise OSError(errno.EINVAL, "EINVAL")
        seconds = _SLICE if timeout is None else timeout / SECOND
        while True:
            found = self._epoll(epoll).poll(seconds, limit)
            if found or timeout is not None:
                return [(events, self._told[epoll, fd]) for fd, events in found]

    def pipe(self) -> tuple[int, int]:
        """The two ends of a new pipe."""
        ends = os.pipe2(os.O_CLOEXEC)
        with self._lock:
            self._pipes.update(ends)
        return ends

    def splice(self, fd: int, out: int, limit: int, flags: int) -> int:
        """Move octets between a pipe and a socket."""
        for end in (fd, out):
            if end not in self._pipes:
                self._socket(end)
        return os.splice(fd, out, limit, flags=flags)

    def info(self, fd: int) -> dict[str, int]:
        """tcp_info."""
        raw = self._socket(fd).getsockopt(net.IPPROTO_TCP, net.TCP_INFO, _INFO)
        fields = {f"tcpi_{name}": measure.value for name, measure in decode(raw).items()}
        return {name: int(value) for name, value in fields.items() if isinstance(value, int)}

    def close_all(self) -> None:
        """Close everything; calls that block in it end."""
        with self._lock:
            left, self._open = list(self._open.values()), {}
            epolls, self._epolls = list(self._epolls.values()), {}
            pipes, self._pipes = list(self._pipes), set()
        for here in left:
            # Wakes whoever waits in it: close() alone does not.
            with suppress(OSError):
                here.shutdown(net.SHUT_RDWR)
            here.close()
        for end in pipes:
            os.close(end)
        for epoll in epolls:
            epoll.close()

    def _socket(self, fd: int) -> net.socket:
        found = self._open.get(fd)
        if found is None:
            other = fd in self._pipes or fd in self._epolls
            raise OSError(*((errno.ENOTSOCK, "ENOTSOCK") if other else (errno.EBADF, "EBADF")))
        return found

    def _epoll(self, fd: int) -> select.epoll:
        found = self._epolls.get(fd)
        if found is None:
            other = fd in self._pipes or fd in self._open
            raise OSError(*((errno.EINVAL, "EINVAL") if other else (errno.EBADF, "EBADF")))
        return found


def _address(here: net.socket, address: tuple[str, int]) -> tuple[str, int]:
    """As the socket's family writes it: an IPv4 address on an IPv6 socket is a mapped one."""
    if here.family == net.AF_INET6 and ":" not in address[0]:
        return f"::ffff:{address[0]}", address[1]
    return address
