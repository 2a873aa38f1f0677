"""The main job in one call: look at this host, or at captures, diagnose, and give the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .model.report import Gauge, Report, Source
from .model.time import SECOND, Nanos

if TYPE_CHECKING:
    from .capture.analyse import Progress
    from .diagnose.thresholds import Thresholds
    from .live.second_look import Look
    from .live.snapshot import LiveSocket, Snapshot
    from .model.address import FourTuple
    from .model.filters import Filter
    from .model.host import HostFacts
    from .model.record import ConnectionTable


def check(
    *captures: str | Path,
    netns: str = "own",
    where: Filter | str | None = None,
    thresholds: Thresholds | None = None,
    pause_ns: Nanos = SECOND,
    watch_ns: Nanos = 0,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """What is wrong with the closing of connections, whose it is, why, and what to do: here, or in `captures`.

    Of this host: `netns` is `own`, `all`, or one namespace's name, inode or process id; suspect CLOSE_WAIT are looked
    at again after `pause_ns`; for `watch_ns` it is watched first who closes connections (BPF). Of captures: `memory`
    bounds the octets kept of live connections, `progress` is told how many octets were read. `where` restricts what is
    judged (the language of `docs/filters.md`).
    Raises KernelError where the kernel refuses or is not Linux, CaptureError where no capture can be read, FilterError
    for a bad filter.
    """
    if captures:
        from .recorded import check as check_captures

        return check_captures(captures, where=_filter(where), thresholds=thresholds, memory=memory, progress=progress)
    from .diagnose.thresholds import Thresholds
    from .live.second_look import Look

    thresholds, wanted = thresholds or Thresholds(), _filter(where)
    snapshots = _snapshots(netns, Look(thresholds.min_age_ns, pause_ns), watch_ns=watch_ns)
    return judge([(each.connections, each.facts) for each in snapshots], wanted, thresholds)


def judge(
    looked: Sequence[tuple[ConnectionTable, HostFacts]],
    where: Filter | None = None,
    thresholds: Thresholds | None = None,
    kind: str = "host",
) -> Report:
    """The report on what was seen of some network namespaces: of each its connections and the facts beside them.

    `where` restricts what is judged; `kind` is that of the report's source.
    """
    from .diagnose.context import Context
    from .diagnose.headroom import headroom
    from .diagnose.run import run
    from .diagnose.thresholds import Thresholds
    from .model.record import ConnectionTable
    from .model.state import State

    thresholds = thresholds or Thresholds()
    findings, gauges = [], []
    tables = numbered([chosen(table, facts, where) for table, facts in looked])
    for (everything, facts), table in zip(looked, tables, strict=True):
        name = facts.netns if len(looked) > 1 else None
        findings += [replace(finding, netns=name) for finding in run(table, facts, thresholds)]
        gauges += [_labelled(g, name) for g in headroom(Context(everything, facts, thresholds))]
    rows = ConnectionTable.concatenate([table.select(~table.in_state(State.LISTEN)) for table in tables])
    _, facts = looked[0]
    return Report(
        source=Source(
            kind,
            facts.hostname,
            facts.taken_ns,
            facts.kernel,
            tuple(facts.netns for _, facts in looked),
            __version__,
            filter="" if where is None else str(where),
        ),
        findings=tuple(sorted(findings, key=lambda finding: -finding.severity)),
        connections=rows,
        states=_states(rows),
        headroom=tuple(gauges),
        unseen=tuple(dict.fromkeys(line for _, facts in looked for line in facts.unseen)),
    )


def connections(
    *captures: str | Path,
    netns: str = "own",
    where: Filter | str | None = None,
    watch_ns: Nanos = 0,
    memory: int | None = None,
    progress: Progress | None = None,
) -> ConnectionTable:
    """The connections of this host, listening sockets included, or of captures, as a table.

    The arguments are those of `check`, and it raises as that does.
    """
    from .model.record import ConnectionTable

    wanted = _filter(where)
    if captures:
        from .recorded import analyse, kept

        return kept(analyse(captures, memory=memory, progress=progress), wanted)
    tables = [chosen(each.connections, each.facts, wanted) for each in _snapshots(netns, None, wanted, watch_ns)]
    return ConnectionTable.concatenate(numbered(tables))


def socket(which: int | FourTuple, netns: str = "own") -> LiveSocket | None:
    """One live socket by its cookie or four-tuple, with its owner and its tcp_info; None where there is none."""
    from .linux import namespaces
    from .live.snapshot import find

    found = (find(namespace, which) for namespace in namespaces.choose(netns))
    return next((each for each in found if each is not None), None)


def _filter(where: Filter | str | None) -> Filter | None:
    if not isinstance(where, str):
        return where
    from .model.filters import parse

    return parse(where)


def chosen(table: ConnectionTable, facts: HostFacts, where: Filter | None) -> ConnectionTable:
    """The connections of a network namespace that a filter leaves."""
    return table if where is None else table.select(where.matches(table, facts.taken_ns, facts.ephemeral, facts))


def _snapshots(netns: str, look: Look | None, wanted: Filter | None = None, watch_ns: Nanos = 0) -> list[Snapshot]:
    """One look at every namespace asked for; `wanted` None: at the connections in every state."""
    from .linux import namespaces
    from .live.snapshot import take

    places, states = namespaces.choose(netns), None if wanted is None else wanted.states
    if not watch_ns:
        return take(places, look, states)
    import time

    from .live.transitions.tap import Tap

    # What the tap learns, the look finds as it would find it of any other watch.
    with Tap(None if netns == namespaces.ALL else frozenset(place.inode for place in places)):
        time.sleep(watch_ns / SECOND)
        return take(places, look, states)


def numbered(tables: list[ConnectionTable]) -> list[ConnectionTable]:
    """The tables with `id` counted on from one to the next, so that it names one row of all of them.

    Before the rules run: what they find is joined with the report's connections by it.
    """
    import numpy as np

    ends = np.cumsum([len(table) for table in tables])
    return [
        table.with_columns({"id": np.arange(end - len(table) + 1, end + 1, dtype=np.uint32)})
        for table, end in zip(tables, ends.tolist(), strict=True)
    ]


def _states(table: ConnectionTable) -> dict[str, int]:
    return {str(name): len(rows) for (name,), rows in table.groups("local_state")}


def _labelled(gauge: Gauge, netns: str | None) -> Gauge:
    if netns is None:
        return gauge
    return replace(gauge, where=f"{netns}: {gauge.where}" if gauge.where else netns)
