"""Connections counted by who has them: of each process, listening socket or peer how many are in each state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lastack.model.address import address_text
from lastack.model.record import ConnectionTable
from lastack.model.state import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lastack.model.record import Array

STATES: Final = 16
"""Room for every State's number."""
NOBODY: Final = ""
"""The name of those that have none: no process holds them, no listener let them in."""


class Group(NamedTuple):
    """Some connections with something in common: its name, how many in each state (by number), the oldest in each.

    `oldest` is in ns, at least; 0 where nothing is known. `pids`: how many processes have them.
    """

    name: str
    states: NDArray[np.int64]
    oldest: NDArray[np.int64]
    pids: int = 0

    @property
    def size(self) -> int:
        """How many they are."""
        return int(self.states.sum())


def whole(table: ConnectionTable) -> Group:
    """All of them as one group."""
    nothing = np.zeros(STATES, np.int64)
    return next(iter(_grouped(table, np.zeros(len(table), np.intp), ["all"])), Group("all", nothing, nothing))


def grouped(table: ConnectionTable, kind: str) -> list[Group]:
    """By `process` (its name and, where that is an interpreter, its program), `listener` or `peer`; most first.

    Those that came in by no listener are left out of the listeners.
    """
    which, names = _KEYS[kind](table)
    return [group for group in _grouped(table, which, names) if group.name or kind == "process"]


def members(table: ConnectionTable, kind: str, name: str) -> Array:
    """Which rows are of the group of that name, as a boolean array."""
    which, names = _KEYS[kind](table)
    wanted = [number for number, each in enumerate(names) if each == name]
    return np.isin(which, wanted)


def connected(table: ConnectionTable) -> ConnectionTable:
    """The table without the listening sockets."""
    return table.select(~table.in_state(State.LISTEN))


def _processes(table: ConnectionTable) -> tuple[Array, list[str]]:
    commands, programs = _codes(table, "command"), _codes(table, "program")
    width = len(table.column("program").strings) + 1
    keys, which = np.unique(commands * width + programs, return_inverse=True)
    named = [(_string(table, "command", key // width), _string(table, "program", key % width)) for key in keys.tolist()]
    return which, [" ".join(filter(None, each)) for each in named]


def _listeners(table: ConnectionTable) -> tuple[Array, list[str]]:
    return _codes(table, "listener"), [NOBODY, *table.column("listener").strings]


def _peers(table: ConnectionTable) -> tuple[Array, list[str]]:
    remote = table.values("remote_addr")
    order = np.lexsort((remote["low"], remote["high"]))
    fresh = np.ones(len(table), np.bool_)
    fresh[1:] = (np.diff(remote["high"][order]) != 0) | (np.diff(remote["low"][order]) != 0)
    which = np.empty(len(table), np.intp)
    which[order] = np.cumsum(fresh) - 1
    return which, [address_text(*halves) for halves in remote[order[fresh]].tolist()]


_KEYS: Final = {"process": _processes, "listener": _listeners, "peer": _peers}


def _grouped(table: ConnectionTable, which: Array, names: Sequence[str]) -> list[Group]:
    """The groups of rows that `which` numbers, by their number in `names`; those without rows are left out."""
    state = np.where(table.valid("local_state"), table.values("local_state"), 0).astype(np.intp)
    cell = which * STATES + state
    size = max(len(names), 1) * STATES
    counts = np.bincount(cell, minlength=size).reshape(-1, STATES)
    oldest = np.zeros(size, np.int64)
    np.maximum.at(oldest, cell, np.where(table.valid("age_ns"), table.values("age_ns"), 0))
    pids = np.unique(np.stack((which, table.values("pid")), axis=1)[table.valid("pid")], axis=0)
    processes = np.bincount(pids[:, 0], minlength=len(names)) if len(pids) else np.zeros(len(names), np.int64)
    found = zip(names, counts, oldest.reshape(-1, STATES), processes.tolist(), strict=False)
    return sorted((Group(*each) for each in found if each[1].any()), key=lambda group: -group.size)


def _codes(table: ConnectionTable, name: str) -> Array:
    """The codes of a text column counted from 1; 0 for null."""
    return np.where(table.valid(name), table.values(name).astype(np.intp) + 1, 0)


def _string(table: ConnectionTable, name: str, code: int) -> str:
    return table.column(name).strings[code - 1] if code else NOBODY
