"""A TUN device: IP packets as octets, to and from the kernel of a network namespace.

A device that is made here lives as long as its descriptor: it is gone, addresses and routes with it, whenever the
process ends. One that was made before for its user is only attached to, and left as it was found.
Sources: Documentation/networking/tuntap.rst, netdevice(7), drivers/net/tun.c, linux/virtio_net.h.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final

from lastack.errors import KernelError

from . import namespaces
from .namespaces import Namespace
from .required import require_linux
from .rtnetlink import Configuration

if TYPE_CHECKING:
    from typing import Self

_TUNSETIFF: Final = 0x4004_54CA
_TUNGETFEATURES: Final = 0x8004_54CF
_TUNSETOFFLOAD: Final = 0x4004_54D0
_TUNSETVNETHDRSZ: Final = 0x4004_54D8
_HEADER: Final = 10
"""Octets of struct virtio_net_hdr."""
_IFF_UP, _IFF_RUNNING = 1, 0x40
_IFF_TUN: Final = 1
_IFF_NO_PI: Final = 0x1000
_IFF_VNET_HDR: Final = 0x4000
_CHECKSUM, _TSO4, _TSO6 = 1, 2, 4
_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFMTU: Final = 0x8921
_SIOCGIFINDEX: Final = 0x8933

_FLAGS: Final = struct.Struct("16sH22x")
"""struct ifreq with a short."""
_NUMBER: Final = struct.Struct("16si20x")
"""struct ifreq with an int."""

_INT: Final = struct.Struct("i")
_LARGEST: Final = (1 << 16) + 64
_DEVICE: Final = "/dev/net/tun"
_RUNS_WITHIN_SECONDS: Final = 2
"""The kernel looks after carriers that come and go once a second, at the latest."""
_QUEUE: Final = 10_000
"""Packets that wait to be read: a burst of new connections must not lose some to the 500 that there would be."""


class Tun:
    """A TUN device that is up, to read what leaves the kernel and to write what is to arrive in it.

    `with Tun(["10.9.0.1/24"]) as tun: ...`

    `addresses` are the kernel's own, each with the length of its prefix, which becomes a route; `routes` are further
    networks to be reached through the device. `name` may be left to the kernel, `mtu` is in octets. `netns` is where
    the device lives: a Namespace, its name, a process id or a path; None is that of the calling thread. With `offload`
    every packet has a header of ten octets before it (`wire.offload`), and may be up to 64 KiB long without
    checksums; `self.offload` says whether this kernel has that.

    Without addresses an existing device of that name is attached to, as its owner may without privileges.

    Raises KernelError where the kernel refuses, or where there is a device of that name already, ValueError where an
    address is none.
    """

    __slots__ = ("_attached", "_descriptor", "mtu", "name", "offload")

    def __init__(
        self,
        addresses: Iterable[str] = (),
        *,
        name: str = "",
        mtu: int = 1500,
        routes: Iterable[str] = (),
        netns: Namespace | str | int | None = None,
        offload: bool = False,
    ) -> None:
        require_linux("a TUN device")
        wanted = [ipaddress.ip_interface(address) for address in addresses]
        further = [ipaddress.ip_network(route) for route in routes]
        if not wanted and not name:
            raise ValueError("a TUN device needs addresses to be made with, or the name of one that is there")
        self._attached = not wanted
        with _inside(netns):
            self._descriptor = _open()
            try:
                if self._attached:
                    _index(name)
                elif name and _exists(name):
                    raise KernelError(f"there is a device {name} already; without addresses it is attached to")
                self.name = self._create(name, offload)
                if wanted:
                    self._configure(wanted, further, mtu)
                else:
                    self._await_carrier()
                self.mtu = _query(_SIOCGIFMTU, self.name)
            except BaseException:
                self.close()
                raise

    def read(self) -> bytes | None:
        """The next packet that left the kernel, or None: there is none at present.

        Raises KernelError where the device is gone or down.
        """
        try:
            return os.read(self._descriptor, _LARGEST)
        except BlockingIOError:
            return None
        except OSError as error:
            raise KernelError(f"{self.name} gives no packets: {error.strerror}") from error

    def write(self, packet: bytes) -> None:
        """Let a packet arrive. When this returns the kernel has dealt with it, and its answer can be read.

        Raises KernelError where the kernel does not take it (no IP packet, device down).
        """
        try:
            os.write(self._descriptor, packet)
        except OSError as error:
            raise self.refused(error) from error

    def refused(self, error: OSError) -> KernelError:
        """What an error of a write comes to."""
        return KernelError(f"{self.name} does not take a packet: {error.strerror}")

    def fileno(self) -> int:
        """The descriptor, readable when a packet waits: for select() and event loops."""
        return self._descriptor

    def close(self) -> None:
        """Remove the device, or leave one that is its user's. Harmless when repeated."""
        if self._descriptor >= 0:
            if self._attached:
                self._accept(0)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _create(self, name: str, offload: bool) -> str:
        if len(name.encode()) > 15:
            raise KernelError(f"the name of a device has 15 octets at most: {name!r}")
        features = _INT.unpack(_tell(self._descriptor, _TUNGETFEATURES, bytes(_INT.size)))[0]
        self.offload = offload and features & _IFF_VNET_HDR != 0
        flags = _IFF_TUN | _IFF_NO_PI | (_IFF_VNET_HDR if self.offload else 0)
        answer = _tell(self._descriptor, _TUNSETIFF, _FLAGS.pack(name.encode(), flags))
        given: bytes = _FLAGS.unpack(answer)[0]
        if self.offload:
            # Whoever had the device before may have chosen another.
            _tell(self._descriptor, _TUNSETVNETHDRSZ, _INT.pack(_HEADER))
        self._accept(_CHECKSUM | _TSO4 | _TSO6 if self.offload else 0)
        return given.rstrip(b"\0").decode()

    def _accept(self, offloads: int) -> None:
        """What may be left to us. A kernel that does not know it leaves nothing to us, which is as well."""
        with suppress(KernelError):
            _tell(self._descriptor, _TUNSETOFFLOAD, offloads)

    def _await_carrier(self) -> None:
        """Until the kernel has noticed that somebody holds a device that is up: it drops every packet before that."""
        latest = time.monotonic() + _RUNS_WITHIN_SECONDS
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
            while time.monotonic() < latest:
                flags = _FLAGS.unpack(_tell(control, _SIOCGIFFLAGS, _FLAGS.pack(self.name.encode(), 0)))[1]
                if flags & (_IFF_UP | _IFF_RUNNING) != _IFF_UP:
                    return
                time.sleep(0.0005)

    def _configure(
        self,
        addresses: list[ipaddress.IPv4Interface | ipaddress.IPv6Interface],
        routes: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
        mtu: int,
    ) -> None:
        index = _index(self.name)
        with Configuration() as devices:
            devices.raise_link(index, mtu, _QUEUE)
            for address in addresses:
                devices.add_address(index, address)
            for network in routes:
                devices.add_route(index, network)


