"""A peer that lies: whatever it says arrives on our device, and what we say to it never reaches the kernel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lastack.drive.pump import Wire, soonest
from lastack.model.time import Nanos
from lastack.wire.flags import ACK, RST, SYN
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK, add

from .line import OURS, Line

LIAR: Final = "10.9.0.66"
_NETWORK: Final = bytes((10, 9, 0))
_KERNEL: Final = address_bytes("10.9.0.1")


class Liar(Wire):
    """A device that receives what is injected as well; the address of the kernel's side may be lied about too."""

    def __init__(self, device: Wire) -> None:
        self.device = device
        self.mtu, self.gso_max_size = device.mtu, 0
        self.heard: deque[Packet] = deque(maxlen=10_000)
        """What was said to an address of the network that is not the kernel's."""
        self.injected: deque[Packet] = deque()

    def inject(self, packet: Packet) -> None:
        """Let it arrive."""
        self.injected.append(packet)

    def receive(self, limit: int) -> list[Packet]:
        """The lies first."""
        lies = [self.injected.popleft() for _ in range(min(limit, len(self.injected)))]
        return lies + self.device.receive(limit)

    def transmit(self, packet: Packet) -> None:
        if packet.destination[:3] == _NETWORK and packet.destination != _KERNEL:
            self.heard.append(packet)
        else:
            self.device.transmit(packet)

    def next_timeout(self) -> Nanos | None:
        return soonest(self.device.next_timeout(), 0 if self.injected else None)

    def fileno(self) -> int:
        return self.device.fileno()

    def close(self) -> None:
        self.device.close()


class LyingLine(Line):
    """A line on which more can be said than a kernel would."""

    def __init__(self, **options: Any) -> None:
        super().__init__(around=self._wrap, **options)

    def _wrap(self, device: Wire) -> Wire:
        self.liar = Liar(device)
        return self.liar

    def say(self, segment: Segment, source: str = LIAR) -> None:
        """A segment from any address to ours, not looked at yet: `settle`."""
        self.liar.inject(Packet(address_bytes(source), address_bytes(OURS[4]), segment))

    def settle(self) -> None:
        """Until every lie was heard."""
        self.until(lambda: not self.liar.injected)
        self.driver.step()

    def peer(self, port: int, number: int = 40_000, window: int = 0xFFFF) -> LyingPeer:
        """A peer with an open connection to a port of ours."""
        return LyingPeer(self, port, number, window)


class LyingPeer:
    """One end of a connection that says whatever it is told to say. Numbers are those on the wire."""

    def __init__(self, line: LyingLine, port: int, number: int, window: int) -> None:
        self.line = line
        self.ports = (number, port)
        self.window = window
        self.seq = 1000
        self.ack = 0
        self.say(SYN, mss=1400)
        line.settle()
        answer = self.heard()[-1]
        assert answer.flags == SYN | ACK
        self.seq, self.ack = 1001, add(answer.seq, 1)
        self.say(ACK)
        line.settle()

    def say(self, flags: int, data: bytes = b"", *, seq: int = 0, ack: int = 0, **fields: Any) -> None:
        """Say something; `seq` and `ack` are how far off the truth it is."""
        numbers = (self.seq + seq) & MASK, (self.ack + ack) & MASK if flags & ACK else 0
        segment = Segment(*self.ports, *numbers, flags, fields.pop("window", self.window), data)
        for name, value in fields.items():
            setattr(segment, name, value)
        self.line.say(segment)

    def heard(self) -> list[Segment]:
        """What was said to it so far."""
        told = [packet.segment for packet in self.line.liar.heard if packet.destination == address_bytes(LIAR)]
        return [segment for segment in told if segment is not None and segment.dst_port == self.ports[0]]

    def is_open(self) -> bool:
        """Whether an honest octet is still acknowledged."""
        before = len(self.heard())
        self.say(ACK, b".")
        self.line.settle()
        self.line.driver.run(0.06)
        self.seq = add(self.seq, 1)
        return any(one.ack == self.seq and not one.flags & RST for one in self.heard()[before:])


def resident() -> int:
    """Octets of memory that this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def growth(call: Callable[[], object]) -> int:
    """By how much memory has grown when a call is over."""
    before = resident()
    call()
    grown = resident() - before
    print(f"memory has grown by {grown / 1e6:.1f} MB")
    return grown
