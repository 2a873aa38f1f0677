"""A TUN device for a stack: packets to and from a real kernel."""

from __future__ import annotations

import errno
import os
from types import TracebackType
from typing import TYPE_CHECKING, Final

from lastack.errors import DecodeError
from lastack.linux.tun import Tun
from lastack.wire.offload import LARGEST, decode_offload, encode_offload
from lastack.wire.packet import Packet, decode_packet

from .pump import Wire

if TYPE_CHECKING:
    from typing import Self

_LOST: Final = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EIO)
"""No room at present, or a device that is down: a packet is lost, as it is on any link, and no connection ends."""
_ENOUGH: Final = 1 << 16
"""Octets that are taken in at a time. Beyond 128 KiB that are free at once the C library gives memory back to the
kernel, and every page of the next packets is a fault: three times the CPU time for a large transfer."""
_LARGE: Final = 4096
"""From so many octets on it costs less to give the kernel two pieces than to join them."""


class TunDevice(Wire):
    """`with TunDevice(Tun(["10.9.0.1/24"], offload=True)) as device: ...`: closing it closes the Tun.

    What is no whole TCP segment or ICMP message is counted in `strange` and dropped, what the kernel has no room for
    in `lost`.
    """

    def __init__(self, tun: Tun) -> None:
        self.tun = tun
        self.mtu = tun.mtu
        self.gso_max_size = LARGEST if tun.offload else 0
        self.strange = 0
        self.lost = 0

    def receive(self, limit: int) -> list[Packet]:
        """The packets that have left the kernel, `limit` of them at most. Raises KernelError where it is gone."""
        packets: list[Packet] = []
        octets = 0
        read = self.tun.read
        decode = decode_offload if self.tun.offload else decode_packet
        for _ in range(limit):
            raw = read()
            if raw is None:
                break
            try:
                packets.append(decode(raw))
            except DecodeError:
                self.strange += 1
            octets += len(raw)
            if octets >= _ENOUGH:
                break
        return packets

    def transmit(self, packet: Packet) -> None:
        """Let a packet arrive in the kernel. Raises KernelError where the device is gone."""
        descriptor = self.tun.fileno()
        try:
            if not self.tun.offload:
                os.write(descriptor, packet.encode())
                return
            head, payload = encode_offload(packet)
            if len(payload) >= _LARGE:
                os.writev(descriptor, (head, payload))
            else:
                os.write(descriptor, head + payload)
        except OSError as error:
            if error.errno not in _LOST:
                raise self.tun.refused(error) from error
            self.lost += 1

    def fileno(self) -> int:
        """The descriptor, readable when a packet waits: for select() and event loops."""
        return self.tun.fileno()

    def close(self) -> None:
        """Close the Tun. Harmless when repeated."""
        self.tun.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
