"""`lastack watch --jsonl`: every change of state as a line, until a signal comes."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from lastack.errors import CallError, DecodeError, KernelError
from lastack.linux import namespaces
from lastack.live.transitions.watcher import Watcher
from lastack.model.filters import Filter
from lastack.model.time import SECOND, Nanos

from .choose import Chooser
from .outlet import Outlet
from .stop import signalled

_PATIENCE: Final = SECOND // 5
_TOLD: Final = SECOND
"""So often losses are told of at most."""


def stream(
    netns: str,
    source: str,
    where: Filter,
    file: Path | None,
    lasting: Nanos | None,
    say: Callable[[str], None] | None,
) -> str:
    """Write all changes until SIGINT, SIGTERM or SIGHUP, or for so many ns; then detach, drain, and write the rest.

    `netns` as in `namespaces.choose`, `source` as in `open_source`; `file` None: to standard output. `say` is told in a
    sentence how the watching is done; the sums come back in another. A second signal gives up writing
    (KeyboardInterrupt). Raises KernelError where there is no source, or the kernel takes it away, CallError where
    nothing can be written, and BrokenPipeError when the reader has gone.
    """
    places = namespaces.choose(netns)
    inodes = None if netns == namespaces.ALL else frozenset(each.inode for each in places)
    with ExitStack() as open_:
        told = open_.enter_context(signalled()).fileno()
        descriptor = _opened(file)
        open_.callback(os.close, descriptor)
        watcher = open_.enter_context(Watcher(inodes, source))
        chooser = Chooser(where, watcher.lives, places)
        outlet = Outlet(descriptor)
        reasons = watcher.source.reasons
        outlet.tell(
            "begin",
            source=watcher.source.name,
            exact=watcher.source.exact,
            reasons=reasons,
            netns=[each.label for each in places],
            filter=str(where),
        )
        if say is not None:
            say("; ".join((f"watching by {watcher.source.name}", *reasons)))
        _run(watcher, outlet, chooser, told, None if lasting is None else time.monotonic_ns() + lasting)
        return (
            f"{outlet.written:,} changes of state written, {watcher.lost:,} lost, "
            f"{outlet.dropped:,} dropped because they were not read"
        )


def _run(watcher: Watcher, outlet: Outlet, chooser: Chooser, told: int, end: Nanos | None) -> None:
    """All steps until `told` is readable or it is `end`, and the last one. What was told until an error is written."""
    losses = Losses(watcher, outlet)
    try:
        _steps(watcher, outlet, chooser, told, end, losses)
    except (KernelError, DecodeError) as error:
        outlet.finish("end", lost=watcher.lost, forgotten=watcher.lives.forgotten, error=str(error))
        raise
    losses.tell(at_once=True)
    outlet.finish("end", lost=watcher.lost, forgotten=watcher.lives.forgotten)
    outlet.check()


def _steps(watcher: Watcher, outlet: Outlet, chooser: Chooser, told: int, end: Nanos | None, losses: Losses) -> None:
    while not select.select([told], [], [], 0)[0] and (end is None or time.monotonic_ns() < end):
        patience = _PATIENCE if end is None else min(_PATIENCE, max(end - time.monotonic_ns(), 0))
        watcher.wait(patience, told)
        outlet.put(chooser.chosen(watcher.step()))
        losses.tell()
        outlet.check()
    outlet.put(chooser.chosen(watcher.finish()))


def _opened(file: Path | None) -> int:
    if file is None and sys.stdout is None:
        raise CallError("cannot write: standard output is closed")
    try:
        return os.dup(1) if file is None else os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise CallError(f"cannot write {file or 'standard output'}: {error.strerror}") from error


class Losses:
    """Tells of changes that the source has lost since it last told."""

    def __init__(self, watcher: Watcher, outlet: Outlet) -> None:
        self._watcher = watcher
        self._outlet = outlet
        self._known = 0
        self._due = 0

    def tell(self, at_once: bool = False) -> None:
        """Have it written how many were lost, if any were."""
        now = time.monotonic_ns()
        if now < self._due and not at_once:
            return
        self._due = now + _TOLD
        lost = self._watcher.lost
        if lost > self._known:
            self._outlet.tell("lost", changes=lost - self._known)
            self._known = lost
