"""A watch without a screen: told to Prometheus, recorded, or both, until it is ended by a signal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

from lastack.model.time import MINUTE, Nanos
from lastack.report.escape import visible

from .exporter import Exporter
from .looker import Asked, Looker

if TYPE_CHECKING:
    from lastack.archive.writer import Recorder


_DAY: Nanos = 1440 * MINUTE


@dataclass(frozen=True, slots=True)
class Kept:
    """Where looks are recorded, how often, and how much of them is kept."""

    directory: Path
    every: Nanos = MINUTE
    most_octets: int = 1 << 30
    most_age: Nanos = 7 * _DAY


def serve(
    asked: Asked,
    *,
    at: tuple[str, int] | None = None,
    kept: Kept | None = None,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Watch until SIGINT or SIGTERM; `at`: serve Prometheus there; `kept`: record.

    `tell` is given sentences for people (None: they go to stderr). Raises CallError where an address, a directory or a
    package cannot be had, KernelError where the kernel refuses.
    """
    say = tell or _to_stderr
    with ExitStack() as open_:
        stop = open_.enter_context(until_signal())
        exporter = open_.enter_context(Exporter(*at)) if at is not None else None
        recorder = open_.enter_context(_recorder(kept, say)) if kept is not None else None
        looker = open_.enter_context(Looker(asked))
        _introduce(looker, exporter, say)
        next_record = 0
        for seen in looker.looks(stop):
            if exporter is not None:
                exporter.update(seen)
            if recorder is not None and kept is not None and seen.at >= next_record:
                recorder.add(seen.look, seen.at, str(asked.where or ""))
                next_record = seen.at - seen.at % kept.every + kept.every


@contextmanager
def until_signal() -> Iterator[Event]:
    """Something that is set when SIGINT or SIGTERM comes, which then does nothing else."""
    stop = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    former = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _recorder(kept: Kept, say: Callable[[str], None]) -> Recorder:
    from lastack.archive.writer import Recorder

    return Recorder(kept.directory, most_octets=kept.most_octets, most_age=kept.most_age, tell=say)


def _introduce(looker: Looker, exporter: Exporter | None, say: Callable[[str], None]) -> None:
    """Say what is used, and why nothing better is."""
    source = looker.watcher.source
    say(f"changes of state come from {source.name}{'' if source.exact else ', by comparing dumps'}")
    for reason in source.reasons:
        say(reason)
    if exporter is not None:
        say(f"metrics are at {exporter.url}")


def _to_stderr(said: str) -> None:
    print(f"lastack: {visible(said)}", file=sys.stderr, flush=True)
