"""Ending sockets from outside: SOCK_DESTROY of sock_diag, which checks the cookie itself (net/ipv4/tcp_diag.c).

A socket that can still be told so sends a RST, its process gets ECONNABORTED (tcp_abort() in net/ipv4/tcp.c); the
descriptor stays. TIME_WAIT, requests and listening sockets go too.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final, NamedTuple

from lastack.errors import KernelError

from .request import ask
from .required import require_linux

_SOCK_DIAG, _SOCK_DESTROY = 4, 21
_REQUEST: Final = struct.Struct("=BBxxI")
"""struct inet_diag_req_v2 up to the socket's identity: family, protocol, extensions, padding, states."""
_ANY_STATE: Final = 0xFFFF_FFFF


class Identity(NamedTuple):
    """What the kernel calls a socket: its family, and struct inet_diag_sockid as a dump gave it, cookie included."""

    family: int
    octets: bytes


class Destroyer:
    """Ends sockets of the network namespace that the calling thread is in when this is made. A context manager."""

    __slots__ = ("_source",)

    def __init__(self) -> None:
        require_linux("ending sockets")
        try:
            self._source = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG)
        except OSError as error:
            raise KernelError(f"cannot end sockets: {error.strerror}") from error

    def __enter__(self) -> Destroyer:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def destroy(self, which: Identity) -> bool:
        """End this very socket; False where there is none with its cookie (any more).

        Raises PermissionError without the privilege, KernelError where the kernel cannot or does not answer.
        """
        payload = _REQUEST.pack(which.family, socket.IPPROTO_TCP, _ANY_STATE) + which.octets
        try:
            refused = ask(self._source, _SOCK_DESTROY, payload)
        except OSError as error:
            raise KernelError(f"cannot end a socket: {error.strerror}") from error
        if refused in (0, errno.ENOENT, errno.ESTALE):
            return not refused
        if refused in (errno.EPERM, errno.EACCES):
            raise PermissionError(refused, os.strerror(refused))
        help_ = "; this kernel is built without CONFIG_INET_DIAG_DESTROY" if refused == errno.EOPNOTSUPP else ""
        raise KernelError(f"cannot end a socket: {os.strerror(refused)}{help_}")
