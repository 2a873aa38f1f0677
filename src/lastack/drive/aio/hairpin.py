"""What a host sends to itself never reaches a device: it comes back at once, as on a kernel's loopback."""

from __future__ import annotations

from collections import deque
from typing import final

from lastack.drive.pump import Device
from lastack.model.time import Nanos
from lastack.wire.packet import Packet


@final
class Hairpin(Device):
    """A device with a way back for packets to `addresses` (packed). Without a device below, all others are lost."""

    def __init__(self, addresses: list[bytes], below: Device | None) -> None:
        self._addresses = frozenset(addresses)
        self._below = below
        self._coming: deque[Packet] = deque()
        if below is not None:
            self.mtu, self.gso_max_size = below.mtu, below.gso_max_size

    def next_timeout(self) -> Nanos | None:
        """At once while something is on its way back."""
        if self._coming:
            return 0
        return None if self._below is None else self._below.next_timeout()

    def receive(self, limit: int) -> list[Packet]:
        """What came back first, then what has arrived."""
        packets = [self._coming.popleft() for _ in range(min(limit, len(self._coming)))]
        if self._below is not None and len(packets) < limit:
            packets += self._below.receive(limit - len(packets))
        return packets

    def ready(self) -> bool:
        """As the device below."""
        return self._below is None or self._below.ready()

    def transmit(self, packet: Packet) -> None:
        """Turn it round, or pass it on."""
        if packet.destination in self._addresses:
            self._coming.append(packet)
        elif self._below is not None:
            self._below.transmit(packet)
