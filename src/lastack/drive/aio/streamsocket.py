"""What stands for a connection's socket in `get_extra_info("socket")`."""

from __future__ import annotations

import errno
import os
import socket as system
from typing import TYPE_CHECKING

from lastack.errors import CallError
from lastack.stack.sock import Socket

from .errors import socket_error
from .readiness import Readiness
from .resolve import socket_address
from .standin import StandIn

if TYPE_CHECKING:
    from .network import Network


class StreamSocket(StandIn):
    """The socket of an open connection, to be asked and to be set; when closed, everything raises OSError (EBADF)."""

    def __init__(self, socket: Socket, network: Network) -> None:
        super().__init__(socket.options, socket.local_endpoint)
        self._socket = socket
        self._network = network
        self._readable = False
        self._readiness: Readiness | None = None
        self._closed = False

    def getpeername(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The peer's address and port."""
        self._check()
        return socket_address(*self._socket.remote_endpoint)

    def fileno(self) -> int:
        """A descriptor to poll for reading, no more; -1 when closed, or where the system has no eventfd."""
        if self._closed or not hasattr(os, "eventfd"):
            return -1
        if self._readiness is None:
            self._readiness = Readiness()
            self._readiness.show(self._readable)
        return self._readiness.fileno()

    def shutdown(self, how: int) -> None:
        """Close one direction or both (SHUT_RD, SHUT_WR, SHUT_RDWR). Raises OSError (ENOTCONN)."""
        self._check()
        try:
            self._socket.shutdown(("read", "write", "both")[how], self._network.now())
        except CallError as error:
            raise socket_error(error) from error
        self._network.touch()

    def show(self, readable: bool) -> None:
        """Say whether there is something to read, for the descriptor, if there is one."""
        self._readable = readable
        if self._readiness is not None:
            self._readiness.show(readable)

    def close(self) -> None:
        """The connection is closed."""
        self._closed = True
        if self._readiness is not None:
            self._readiness.close()

    def getsockname(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Our address and port."""
        self._check()
        return super().getsockname()

    def getsockopt(self, level: int, option: int, length: int = 0) -> int | bytes:
        """As StandIn's."""
        self._check()
        return super().getsockopt(level, option, length)

    def _check(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _set(self, name: str, value: int) -> None:
        if name == "so_keepalive":
            self._socket.set_keepalive(bool(value), self._network.now())
        else:
            super()._set(name, value)
            # Nagle's algorithm, or the cork, may let something go now.
            self._socket.schedule.touch(self._socket)
        self._network.touch()

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """As StandIn's; TCP_QUICKACK too."""
        self._check()
        if (level, option) == (system.IPPROTO_TCP, getattr(system, "TCP_QUICKACK", None)):
            self._socket.set_quickack(bool(value), self._network.now())
            self._network.touch()
        else:
            super().setsockopt(level, option, value)
