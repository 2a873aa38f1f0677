"""A network in virtual time: hosts, links and routers, everything from one seed.

sim = Simulator(seed=1)
client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
sim.link(client, server, delay=10 * MILLISECOND)
listener = server.listen(80)
here = client.connect("10.0.0.2", 80)
there = sim.run_until(listener.accept)
here.send(b"hello")
sim.run_until(lambda: there.receive())
here.close(), there.close()
sim.run()
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final, TypeVar, final

from lastack.errors import CallError
from lastack.model.time import SECOND, Nanos
from lastack.native import i64
from lastack.stack.dice import Dice
from lastack.stack.listener import Listener
from lastack.stack.stack import Stack
from lastack.tcp.settings import Settings, SocketOptions
from lastack.tcp.timers import NEVER
from lastack.wire.icmp import Problem
from lastack.wire.ip import address_bytes
from lastack.wire.packet import Packet

from .application import Application
from .handles import SimListener, SimSocket
from .link import Channel, Link
from .node import Node, Port, complaint, find_routes
from .observer import HostObserver
from .tell import tell
from .trace import Trace

T = TypeVar("T")
_MOST_HEADERS: Final = 100
"""IPv6 and TCP with all the options there can be: what is smaller than the rest of the MTU needs no adding up."""


@final
class Host:
    """A host in the simulation, as an experiment sees it: no times to pass, they are the simulator's."""

    __slots__ = ("_sim", "node")

    def __init__(self, sim: Simulator, node: Node) -> None:
        self._sim = sim
        self.node = node

    @property
    def name(self) -> str:
        """Its name in traces."""
        return self.node.name

    @property
    def stack(self) -> Stack:
        """Its TCP. After a reboot it is another one."""
        stack = self.node.stack
        if stack is None:
            raise CallError(f"{self.node.name} is a router")
        return stack

    @property
    def settings(self) -> Settings:
        """Its settings, to be changed at any time."""
        return self.stack.settings

    def counters(self) -> dict[str, int]:
        """What was counted so far, by nstat's names, without zeros."""
        return self.stack.counters.as_dict()

    def listen(self, port: int, backlog: int = 4096, options: SocketOptions | None = None) -> SimListener:
        """Listen; connections are accepted by hand."""
        return SimListener(self._sim, self.node, self.stack, self.stack.listen(port, backlog, options))

    def serve(
        self,
        port: int,
        make: Callable[[], Application],
        backlog: int = 4096,
        options: SocketOptions | None = None,
    ) -> SimListener:
        """Listen, accept at once, and give every connection an application of its own."""
        listener = self.stack.listen(port, backlog, options)
        listener.owner = make
        return SimListener(self._sim, self.node, self.stack, listener)

    def connect(
        self,
        address: str,
        port: int,
        application: Application | None = None,
        options: SocketOptions | None = None,
        local: tuple[str, int] | None = None,
    ) -> SimSocket:
        """Open a connection; the SYN leaves at once. Raises CallError where no port is left."""
        socket = self.stack.connect((address, port), self._sim.now, options, local)
        if application is not None:
            socket.owner = application
        self._sim.flush(self.node)
        return SimSocket(self._sim, self.node, self.stack, socket)

    def reboot(self) -> None:
        """Lose everything: connections, listeners, waits. Nothing is sent."""
        former = self.stack.host
        former.crash("reboot", self._sim.now)
        stack = self._sim.make_stack(self.node.name, self.node.addresses, self.settings)
        # No connection is called as one before.
        stack.host.numbers = former.numbers
        self.node.stack = stack
        self.node.deadline = NEVER
        self.node.exact = True


