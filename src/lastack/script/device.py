"""Somebody else's stack as a script's target: behind a device of their own, its system calls a table of functions.

Without a table the packet lines alone decide. Time is real, unless a clock of theirs says otherwise.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from lastack.drive.pump import BATCH, Device, Wire
from lastack.errors import CallError, ScriptError
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.wire.packet import Packet

from .target import Arrival, Blocks, Call, PassedOver, Pending, Sockets, Target

__all__ = ["Blocks", "DeviceTarget"]

_REST: Final[Nanos] = MILLISECOND // 2
"""How long nobody looks at a device that no descriptor speaks for, or at a call that waits."""
_PATIENCE: Final = 1000
"""Looks at a clock that stands still, or at a device that never ends, before the script goes on without."""
_SETTING: Final = "set_sysctl"


class DeviceTarget(Target):
    """Whatever is behind `device`: `receive` gives the packets that it has sent, `transmit` gives it one.

    `calls` are functions by the names of the methods of `Sockets`, with their arguments and results; they raise OSError
    with Linux's errno, and Blocks where they have to wait: then they are made again. `set_sysctl(name, value)` may be
    among them. What is not there is passed over. Raises CallError for a name that is none.

    `clock` gives nanoseconds that never go back. `wait(nanoseconds)` lets that much time pass, or less where a packet
    leaves the stack: whoever has a virtual clock gives both. The device stays its owner's.
    """

    def __init__(
        self,
        device: Device,
        calls: Mapping[str, Callable[..., Any]] | None = None,
        *,
        clock: Callable[[], Nanos] = time.monotonic_ns,
        wait: Callable[[Nanos], object] | None = None,
    ) -> None:
        self._device = device
        self._sockets = _sockets(calls or {})
        self._set = (calls or {}).get(_SETTING)
        self._clock = clock
        self._wait = wait or self._rest
        self._begin: Nanos | None = None
        self._left: deque[Arrival] = deque()
        self._pending: list[tuple[Call, Pending]] = []

    def now(self) -> Nanos:
        """How much of the script's time is over; it begins with the first look at the clock."""
        if self._begin is None:
            self._begin = self._clock()
        return self._clock() - self._begin

    def run_until(self, at: Nanos) -> None:
        """Let time pass until then."""
        self._pass(at, lambda: False)

    def send(self, packet: Packet) -> None:
        """Let a packet arrive. Raises ScriptError where the device takes none for a second."""
        end = self.now() + SECOND
        while not self._device.ready():
            if self.now() > end:
                raise ScriptError("the device has taken no packet for a second")
            self._wait(_REST)
        self._device.transmit(packet)
        self._look()

    def receive(self, deadline: Nanos) -> Arrival | None:
        """The next packet that left the stack, or that leaves it before the deadline."""
        self._pass(deadline, lambda: bool(self._left))
        return self._left.popleft() if self._left else None

    def call(self, call: Call) -> Pending:
        """Begin a system call."""
        pending = Pending()
        self._pending.append((call, pending))
        self._look()
        return pending

    def wait(self, pending: Pending, deadline: Nanos) -> None:
        """Let time pass until a call has ended."""
        self._pass(deadline, lambda: pending.at is not None)

    def set_sysctl(self, name: str, value: str) -> None:
        """Hand a setting on, where somebody takes it."""
        if self._set is not None:
            self._set(name, value)

    def close(self) -> None:
        """Nothing is held: the device is its owner's."""

    # -- the passing of time

    def _pass(self, until: Nanos, enough: Callable[[], bool]) -> None:
        """Look, and wait, until there is enough or the time has come."""
        self._look()
        still = 0
        while not enough() and (left := until - self.now()) > 0:
            before = self._clock(), len(self._left)
            self._wait(left)
            self._look()
            still = still + 1 if before == (self._clock(), len(self._left)) else 0
            if still > _PATIENCE:
                raise ScriptError("the clock stands still: whoever has one of their own gives wait= as well")

    def _rest(self, left: Nanos) -> None:
        """Wait for a packet, in real time; a call that waits is tried again soon."""
        most = min(left, _REST) if self._pending else left
        if isinstance(self._device, Wire):
            select.select([self._device], [], [], most / SECOND)
        else:
            time.sleep(min(most, _REST) / SECOND)

    def _look(self) -> None:
        """Take what has come, and try the calls that wait."""
        for _ in range(_PATIENCE):
            packets = self._device.receive(BATCH)
            if not packets:
                break
            self._left.extend(Arrival(self.now(), packet) for packet in packets)
        for entry in list(self._pending):
            call, pending = entry
            try:
                pending.result = call(self._sockets)
            except Blocks:
                continue
            except PassedOver:
                pending.passed_over = True
            except OSError as error:
                pending.error = error
            pending.at = self.now()
            self._pending.remove(entry)


def _sockets(calls: Mapping[str, Callable[..., Any]]) -> Sockets:
    """Sockets whose methods are these functions."""
    names = Sockets.__abstractmethods__
    for name in calls:
        if name not in names and name != _SETTING:
            raise CallError(f"no call is {name!r}: there are {', '.join(sorted([*names, _SETTING]))}")

    def missing(*given: object) -> None:
        raise PassedOver

    made: Sockets = type("Table", (Sockets,), {name: staticmethod(calls.get(name, missing)) for name in names})()
    return made
