"""Stories that take time: told to a kernel, many side by side, and to an engine; written down step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple

from lastack.model.time import MILLISECOND, Nanos

from .ends import EngineEnd, KernelEnd, Reading, Wire
from .peer import Peer

Story = Callable[[Peer], Iterator[int]]
"""What happens; it yields how many milliseconds nothing does."""
Name = tuple[str, bool]
"""What a story is called, and whether its peer has options."""
Settings = dict[str, "str | int"]
ATTEMPTS: Final = 4
"""A difference must show every time: a busy machine may come too late now and then."""
NEAR: Final = 100
"""Milliseconds by which a segment may come earlier or later: the kernel's timers go by fractions of their length."""

APART: Final = 8 * MILLISECOND
"""Between the beginnings of two stories: what one does must not make another late."""


class Step(NamedTuple):
    """What one part of a story came to, up to its pause and in it. `pauses`: when each segment left in the pause."""

    said: tuple[str, ...]
    calls: tuple[str, ...]
    then: Reading
    info: tuple[int, ...]
    later: tuple[str, ...]
    times: tuple[int, ...]
    late: int
    """By how many milliseconds the pauses so far were longer than they should be, on a busy machine."""


class Telling:
    """One story on one host."""

    def __init__(self, peer: Peer, story: Story) -> None:
        self.peer = peer
        self.steps: list[Step] = []
        self._story = story(peer)
        self._began: Nanos = 0
        self._until: Nanos = 0
        self._late = 0

    def go_on(self) -> Nanos | None:
        """To the next pause; when it ends, or None: the story does."""
        peer = self.peer
        if self.steps:
            peer.listen()
            times = tuple((at - self._began) // MILLISECOND for at in peer.times)
            later, _ = peer.take()
            self.steps[-1] = self.steps[-1]._replace(later=later, times=times)
            self._late += max(peer.end.now() - self._until, 0) // MILLISECOND
        pause = next(self._story, None)
        self._began = peer.end.now()
        said, calls = peer.take()
        then = peer.end.reading()
        if peer.watched:
            # How long it is armed for hangs on round trips that a busy machine makes longer.
            then = then._replace(expires=None)
        info = peer.end.info() if peer.watched else ()
        self.steps.append(Step(said, calls, then, info, (), (), self._late))
        self._until = self._began + (pause or 0) * MILLISECOND
        return None if pause is None else self._until

    def over(self) -> None:
        """Leave nothing behind."""
        self.peer.hang_up()
        self.peer.end.dispose()


def on_engine(story: Story, modern: bool, settings: Settings, apart: Nanos = 0) -> list[Step]:
    """What the engine does, where segments leave so far apart."""
    telling = Telling(Peer(EngineEnd(4, 20_000, 40_000, apart, **settings), modern), story)
    while (until := telling.go_on()) is not None:
        telling.peer.end.rest(until - telling.peer.end.now())
    telling.over()
    return telling.steps


def on_kernel(wire: Wire, stories: list[tuple[Story, bool]]) -> list[list[Step]]:
    """What the kernel does, all the stories at once."""
    tellings = [
        Telling(Peer(KernelEnd(wire, 4, 1024 + number, 40_000 + number), modern), story)
        for number, (story, modern) in enumerate(stories)
    ]
    start = time.monotonic_ns()
    waiting: list[tuple[Nanos, int]] = [(start + number * APART, number) for number in range(len(tellings))]
    while waiting:
        until, number = heappop(waiting)
        telling = tellings[number]
        telling.peer.end.rest(until - telling.peer.end.now())
        if (following := telling.go_on()) is not None:
            heappush(waiting, (following, number))
    for telling in tellings:
        telling.over()
    return [telling.steps for telling in tellings]


def differing(settings: Settings, stories: Mapping[str, Story], names: Sequence[Name]) -> dict[Name, list[str]]:
    """Where the engine does something else each time, told in a namespace with these settings."""
    left = list(names)
    found: dict[Name, list[str]] = {}
    for _ in range(ATTEMPTS):
        with Wire.open(**settings) as wire:
            seen = on_kernel(wire, [(stories[name], modern) for name, modern in left])
        engine = [on_engine(stories[name], modern, settings) for name, modern in left]
        compared = zip(left, map(differences, seen, engine), strict=True)
        found = {name: lines for name, lines in compared if lines}
        left = list(found)
        if not left:
            break
    return found


def _near(one: int | None, other: int | None) -> bool:
    """Whether two times are the same, for a busy machine."""
    return one == other if one is None or other is None else abs(one - other) <= max(NEAR, one // 7)


def differences(kernel: list[Step], engine: list[Step]) -> list[str]:
    """Where the engine does something else, a line each."""
    found = []
    for number, (one, other) in enumerate(zip(kernel, engine, strict=True), 1):
        for name, there, here in zip(Step._fields, one, other, strict=True):
            if isinstance(there, Reading) and isinstance(here, Reading):
                # What was armed before a pause that was too long has so much less left.
                longer = None if there.expires is None else there.expires + one.late
                near = _near(there.expires, here.expires) or _near(longer, here.expires)
                same = there[:4] == here[:4] and near
            elif name == "late":
                same = True
            elif name == "times":
                pairs = zip(one.times, other.times, strict=False)
                same = all(_near(at, elsewhere) for at, elsewhere in pairs)
            else:
                same = there == here
            if not same:
                found.append(f"step {number}, {name}: the kernel {there}, the engine {here}")
    return found
