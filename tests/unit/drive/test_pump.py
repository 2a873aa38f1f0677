"""The pump, with a device of the test's own: two stacks back to back, no simulator."""

from __future__ import annotations

from lastack.drive import Device, pump
from lastack.model.state import State
from lastack.model.time import MILLISECOND
from lastack.stack import Dice, Stack
from lastack.wire import Packet


class Pipe(Device):
    """Hands packets to the other end, a few at a time."""

    def __init__(self) -> None:
        self.coming: list[Packet] = []
        self.other: Pipe = self
        self.room = 2

    def receive(self, limit: int) -> list[Packet]:
        taken, self.coming = self.coming[:limit], self.coming[limit:]
        return taken

    def ready(self) -> bool:
        return len(self.other.coming) < self.room

    def transmit(self, packet: Packet) -> None:
        assert self.ready()
        self.other.coming.append(packet)


def test_two_stacks_talk_through_any_device() -> None:
    client, server = Stack(["10.0.0.1"], dice=Dice(1)), Stack(["10.0.0.2"], dice=Dice(2))
    here, there = Pipe(), Pipe()
    here.other, there.other = there, here
    listener = server.listen(80)
    socket = client.connect(("10.0.0.2", 80), 0)
    socket.send(b"x" * 50_000, 0)
    got, now = b"", 0
    peer = None
    while len(got) < 50_000:
        now += MILLISECOND
        assert now < 1000 * MILLISECOND
        due = pump(client, here, now)
        assert due is None or due > now
        pump(server, there, now)
        peer = peer or server.accept(listener)
        if peer is not None:
            got += peer.receive(1 << 20, now) or b""
    assert got == b"x" * 50_000
    assert socket.state is State.ESTABLISHED
