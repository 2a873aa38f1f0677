"""Somebody who watches changes of state. Nothing in the engine depends on what an observer does."""

from __future__ import annotations

from lastack.model.state import State
from lastack.model.time import Nanos


class Observer:
    """Told of every change of state of one host's connections. Override what you want to know."""

    __slots__ = ()

    def moved(self, number: int, before: State, after: State, cause: str, now: Nanos) -> None:
        """Connection `number` (its ordinal on that host) changed state; `cause` says what made it."""
