"""What happened, in order: changes of state and segments, as a ladder draws them and a trace keeps them."""

from __future__ import annotations

from typing import NamedTuple

from .state import State
from .time import Nanos


class StateChange(NamedTuple):
    """A connection changed state. `host` names where, `connection` is its ordinal there, `cause` what made it."""

    at: Nanos
    host: str
    connection: int
    before: State
    after: State
    cause: str

    def __str__(self) -> str:
        change = f"{self.before.name} -> {self.after.name}"
        return f"{self.at / 1e9:12.6f}  {self.host} #{self.connection}  {change}  ({self.cause})"


class SegmentEvent(NamedTuple):
    """A segment left or reached an interface, or was lost on the way (`fate`: sent, received, lost, damaged...)."""

    at: Nanos
    host: str
    fate: str
    text: str

    def __str__(self) -> str:
        return f"{self.at / 1e9:12.6f}  {self.host} {self.fate:<9} {self.text}"