@final
class Simulator:
    """The network. `trace=True` keeps every packet too; changes of state are always kept unless `quiet`."""

    def __init__(self, seed: int = 1, *, trace: bool = False, quiet: bool = False) -> None:
        self.now: i64 = 0
        self.trace = Trace()
        self.trace.keeps_packets = trace
        self._quiet = quiet
        self._dice = Dice(seed)
        self._nodes: list[Node] = []
        self._ports: list[Port] = []
        """Every end of a link: what it sends into, and where that leads."""
        self._agenda: list[Nanos] = []
        """A heap of the instants at which there are tasks."""
        self._next_task: i64 = NEVER
        """The first of these."""
        self._tasks: dict[Nanos, list[Callable[[], None]]] = {}
        self._due: list[Callable[[], None]] = []
        """The tasks of this instant that are not done yet, the next one last."""
        self._routed = True

    # -- building

    def host(self, name: str, *addresses: str, settings: Settings | None = None) -> Host:
        """A host with its addresses; its settings are a copy of `settings`, or Linux's."""
        packed = [address_bytes(address) for address in addresses]
        own = Settings.linux() if settings is None else settings.copy()
        node = Node(name, packed, None)
        node.stack = self.make_stack(name, packed, own)
        self._nodes.append(node)
        return Host(self, node)

    def make_stack(self, name: str, addresses: list[bytes], settings: Settings) -> Stack:
        """A stack with dice of its own, whose changes of state are traced."""
        observer = None if self._quiet else HostObserver(self.trace, name)
        stack = Stack([], settings, self._dice.split(), observer)
        stack.host.addresses = addresses
        return stack

    def router(self, name: str, *addresses: str) -> Host:
        """A router: passes packets on, one off their TTL, and says so when it cannot."""
        node = Node(name, [address_bytes(address) for address in addresses], None)
        self._nodes.append(node)
        return Host(self, node)

    def link(
        self,
        one: Host,
        other: Host,
        *,
        delay: Nanos = 0,
        rate: int = 0,
        queue: int = 0,
        loss: float = 0.0,
        mtu: int = 1500,
    ) -> Link:
        """Join two nodes, the same both ways; change `forth.fate` and `back.fate` for more, or for one side only."""
        channels = []
        for near, far in ((one.node, other.node), (other.node, one.node)):
            channel = Channel(self._dice.split())
            fate = channel.fate
            fate.delay, fate.rate, fate.queue, fate.loss, fate.mtu = delay, rate, queue, loss, mtu
            port = Port(channel, far)
            near.ports.append(port)
            self._ports.append(port)
            channels.append(channel)
            if near.stack is not None:
                near.stack.settings.mtu = min(near.stack.settings.mtu, mtu)
        self._routed = False
        return Link(channels[0], channels[1])

    def at(self, instant: Nanos, task: Callable[[], None]) -> None:
        """Do something at an instant (now, where that has passed)."""
        instant = max(instant, self.now)
        tasks = self._tasks.get(instant)
        if tasks is None:
            self._tasks[instant] = [task]
            heappush(self._agenda, instant)
            self._next_task = self._agenda[0]
        else:
            tasks.append(task)

    def after(self, delay: Nanos, task: Callable[[], None]) -> None:
        """Do something in a while."""
        self.at(self.now + delay, task)

    # -- running

    def run(self, until: Nanos | None = None, *, at_most: Nanos | None = None) -> Nanos:
        """Go on until nothing more happens, or until an instant, or for so long. What time it is then."""
        end = NEVER if until is None else min(until, NEVER)
        if at_most is not None:
            end = min(end, self.now + at_most)
        horizon = min(end + 1, NEVER)
        while self._step(horizon):
            pass
        if end != NEVER:
            self.now = max(self.now, end)
        return self.now

    def run_until(self, condition: Callable[[], T | None], *, at_most: Nanos = 86_400 * SECOND) -> T:
        """Go on until `condition` gives something true, and give that back.

        Raises CallError where nothing more happens, or so much time has passed, and it still does not.
        """
        end = self.now + at_most
        horizon = min(end + 1, NEVER)
        while True:
            found = condition()
            if found:
                return found
            if not self._step(horizon):
                raise CallError(f"not within {(end - self.now) / SECOND:.0f} s: nothing more happens")

    def _step(self, horizon: i64) -> bool:
        """One event: a task is due, a packet arrives, or a timer goes off. False where none is before `horizon`."""
        if self._due and self.now < horizon:
            self._due.pop()()
            return True
        while True:
            at = horizon
            target: Node | None = None
            for node in self._nodes:
                if node.deadline < at:
                    at = node.deadline
                    target = node
            coming: Port | None = None
            for port in self._ports:
                arrives = port.channel.arrives
                # What arrives comes before the timer of the same instant.
                if arrives < at or (arrives == at and coming is None and target is not None):
                    at = arrives
                    coming = port
            if self._next_task <= at and self._next_task < horizon:
                self._begin_tasks()
                return True
            if coming is not None:
                self.now = at
                self._arrive(coming.peer, coming.channel.take())
                return True
            if target is None or target.stack is None:
                return False
            if target.exact:
                self.now = at
                target.stack.on_timeout(at)
                self.flush(target)
                return True
            target.deadline = target.stack.deadline()
            target.exact = True

    def _begin_tasks(self) -> None:
        """The tasks of the next instant that has any; the first of them now."""
        agenda = self._agenda
        self.now = heappop(agenda)
        self._next_task = agenda[0] if agenda else NEVER
        self._due = self._tasks.pop(self.now)
        self._due.reverse()
        self._due.pop()()

    def _arrive(self, node: Node, packet: Packet) -> None:
        """A packet has reached a node."""
        if self.trace.keeps_packets:
            self.trace.packet(node.name, "received", packet, self.now)
        stack = node.stack
        if stack is None:
            self._forward(node, packet)
            return
        stack.on_packet(packet, self.now)
        self.flush(node)

    def _forward(self, node: Node, packet: Packet) -> None:
        """A router's part (RFC 1812 5.3.1: TTL first)."""
        if packet.destination in node.addresses:
            return
        if packet.ttl <= 1:
            self._complain(node, packet, Problem.TIME_EXCEEDED)
            return
        onward = packet.copy()
        onward.ttl -= 1
        self._send(node, onward)

    def _complain(self, node: Node, packet: Packet, problem: Problem, mtu: int = 0) -> None:
        if node.stack is not None:
            error = complaint(packet, problem, packet.source, mtu)
            if error is not None:
                node.stack.on_packet(error, self.now)
            return
        for source in node.addresses:
            error = complaint(packet, problem, source, mtu)
            if error is not None:
                self._send(node, error)
                return

    def _send(self, node: Node, packet: Packet) -> None:
        """Put a packet on the link that leads to its destination, or say why not."""
        if not self._routed:
            find_routes(self._nodes)
            self._routed = True
        port = node.routes.get(packet.destination)
        if port is None:
            port = node.route(packet.destination)
        if port is None:
            if packet.destination in node.addresses and node.stack is not None:
                node.stack.on_packet(packet, self.now)
            else:
                self._complain(node, packet, Problem.HOST_UNREACHABLE)
            return
        mtu = port.channel.fate.mtu
        segment = packet.segment
        roomy = segment is not None and len(segment.payload) + _MOST_HEADERS <= mtu
        if not roomy and packet.size > mtu:
            self._complain(node, packet, Problem.TOO_BIG, mtu)
            return
        told = port.channel.transmit(packet, self.now)
        if self.trace.keeps_packets:
            self.trace.packet(node.name, told or "sent", packet, self.now)

    def flush(self, node: Node) -> None:
        """Send what a host's stack has to send and tell its applications what they should know."""
        stack = node.stack
        if stack is None:
            return
        host, now = stack.host, self.now
        schedule = host.schedule
        while True:
            # What there is to do is looked at here, for most of the time there is nothing.
            while schedule.first is not None or host.replies:
                packet = stack.poll(now)
                if packet is not None:
                    self._send(node, packet)
            socket = stack.news()
            if socket is None:
                break
            if not socket.accepted:
                if socket.listener is not None:
                    self._accept(stack, socket.listener)
                continue
            # Only the simulator gives owners to the sockets of its stacks.
            application: Application | None = socket.owner
            event = socket.take_event()
            if application is not None and event:
                tell(application, socket, event, now)
        node.deadline = stack.bound()
        node.exact = False

    def _accept(self, stack: Stack, listener: Listener) -> None:
        make: Callable[[], Application] | None = listener.owner
        if make is None:
            return
        socket = stack.accept(listener)
        while socket is not None:
            socket.owner = make()
            socket = stack.accept(listener)
