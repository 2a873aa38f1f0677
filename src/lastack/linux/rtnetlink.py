"""Sets up network devices: their MTU, addresses and routes (rtnetlink(7), linux/rtnetlink.h), one request at a time."""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Final

from lastack.errors import KernelError

from .request import ask
from .required import require_linux

_NEWLINK, _NEWADDR, _NEWROUTE = 16, 20, 24
_REPLACE, _CREATE = 0x100, 0x400

_LINK: Final = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, which flags are meant."""
_ADDRESS: Final = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, length of the prefix, flags, scope, index."""
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags."""
_ATTRIBUTE: Final = struct.Struct("=HH")
_NUMBER: Final = struct.Struct("=I")

_IFF_UP: Final = 1
_IFLA_MTU, _IFLA_TXQLEN = 4, 13
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NO_DAD: Final = 2
"""IFA_F_NODAD: nobody else is on such a device, and an address that is being checked cannot be used."""
_RTA_DST, _RTA_OIF = 1, 4
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_LINK, _UNICAST = 254, 4, 253, 1


class Configuration:
    """The devices of the network namespace that the calling thread is in when this is made.

    `with Configuration() as devices: devices.raise_link(index, mtu=1500)`. Every method raises KernelError where the
    kernel refuses; what is there already is no error.
    """

    __slots__ = ("_socket",)

    def __init__(self) -> None:
        require_linux("setting up a network device")
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)

    def __enter__(self) -> Configuration:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def raise_link(self, index: int, mtu: int | None = None, queue: int | None = None) -> None:
        """Set a device up; before that its MTU in octets and how many packets its queue holds."""
        attributes = b""
        if mtu is not None:
            attributes += _attribute(_IFLA_MTU, _NUMBER.pack(mtu))
        if queue is not None:
            attributes += _attribute(_IFLA_TXQLEN, _NUMBER.pack(queue))
        if attributes:
            self._ask(_NEWLINK, 0, _LINK.pack(0, 0, index, 0, 0) + attributes, f"set an MTU of {mtu}")
        self._ask(_NEWLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP), "set the device up")

    def add_address(self, index: int, address: IPv4Interface | IPv6Interface) -> None:
        """Give a device one more address; its prefix becomes a route to the device."""
        head = _ADDRESS.pack(_family(address), address.network.prefixlen, _NO_DAD, 0, index)
        octets = _attribute(_IFA_LOCAL, address.packed) + _attribute(_IFA_ADDRESS, address.packed)
        self._ask(_NEWADDR, _CREATE | _REPLACE, head + octets, f"add the address {address}")

    def add_route(self, index: int, network: IPv4Network | IPv6Network) -> None:
        """Send what is for `network` into a device."""
        scope = _SCOPE_LINK if network.version == 4 else 0
        head = _ROUTE.pack(_family(network), network.prefixlen, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, scope, _UNICAST, 0)
        octets = _attribute(_RTA_DST, network.network_address.packed) + _attribute(_RTA_OIF, _NUMBER.pack(index))
        self._ask(_NEWROUTE, _CREATE | _REPLACE, head + octets, f"add the route {network}")

    def _ask(self, kind: int, flags: int, payload: bytes, doing: str) -> None:
        """One request."""
        try:
            refused = ask(self._socket, kind, payload, flags)
        except OSError as error:
            raise KernelError(f"cannot {doing}: {error.strerror}") from error
        except KernelError as error:
            raise KernelError(f"cannot {doing}: {error}") from error
        if refused and refused != errno.EEXIST:
            needs = "; it takes root (CAP_NET_ADMIN)" if refused in (errno.EPERM, errno.EACCES) else ""
            raise KernelError(f"cannot {doing}: {os.strerror(refused)}{needs}")


def _family(address: IPv4Interface | IPv6Interface | IPv4Network | IPv6Network) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _attribute(kind: int, value: bytes) -> bytes:
    """One attribute (struct rtattr) with its value, padded to four octets."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)
