"""The bench in real time: both hosts are network namespaces of the running kernel, and this process is the wire."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, final

from lastack.drive.link import Channel
from lastack.errors import DecodeError, KernelError
from lastack.linux.priority import before_others
from lastack.model.lab import Scene
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack.dice import Dice
from lastack.wire.flags import spelled
from lastack.wire.packet import Packet, decode_packet

from .bench import ADDRESSES, Bench, Host
from .kernel_host import KernelHost
from .lanes import Lanes
from .story import tell
from .tracepoint import Tracepoint

_MOST_LOOKED_AT: Final = 64
"""A scene with more connections than this has no states worth drawing, and looking would take its time."""
_SOON: Final[Nanos] = MILLISECOND
_SELDOM: Final[Nanos] = 250 * MILLISECOND
_FINE: Final = 40
"""While nothing happens, hosts and conditions are looked at every fortieth of the time that this has lasted."""
_AT_ONCE: Final[Nanos] = 20 * MILLISECOND


def prepare() -> None:
    """Load what every bench needs."""
    from lastack.linux.bpf.btf import Btf

    with suppress(KernelError):
        Btf.of_kernel()


@contextmanager
def kernel_bench(
    title: str, settings: Mapping[str, Mapping[str, str]], delay: Nanos, seed: int
) -> Iterator[KernelBench]:
    """Two hosts, removed afterwards. Raises KernelError without root."""
    client = KernelHost("client", ADDRESSES["client"], settings.get("client", {}))
    try:
        server = KernelHost("server", ADDRESSES["server"], settings.get("server", {}))
    except BaseException:
        client.close()
        raise
    bench = KernelBench(title, settings, (client, server), delay, seed)
    try:
        with before_others():
            yield bench
    finally:
        bench.close()
        client.close()
        server.close()


@final
class KernelBench(Bench):
    """The scene between two namespaces."""

    def __init__(
        self,
        title: str,
        settings: Mapping[str, Mapping[str, str]],
        hosts: tuple[KernelHost, KernelHost],
        delay: Nanos,
        seed: int,
    ) -> None:
        self._title = title
        self._settings = settings
        self.client, self.server = self._hosts = hosts
        dice = Dice(seed)
        self.forth, self.back = Channel(dice.split()), Channel(dice.split())
        self.forth.fate.delay = self.back.fate.delay = delay
        self._lanes = Lanes()
        self._sent: list[tuple[Nanos, str, bytes, str]] = []
        self._late: Nanos = 0
        self._begin = time.monotonic_ns()
        self._tracepoint = Tracepoint([host.namespace for host in hosts], self._begin)
        for host in hosts:
            host.touched = partial(self._after, host)
            host.moved = self._watch_again

    def close(self) -> None:
        """Watch no more."""
        self._tracepoint.close()

    @property
    def now(self) -> Nanos:
        """Real time since the bench was made."""
        return time.monotonic_ns() - self._begin

    def within(self, duration: Nanos, condition: Callable[[], object]) -> Nanos | None:
        """Carry packets, and look at the condition after each and now and then."""
        begin = quiet = self.now
        while True:
            busy = self._carry()
            now = self.now
            if busy:
                quiet = now
            elif now - quiet > _AT_ONCE:
                for host in self._hosts:
                    self._look(host, "timer", self.now)
            if condition():
                return self.now - begin
            left = begin + duration - self.now
            if left <= 0:
                return None
            # The longer nothing has happened, the less it matters when exactly something does.
            pause = min(max((now - quiet) // _FINE, _SOON), _SELDOM)
            due = min(self.forth.arrives, self.back.arrives) - self.now
            tuns = [host.tun for host in self._hosts]
            rest = max(min(left, pause, due), 0)
            before = self.now
            select.select(tuns, [], [], rest / SECOND)
            self._late = max(self._late, self.now - before - rest)

    def inject(self, packet: Packet, sender: Host, note: str = "") -> None:
        """Put it on the wire."""
        channel = self.forth if sender is self.client else self.back
        self._put(packet, packet.encode(), sender.name, channel, self.now, note)

    def packets(self) -> list[tuple[Nanos, str, Packet, str]]:
        """What the wire was given."""
        return [(at, host, decode_packet(data), fate) for at, host, data, fate in self._sent]

    def scene(self) -> Scene:
        """What the wire and the looks saw."""
        self._carry()
        for host in self._hosts:
            self._look(host, "timer", self.now)
        histories, left_out = tell(
            self._sent, self._lanes.changes, self._lanes.names, self._tracepoint.untold, self.now
        )
        moved = {host.name: host.counters() for host in self._hosts}
        return Scene(self._title, self._settings, histories, moved, tuple(self._sent), left_out, self._late)

    # -- the wire

    def _carry(self) -> bool:
        """Take what the hosts have sent, and deliver what is due. Whether there was anything."""
        busy = self._take(self.now)
        for channel, host in ((self.forth, self._hosts[1]), (self.back, self._hosts[0])):
            while channel.arrives <= self.now:
                self._late = max(self._late, self.now - channel.arrives)
                packet = channel.take()
                busy = True
                host.tun.write(packet.encode())
                heard = packet.segment
                self._after(host, "rcv " + ("ICMP" if heard is None else spelled(heard.flags)))
        return busy

    def _after(self, host: KernelHost, cause: str) -> None:
        """Something has happened at a host: what it has sent because of it, and what states that led to."""
        now = self.now
        self._take(now)
        self._look(host, cause, now)

    def _take(self, now: Nanos) -> bool:
        """Put what the hosts have sent on the wire."""
        busy = False
        for host, channel in zip(self._hosts, (self.forth, self.back), strict=True):
            while (raw := host.tun.read()) is not None:
                try:
                    packet = decode_packet(raw)
                except DecodeError:
                    # Neither TCP nor ICMP: nobody here sent it on purpose.
                    continue
                busy = True
                self._put(packet, raw, host.name, channel, now)
        return busy

    def _put(self, packet: Packet, raw: bytes, sender: str, channel: Channel, now: Nanos, note: str = "") -> None:
        self._sent.append((now, sender, raw, channel.transmit(packet, now) or note))

    # -- the states

    def _look(self, host: KernelHost, cause: str, now: Nanos) -> None:
        if len(self._lanes) > _MOST_LOOKED_AT:
            self._tracepoint.skip()
        else:
            self._lanes.told(host.name, self._tracepoint.read(host.namespace, now), cause)
            self._lanes.looked(host.name, host.sockets(), now, cause)

    def _watch_again(self) -> None:
        """A host is in another namespace now."""
        self._tracepoint.close()
        self._tracepoint = Tracepoint([host.namespace for host in self._hosts], self._begin)
