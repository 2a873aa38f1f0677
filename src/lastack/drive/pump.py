"""The one loop between a stack and a device. Simulator, TUN, asyncio and scripts differ only in how they wait."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lastack.model.time import Nanos
from lastack.stack.stack import Stack
from lastack.wire.packet import Packet

BATCH = 64


class Device(ABC):
    """Where packets come from and go to. Make your own: three methods.

    `mtu`: octets of the largest packet that it takes. `gso_max_size`: octets of text in one that stands for many
    segments, each within the MTU; 0 where it cuts none.
    """

    mtu: int = 1 << 16
    gso_max_size: int = 0

    @abstractmethod
    def receive(self, limit: int) -> list[Packet]:
        """The packets that have arrived, `limit` of them at most; none is an empty list, never a wait."""

    def ready(self) -> bool:
        """Whether `transmit` would take a packet now."""
        return True

    @abstractmethod
    def transmit(self, packet: Packet) -> None:
        """Send a packet."""

    def next_timeout(self) -> Nanos | None:
        """When it will have something to do that no descriptor tells of, or None."""
        return None


class Wire(Device):
    """A device that a descriptor speaks for: what a driver can wait for."""

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor, readable when a packet waits: for select() and event loops."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it. Harmless when repeated."""


def pump(stack: Stack, device: Device, now: Nanos) -> Nanos | None:
    """Take in what has arrived, do what is due, send what follows. When to come back at the latest, or None."""
    for packet in device.receive(BATCH):
        stack.on_packet(packet, now)
    stack.on_timeout(now)
    while device.ready() and (packet_out := stack.poll(now)) is not None:
        device.transmit(packet_out)
    return soonest(stack.next_timeout(), device.next_timeout())


def soonest(one: Nanos | None, other: Nanos | None) -> Nanos | None:
    """The earlier of two instants, None being never."""
    return other if one is None else one if other is None else min(one, other)
