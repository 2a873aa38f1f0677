"""The options of another process's socket that decide whether it ends by itself, asked of the socket: see `pidfd`."""

from __future__ import annotations

import socket
import struct
from typing import Final

from lastack.errors import KernelError
from lastack.linux import pidfd
from lastack.model.host import Options
from lastack.model.time import MILLISECOND, SECOND

_LINGER: Final = struct.Struct("=ii")
"""struct linger of socket(7): whether it is on, and how many seconds."""


def options(pid: int, fd: int, cookie: int) -> Options | None:
    """The options of the socket with this cookie behind a descriptor; None where it may not be asked, or has gone."""
    try:
        found = pidfd.take(pid, fd, cookie)
    except (PermissionError, KernelError):
        return None
    if found is None:
        return None
    with found:
        on, seconds = _LINGER.unpack(found.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.size))
        return Options(
            keepalive=bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
            keepalive_idle_ns=_tcp(found, socket.TCP_KEEPIDLE) * SECOND,
            keepalive_interval_ns=_tcp(found, socket.TCP_KEEPINTVL) * SECOND,
            keepalive_probes=_tcp(found, socket.TCP_KEEPCNT),
            user_timeout_ns=_tcp(found, socket.TCP_USER_TIMEOUT) * MILLISECOND or None,
            linger_ns=seconds * SECOND if on else None,
        )


def _tcp(found: socket.socket, option: int) -> int:
    return found.getsockopt(socket.IPPROTO_TCP, option)
