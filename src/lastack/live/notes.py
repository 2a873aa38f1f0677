"""What a running watch has noted of sockets: who closed them, and since when they are what they are.

They are joined with a dump by the cookie. A mini-socket has no owner, no user and no control group, but it keeps the
socket's cookie. Whoever watches transitions by BPF notes for each socket when it was opened, when it last changed, and
which process closed it; every other process that may (CAP_SYS_ADMIN) finds these notes among the kernel's BPF programs.
They end with the watch: nothing is written to disk, nothing is left behind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.errors import KernelError
from lastack.model.host import Process
from lastack.model.record import ConnectionTable, Values
from lastack.model.state import FIN_SENT, State
from lastack.model.time import SECOND, Nanos

from . import cgroups
from .programs import program
from .transitions.clock import UnixOffset
from .transitions.noted import HERE, NOTE, NOTES, TELLER

if TYPE_CHECKING:
    from lastack.model.record import Array

_TICK_NS: Final = SECOND // 100
"""Processes' times of start are rounded to this, at most."""


class Notes:
    """What is noted of the sockets of one table.

    `rows`: the rows of which something is, ascending. `of`: of each a NOTE. `closed`: which of these are of sockets
    that were closed by a call, and that nobody holds any more.
    """

    __slots__ = ("_booted_ns", "closed", "of", "rows")

    def __init__(self, table: ConnectionTable, rows: Array, of: Array) -> None:
        self._booted_ns = UnixOffset(time.CLOCK_BOOTTIME).now()
        self.rows = rows
        self.of = of
        nobodys = table.in_state(*FIN_SENT) & (table.values("inode") == 0)
        self.closed: Array = np.flatnonzero(nobodys[rows] & (of["began"] != 0))

    @property
    def pids(self) -> set[int]:
        """The processes that closed what nobody holds."""
        return set(self.of["pid"][self.closed].tolist())

    def when(self, name: str, which: Array) -> Array:
        """`opened` or `changed` of some of the notes, in Unix ns."""
        return self.of[name][which].astype(np.int64) + self._booted_ns

    def closers(self) -> tuple[Array, Array]:
        """Which of the closed were closed by the same process: the first of each group, and the group of each."""
        name = np.ascontiguousarray(self.of["command"][self.closed]).view(np.uint64).reshape(-1, 2)
        key = self.of["pid"][self.closed].astype(np.uint64)
        for part in (self.of["cgroup"][self.closed], name[:, 0], name[:, 1]):
            key = key * np.uint64(0x9E3779B97F4A7C15) + part
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        return self.closed[first], group


def of(table: ConnectionTable) -> Notes:
    """What running watches have noted of the table's connections.

    Never raises: without permission, or without a watch, nothing is known.
    """
    rows = np.flatnonzero(~table.in_state(State.LISTEN))
    cookies = table.values("cookie")[rows]
    # Copied as plain octets; by its fields NumPy would copy one field at a time.
    octets = np.dtype((np.void, NOTE.itemsize))
    found = np.zeros(len(rows), octets)
    sought = np.arange(len(rows))
    for kept in _kept() if len(rows) else ():
        place = cookies[sought] & np.uint64(len(kept) - 1)
        there = kept.view(octets)[place]
        # What was overwritten while it was copied has lost its cookie by now.
        same = (there.view(NOTE)["cookie"] == cookies[sought]) & (kept["cookie"][place] == cookies[sought])
        found[sought[same]] = there[same]
        sought = sought[~same]
    known = np.flatnonzero(found.view(NOTE)["cookie"])
    return Notes(table, rows[known], found[known].view(NOTE))


