"""Captures in, the table of their connections out: on two cores where one file is long enough to be cut in two."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from .flows import Analyser
from .sources import Captures, Summary, together

if TYPE_CHECKING:
    from lastack.model.record import ConnectionTable

Progress = Callable[[int, int | None], None]
"""Told now and then how many octets were read, and of how many (None: nobody knows)."""
WORTH_CUTTING: Final = 64 << 20
"""Octets of a file from which on a second core saves more time than it costs."""


class Analysis(NamedTuple):
    """Every connection of some captures, and what else was in them. `given_up`: see `Analyser`."""

    connections: ConnectionTable
    summary: Summary
    given_up: int


def analyse(
    captures: Captures, *, memory: int | None = None, cores: int | None = None, progress: Progress | None = None
) -> Analysis:
    """Follow every connection of captures that were opened (`sources.open_captures`).

    `memory` limits the octets of live connections, and what left for lack of it is counted; a limit means one core.
    `cores`: at most so many threads; without it as many as there are. Raises CaptureError where nothing was readable,
    and ValueError where `memory` holds no table at all.
    """
    size = captures.progress()[1] or 0
    cores = (os.cpu_count() or 1) if cores is None else cores
    parts = (
        captures.parts(min(cores, 2)) if captures.fast and cores > 1 and not memory and size >= WORTH_CUTTING else []
    )
    if len(parts) < 2:
        analyser = Analyser(compiled=captures.fast, memory=memory)
        _read(captures, analyser, progress, 1)
        return Analysis(analyser.finish(), captures.summary(), analyser.given_up)
    from .pieces import finish

    analysers = [Analyser(compiled=True, log=i > 0) for i in range(len(parts))]
    # Only one of the threads tells how far it is: they are equally far.
    told = [progress] + [None] * (len(parts) - 1)
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(_read, parts, analysers, told, [len(parts)] * len(parts)))
    return Analysis(finish(analysers), together([part.summary() for part in parts]), 0)


def leaving(
    captures: Captures, *, memory: int | None = None, progress: Progress | None = None
) -> Iterator[ConnectionTable]:
    """The same connections table by table, as they leave memory; those that live when the captures end come last.

    Nothing is kept of what has left, so that captures may be endless. The tables have no `id`: that would be the order
    of first frames, which is known at the end only. What left for lack of `memory` says so (`unseen`). Raises as
    `analyse` does.
    """
    analyser = Analyser(compiled=captures.fast, memory=memory)
    for _ in _fed(captures, analyser, progress, 1):
        if analyser.left:
            yield analyser.drain().without("id")
    yield analyser.finish().without("id")


def _read(captures: Captures, analyser: Analyser, progress: Progress | None, parts: int) -> None:
    """Feed all of a capture, or of a part of one."""
    for _ in _fed(captures, analyser, progress, parts):
        pass


def _fed(captures: Captures, analyser: Analyser, progress: Progress | None, parts: int) -> Iterator[None]:
    """Feed a batch at a time."""
    for packets, count in captures.batches():
        analyser.feed(packets, count)
        if progress is not None:
            done, whole = captures.progress()
            progress(done if whole is None else min(done * parts, whole), whole)
        yield
