"""A TUN device: IP packets as octets, to and from the kernel of the network namespace that the calling thread is in.

The device lives as long as its descriptor: it is gone, addresses and routes with it, whenever the process ends.
Sources: Documentation/networking/tuntap.rst, netdevice(7), drivers/net/tun.c.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final

from lastack.errors import KernelError

from .required import require_linux

if TYPE_CHECKING:
    from typing import Self

_TUNSETIFF: Final = 0x4004_54CA
_IFF_TUN: Final = 1
_IFF_NO_PI: Final = 0x1000
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_SIOCSIFMTU: Final = 0x8922
_SIOCGIFINDEX: Final = 0x8933
_IFF_UP: Final = 1

_FLAGS: Final = struct.Struct("16sh22x")
"""struct ifreq with a short."""
_NUMBER: Final = struct.Struct("16si20x")
"""struct ifreq with an int."""
_ADDRESS: Final = struct.Struct("16sHH4s16x")
"""struct ifreq with a sockaddr_in."""
_ADDRESS6: Final = struct.Struct("16sIi")
"""struct in6_ifreq: address, length of the prefix, index of the device."""

_LARGEST: Final = 1 << 16
_DEVICE: Final = "/dev/net/tun"


class Tun:
    """A TUN device that is up, to read what leaves the kernel and to write what is to arrive in it.

    `with Tun(["10.9.0.1/24"]) as tun: ...`

    `addresses` are the kernel's own, each with the length of its prefix, which becomes a route. `name` may be left
    to the kernel. `mtu` in octets. Raises KernelError where the kernel refuses, ValueError where an address is none.
    """

    __slots__ = ("_descriptor", "name")

    def __init__(self, addresses: Iterable[str], *, name: str = "", mtu: int = 1500) -> None:
        require_linux("a TUN device")
        wanted = [ipaddress.ip_interface(address) for address in addresses]
        self._descriptor = _open()
        try:
            self.name = self._create(name)
            for address in wanted:
                self._configure(address)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                self._tell(control, _SIOCSIFMTU, _NUMBER.pack(self.name.encode(), mtu))
                flags = _FLAGS.unpack(self._tell(control, _SIOCGIFFLAGS, _FLAGS.pack(self.name.encode(), 0)))[1]
                self._tell(control, _SIOCSIFFLAGS, _FLAGS.pack(self.name.encode(), flags | _IFF_UP))
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes | None:
        """The next packet that left the kernel, or None: there is none at present."""
        try:
            return os.read(self._descriptor, _LARGEST)
        except BlockingIOError:
            return None

    def write(self, packet: bytes) -> None:
        """Let a packet arrive. When this returns the kernel has dealt with it, and its answer can be read.

        Raises KernelError where the kernel does not take it (no IP packet, device down).
        """
        try:
            os.write(self._descriptor, packet)
        except OSError as error:
            raise KernelError(f"{self.name} does not take a packet: {error.strerror}") from error

    def fileno(self) -> int:
        """The descriptor, readable when a packet waits: for select() and event loops."""
        return self._descriptor

    def close(self) -> None:
        """Remove the device. Harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _create(self, name: str) -> str:
        if len(name.encode()) > 15:
            raise KernelError(f"the name of a device has 15 octets at most: {name!r}")
        answer = self._tell(self._descriptor, _TUNSETIFF, _FLAGS.pack(name.encode(), _IFF_TUN | _IFF_NO_PI))
        given: bytes = _FLAGS.unpack(answer)[0]
        return given.rstrip(b"\0").decode()

    def _configure(self, interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> None:
        """Give the device one address with its prefix."""
        name = self.name.encode()
        family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as control:
            if interface.version == 4:
                for request, octets in ((_SIOCSIFADDR, interface.packed), (_SIOCSIFNETMASK, interface.netmask.packed)):
                    self._tell(control, request, _ADDRESS.pack(name, socket.AF_INET, 0, octets))
                return
            index = _NUMBER.unpack(self._tell(control, _SIOCGIFINDEX, _NUMBER.pack(name, 0)))[1]
            self._tell(control, _SIOCSIFADDR, _ADDRESS6.pack(interface.packed, interface.network.prefixlen, index))

    @staticmethod
    def _tell(descriptor: int | socket.socket, request: int, argument: bytes) -> bytes:
        import fcntl

        try:
            return fcntl.ioctl(descriptor, request, argument)
        except OSError as error:
            needs = "; it takes root (CAP_NET_ADMIN)" if isinstance(error, PermissionError) else ""
            raise KernelError(f"cannot set up a TUN device: {error.strerror}{needs}") from error


def _open() -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
        helps = "; load the module tun (CONFIG_TUN)" if missing else "; it takes access to it"
        raise KernelError(f"cannot open {_DEVICE}: {error.strerror}{helps}") from error
