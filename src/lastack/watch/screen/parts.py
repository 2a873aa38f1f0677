"""The parts of the screen as lines of text for a width: plain functions of what was seen."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from lastack.model.finding import Severity
from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import SECOND, Nanos
from lastack.report.columns import brief
from lastack.report.escape import visible
from lastack.report.glyphs import Glyphs
from lastack.report.listing import render_connections
from lastack.watch.groups import STATES, Group, connected, grouped, members

if TYPE_CHECKING:
    from lastack.watch.flow import Flow
    from lastack.watch.looker import Seen

    from .memory import Memory, Told

LIFE_ORDER: Final = (
    State.SYN_SENT,
    State.SYN_RECEIVED,
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSING,
    State.TIME_WAIT,
    State.CLOSE_WAIT,
    State.LAST_ACK,
)
"""The states of a connection, as it goes through them: opening, open, closed here first, closed there first."""

_AGES: Final = 45
"""Cells from which there is room for the age of the oldest in each state."""

_WIDE: Final = 130
"""Cells from which there is room for whole sentences."""

ROWS: Final = 500
"""So many rows a list has at most."""

_SHORT: Final = {
    State.SYN_SENT: "SYN-S", State.SYN_RECEIVED: "SYN-R", State.ESTABLISHED: "ESTAB", State.FIN_WAIT_1: "FIN-W1",
    State.FIN_WAIT_2: "FIN-W2", State.CLOSING: "CLOSNG", State.TIME_WAIT: "TIME-W", State.CLOSE_WAIT: "CLOS-W",
    State.LAST_ACK: "LAST-A",
}  # fmt: skip
_STYLES: Final = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold cyan"}
_STATE_STYLES: Final = {State.ESTABLISHED: "green", State.CLOSE_WAIT: "yellow", State.TIME_WAIT: "blue"}


class Line(NamedTuple):
    """A line of a list, and what it stands for."""

    key: str
    text: Text


# -- the head


def head(seen: Seen, width: int, paused: bool, filter_: str) -> Text:
    """The first line: which host, when, by what means, and what is known not to have been seen."""
    facts = seen.look[0][1]
    clock = f"{datetime.fromtimestamp(seen.at // SECOND).astimezone():%H:%M:%S}"
    source = seen.source if seen.exact else f"{seen.source} (sampled)"
    lost = f", {seen.lost:,} changes lost" if seen.lost else ""
    forgotten = f", {seen.forgotten:,} lives forgotten" if seen.forgotten else ""
    left = Text.assemble(
        ("lastack watch", "bold"),
        f"  {visible(facts.hostname)}  ",
        ("PAUSED", "bold reverse") if paused else clock,
        f"  by {source}",
        (lost + forgotten, "bold"),
        f"  only {visible(filter_)}" if filter_ else "",
    )
    left.truncate(width, overflow="ellipsis")
    return left


# -- states over time


def states(memory: Memory, flow: Flow, width: int, glyphs: Glyphs, most: int) -> list[Text]:
    """A heading and a line a state: how many, how many came and went a second, the oldest, and the last looks."""
    room = max(width - 48, 8)
    span = memory.times[-1] - memory.times[max(len(memory.times) - room, 0)]
    past = f"LAST {brief(span)}" if span else ""
    lines = [Text(f"{'STATE':<12} {'NOW':>8} {'IN/s':>7} {'OUT/s':>7} {'OLDEST':>7}  {past}", "bold")]
    now = memory.counts[-1]
    recent = list(memory.counts)[-room:]
    active = [state for state in LIFE_ORDER if any(group.states[state] for group in recent)]
    for state in sorted(active, key=lambda state: -int(now.states[state]))[:most] if len(active) > most else active:
        into, out = (int(np.delete(each, state).sum()) for each in (flow.changes[:, state], flow.changes[state]))
        series = [int(group.states[state]) for group in recent]
        oldest = brief(int(now.oldest[state])) if now.oldest[state] else "-"
        # What comes into a listener's SYN queue is no socket yet, and not every source tells of it.
        came = "-" if state is State.SYN_RECEIVED and not into else rate(flow, into)
        line = Text.assemble(
            (f"{state.name:<12}", _STATE_STYLES.get(state, "")),
            f" {int(now.states[state]):>8,} {came:>7} {rate(flow, out):>7} {oldest:>7}  ",
            (_spark(series, glyphs), _STATE_STYLES.get(state, "")),
        )
        lines.append(line)
    if len(lines) == 1:
        lines.append(Text("no connections"))
    for line in lines:
        # The first digits of an age would be another age.
        line.truncate(width if width >= _AGES else _AGES - 8)
    return lines


def rate(flow: Flow, count: int) -> str:
    """So many since the look before as a number a second: `0`, `0.5`, `12`, `3,400`."""
    found = flow.rate(count)
    return f"{found:.1f}" if 0 < found < 9.95 else f"{found:,.0f}"


def _spark(series: Sequence[int], glyphs: Glyphs) -> str:
    highest = max((*series, 1))
    top = len(glyphs.heights) - 1
    return "".join(glyphs.heights[round(value / highest * top)] if value else glyphs.nothing for value in series)


# -- findings


def findings(memory: Memory, now: Nanos, width: int) -> list[Line]:
    """A line a finding, gravest first: how grave, what, and since when; those that have cleared last."""
    told = sorted(memory.findings.items(), key=lambda item: (item[1].cleared is not None, -item[1].remark.severity))
    return [Line(key, _finding(each, now, width)) for key, each in told]


def _finding(told: Told, now: Nanos, width: int) -> Text:
    remark, cleared = told.remark, told.cleared
    since = f"for {brief(now - told.since)}" if cleared is None else f"cleared {brief(now - cleared)} ago"
    word = str(remark.severity).upper() if cleared is None else "gone"
    netns = f" [{remark.netns}]" if remark.netns else ""
    room = max(width - 10 - len(since), 10)
    said = Text(remark.summary if width >= _WIDE else remark.title)
    said.truncate(max(room - cell_len(netns), 10))
    title = set_cell_size(f"{said}{netns}", room)
    return Text.assemble(
        (f"{word:<8} ", _STYLES[remark.severity] if cleared is None else "dim"),
        (title, "dim" if cleared is not None else ""),
        (f" {since}", "dim"),
    )


# -- lists


class Shown(NamedTuple):
    """A list: its heading, its lines, and how many more there are."""

    heading: str
    lines: list[Line]
    left_out: int = 0


class _Column(NamedTuple):
    """One column of a list of groups."""

    title: str
    text: Callable[[_Row], str]


class _Row(NamedTuple):
    group: Group
    born: int
    died: int


SORTS: Final[dict[str, Callable[[_Row], Any]]] = {
    "now": lambda row: (-row.group.size, -row.born - row.died),
    "births": lambda row: -row.born,
    "deaths": lambda row: -row.died,
    "oldest": lambda row: -int(row.group.oldest.max()),
    "name": lambda row: row.group.name,
}
"""What lists of groups can be sorted by."""

_FIRST: Final = (State.ESTABLISHED, State.CLOSE_WAIT, State.TIME_WAIT)
_NAME: Final = 22
_CELL: Final = 8


def everything(seen: Seen) -> ConnectionTable:
    """All connections of a look, listening sockets left out."""
    return ConnectionTable.concatenate([connected(table) for table, _ in seen.look])


def groups(seen: Seen, kind: str, sort: str, width: int) -> Shown:
    """Processes, listeners or peers: how many connections, births and deaths a second, states, the oldest."""
    rows = sorted(_rows(seen, kind), key=SORTS[sort])
    columns = [
        _Column("NOW", lambda row: f"{row.group.size:,}"),
        _Column("BORN/s", lambda row: rate(seen.flow, row.born)),
        _Column("DIED/s", lambda row: rate(seen.flow, row.died)),
        _Column("OLDEST", lambda row: brief(int(row.group.oldest.max()) or None)),
        *map(_state_column, (*_FIRST, *(state for state in LIFE_ORDER if state not in _FIRST))),
    ]
    if kind == "process":
        columns.append(_Column("PIDS", lambda row: f"{row.group.pids:,}"))
    columns = columns[: max((width - _NAME) // _CELL, 1)]
    longest = max((cell_len(visible(row.group.name)) for row in rows), default=0)
    space = max(min(width - _CELL * len(columns), longest + 2), _NAME)
    heading = f"{kind.upper():<{space}}" + "".join(f"{column.title:>{_CELL}}" for column in columns)
    lines = []
    for row in rows[:ROWS]:
        name = visible(row.group.name) or f"(no {kind})"
        cells = "".join(f"{column.text(row):>{_CELL}}" for column in columns)
        lines.append(Line(row.group.name, Text(_fitted(name, space) + cells)))
    return Shown(heading, lines, len(rows) - len(lines))


def _rows(seen: Seen, kind: str) -> Iterable[_Row]:
    """The groups that there are, and those that only had births or deaths."""
    births, deaths = seen.flow.births[kind], seen.flow.deaths[kind]
    nothing = np.zeros(STATES, np.int64)
    found = {group.name: _Row(group, 0, 0) for group in grouped(everything(seen), kind)}
    for name in (*births, *deaths):
        group = found[name].group if name in found else Group(name, nothing, nothing)
        found[name] = _Row(group, births[name], deaths[name])
    return found.values()


def _state_column(state: State) -> _Column:
    return _Column(_SHORT[state], lambda row: f"{int(row.group.states[state]):,}" if row.group.states[state] else "-")


def _fitted(text: str, width: int) -> str:
    """The text in so many cells, with a space behind it."""
    return set_cell_size(text, width) if cell_len(text) < width else set_cell_size(text, width - 2) + "~ "


def connections(seen: Seen, kind: str | None, name: str, width: int) -> Shown:
    """The connections, the oldest first, of one process, listener or peer where it is named."""
    table = everything(seen)
    if kind is not None:
        table = table.select(members(table, kind, name))
    age = np.where(table.valid("age_ns"), table.values("age_ns"), -1)
    shown = table.select(np.argsort(-age, kind="stable")[:ROWS])
    page = io.StringIO()
    render_connections(shown, page, now=seen.at, width=width)
    heading, *lines = page.getvalue().splitlines()
    keys = map(str, shown.values("cookie").tolist())
    found = [Line(key, Text(line)) for key, line in zip(keys, lines, strict=bool(len(shown)))]
    return Shown(heading, found, len(table) - len(shown))
