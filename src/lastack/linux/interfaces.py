"""What the network of the calling thread's namespace has in use: the addresses of a device, and every route.

Sources: netdevice(7) for IPv4; /proc/net/if_inet6, route and ipv6_route, which show the calling thread's namespace
below /proc/thread-self.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Final

from .required import require_linux

_SIOCGIFADDR: Final = 0x8915
_SIOCGIFNETMASK: Final = 0x891B
_ADDRESS: Final = struct.Struct("16sHH4s16x")
"""struct ifreq with a sockaddr_in."""
_NET: Final = Path("/proc/thread-self/net")
_LINK_SCOPE: Final = 0x20


def addresses(name: str) -> list[IPv4Interface | IPv6Interface]:
    """The first IPv4 address of a device and its IPv6 addresses but those of the link, with their prefixes."""
    require_linux("a network device")
    import fcntl

    found: list[IPv4Interface | IPv6Interface] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control, suppress(OSError):
        asked = _ADDRESS.pack(name.encode(), socket.AF_INET, 0, bytes(4))
        address, mask = (
            IPv4Address(_ADDRESS.unpack(fcntl.ioctl(control, request, asked))[3])
            for request in (_SIOCGIFADDR, _SIOCGIFNETMASK)
        )
        found.append(IPv4Interface(f"{address}/{mask}"))
    for octets, _, length, scope, _, device in _lines("if_inet6"):
        if device == name and int(scope, 16) != _LINK_SCOPE:
            found.append(IPv6Interface((bytes.fromhex(octets), int(length, 16))))
    return found


def networks() -> list[IPv4Network | IPv6Network]:
    """Every network that there is a route to, default routes left out."""
    require_linux("a route")
    found: list[IPv4Network | IPv6Network] = []
    for fields in _lines("route")[1:]:
        # Numbers as the processor has them in memory.
        destination, mask = (IPv4Address(int(field, 16).to_bytes(4, "little")) for field in (fields[1], fields[7]))
        found.append(IPv4Network(f"{destination}/{mask}"))
    found += [
        IPv6Network((IPv6Address(bytes.fromhex(fields[0])), int(fields[1], 16))) for fields in _lines("ipv6_route")
    ]
    return [network for network in found if network.prefixlen]


def _lines(name: str) -> list[list[str]]:
    try:
        return [line.split() for line in (_NET / name).read_text().splitlines()]
    except OSError:
        return []
