"""A watch without a screen: told to Prometheus, recorded, or both, until it is ended by a signal."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lastack.model.time import MINUTE, Nanos
from lastack.report.escape import visible

from .exporter import Exporter
from .looker import Asked, Looker
from .stop import signalled

if TYPE_CHECKING:
    from .looker import Seen


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
    lasting: Nanos | None = None,
    quiet: bool = False,
) -> None:
    """Watch until a signal ends it, or for so many ns; `at`: serve Prometheus there; `kept`: record.

    How it is watched is told on stderr, unless `quiet`; what goes wrong always is. Raises CallError where an address, a
    directory or a package cannot be had, KernelError where the kernel refuses.
    """
    with ExitStack() as open_:
        stop = open_.enter_context(signalled())
        exporter = open_.enter_context(Exporter(*at)) if at is not None else None
        keeper = open_.enter_context(_Keeper(kept)) if kept is not None else None
        looker = open_.enter_context(Looker(asked))
        if not quiet:
            _introduce(looker, exporter)
        end = None if lasting is None else time.monotonic_ns() + lasting
        for seen in looker.looks(stop, end):
            if keeper is not None:
                keeper.take(seen, str(asked.where or ""))
            if exporter is not None:
                exporter.update(seen, 0 if keeper is None else keeper.failed)


class _Keeper:
    """Records looks in a thread of its own: putting an hour together may take longer than rings can wait."""

    def __init__(self, kept: Kept) -> None:
        from lastack.archive.writer import Recorder

        self._every = kept.every
        self._due = 0
        self._recorder = Recorder(kept.directory, most_octets=kept.most_octets, most_age=kept.most_age, tell=_say)
        self._thread = ThreadPoolExecutor(1, "record")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        self._recorder.close()
        if kind is None and self._writing is not None:
            self._writing.result()  # what went wrong with the last look must not go untold

    @property
    def failed(self) -> int:
        """How many looks could not be kept."""
        return self._recorder.failed

    def take(self, seen: Seen, chosen: str) -> None:
        """Record the look, if it is time for one and the one before is written."""
        if 0 < self._due - seen.at <= self._every:  # later than that: the clock was set back
            return
        if self._writing is not None:
            if not self._writing.done():
                return
            self._writing.result()
        self._due = seen.at - seen.at % self._every + self._every
        self._writing = self._thread.submit(self._recorder.add, seen.look, seen.at, chosen)


def _introduce(looker: Looker, exporter: Exporter | None) -> None:
    """Say what is used, and why nothing better is."""
    source = looker.watcher.source
    _say(f"changes of state come from {source.name}{'' if source.exact else ', by comparing dumps'}")
    for reason in source.reasons:
        _say(reason)
    if exporter is not None:
        _say(f"metrics are at {exporter.url}")


def _say(said: str) -> None:
    print(f"lastack: {visible(said)}", file=sys.stderr, flush=True)
