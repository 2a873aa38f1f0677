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


class LadderSegment(NamedTuple):
    """One segment of one connection, as one rung of a ladder.

    `host` sent it, at `at` (in a capture: when it passed the interface). `seq` and `ack` count from the sender's and
    the receiver's SYN, which is 0; `ack` None: the flag is not set; either may be relative to the first number seen
    where the SYN was not. `length` and `window` in octets, the window unscaled where the shift is not known.
    `number` is its frame in a capture, 0 elsewhere. `fate` is empty, or what became of it (lost, damaged, ...).
    `notes` say what it means in the connection's life: "FIN again, 3rd", "zero window".
    """

    at: Nanos
    host: str
    flags: int
    seq: int
    ack: int | None
    length: int
    window: int
    number: int = 0
    fate: str = ""
    notes: tuple[str, ...] = ()


class History(NamedTuple):
    """The whole life of one connection: its segments, and the states of both its sides, in order of time.

    `local` and `remote` are the ends as `address:port`; `hosts` names the two lanes, local first, and is what `host`
    of the segments and changes refers to. The first change of a lane says by its `before` in which state it began.
    `sampled`: which states come from looking now and then, so that their instants are bounds; in words, empty for none.
    `unseen`: what is missing (the beginning, one direction), in words. `until`: how long it was watched, where a state
    that lasts may say something.
    """

    local: str
    remote: str
    hosts: tuple[str, str]
    segments: tuple[LadderSegment, ...]
    changes: tuple[StateChange, ...]
    sampled: str = ""
    unseen: tuple[str, ...] = ()
    until: Nanos | None = None