@contextmanager
def _inside(netns: Namespace | str | int | None) -> Iterator[None]:
    """The calling thread where the device is to be: a device lives where its descriptor was opened."""
    if netns is None:
        yield
        return
    with namespaces.entered(_namespace(netns)):
        yield


def _namespace(netns: Namespace | str | int) -> Namespace:
    if isinstance(netns, Namespace):
        return netns
    if isinstance(netns, str) and "/" in netns:
        try:
            return Namespace(netns, os.stat(netns).st_ino, netns)  # noqa: PTH116 (the descriptor of a path, no file)
        except OSError as error:
            raise KernelError(f"cannot look at the network namespace {netns}: {error.strerror}") from error
    return namespaces.choose(str(netns))[0]


def _exists(name: str) -> bool:
    return any(name == found for _, found in socket.if_nameindex())


def _index(name: str) -> int:
    return _query(_SIOCGIFINDEX, name)


def _query(request: int, name: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        answer: int = _NUMBER.unpack(_tell(control, request, _NUMBER.pack(name.encode(), 0)))[1]
    return answer


def _tell(descriptor: int | socket.socket, request: int, argument: bytes | int) -> bytes:
    import fcntl

    try:
        answer = fcntl.ioctl(descriptor, request, argument)
    except OSError as error:
        needs = "; it takes root (CAP_NET_ADMIN)" if isinstance(error, PermissionError) else ""
        raise KernelError(f"cannot set up a TUN device: {error.strerror}{needs}") from error
    return answer if isinstance(answer, bytes) else b""


def _open() -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
        helps = "; load the module tun (CONFIG_TUN)" if missing else "; it takes access to it"
        raise KernelError(f"cannot open {_DEVICE}: {error.strerror}{helps}") from error
