"""From what a program calls a host to addresses: literals at once, names by the system."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
Address = tuple[str, int]
"""An address in its usual form, and a port."""


def literal(host: str | None, port: object, family: int = 0) -> Address | None:
    """What needs no looking up, or None: the host is a name, or the port one of a service."""
    if not isinstance(host, str):
        return None
    try:
        address = ip_address(host)
        number = int(port) if isinstance(port, (str, bytes, int)) else 0
    except ValueError:
        return None
    return (str(address), number) if family in (0, FAMILY[address.version]) and "%" not in host else None


async def resolve(
    loop: asyncio.AbstractEventLoop, host: str | None, port: object, *, family: int = 0, proto: int = 0, flags: int = 0
) -> list[Address]:
    """The addresses of a host, each once, in the system's order. Raises OSError (socket.gaierror)."""
    known = literal(host, port, family)
    if known is not None:
        return [known]
    service = port if isinstance(port, (str, bytes, int)) else None
    kind = socket.SOCK_STREAM
    found = await loop.getaddrinfo(host, service, family=family, type=kind, proto=proto, flags=flags)
    if not found:
        raise OSError("getaddrinfo() returned empty list")
    # The zone of an IPv6 address (RFC 4007 11) names a device of the kernel's.
    return list(dict.fromkeys((str(info[4][0]).partition("%")[0], int(info[4][1])) for info in found))


def socket_address(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """An endpoint as Python's sockets name it: in IPv6 with flow and scope."""
    return (address, port, 0, 0) if ":" in address else (address, port)
