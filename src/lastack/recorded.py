"""The main job for captures: read them, follow their connections, diagnose, and give the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from . import __version__
from .model.report import Report, Source
from .model.time import Nanos

if TYPE_CHECKING:
    from .capture.sources import Summary
    from .diagnose.thresholds import Thresholds
    from .model.filters import Filter
    from .model.record import ConnectionTable

Progress = Callable[[int, int | None], None]
"""Told now and then how many octets were read, and of how many (None: nobody knows)."""

_EPHEMERAL: Final = (32_768, 60_999)
"""Which ports filters take for clients' own: Linux's default, for a capture does not say."""


_MAY_HOLD_TCP: Final = ("802.11", "Geneve", "GTP", "Teredo", "L2TP", "an unread link type", "too many headers")


class Analysis(NamedTuple):
    """Every connection of some captures, and what else was in them."""

    connections: ConnectionTable
    summary: Summary

    @property
    def end(self) -> Nanos:
        """How far the captures go, Unix ns."""
        return self.summary.last_time or 0


def analyse(captures: Sequence[str | Path], *, memory: int | None = None, progress: Progress | None = None) -> Analysis:
    """Follow every connection of the captures (`-` is standard input), merged in the order of time.

    `memory` bounds the octets kept of live connections. Raises CaptureError where nothing could be read.
    """
    from .capture.flows import Analyser
    from .capture.sources import open_captures

    opened = open_captures(captures)
    analyser = Analyser(compiled=opened.fast, memory=memory)
    for packets, count in opened.batches():
        analyser.feed(packets, count)
        if progress is not None:
            progress(*opened.progress())
    return Analysis(analyser.finish(), opened.summary())


def check(
    captures: Sequence[str | Path],
    *,
    where: Filter | None = None,
    thresholds: Thresholds | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """What is wrong with the connections of some captures. `where` restricts what is judged."""
    from .diagnose.captures.run import run

    analysis = analyse(captures, memory=memory, progress=progress)
    table = kept(analysis, where)
    names = [str(path) for path in captures]
    return Report(
        source=Source(
            "capture",
            names[0] if len(names) == 1 else f"{len(names)} captures ({names[0]} and others)",
            analysis.end,
            lastack=__version__,
            filter="" if where is None else str(where),
        ),
        findings=tuple(run(table, thresholds)),
        connections=table,
        states={str(kind): len(rows) for (kind,), rows in table.groups("close_kind")},
        unseen=tuple(_unseen(table, analysis.summary)),
    )


def kept(analysis: Analysis, where: Filter | None) -> ConnectionTable:
    """The connections that a filter leaves."""
    table = analysis.connections
    return table if where is None else table.select(where.matches(table, analysis.end, _EPHEMERAL))


def _unseen(table: ConnectionTable, summary: Summary) -> list[str]:
    """What the captures lack, so that nobody takes silence for health."""
    lines = list(summary.broken)
    if summary.dropped:
        lines.append(f"{summary.dropped:,} packets that the capturing system says it lost")
    lacking = table.valid("unseen").sum() if len(table) else 0
    if lacking:
        whole = len(table)
        lines.append(f"parts of {int(lacking):,} of {whole:,} connections: states and ends not seen are not guessed")
    if summary.cut or summary.malformed:
        lines.append(f"{summary.cut:,} frames cut too short and {summary.malformed:,} malformed")
    lines += [
        f"{count:,} frames of {name}, which may hold TCP and are not read"
        for name, count in summary.not_tcp.items()
        if name.startswith(_MAY_HOLD_TCP)
    ]
    return lines
