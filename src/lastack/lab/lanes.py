"""The states of a kernel's connections, seen by looking: after every packet that arrives and every call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from lastack.model.address import FourTuple
from lastack.model.history import StateChange
from lastack.model.state import State
from lastack.model.time import Nanos

from .bench import Seen


@final
class Lanes:
    """What each look at a host found different from the one before, as changes of state."""

    def __init__(self) -> None:
        self.changes: list[StateChange] = []
        self.names: dict[tuple[str, int], FourTuple] = {}
        self._known: dict[tuple[str, FourTuple], tuple[int, State]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def looked(self, host: str, found: Iterable[Seen], now: Nanos, cause: str) -> None:
        """Note what has changed at a host; `cause` is what happened there just before."""
        gone = {key for key in self._known if key[0] == host}
        for seen in found:
            key = (host, seen.four)
            gone.discard(key)
            known = self._known.get(key)
            if known is None:
                number = len(self.names) + 1
                self.names[host, number] = seen.four
                before = State.CLOSED if seen.state is State.SYN_SENT else State.LISTEN
            else:
                number, before = known
            if known is None or before is not seen.state:
                self._known[key] = (number, seen.state)
                self.changes.append(StateChange(now, host, number, before, seen.state, cause))
        for key in gone:
            number, before = self._known.pop(key)
            self.changes.append(StateChange(now, host, number, before, State.CLOSED, cause))
