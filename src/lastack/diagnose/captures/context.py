"""What every rule over captures is given: the connections, the thresholds, and groups of connections by server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastack.diagnose.thresholds import Thresholds
from lastack.model.finding import Evidence
from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import Nanos, spoken

Mask = NDArray[np.bool_]

_NAMED: Final = 3
"""Servers that a rule names one by one."""

CAPTURE = "packets"
"""The source of whatever is read from a capture."""


class Group(NamedTuple):
    """Connections to one server: its name, those that a rule is about, and how many it has in all."""

    name: str
    rows: ConnectionTable
    total: int


class CaptureContext:
    """One capture, as rules see it. In `table` local is the side that opened: the client."""

    def __init__(self, table: ConnectionTable, thresholds: Thresholds) -> None:
        self.table = table
        self.thresholds = thresholds

    def known(self, column: str, *values: int) -> Mask:
        """Rows whose column is not null and has one of the values."""
        return np.asarray(self.table.valid(column) & np.isin(self.table.values(column), values), np.bool_)

    def at_least(self, column: str, least: int) -> Mask:
        """Rows whose column is not null and not less."""
        return np.asarray(self.table.valid(column) & (self.table.values(column) >= least), np.bool_)

    def cause(self, *causes: str) -> Mask:
        """Rows that were reset for one of the causes."""
        column = self.table.column("reset_cause")
        codes = [code for code, text in enumerate(column.strings) if text in causes]
        return self.known("reset_cause", *codes)

    def state(self, side: str, state: State) -> Mask:
        """Rows of which a side, `local` or `remote`, is in a state."""
        return self.known(f"{side}_state", state)

    def by_server(self, mask: Mask, least: int = 1) -> Iterator[Group]:
        """The rows of `mask` by server (address and port), most first; groups of fewer than `least` are left out.

        A few servers are named, all others are one group: a capture of thousands of them is told in a page.
        """
        if np.count_nonzero(mask) < least:
            return
        groups = [(name, rows[mask[rows]], len(rows)) for name, rows in self.table.groups("remote_addr", "remote_port")]
        groups = sorted((group for group in groups if len(group[1]) >= max(least, 1)), key=lambda group: -len(group[1]))
        named = groups if len(groups) == _NAMED + 1 else groups[:_NAMED]
        for (address, port), chosen, whole in named:
            name = f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
            yield Group(name, self.table.select(chosen), whole)
        rest = groups[len(named) :]
        if rest:
            chosen = np.sort(np.concatenate([group[1] for group in rest]))
            yield Group(f"{len(rest):,} other servers", self.table.select(chosen), sum(group[2] for group in rest))


def times(rows: ConnectionTable, column: str, fact: str) -> Evidence:
    """The median and the largest of a column of durations."""
    values = rows.values(column)[rows.valid(column)]
    middle, most = int(np.median(values)), int(values.max())
    said = spoken(most) if len(values) == 1 or middle == most else f"{spoken(middle)} (median), {spoken(most)} at most"
    return Evidence(fact, said, "", CAPTURE)


def clients(rows: ConnectionTable, named: int = 3) -> Evidence:
    """Where the connections come from: those with most of them by name."""
    _, first, counts = np.unique(rows.values("local_addr"), return_index=True, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:named]
    names = [f"{rows.value('local_addr', int(first[which]))} ({int(counts[which]):,})" for which in most]
    rest = len(counts) - len(names)
    return Evidence("clients", ", ".join(names) + (f" and {rest:,} more" if rest else ""), "", CAPTURE)


def share(group: Group, fact: str) -> Evidence:
    """How many of the server's connections it is about."""
    return Evidence(fact, f"{len(group.rows):,} of {group.total:,}", "", CAPTURE)


def said(count: int, word: str = "connection") -> str:
    """`1 connection`, `1,204 connections`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def total(rows: ConnectionTable, *columns: str) -> int:
    """The sum of some columns, nulls left out."""
    return sum(int(rows.values(column)[rows.valid(column)].sum()) for column in columns)


def silence(rows: ConnectionTable) -> Nanos:
    """The shortest silence before a RST."""
    return int(rows.values("reset_silence_ns")[rows.valid("reset_silence_ns")].min())
