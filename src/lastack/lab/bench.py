"""The bench that experiments are written against: two hosts and the wire between them, in virtual time or for real.

with lab.scene("the server closes first") as bench:
    here, there = bench.connection()
    there.close()
    bench.until(lambda: here.receive() == b"")
    here.close()
    bench.wait(SECOND)

The engine's bench (`engine`) and the kernel's (`kernel`) are the same to an experiment. No call of a socket blocks;
time passes only in `wait`, `until` and `within`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from subprocess import Popen
from typing import Final, NamedTuple, TypeVar

from lastack.drive.link import Channel, Link
from lastack.errors import CallError
from lastack.model.address import FourTuple
from lastack.model.lab import Scene
from lastack.model.state import State
from lastack.model.time import DAY, MILLISECOND, SECOND, Nanos
from lastack.wire.packet import Packet

T = TypeVar("T")
ADDRESSES: Final = {
    "client": ("10.0.0.1", "10.0.0.11", "10.0.0.12", "10.0.0.13"),
    "server": ("10.0.0.2", "10.0.0.21", "10.0.0.22", "10.0.0.23"),
}
"""The hosts, and the addresses of each; the first is the one it uses."""
LOOPBACK: Final = "127.0.0.1"
"""An address of both, to reach oneself; what goes there is not on the wire."""
Option = int | bool | str | None
"""What a socket's option can be, under the names of SocketOptions: so_linger, tcp_user_timeout (ms), ..."""


class Memory(NamedTuple):
    """Octets of one TIME_WAIT, of one more local port in use, and of one open socket; None: not known."""

    wait: float
    port: int | None = None
    socket: int | None = None


class Seen(NamedTuple):
    """A socket as a dump of a host shows it; `owned` is False where no process has it (TIME_WAIT, orphans)."""

    state: State
    four: FourTuple
    recv_q: int
    send_q: int
    owned: bool


class Sock(ABC):
    """One end of a connection, held by a program."""

    four: FourTuple

    @property
    @abstractmethod
    def state(self) -> State:
        """The state of its end, CLOSED once that is gone. Also after close()."""

    @property
    @abstractmethod
    def error(self) -> str | None:
        """The name of the error that the next call will raise (ECONNRESET), left pending."""

    @abstractmethod
    def send(self, data: bytes) -> int:
        """Queue octets; how many were taken. Raises CallError with the errno's name in `code`."""

    @abstractmethod
    def receive(self, limit: int = 1 << 20) -> bytes | None:
        """Octets in order; None: nothing yet; empty: end of file. Raises CallError."""

    @abstractmethod
    def shutdown(self) -> None:
        """End our sending (SHUT_WR), and keep the socket."""

    @abstractmethod
    def close(self) -> None:
        """Give the socket up."""

    @abstractmethod
    def set(self, **options: Option) -> None:
        """Set options of an open socket, under the names of SocketOptions."""

    def abort(self) -> None:
        """Close with SO_LINGER {1, 0}."""
        self.set(so_linger=0)
        self.close()

    def attempt(self, call: Callable[[], object]) -> str:
        """The name of the error that a call raises, empty where it raises none."""
        try:
            call()
        except CallError as error:
            return error.code or str(error)
        return ""


class Listening(ABC):
    """A listening socket."""

    @abstractmethod
    def accept(self) -> Sock | None:
        """The next established connection, or None. Raises CallError (EMFILE)."""

    @abstractmethod
    def close(self) -> None:
        """Listen no more."""


class Host(ABC):
    """One of the hosts."""

    name: str
    addresses: tuple[str, ...]

    @property
    def address(self) -> str:
        """The address that it uses where nothing else is said."""
        return self.addresses[0]

    @abstractmethod
    def set(self, **settings: int | str) -> None:
        """Set sysctls, by the last part of their names: tcp_fin_timeout=5."""

    @abstractmethod
    def listen(self, port: int, backlog: int = 128, address: str = "", **options: Option) -> Listening:
        """Listen. Raises CallError (EADDRINUSE)."""

    @abstractmethod
    def connect(self, address: str, port: int, local: tuple[str, int] | None = None, **options: Option) -> Sock:
        """Send a SYN. Raises CallError (EADDRNOTAVAIL)."""

    @abstractmethod
    def sockets(self) -> list[Seen]:
        """Every connection of the host, mini-sockets and requests too; listeners not."""

    @abstractmethod
    def counters(self) -> dict[str, int]:
        """By how much each counter has moved since the scene began, without zeros, under nstat's names."""

    @abstractmethod
    def reboot(self) -> None:
        """Lose everything at once, without a word: connections, listeners, waits."""

    @abstractmethod
    def setting(self, name: str) -> str | None:
        """What a sysctl is set to, or None where there is none of that name."""

    @abstractmethod
    def memory(self) -> Memory:
        """What connections take. Raises CallError where that cannot be told, or there is no TIME_WAIT to measure."""

    def child(self, command: Sequence[str], *held: Sock | Listening) -> Popen[str]:
        """A process of the host's that inherits these sockets; their descriptors' numbers follow as arguments.

        Its input and output are pipes; it must end with its input, and is ended with the scene. Raises CallError on the
        engine, whose hosts have no processes.
        """
        raise CallError(f"{self.name} is a host of the engine and has no processes", "ENOSYS")

    def count(self, state: State, port: int = 0) -> int:
        """How many connections are in a state, those with a local or remote port only if that is given."""
        return sum(
            seen.state is state and (not port or port in (seen.four.local.port, seen.four.remote.port))
            for seen in self.sockets()
        )

    def state_of(self, four: FourTuple) -> State:
        """The state of a connection of the host, by its ends; CLOSED where there is none."""
        for seen in self.sockets():
            if seen.four == four:
                return seen.state
        return State.CLOSED


