"""What the kernel's inet_sock_set_state tracepoint tells of two namespaces, on the clock of a bench."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from lastack.errors import KernelError
from lastack.live.transitions.source import TransitionSource, open_source
from lastack.model.address import Endpoint, FourTuple, address_text
from lastack.model.state import State
from lastack.model.time import MILLISECOND, Nanos

from .lanes import Told

if TYPE_CHECKING:
    from lastack.model.record import Array

_JUST_NOW: Final[Nanos] = 5 * MILLISECOND
"""A change this young belongs to what has just been done: a packet that was delivered, a call."""


@final
class Tracepoint:
    """By BPF or tracefs, whichever the machine allows; where it allows neither, nothing is told.

    `untold`: which states must be seen by looking, in words. `begin`: the bench's zero, CLOCK_MONOTONIC.
    """

    def __init__(self, namespaces: Sequence[int], begin: Nanos) -> None:
        self._begin = time.time_ns() - (time.monotonic_ns() - begin)
        self._source: TransitionSource | None = None
        self._waiting: dict[int, list[Told]] = {namespace: [] for namespace in namespaces}
        self.untold = "all states"
        for name in ("bpf", "tracefs"):
            try:
                self._source = open_source(frozenset(namespaces), name)
            except KernelError:
                continue
            self.untold = "SYN_RECEIVED, TIME_WAIT and its end"
            return

    def read(self, namespace: int, now: Nanos) -> list[Told]:
        """What was told of a namespace since the last time."""
        if self._source is not None:
            for row in self._source.read():
                found = self._waiting.get(int(row["namespace"]))
                if found is not None and row["remote_port"] and row["local_port"]:
                    found.append(self._told(row, now))
        told, self._waiting[namespace] = self._waiting[namespace], []
        return told

    def skip(self) -> None:
        """Let go of whatever was told: nobody will look at it."""
        if self._source is not None:
            self._source.read()

    def close(self) -> None:
        """Detach."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _told(self, row: Array, now: Nanos) -> Told:
        at = int(row["at"]) - self._begin
        four = FourTuple(_end(row, "local"), _end(row, "remote"))
        young = now - at < _JUST_NOW
        return Told(now if young else at, four, State(int(row["before"])), State(int(row["after"])))


def _end(row: Array, side: str) -> Endpoint:
    address = row[f"{side}_addr"]
    return Endpoint(address_text(int(address["high"]), int(address["low"])), int(row[f"{side}_port"]))
