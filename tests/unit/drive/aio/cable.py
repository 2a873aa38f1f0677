"""A cable between two stacks of one event loop: with descriptors, so that a network can wait for it."""

from __future__ import annotations

import socket
from collections import deque

from lastack.drive.pump import Wire
from lastack.errors import KernelError
from lastack.wire.packet import Packet


class Plug(Wire):
    """One end of a cable. `cut`: what is sent is lost. `broken`: the device is gone. `busy`: it takes nothing."""

    def __init__(self) -> None:
        self._arrived: deque[Packet] = deque()
        # Not a pipe, for the end that is read can be waited for in order to write, too.
        self._reading, self._writing = socket.socketpair()
        self.other: Plug | None = None
        self.mtu = 1500
        self.cut = self.broken = self.busy = False
        self.sent: list[Packet] = []
        self.asked = 0
        """How often somebody wanted to know what has arrived."""

    def receive(self, limit: int) -> list[Packet]:
        self.asked += 1
        if self.broken:
            raise KernelError("the cable is pulled out")
        packets = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
        if packets and not self._arrived:
            self._reading.recv(1)
        return packets

    def ready(self) -> bool:
        return not self.busy

    def transmit(self, packet: Packet) -> None:
        self.sent.append(packet)
        if not self.cut and self.other is not None:
            if not self.other._arrived:
                self.other._writing.send(b".")
            self.other._arrived.append(packet)

    def fileno(self) -> int:
        return self._reading.fileno()

    def close(self) -> None:
        self._reading.close()
        self._writing.close()


def cable() -> tuple[Plug, Plug]:
    """Both ends."""
    one, other = Plug(), Plug()
    one.other, other.other = other, one
    return one, other
