"""Who closed the sockets that are nobody's any more: kept by a running watch, joined with a dump by the cookie.

A mini-socket has no owner, no user and no control group, but it keeps the socket's cookie. Whoever watches transitions
by BPF keeps, for each socket that is closed, which process did; every other process that may (CAP_SYS_ADMIN) finds that
array among the kernel's BPF programs. It ends with the watch: nothing is written to disk, nothing is left behind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lastack.errors import KernelError
from lastack.model.host import Process
from lastack.model.record import ConnectionTable, Values
from lastack.model.state import FIN_SENT, State
from lastack.model.time import SECOND, Nanos

from . import cgroups
from .programs import program
from .transitions.clock import UnixOffset

if TYPE_CHECKING:
    from lastack.model.record import Array

_TICK_NS = SECOND // 100
"""Processes' times of start are rounded to this, at most."""


class Closers:
    """What is known of who closed the sockets of one table.

    `rows`: the rows of which it is, ascending. `pids`, `cgroups`: of who closed each. `commands`: its name, in octets.
    `at`: when, in Unix ns. `states`: the state that the close began.
    """

    __slots__ = ("at", "cgroups", "commands", "pids", "rows", "states")

    def __init__(self, rows: Array, found: Array) -> None:
        """`found`: as many records of CLOSER."""
        self.rows = rows
        self.pids: Array = found["pid"].astype(np.int32)
        self.cgroups: Array = found["cgroup"]
        self.commands: Array = found["command"]
        self.at: Array = found["at"].astype(np.int64) + UnixOffset(time.CLOCK_BOOTTIME).now()
        self.states: Array = found["state"]

    def groups(self) -> tuple[Array, Array]:
        """Which of them were closed by the same process: the first of each group, and the group of each."""
        name = np.ascontiguousarray(self.commands).view(np.uint64).reshape(-1, 2)
        key = self.pids.astype(np.uint64)
        for part in (self.cgroups, name[:, 0], name[:, 1]):
            key = key * np.uint64(0x9E3779B97F4A7C15) + part
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        return first, group


def of(table: ConnectionTable) -> Closers:
    """Who closed the table's sockets without an inode, as far as a running watch has seen it; else nothing.

    Never raises: without permission, or without a watch, nothing is known.
    """
    from .transitions.program import CLOSER

    rows = np.flatnonzero(table.in_state(*FIN_SENT) & (table.values("inode") == 0))
    cookies = table.values("cookie")[rows]
    # Copied as plain octets; by its fields NumPy would copy one field at a time.
    octets = np.dtype((np.void, CLOSER.itemsize))
    found = np.zeros(len(rows), octets)
    sought = np.arange(len(rows))
    for kept in _kept() if len(rows) else ():
        place = cookies[sought] & np.uint64(len(kept) - 1)
        there = kept.view(octets)[place]
        # What was overwritten while it was copied has lost its cookie by now.
        same = (there.view(CLOSER)["cookie"] == cookies[sought]) & (kept["cookie"][place] == cookies[sought])
        found[sought[same]] = there[same]
        sought = sought[~same]
    known = np.flatnonzero(found.view(CLOSER)["cookie"])
    return Closers(rows[known], found[known].view(CLOSER))


def with_closers(
    table: ConnectionTable, closers: Closers, known: Mapping[int, Process], now_ns: Nanos
) -> ConnectionTable:
    """The table with pid, command, program, unit and container of who closed the sockets that nobody holds.

    `known`: the processes that still live; of others the name and the control group tell, as far as it still exists.
    The close began FIN_WAIT_1 and LAST_ACK, so of sockets that are still there the age is known, at `now_ns`.
    """
    if not len(closers.rows):
        return table
    first, group = closers.groups()
    who = [_Closer(closers, each, known) for each in first.tolist()]
    gone = cgroups.places({each.cgroup for each in who if each.process is None}, Path("/proc"))
    rows = closers.rows
    filled = {
        name: _with_texts(table, name, rows, [each.text(name, gone) for each in who], group)
        for name in ("command", "program", "unit", "container")
    }
    filled["pid"] = _with_numbers(table, "pid", rows, closers.pids)
    still = closers.states == table.values("local_state")[rows]
    still &= np.isin(closers.states, [State.FIN_WAIT_1, State.LAST_ACK])
    for name in ("age_ns", "age_most_ns"):
        filled[name] = _with_numbers(table, name, rows[still], np.maximum(now_ns - closers.at[still], 0))
    return table.with_columns(filled)


class _Closer:
    """One process that closed sockets: as /proc shows it now, where it is still the same."""

    __slots__ = ("cgroup", "command", "process")

    def __init__(self, closers: Closers, first: int, known: Mapping[int, Process]) -> None:
        self.cgroup = int(closers.cgroups[first])
        self.command = os.fsdecode(closers.commands[first])
        process = known.get(int(closers.pids[first]))
        # A number may have been given to another process since.
        same = process is not None and process.started_ns <= closers.at[first] + _TICK_NS
        self.process = process if same else None

    def text(self, column: str, gone: Mapping[int, cgroups.Place]) -> str | None:
        if self.process is not None:
            return program(self.process) if column == "program" else getattr(self.process, column)
        return self.command if column == "command" else getattr(gone.get(self.cgroup), column, None)


def _with_numbers(table: ConnectionTable, name: str, rows: Array, values: Array) -> Values:
    column, valid = table.values(name).copy(), table.valid(name).copy()
    column[rows] = values
    valid[rows] = True
    return Values(column, valid)


def _with_texts(table: ConnectionTable, name: str, rows: Array, texts: list[str | None], which: Array) -> Values:
    """The column with one of `texts` in each of the rows: the one that `which` tells."""
    former = table.column(name)
    strings = {text: code for code, text in enumerate(former.strings)}
    codes = np.array([0 if text is None else strings.setdefault(text, len(strings)) for text in texts], np.int32)
    column, valid = former.values.copy(), table.valid(name).copy()
    column[rows] = codes[which]
    valid[rows] = np.array([text is not None for text in texts])[which]
    return Values(column, valid, tuple(strings))


def _kept() -> Iterator[Array]:
    """What each of the watches that run now keeps, as an array of CLOSER that it goes on filling."""
    from lastack.linux.bpf.loader import TRACING, running
    from lastack.linux.bpf.maps import ARRAY, Array
    from lastack.linux.bpf.syscall import require_first_pids

    from .transitions.program import CLOSER, CLOSERS, Part
    from .transitions.tap import closers_here

    yield from closers_here()
    with suppress(KernelError):
        require_first_pids()
        for each in running():
            info = each.info()
            # Only who may trace the kernel can load a program of this kind: what it keeps can be believed.
            if (info.name, info.kind) != (Part.TELL.value, TRACING):
                continue
            for number in info.maps:
                with Array.of(number) as kept:
                    its = kept.info()
                    if (its.name, its.kind, its.value) == (CLOSERS, ARRAY, CLOSER.itemsize):
                        yield np.frombuffer(kept.memory(its.value * its.entries), CLOSER)
