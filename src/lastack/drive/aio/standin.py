"""What stands for a socket in `get_extra_info("socket")` and `Server.sockets`: libraries ask it, set its options."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final

from lastack.tcp.settings import SocketOptions

from .resolve import FAMILY, socket_address

_TCP: Final = socket.IPPROTO_TCP
# Where SocketOptions has each option: socket(7), tcp(7).
_NAMES: Final[dict[tuple[int, int], str]] = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): "so_keepalive",
    (socket.SOL_SOCKET, socket.SO_RCVBUF): "so_rcvbuf",
    (socket.SOL_SOCKET, socket.SO_SNDBUF): "so_sndbuf",
    (socket.SOL_SOCKET, socket.SO_REUSEADDR): "so_reuseaddr",
    (_TCP, socket.TCP_NODELAY): "tcp_nodelay",
    (_TCP, socket.TCP_MAXSEG): "tcp_maxseg",
}
# The rest has a name only where the system's own sockets have the option.
for _level, _option in (
    (socket.SOL_SOCKET, "SO_REUSEPORT"),
    (_TCP, "TCP_CORK"),
    (_TCP, "TCP_DEFER_ACCEPT"),
    (_TCP, "TCP_KEEPCNT"),
    (_TCP, "TCP_KEEPIDLE"),
    (_TCP, "TCP_KEEPINTVL"),
    (_TCP, "TCP_LINGER2"),
    (_TCP, "TCP_SYNCNT"),
    (_TCP, "TCP_USER_TIMEOUT"),
):
    if hasattr(socket, _option):
        _NAMES[_level, getattr(socket, _option)] = _option.lower()

_FLAGS: Final = frozenset(("so_keepalive", "so_reuseaddr", "so_reuseport", "tcp_nodelay", "tcp_cork"))
_LINGER: Final = struct.Struct("ii")
"""struct linger: on, seconds."""


class StandIn:
    """A bound socket as far as others look at one. `options` are those of the real thing, and are changed in place."""

    type = socket.SOCK_STREAM
    proto = _TCP

    def __init__(self, options: SocketOptions, local: tuple[str, int]) -> None:
        self._options = options
        self._local = socket_address(*local)
        self.family = FAMILY[6 if ":" in local[0] else 4]

    def getsockname(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Our address and port, as Python's sockets name them."""
        return self._local

    def getpeername(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Raises OSError (ENOTCONN): a listener has no peer."""
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    def fileno(self) -> int:
        """-1: there is no descriptor."""
        return -1

    def gettimeout(self) -> float | None:
        """0.0: asyncio's sockets never wait."""
        return 0.0

    def settimeout(self, value: float | None) -> None:
        """Raises ValueError for anything but 0."""
        if value != 0:
            raise ValueError("settimeout(): only 0 timeout is allowed on transport sockets")

    def setblocking(self, flag: bool) -> None:
        """Raises ValueError for True."""
        if flag:
            raise ValueError("setblocking(): transport sockets cannot be blocking")

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of SOL_SOCKET or IPPROTO_TCP. Raises OSError (ENOPROTOOPT) where the engine has none such.

        Sizes of buffers, and what has to do with opening, count for connections that are yet to be accepted.
        """
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER) and isinstance(value, bytes):
            on, seconds = _LINGER.unpack(value)
            self._options.so_linger = seconds if on else None
            return
        name = _name(level, option)
        number = int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
        self._set(name, bool(number) if name in _FLAGS else number)

    def getsockopt(self, level: int, option: int, length: int = 0) -> int | bytes:
        """An option's value: a number, or so many octets of it. Raises OSError (ENOPROTOOPT)."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            linger = self._options.so_linger
            return _LINGER.pack(linger is not None, linger or 0)[: length or None]
        number = self._get(level, option)
        return number.to_bytes(4, "little")[:length] if length else number

    def _set(self, name: str, value: int) -> None:
        setattr(self._options, name, value)

    def _get(self, level: int, option: int) -> int:
        if level == socket.SOL_SOCKET:
            if option == socket.SO_TYPE:
                return int(self.type)
            if option == socket.SO_ERROR:
                return 0
        return int(getattr(self._options, _name(level, option)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._local[0]} port {self._local[1]}>"


def _name(level: int, option: int) -> str:
    name = _NAMES.get((level, option))
    if name is None:
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
    return name
