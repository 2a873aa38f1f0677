"""The engine as a script's target: one host in virtual time, nothing but the script at the other end of its wire."""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

from lastack.errors import ScriptError
from lastack.model.time import SECOND, Nanos
from lastack.stack.dice import Dice
from lastack.stack.stack import Stack
from lastack.tcp.settings import Settings
from lastack.wire.packet import Packet

from .engine_sockets import EngineSockets
from .target import Arrival, Blocks, Call, Pending, Target

_BEGIN: Final[Nanos] = 3600 * SECOND
"""What the host's clock says when the script begins: nothing of its past is younger than an hour."""

_LARGEST: Final = 0x7FFF_FFFF
_PORTS: Final = 0xFFFF
_BOUNDS: Final = {"tcp_rmem": (1, _LARGEST), "tcp_wmem": (1, _LARGEST), "ip_local_port_range": (1, _PORTS)}
"""What Linux takes, where that is not 0 or anything above (net/ipv4/sysctl_net_ipv4.c)."""
_CONGESTION: Final = {"cubic": "cubic", "reno": "newreno", "newreno": "newreno"}

Setting: TypeAlias = int | str | tuple[int, ...]


class EngineTarget(Target):
    """A host with `addresses`. The same seed gives the same packets, octet for octet."""

    def __init__(self, addresses: list[str], settings: Settings | None = None, seed: int = 1) -> None:
        self._now = _BEGIN
        self.stack = Stack(addresses, settings, Dice(seed))
        self._sockets = EngineSockets(self.stack, lambda: self._now)
        self._left: deque[Arrival] = deque()
        self._pending: list[tuple[Call, Pending]] = []

    def now(self) -> Nanos:
        """How much of the script's time is over."""
        return self._now - _BEGIN

    def run_until(self, at: Nanos) -> None:
        """Let time pass until then."""
        end = max(at + _BEGIN, self._now)
        while (due := self._next()) is not None and due <= end:
            self._advance(due)
        self._now = end
        self._settle()

    def send(self, packet: Packet) -> None:
        """Let a packet arrive."""
        self.stack.on_packet(packet, self._now)
        self._settle()

    def receive(self, deadline: Nanos) -> Arrival | None:
        """The next packet that left the host, or that leaves it before the deadline."""
        while not self._left:
            due = self._next()
            if due is None or due > deadline + _BEGIN:
                return None
            self._advance(due)
        return self._left.popleft()

    def call(self, call: Call) -> Pending:
        """Begin a system call."""
        pending = Pending()
        self._pending.append((call, pending))
        self._settle()
        return pending

    def wait(self, pending: Pending, deadline: Nanos) -> None:
        """Let time pass until a call has ended."""
        while pending.at is None:
            due = self._next()
            if due is None or due > deadline + _BEGIN:
                self.run_until(deadline)
                return
            self._advance(due)

    def set_sysctl(self, name: str, value: str) -> None:
        """Write a setting of the host. Those that the engine has no use for are refused."""
        leaf = name.removeprefix("net.ipv4.").removeprefix("net.core.")
        settings = self.stack.settings
        known = settings.as_dict()
        if leaf not in known:
            raise ScriptError(f"{name} is no setting of the engine")
        try:
            setattr(settings, leaf, _setting(leaf, known[leaf], value.replace(",", " ").split()))
        except ValueError:
            raise ScriptError(f"{name} cannot be set to {value!r}") from None

    def close(self) -> None:
        """Nothing is held."""

    # -- the passing of time

    def _next(self) -> Nanos | None:
        """The next instant at which something happens by itself."""
        at = self.stack.next_timeout()
        wake = self._sockets.wake
        return wake if at is None or (wake is not None and wake < at) else at

    def _advance(self, to: Nanos) -> None:
        self._now = max(self._now, to)
        self.stack.on_timeout(self._now)
        self._settle()

    def _settle(self) -> None:
        """End the calls that can end, and send what is to be sent, until neither is left."""
        while True:
            ended = self._finish()
            sent = False
            while (packet := self.stack.poll(self._now)) is not None:
                self._left.append(Arrival(self.now(), packet))
                sent = True
            while self.stack.next_event() is not None:
                # What happened is seen in what the sockets say.
                pass
            if not (sent or ended) or not self._pending:
                return

    def _finish(self) -> bool:
        """Try every call that is under way again; whether one has ended."""
        ended = False
        self._sockets.wake = None
        for entry in list(self._pending):
            call, pending = entry
            self._sockets.current = pending
            try:
                pending.result = call(self._sockets)
            except Blocks:
                continue
            except OSError as error:
                pending.error = error
            pending.at = self.now()
            self._pending.remove(entry)
            ended = True
        return ended


def _setting(leaf: str, present: Setting, words: list[str]) -> Setting:
    """What the words of a sysctl come to. Of several numbers the first ones may be given alone, as for Linux.

    Raises ValueError.
    """
    if isinstance(present, str):
        (word,) = words
        if leaf == "tcp_congestion_control" and word not in _CONGESTION:
            raise ValueError(word)
        return _CONGESTION.get(word, word)
    if leaf == "ip_local_reserved_ports":
        ends = [word.partition("-") for word in words]
        ranges = [range(int(first), int(last or first) + 1) for first, _, last in ends]
        return tuple(sorted({port for ports in ranges for port in ports[: _PORTS + 1] if 0 <= port <= _PORTS}))
    low, high = _BOUNDS.get(leaf, (0, _LARGEST))
    numbers = tuple(int(word) for word in words)
    many = present if isinstance(present, tuple) else (present,)
    if not 0 < len(numbers) <= len(many) or not all(low <= number <= high for number in numbers):
        raise ValueError(words)
    return numbers + many[len(numbers) :] if isinstance(present, tuple) else numbers[0]
