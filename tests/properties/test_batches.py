"""Packets in batches, as a device gives them, with lies among them: a stack that is not polled in between."""

from __future__ import annotations

import contextlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from lastack.errors import CallError
from lastack.model.time import MILLISECOND, SECOND
from lastack.stack import Dice, Socket, Stack
from lastack.tcp import Settings, SocketOptions
from lastack.wire import Packet, Segment, address_bytes
from lastack.wire.icmp import IcmpMessage, Problem, read_quote
from lastack.wire.seq import MASK

ENDS = ("10.0.0.1", "10.0.0.2")
BYTES = tuple(address_bytes(end) for end in ENDS)


class World:
    """Two stacks, what is under way between them, and chance."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.now = SECOND
        made = [Settings.linux(), Settings.linux()]
        for one in made:
            one.tcp_syncookies = dice.choice((0, 1, 1, 2))
            one.tcp_timestamps, one.tcp_sack = dice.choice((0, 1, 1)), dice.choice((0, 1, 1))
            one.tcp_window_scaling = dice.choice((0, 1, 1))
            one.ip_local_port_range = (40_000, 40_003)
            one.tcp_tw_reuse = 1
            one.gso_max_size = dice.choice((0, 65_000))
        self.stacks = [Stack([end], one, Dice(seed + n)) for n, (end, one) in enumerate(zip(ENDS, made, strict=True))]
        options = SocketOptions(so_rcvbuf=dice.choice((0, 0, 3000)), tcp_nodelay=bool(dice.getrandbits(1)))
        self.listeners = [stack.listen(80, dice.choice((0, 1, 4)), options) for stack in self.stacks]
        self.queues: list[list[Packet]] = [[], []]
        self.seen: list[Packet] = []
        self.sockets: list[Socket] = []

    def step(self) -> None:
        """One thing happens, and then the stacks are polled, or are not."""
        self.dice.choice((self.deliver, self.deliver, self.deliver, self.lie, self.call, self.call, self.wait))()
        if self.dice.random() < 0.7:
            self.poll()

    def poll(self) -> None:
        for number, stack in enumerate(self.stacks):
            while (packet := stack.poll(self.now)) is not None:
                assert len(packet.encode()) == packet.size
                self.queues[1 - number].append(packet)
                self.seen.append(packet)
            assert stack.poll(self.now) is None
            while stack.next_event() is not None:
                pass
        del self.seen[:-30]

    def deliver(self) -> None:
        """A batch, perhaps not in order, some of it twice, some of it never."""
        side = self.dice.randrange(2)
        queue = self.queues[side]
        if self.dice.random() < 0.3:
            self.dice.shuffle(queue)
        for _ in range(min(self.dice.randrange(1, 9), len(queue))):
            packet = queue.pop(0)
            for _ in range(self.dice.choice((0, 1, 1, 1, 1, 1, 2))):
                self.stacks[side].on_packet(packet, self.now)

    def lie(self) -> None:
        """Something that was said once, a little changed; or a router that quotes it."""
        if not self.seen:
            return
        dice = self.dice
        told = dice.choice(self.seen)
        side = BYTES.index(told.destination)
        truth = told.segment
        assert truth is not None
        if dice.random() < 0.2:
            quoted = told.encode()[: dice.choice((28, 48))]
            problem = dice.choice([one for one in Problem if one is not Problem.OTHER])
            message = IcmpMessage(problem, read_quote(quoted), dice.choice((0, 68, 600, 9000)), quoted)
            self.queues[1 - side].append(Packet(told.destination, told.source, None, message))
            return
        near = (0, 0, 0, 1, -1, 2, 100, -100, 1460, -1460, 1 << 16, -(1 << 16), 1 << 31)
        lie = Segment(
            truth.src_port,
            truth.dst_port,
            (truth.seq + dice.choice(near)) & MASK,
            (truth.ack + dice.choice(near)) & MASK,
            truth.flags ^ dice.choice((0, 0, 1 << dice.randrange(8))),
            dice.choice((truth.window, 0, 1, 65_535)),
            dice.choice((truth.payload, b"", b"lie", bytes(1400))),
        )
        lie.mss, lie.window_scale, lie.sack_permitted = truth.mss, truth.window_scale, truth.sack_permitted
        lie.urgent = dice.choice((0, 0, 5, 65_535))
        if truth.ts_value is not None and dice.random() < 0.9:
            lie.ts_value = (truth.ts_value + dice.choice(near)) & MASK
            lie.ts_echo = ((truth.ts_echo or 0) + dice.choice(near)) & MASK
        if dice.random() < 0.3:
            edges = [(truth.ack + dice.choice(near)) & MASK for _ in range(4)]
            lie.sack = ((edges[0], edges[1]), (edges[2], edges[3]))
        self.queues[side].append(Packet(told.source, told.destination, lie))

    def call(self) -> None:
        """An owner does something."""
        dice = self.dice
        with contextlib.suppress(CallError):
            side = dice.randrange(2)
            if dice.random() < 0.3:
                self.sockets.append(self.stacks[side].connect((ENDS[1 - side], 80), self.now))
            elif dice.random() < 0.3:
                accepted = self.stacks[side].accept(self.listeners[side])
                if accepted is not None:
                    self.sockets.append(accepted)
            elif self.sockets:
                self.use(dice.choice(self.sockets))
        del self.sockets[:-8]

    def use(self, socket: Socket) -> None:
        """A call of one socket."""
        now, dice = self.now, self.dice
        what = dice.randrange(10)
        if what < 3:
            socket.send(bytes(dice.choice((1, 100, 5000, 100_000))), now)
        elif what < 6:
            socket.receive(dice.choice((1, 1000, 1 << 20)), now)
        elif what == 6:
            socket.shutdown(dice.choice(("read", "write", "both")), now)
        elif what == 7:
            socket.close(now)
        elif what == 8:
            socket.set_keepalive(bool(dice.getrandbits(1)), now)
        else:
            socket.options.so_linger = dice.choice((None, 0, 1))
            socket.abort(now) if dice.getrandbits(1) else socket.close(now)

    def wait(self) -> None:
        """Time passes."""
        self.now += self.dice.choice((0, 1, 10, 50, 250, 1100, 30_000)) * MILLISECOND
        for stack in self.stacks:
            stack.on_timeout(self.now)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_no_batch_of_packets_breaks_a_stack_and_it_forgets_everything(seed: int) -> None:
    world = World(seed)
    for _ in range(250):
        world.step()
    for number, stack in enumerate(world.stacks):
        stack.unlisten(world.listeners[number], world.now)
        for socket in list(stack.host.sockets.values()):
            socket.abort(world.now)
    for _ in range(10):
        world.poll()
        for queue in world.queues:
            queue.clear()
        world.now += 200 * SECOND
        for stack in world.stacks:
            stack.on_timeout(world.now)
    for number, stack in enumerate(world.stacks):
        assert not stack.host.sockets
        assert stack.waiting() == 0
        assert world.listeners[number].requests == 0
        assert stack.host.orphans == 0
