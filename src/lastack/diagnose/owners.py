"""Whose a group of connections is: the process, unit or container, its listener, its peers, in words and evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lastack.model.finding import Evidence
from lastack.model.host import HostFacts, Process
from lastack.model.record import ConnectionTable

from .context import Context, Mask
from .joins import found_in, keys

_NAMED = 3  # peers, listeners and pids that are named one by one


@dataclass(frozen=True, slots=True)
class Owner:
    """Processes of one name, program, unit and container. `pids` is empty where the owner cannot be seen."""

    command: str | None
    program: str | None
    unit: str | None
    container: str | None
    pids: tuple[int, ...]

    def __str__(self) -> str:
        if self.command is None:
            place = ", ".join(part for part in (self.unit, self.container) if part)
            return f"a process {f'of {place} ' if place else ''}that cannot be seen from here"
        several = f"{len(self.pids)} processes" if len(self.pids) > 1 else f"pid {self.pids[0]}"
        name = f"{self.command} {self.program}" if self.program else self.command
        return f"{name} ({', '.join(p for p in (several, self.unit, self.container) if p)})"

    def processes(self, facts: HostFacts) -> list[Process]:
        """Its processes, as far as they could be read."""
        return [facts.processes[pid] for pid in self.pids if pid in facts.processes]


def by_owner(context: Context, mask: Mask) -> Iterator[tuple[Owner, NDArray[np.intp]]]:
    """The rows of `mask` by owner, most first: the owner and the indices of its rows."""
    chosen = np.flatnonzero(mask)
    for owner, rows in owners_of(context.table.select(chosen)):
        yield owner, chosen[rows]


def owners_of(table: ConnectionTable) -> Iterator[tuple[Owner, NDArray[np.intp]]]:
    """The owners of a table's rows, most first, and the indices of the rows of each."""
    for names, rows in table.groups("command", "program", "unit", "container"):
        command, program, unit, container = (None if name is None else str(name) for name in names)
        pids = np.unique(table.values("pid")[rows][table.valid("pid")[rows]])
        yield Owner(command, program, unit, container, tuple(int(pid) for pid in pids)), rows


def closed_by(rows: ConnectionTable) -> Iterator[Evidence]:
    """Evidence of who closed connections that no process has any more, where a watch has seen it."""
    seen = rows.select(rows.valid("pid") & (rows.values("inode") == 0))
    if not len(seen):
        return
    known = [f"{owner}: {len(index):,}" for owner, index in owners_of(seen)]
    said = [*known[:_NAMED], *([f"{len(known) - _NAMED:,} others"] if len(known) > _NAMED else ())]
    said += [f"not seen: {len(rows) - len(seen):,}"] if len(rows) > len(seen) else []
    yield Evidence("closed by", "; ".join(said), "", "BPF at the close, a running watch")


def likely_owner(context: Context, rows: ConnectionTable) -> Owner | None:
    """Who most live connections to the same destinations belong to: the likely maker of ownerless ones.

    A TIME_WAIT has no process; its living siblings (same remote address and port) have.
    """
    live = context.table.select(context.table.valid("pid") & context.owned & ~context.accepted)
    destination = ("remote_addr", "remote_port")
    siblings = live.select(found_in(keys(live, *destination), keys(rows, *destination)))
    return next((owner for owner, _ in owners_of(siblings)), None)


def whereabouts(rows: ConnectionTable) -> list[Evidence]:
    """Evidence that says through which listener the rows came in, and who their peers are.

    Of processes that cannot be seen the users, too.
    """
    said = []
    unseen = rows.select((rows.values("inode") != 0) & ~rows.valid("pid"))
    if len(unseen):
        said.append(Evidence("user id", _most(unseen, "uid"), "", "sock_diag idiag_uid"))
    if "listener" in rows and rows.valid("listener").any():
        came_in = rows.select(rows.valid("listener"))
        said.append(Evidence("listener", _most(came_in, "listener"), "", "sock_diag"))
        said.append(Evidence("clients", _most(came_in, "remote_addr"), "", "sock_diag"))
    went_out = rows.select(~rows.valid("listener"))
    if len(went_out):
        said.append(Evidence("peers", _most(went_out, "remote_addr", "remote_port"), "", "sock_diag"))
    return said


def _most(rows: ConnectionTable, *names: str) -> str:
    """`10.0.0.5:5432 (812), 10.0.0.6:5432 (4) and 3 more`."""
    groups = rows.groups(*names)
    parts = [f"{':'.join(_bracketed(value) for value in key)} ({len(index):,})" for key, index in groups[:_NAMED]]
    more = f" and {len(groups) - _NAMED:,} more" if len(groups) > _NAMED else ""
    return ", ".join(parts) + more


def _bracketed(value: object) -> str:
    text = str(value)
    return f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
