"""The states of a kernel's connections: told by its tracepoint, and seen by looking after every packet and call.

The tracepoint tells every change of a whole socket; it never shows a request in the SYN queue, TIME_WAIT, or the end of
an orphan's FIN_WAIT_2. Those are seen in dumps, taken whenever something has happened at a host, and now and then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, final

from lastack.model.address import FourTuple
from lastack.model.history import StateChange
from lastack.model.state import State
from lastack.model.time import Nanos

from .bench import Seen


class Told(NamedTuple):
    """A change of state that the tracepoint has told."""

    at: Nanos
    four: FourTuple
    before: State
    after: State


@final
class Lanes:
    """What was told, and what each look at a host found different from the one before, as changes of state."""

    def __init__(self) -> None:
        self.changes: list[StateChange] = []
        self.names: dict[tuple[str, int], FourTuple] = {}
        self._known: dict[tuple[str, FourTuple], tuple[int, State]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def told(self, host: str, changes: Iterable[Told], cause: str) -> None:
        """Note changes that were told of a host; what became of a socket that is let go a look must say."""
        for change in changes:
            if change.after not in (State.CLOSED, State.LISTEN):
                self._enter(host, change.four, change.before, change.after, change.at, cause)

    def looked(self, host: str, found: Iterable[Seen], now: Nanos, cause: str) -> None:
        """Note what has changed at a host; `cause` is what happened there just before."""
        gone = {key for key in self._known if key[0] == host}
        for seen in found:
            gone.discard((host, seen.four))
            before = State.CLOSED if seen.state is State.SYN_SENT else State.LISTEN
            self._enter(host, seen.four, before, seen.state, now, cause)
        for key in gone:
            number, before = self._known.pop(key)
            self.changes.append(StateChange(now, host, number, before, State.CLOSED, cause))

    def _enter(self, host: str, four: FourTuple, first: State, state: State, at: Nanos, cause: str) -> None:
        """A connection is in a state; `first` is the one before where it was not known."""
        key = (host, four)
        known = self._known.get(key)
        if known is None:
            number, before = len(self.names) + 1, first
            self.names[host, number] = four
        else:
            number, before = known
        if known is None or before is not state:
            self._known[key] = (number, state)
            self.changes.append(StateChange(at, host, number, before, state, cause))
