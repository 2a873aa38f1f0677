"""A device around a device that writes down what passes, as pcapng that Wireshark opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, final

from lastack.model.time import Nanos
from lastack.wire.packet import Packet
from lastack.wire.pcapng import PcapngWriter

from .pump import Wire


@final
class Recorder(Wire):
    """Whatever is received and sent through it goes to `file` too, which the caller opens and closes.

    `clock` gives Unix time in ns. Packets are written as they are on a wire: with their checksums, though a device with
    offload leaves them to others.
    """

    def __init__(self, device: Wire, file: BinaryIO, clock: Callable[[], Nanos], name: str = "lastack") -> None:
        self.device = device
        self.mtu = device.mtu
        self.gso_max_size = device.gso_max_size
        self.packets = 0
        self._clock = clock
        self._writer = PcapngWriter(file, [name])

    def receive(self, limit: int) -> list[Packet]:
        """What the device has received."""
        packets = self.device.receive(limit)
        for packet in packets:
            self._note(packet)
        return packets

    def ready(self) -> bool:
        """Whether the device would take a packet now."""
        return self.device.ready()

    def transmit(self, packet: Packet) -> None:
        """Send a packet."""
        self._note(packet)
        self.device.transmit(packet)

    def next_timeout(self) -> Nanos | None:
        """The device's."""
        return self.device.next_timeout()

    def fileno(self) -> int:
        """The device's."""
        return self.device.fileno()

    def close(self) -> None:
        """Close the device. The file stays open."""
        self.device.close()

    def _note(self, packet: Packet) -> None:
        now = self._clock()
        for part in packet.parts():
            self.packets += 1
            self._writer.write(0, now, part.encode())