class Bench(ABC):
    """Two hosts and the wire. `forth` carries what the client sends, `back` what the server sends.

    What they can do to packets: `lose`, `hold`, `double`, `damage` (drive.link.Channel), and `fate.delay` and so on.
    """

    client: Host
    server: Host
    forth: Channel
    back: Channel

    @property
    @abstractmethod
    def now(self) -> Nanos:
        """How long the scene has been going on."""

    @abstractmethod
    def within(self, duration: Nanos, condition: Callable[[], object]) -> Nanos | None:
        """How long it takes until a condition is true, or None: not within that time."""

    @abstractmethod
    def inject(self, packet: Packet, sender: Host, note: str = "") -> None:
        """Put a packet on the wire as if `sender` had sent it; the ladder has the note below it."""

    @abstractmethod
    def scene(self) -> Scene:
        """What was seen so far."""

    @abstractmethod
    def packets(self) -> list[tuple[Nanos, str, Packet, str]]:
        """What was sent so far: (instant, host, packet, what became of it)."""

    def wait(self, duration: Nanos) -> None:
        """Let time pass."""
        self.within(duration, lambda: False)

    def until(self, condition: Callable[[], T | None], at_most: Nanos = DAY) -> T:
        """Go on until a condition gives something true, and give that back. Raises CallError when it is not in time."""
        found: list[T] = []

        def holds() -> bool:
            value = condition()
            if value:
                found.append(value)
            return bool(value)

        if self.within(at_most, holds) is None:
            raise CallError(f"what the experiment waits for did not happen within {at_most / SECOND:,.1f} s")
        return found[0]

    def connection(self, port: int = 80, **options: Option) -> tuple[Sock, Sock]:
        """An established connection: the client's end and the server's, whose listener is closed again."""
        return self.connections(1, port, **options)[0]

    def connections(self, count: int, port: int = 80, **options: Option) -> list[tuple[Sock, Sock]]:
        """Several established connections, one after the other, to one listener, which is closed again."""
        listener = self.server.listen(port)
        made = []
        for _ in range(count):
            here = self.client.connect(self.server.address, port, None, **options)
            there = self.until(listener.accept, 10 * SECOND)
            made.append((here, there))
        listener.close()
        return made

    def exchange(self, here: Sock, there: Sock, request: bytes = b"request", answer: bytes = b"answer") -> None:
        """Let the one end ask and the other answer, as HTTP does; afterwards nothing is unread or unacknowledged."""
        for sender, receiver, text in ((here, there, request), (there, here, answer)):
            sender.send(text)
            left = [len(text)]

            def arrived(receiver: Sock = receiver, left: list[int] = left) -> bool:
                left[0] -= len(receiver.receive() or b"")
                return left[0] <= 0

            self.until(arrived, 60 * SECOND)
        self.wait(60 * MILLISECOND)

    def ended(self, sock: Sock, at_most: Nanos = DAY) -> Nanos | None:
        """How long it takes until nothing is left of an end, or None: it is still there after that time."""
        return self.within(at_most, lambda: sock.state is State.CLOSED)

    def cut(self) -> None:
        """Nothing passes any more, and what is under way is lost."""
        Link(self.forth, self.back).cut()

    def mend(self) -> None:
        """Packets pass again."""
        Link(self.forth, self.back).mend()

    def sent_by(self, host: Host) -> list[Packet]:
        """The packets that a host has sent so far, those that were lost too."""
        return [packet for _, name, packet, _ in self.packets() if name == host.name]


def moved(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The counters that moved, and by how much."""
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
