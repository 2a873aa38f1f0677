"""From every state to its end: the network behaves from now on, and the applications close, or do nothing.

What happens next is then settled, so every state has one that follows it; most of these steps are made by the
exploration anyway. A way that leads round in circles, or takes too long, or ends before everything has, is Broken.
"""

from __future__ import annotations

from array import array
from typing import Final, final

from lastack.model.state import State
from lastack.model.time import SECOND, Nanos
from lastack.tcp.timers import NEVER

from .invariants import Broken
from .world import Action, Life, World

BOUND: Final[Nanos] = 400 * SECOND
"""Two waits of a minute, each perhaps begun anew, and the retries before them, with room to spare."""
_UNKNOWN: Final = -1
_END: Final = -2


def next_action(world: World, closing: bool) -> Action | None:
    """What a network that behaves does next, or the applications, or the clock; None at the end."""
    for side in world.sides:
        if world.limbos[side.index]:
            return Action("late", side.index, 0)
        if world.queues[side.index]:
            return Action("deliver", side.index)
    for side in world.sides:
        life = side.life
        if life is None or life.socket is None or not life.accepted or life.closed:
            continue
        if not world.scenario.reads_at_once and life.socket.connection.receiver.unread:
            return Action("read", side.index)
        if closing:
            return Action("close", side.index)
    return Action("timer") if world.deadline() < NEVER else None


def check_over(world: World) -> None:
    """Neither host remembers anything. Raises Broken."""
    for side in world.sides:
        if side.stack.host.sockets or side.stack.waiting():
            raise Broken("the network behaves, everybody has closed, and yet it does not end")
        if any(life.end == Life.ALIVE or side.state(life) is not State.CLOSED for life in side.lives):
            raise Broken("a connection is gone, and nobody was told")


@final
class Ways:
    """For every state the one that follows: where it leads, and how long that takes. States are numbers from 0."""

    def __init__(self, closing: bool) -> None:
        self.closing = closing
        self._next = array("i")
        self._takes = array("q")
        self.lasts = array("q")
        """From each state to the end, in ns; -1: not known yet."""

    def known(self, state: int) -> bool:
        """Whether its next step is known."""
        return state < len(self._next) and self._next[state] != _UNKNOWN

    def note(self, state: int, follows: int, takes: Nanos) -> None:
        """One state follows another."""
        self._reach(max(state, follows))
        self._next[state] = follows
        self._takes[state] = takes

    def end(self, state: int) -> None:
        """Nothing follows it."""
        self._reach(state)
        self._next[state] = _END

    def _reach(self, state: int) -> None:
        more = state + 1 - len(self._next)
        if more > 0:
            self._next.extend([_UNKNOWN] * more)
            self._takes.extend([0] * more)
            self.lasts.extend([-1] * more)

    def settle(self) -> tuple[Nanos, int]:
        """Follow every way to its end. The longest, and where it begins. Raises Astray."""
        worst, where = 0, 0
        for state in range(len(self._next)):
            way: list[int] = []
            at = state
            if self._next[at] == _UNKNOWN:
                # Only the other way has come by here.
                continue
            while self.lasts[at] < 0:
                way.append(at)
                self.lasts[at] = 0 if self._next[at] == _END else _PASSING
                if self._next[at] == _END:
                    break
                at = self._next[at]
                if at == _UNKNOWN:
                    raise Astray(way[-1], "nobody knows what follows")
                if self.lasts[at] == _PASSING:
                    raise Astray(at, f"it goes round in circles, {'closing' if self.closing else 'waiting'}")
            for one in reversed(way):
                if self._next[one] != _END:
                    self.lasts[one] = self._takes[one] + self.lasts[self._next[one]]
            if self.lasts[state] > worst:
                worst, where = self.lasts[state], state
        if worst > BOUND:
            raise Astray(where, f"it takes {worst / SECOND:.0f} s to end")
        return worst, where


_PASSING: Final = -2


class Astray(Exception):
    """A way from a state does not lead where it should."""

    def __init__(self, state: int, reason: str) -> None:
        super().__init__(reason)
        self.state = state
