"""A TUN device for a stack: packets to and from a real kernel."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from lastack.errors import DecodeError
from lastack.linux.tun import Tun
from lastack.wire.packet import Packet, decode_packet

from .pump import Wire

if TYPE_CHECKING:
    from typing import Self


class TunDevice(Wire):
    """`with TunDevice(Tun(["10.9.0.1/24"])) as device: ...`: closing it closes the Tun.

    What is no whole TCP segment or ICMP message is counted in `strange` and dropped.
    """

    def __init__(self, tun: Tun) -> None:
        self.tun = tun
        self.mtu = tun.mtu
        self.strange = 0

    def receive(self, limit: int) -> list[Packet]:
        """The packets that have left the kernel, `limit` of them at most. Raises KernelError where it is gone."""
        packets: list[Packet] = []
        for _ in range(limit):
            raw = self.tun.read()
            if raw is None:
                break
            try:
                packets.append(decode_packet(raw))
            except DecodeError:
                self.strange += 1
        return packets

    def transmit(self, packet: Packet) -> None:
        """Let a packet arrive in the kernel. Raises KernelError where it is not taken."""
        self.tun.write(packet.encode())

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
