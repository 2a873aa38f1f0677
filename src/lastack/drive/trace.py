"""What is written down of a simulation: packets as pcapng that Wireshark opens, changes of state with their cause."""

from __future__ import annotations

from hashlib import sha256
from typing import BinaryIO, final

from lastack.model.history import SegmentEvent, StateChange
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.wire.packet import Packet
from lastack.wire.pcapng import PcapngWriter


@final
class Trace:
    """Everything that happened. Off until asked for: `segments` and `changes` cost memory for every event.

    `digest()` is the same for two runs only if every packet and every change of state was.
    """

    def __init__(self) -> None:
        self.changes: list[StateChange] = []
        self.events: list[SegmentEvent] = []
        self.packets: list[tuple[Nanos, str, bytes, str]] = []
        """(instant, host, octets, remark), both ends of every link."""
        self.keeps_packets = False

    def moved(self, host: str, number: int, before: State, after: State, cause: str, now: Nanos) -> None:
        """Note a change of state."""
        self.changes.append(StateChange(now, host, number, before, after, cause))

    def packet(self, host: str, fate: str, packet: Packet, now: Nanos) -> None:
        """Note a packet at a host's interface: `sent`, `received`, or what became of it."""
        if self.keeps_packets:
            self.events.append(SegmentEvent(now, host, fate, str(packet)))
            self.packets.append((now, host, packet.encode(), "" if fate in ("sent", "received") else fate))

    def states(self, host: str, number: int = 1) -> list[State]:
        """The states that a connection went through, in order, the first one included."""
        found = [change for change in self.changes if change.host == host and change.connection == number]
        return [found[0].before, *(change.after for change in found)] if found else []

    def write_pcapng(self, file: BinaryIO) -> None:
        """Write the packets, one interface a host, remarks as comments."""
        names = list(dict.fromkeys(host for _, host, _, _ in self.packets))
        writer = PcapngWriter(file, names)
        for at, host, data, remark in self.packets:
            writer.write(names.index(host), at, data, remark)

    def digest(self) -> str:
        """SHA-256 over all that was noted."""
        total = sha256()
        for change in self.changes:
            total.update(repr(tuple(change)).encode())
        for at, host, data, remark in self.packets:
            total.update(f"{at} {host} {remark} ".encode() + data)
        return total.hexdigest()
