"""The bench in virtual time: both hosts are the engine, in a simulated network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from lastack.drive.handles import SimListener, SimSocket
from lastack.drive.simulator import Host as SimHost
from lastack.drive.simulator import Simulator
from lastack.errors import CallError
from lastack.model.address import FourTuple
from lastack.model.lab import Scene
from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.tcp.settings import Settings, SocketOptions
from lastack.wire.packet import Packet, decode_packet

from .bench import ADDRESSES, LOOPBACK, Bench, Host, Listening, Memory, Option, Seen, Sock
from .seen import seen_in
from .story import tell

_LOOKED_AT = 256
"""Of a host with more connections than this their numbers are not looked up: it has no ladder worth drawing."""


@final
class EngineSock(Sock):
    """A socket of the engine."""

    def __init__(self, held: SimSocket) -> None:
        self._held = held
        self.four = FourTuple(held.local, held.remote)

    @property
    def state(self) -> State:
        """As the engine has it."""
        return self._held.state

    @property
    def error(self) -> str | None:
        """The pending error."""
        return self._held.error

    def send(self, data: bytes) -> int:
        """Queue octets."""
        return self._held.send(data)

    def receive(self, limit: int = 1 << 20) -> bytes | None:
        """Octets in order."""
        return self._held.receive(limit)

    def shutdown(self) -> None:
        """End our sending."""
        self._held.shutdown("write")

    def close(self) -> None:
        """Give the socket up."""
        self._held.close()

    def set(self, **options: Option) -> None:
        """Set options; those that act at once do."""
        for name, value in options.items():
            if name == "so_keepalive":
                continue
            if name == "tcp_quickack":
                self._held.set_quickack(bool(value))
                continue
            if not hasattr(self._held.options, name):
                raise CallError(f"a socket of the engine has no option {name}", "ENOPROTOOPT")
            setattr(self._held.options, name, value)
        if "so_keepalive" in options:
            self._held.set_keepalive(bool(options["so_keepalive"]))


@final
class EngineListening(Listening):
    """A listener of the engine."""

    def __init__(self, held: SimListener) -> None:
        self._held = held

    def accept(self) -> Sock | None:
        """The next connection."""
        held = self._held.accept()
        return None if held is None else EngineSock(held)

    def close(self) -> None:
        """Listen no more."""
        self._held.close()


@final
class EngineHost(Host):
    """A host of the simulation."""

    def __init__(self, sim_host: SimHost, sim: Simulator) -> None:
        self.name = sim_host.name
        self.held = sim_host
        self._sim = sim
        self.addresses = ADDRESSES[sim_host.name]

    def set(self, **settings: int | str) -> None:
        """Set sysctls and the constants of Linux's source."""
        for name, value in settings.items():
            apply(self.held.settings, name, value)

    def listen(self, port: int, backlog: int = 128, address: str = "", **options: Option) -> Listening:
        """Listen."""
        return EngineListening(self.held.listen(port, backlog, _options(options)))

    def connect(self, address: str, port: int, local: tuple[str, int] | None = None, **options: Option) -> Sock:
        """Send a SYN."""
        return EngineSock(self.held.connect(address, port, None, _options(options), local))

    def sockets(self) -> list[Seen]:
        """From the stack's table."""
        return seen_in(self.held.stack.connections(self._sim.now))

    def counters(self) -> dict[str, int]:
        """The stack's."""
        return self.held.counters()

    def reboot(self) -> None:
        """Another stack, that knows nothing."""
        self.held.reboot()

    def setting(self, name: str) -> str | None:
        """Of the stack; a range as its numbers with a space between."""
        value = getattr(self.held.settings, name, None)
        return " ".join(map(str, value)) if isinstance(value, tuple) else None if value is None else str(value)

    def memory(self) -> Memory:
        """Of the table of rows, its index included, each one's share."""
        rows = self.held.stack.host.four
        if not rows.count:
            raise CallError("there is no TIME_WAIT to measure")
        return Memory(rows.octets() / rows.count)


@final
class EngineBench(Bench):
    """The scene in a simulator."""

    def __init__(self, title: str, settings: Mapping[str, Mapping[str, str]], delay: Nanos, seed: int) -> None:
        self._title = title
        self._settings = settings
        self._sim = Simulator(seed, trace=True)
        hosts = []
        for name, addresses in ADDRESSES.items():
            mine = Settings.linux()
            for key, value in settings.get(name, {}).items():
                apply(mine, key, value)
            hosts.append(EngineHost(self._sim.host(name, *addresses, LOOPBACK, settings=mine), self._sim))
        self.client, self.server = self._hosts = hosts
        link = self._sim.link(hosts[0].held, hosts[1].held, delay=delay)
        self.forth, self.back = link.forth, link.back
        self._names: dict[tuple[str, int], FourTuple] = {}

    @property
    def now(self) -> Nanos:
        """The simulator's time."""
        return self._sim.now

    def within(self, duration: Nanos, condition: Callable[[], object]) -> Nanos | None:
        """Look at the condition after every event."""
        begin = self._sim.now

        def looked() -> bool:
            self._learn()
            return bool(condition())

        try:
            self._sim.run_until(looked, at_most=duration)
        except CallError as error:
            if error.code is not None:
                raise
            self._sim.run(begin + duration)
            return None
        return self._sim.now - begin

    def inject(self, packet: Packet, sender: Host, note: str = "") -> None:
        """Put it on the link."""
        channel = self.forth if sender is self.client else self.back
        told = channel.transmit(packet, self._sim.now)
        self._sim.trace.packet(sender.name, told or note or "sent", packet, self._sim.now)

    def packets(self) -> list[tuple[Nanos, str, Packet, str]]:
        """From the trace."""
        return [(at, host, decode_packet(data), fate) for at, host, data, fate in self._sent()]

    def scene(self) -> Scene:
        """From the trace."""
        self._learn()
        sent = self._sent()
        histories, left_out = tell(sent, self._sim.trace.changes, self._names, "", self._sim.now)
        moved = {host.name: host.counters() for host in self._hosts}
        return Scene(self._title, self._settings, histories, moved, tuple(sent), left_out)

    def _sent(self) -> list[tuple[Nanos, str, bytes, str]]:
        trace = self._sim.trace
        return [packet for packet, event in zip(trace.packets, trace.events, strict=True) if event.fate != "received"]

    def _learn(self) -> None:
        """Which connection has which number, while it can be found."""
        for host in self._hosts:
            sockets = host.held.stack.host.sockets
            if len(sockets) > _LOOKED_AT:
                continue
            for socket in list(sockets.values()):
                number = (host.name, int(socket.number))
                if number not in self._names:
                    self._names[number] = FourTuple(socket.local_endpoint, socket.remote_endpoint)


def apply(settings: Settings, name: str, value: int | str) -> None:
    """Set one of a host's settings. Raises CallError where there is none of that name."""
    if not hasattr(settings, name):
        raise CallError(f"the engine has no setting {name}")
    former = getattr(settings, name)
    if isinstance(former, tuple):
        setattr(settings, name, tuple(int(part) for part in str(value).split()))
    else:
        setattr(settings, name, type(former)(value))


def _options(options: Mapping[str, Any]) -> SocketOptions | None:
    try:
        return SocketOptions(**options) if options else None
    except TypeError as error:
        raise CallError(f"a socket of the engine has no such option: {error}", "ENOPROTOOPT") from None
