"""The main job for what a watch has recorded: what was wrong at a moment, and what connections there were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from .api import chosen, judge, numbered
from .archive.reader import Moment, Progress, Recording
from .archive.when import shown
from .errors import RecordingError
from .model.filters import parse
from .model.record import ConnectionTable

if TYPE_CHECKING:
    from .diagnose.thresholds import Thresholds
    from .model.filters import Filter
    from .model.record import Array
    from .model.report import Report
    from .model.time import Nanos

WATCHED: Final = ("own", "all")
"""Names of network namespaces that mean whatever was watched."""


class Found(NamedTuple):
    """Connections of a recording, the moment at which they were so (None: each at another), and what was not read."""

    connections: ConnectionTable
    at: Nanos | None
    unseen: tuple[str, ...]


def check(
    directory: Path,
    *,
    at: Nanos | None = None,
    netns: str = "own",
    where: Filter | None = None,
    thresholds: Thresholds | None = None,
) -> Report:
    """What was wrong at the last look that was not after `at` (None: at the last of all).

    `netns` names one of the recorded network namespaces; `own` and `all` are whatever was watched. Raises
    RecordingError where there is no such look.
    """
    moment = _of(Recording(directory).at(at), netns)
    report = judge(moment.look, where, thresholds, kind="recording")
    both = parse(moment.chosen) if where is None else parse(moment.chosen) & where
    return replace(
        report,
        source=replace(report.source, taken_ns=moment.at, filter=str(both)),
        # How much of a limit is used cannot be told by a part of the connections.
        headroom=() if moment.chosen else report.headroom,
        unseen=(*report.unseen, *moment.unseen),
    )


def connections(directory: Path, *, at: Nanos | None = None, netns: str = "own", where: Filter | None = None) -> Found:
    """The connections that there were at the last look not after `at`. Raises as `check`."""
    moment = _of(Recording(directory).at(at), netns)
    tables = [chosen(table, facts, where) for table, facts in moment.look]
    return Found(ConnectionTable.concatenate(numbered(tables)), moment.at, moment.unseen)


def connections_between(
    directory: Path,
    since: Nanos | None = None,
    until: Nanos | None = None,
    *,
    netns: str = "own",
    where: Filter | None = None,
    progress: Progress | None = None,
) -> Found:
    """Every connection that was seen, and that `where` wanted, from `since` to `until`; each as it was last seen so.

    With `first_ns` and `last_ns`, in that order. `progress` is told how many octets were read, of how many.
    Raises RecordingError where the directory holds no recording.
    """
    found, unseen = Recording(directory).between(since, until, where, progress)
    if netns not in WATCHED and len(found):
        found = found.select(_rows_of(found, netns))
    (found,) = numbered([found])
    return Found(found, None, unseen)


def _of(moment: Moment, netns: str) -> Moment:
    """What was seen of one network namespace, where one is named."""
    if netns in WATCHED:
        return moment
    look = tuple((table, facts) for table, facts in moment.look if facts.netns == netns)
    if not look:
        names = ", ".join(facts.netns for _, facts in moment.look)
        raise RecordingError(f"no network namespace {netns!r} was recorded at {shown(moment.at)}; there were: {names}")
    return moment._replace(look=look)


def _rows_of(table: ConnectionTable, netns: str) -> Array:
    for (name,), rows in table.groups("netns"):
        if name == netns:
            return rows
    return np.empty(0, np.intp)
