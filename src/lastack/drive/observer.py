"""Who writes down a host's changes of state."""

from __future__ import annotations

from typing import final

from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.tcp.observer import Observer

from .trace import Trace


@final
class HostObserver(Observer):
    """Passes one host's changes of state on to the trace."""

    __slots__ = ("_host", "_trace")

    def __init__(self, trace: Trace, host: str) -> None:
        self._trace = trace
        self._host = host

    def moved(self, number: int, before: State, after: State, cause: str, now: Nanos) -> None:
        """A connection of this host changed state."""
        self._trace.moved(self._host, number, before, after, cause, now)