def with_closers(table: ConnectionTable, notes: Notes, known: Mapping[int, Process]) -> ConnectionTable:
    """The table with pid, command, program, unit and container of who closed the sockets that nobody holds.

    `known`: the processes that still live; of others the name and the control group tell, as far as it still exists.
    """
    if not len(notes.closed):
        return table
    first, group = notes.closers()
    who = [_Closer(notes, each, known) for each in first.tolist()]
    gone = cgroups.places({each.cgroup for each in who if each.process is None}, Path("/proc"))
    rows = notes.rows[notes.closed]
    texts = {name: [each.text(name, gone) for each in who] for name in ("command", "program", "unit", "container")}
    return table.with_columns(
        {
            "pid": _with_numbers(table, "pid", rows, notes.of["pid"][notes.closed]),
            **{name: _with_texts(table, name, rows, each, group) for name, each in texts.items()},
        }
    )


def with_times(table: ConnectionTable, notes: Notes, now_ns: Nanos) -> ConnectionTable:
    """The table with the exact age of connections whose change to their present state was seen, and their opening.

    Of a mini-socket the kernel itself tells the age; what is noted of it is the end of the whole socket.
    """
    if not len(notes.rows):
        return table
    still = np.flatnonzero(notes.of["state"] == table.values("local_state")[notes.rows])
    age = np.maximum(now_ns - notes.when("changed", still), 0)
    filled = {name: _with_numbers(table, name, notes.rows[still], age) for name in ("age_ns", "age_most_ns")}
    seen = np.flatnonzero(notes.of["opened"])
    if len(seen):
        filled["first_ns"] = _with_numbers(table, "first_ns", notes.rows[seen], notes.when("opened", seen))
        filled["opened_by"] = _with_numbers(table, "opened_by", notes.rows[seen], notes.of["opener"][seen])
    return table.with_columns(filled)


class _Closer:
    """One process that closed sockets: as /proc shows it now, where it is still the same."""

    __slots__ = ("cgroup", "command", "process")

    def __init__(self, notes: Notes, first: int, known: Mapping[int, Process]) -> None:
        self.cgroup = int(notes.of["cgroup"][first])
        self.command = os.fsdecode(notes.of["command"][first])
        process = known.get(int(notes.of["pid"][first]))
        # A number may have been given to another process since.
        at = notes.when("changed", np.array([first]))[0]
        self.process = process if process is not None and process.started_ns <= at + _TICK_NS else None

    def text(self, column: str, gone: Mapping[int, cgroups.Place]) -> str | None:
        if self.process is not None:
            return program(self.process) if column == "program" else getattr(self.process, column)
        return self.command if column == "command" else getattr(gone.get(self.cgroup), column, None)


def _with_numbers(table: ConnectionTable, name: str, rows: Array, values: Array) -> Values:
    column, valid = table.values(name).copy(), table.valid(name).copy()
    column[rows] = values
    valid[rows] = True
    return Values(column, valid)


def _with_texts(table: ConnectionTable, name: str, rows: Array, texts: Sequence[str | None], which: Array) -> Values:
    """The column with one of `texts` in each of the rows: the one that `which` tells."""
    former = table.column(name)
    strings = {text: code for code, text in enumerate(former.strings)}
    codes = np.array([0 if text is None else strings.setdefault(text, len(strings)) for text in texts], np.int32)
    column, valid = former.values.copy(), table.valid(name).copy()
    column[rows] = codes[which]
    valid[rows] = np.array([text is not None for text in texts])[which]
    return Values(column, valid, tuple(strings))


def _kept() -> Iterator[Array]:
    """What each of the watches that run now keeps, as an array of NOTE that it goes on filling."""
    from lastack.linux.bpf.loader import TRACING, running
    from lastack.linux.bpf.maps import ARRAY, Array
    from lastack.linux.bpf.syscall import require_first_pids

    yield from tuple(HERE.values())
    with suppress(KernelError):
        require_first_pids()
        for each in running():
            info = each.info()
            # Only who may trace the kernel can load a program of this kind: what it keeps can be believed.
            if (info.name, info.kind) != (TELLER, TRACING):
                continue
            for number in info.maps:
                with Array.of(number) as kept:
                    its = kept.info()
                    if (its.name, its.kind, its.value) == (NOTES, ARRAY, NOTE.itemsize):
                        yield np.frombuffer(kept.memory(its.value * its.entries), NOTE)
