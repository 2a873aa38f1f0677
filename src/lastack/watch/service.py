"""A watch without a screen: told to Prometheus, recorded, or both, until it is ended by a signal."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lastack.model.time import MINUTE, Nanos
from lastack.report.escape import visible

from .exporter import Exporter
from .looker import Asked, Looker
from .stop import signalled

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
        recorder = open_.enter_context(_recorder(kept)) if kept is not None else None
        looker = open_.enter_context(Looker(asked))
        if not quiet:
            _introduce(looker, exporter)
        next_record = 0
        end = None if lasting is None else time.monotonic_ns() + lasting
        for seen in looker.looks(stop, end):
            if exporter is not None:
                exporter.update(seen)
            if recorder is not None and kept is not None and seen.at >= next_record:
                recorder.add(seen.look, seen.at, str(asked.where or ""))
                next_record = seen.at - seen.at % kept.every + kept.every


def _recorder(kept: Kept) -> Recorder:
    from lastack.archive.writer import Recorder

    return Recorder(kept.directory, most_octets=kept.most_octets, most_age=kept.most_age, tell=_say)


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
