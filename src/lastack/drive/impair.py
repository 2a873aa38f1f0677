"""A bad wire around a good one: loss, delay, reordering, duplicates and damage, as netem does where a kernel has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from lastack.model.time import MILLISECOND, Nanos
from lastack.stack.dice import Dice
from lastack.tcp.timers import NEVER
from lastack.wire.packet import Packet

from .link import Channel, Fate
from .pump import Wire, soonest

OVERTAKEN: Final[Nanos] = 10 * MILLISECOND
"""By how much a reordered packet is late where nothing else is said: later than many that were sent after it."""


@final
class Impaired(Wire):
    """`out` and `back` are the fates of what is sent and of what is received; the same seed makes the same throws.

    Damage is found by whoever checks a checksum, so that it is a loss in nearly every case. Wrap a device without
    segmentation offload: what is lost should be one segment. `clock` is the driver's.
    """

    def __init__(self, device: Wire, out: Fate, back: Fate, clock: Callable[[], Nanos], seed: int = 1) -> None:
        self.device = device
        self.mtu = device.mtu
        self._clock = clock
        dice = Dice(seed)
        self.forth = Channel(dice.split())
        self.back = Channel(dice.split())
        self.forth.fate, self.back.fate = out, back

    def receive(self, limit: int) -> list[Packet]:
        """What has come through by now, `limit` of it at most. What is due the other way leaves meanwhile."""
        now = self._clock()
        for packet in self.device.receive(limit):
            self.back.transmit(packet, now)
        self._release(now)
        arrived: list[Packet] = []
        while self.back.arrives <= now and len(arrived) < limit:
            arrived.append(self.back.take())
        return arrived

    def ready(self) -> bool:
        """Whether `transmit` would take a packet now."""
        return self.device.ready()

    def transmit(self, packet: Packet) -> None:
        """Put a packet on its way."""
        now = self._clock()
        self.forth.transmit(packet, now)
        self._release(now)

    def next_timeout(self) -> Nanos | None:
        """When the next packet that is under way will be through."""
        arrives = min(self.forth.arrives, self.back.arrives)
        return soonest(self.device.next_timeout(), None if arrives == NEVER else arrives)

    def fileno(self) -> int:
        """The device's."""
        return self.device.fileno()

    def close(self) -> None:
        """Close the device; what is under way is gone."""
        self.forth.clear()
        self.back.clear()
        self.device.close()

    def _release(self, now: Nanos) -> None:
        while self.forth.arrives <= now and self.device.ready():
            self.device.transmit(self.forth.take())
