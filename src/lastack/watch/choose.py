"""The filter language applied to changes of state: one is wanted if the connection is, before it or after it.

Whose a connection is: of the process that last called connect, shutdown or close on it; before that, of whoever held it
when the watching began, or of the listener that it came in by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.linux.namespaces import Namespace
from lastack.live import cgroups
from lastack.live.snapshot import take
from lastack.live.transitions import chains
from lastack.live.transitions.life import UNKNOWN, Step
from lastack.live.transitions.record import copied
from lastack.live.transitions.sorting import distinct
from lastack.model.close import Viewpoint
from lastack.model.record import ConnectionTable, Values, text_values
from lastack.model.state import State

if TYPE_CHECKING:
    from lastack.live.transitions.lives import Lives
    from lastack.model.filters import Filter
    from lastack.model.record import Array

_NOBODY: Final = (0, b"")
_MOST: Final = 1 << 14


class Chooser:
    """Leaves out of steps what is not wanted. `places`: the namespaces watched; `lives`: what the steps lead to."""

    def __init__(self, where: Filter | None, lives: Lives, places: Sequence[Namespace]) -> None:
        """Raises KernelError as `snapshot.take` does; without a filter nothing is looked at."""
        self._where = where if where is not None and where.condition is not None else None
        self._lives = lives
        self._listeners: dict[tuple[int, int], tuple[int, bytes]] = {}
        self._places: dict[int, cgroups.Place] = {}
        if self._where is not None:
            for snapshot in take(places):
                self._learn(snapshot.connections)
            self._listen()

    def chosen(self, step: Step) -> Step:
        """The step with those changes, and those ended lives, only whose connection the filter holds of."""
        changes, ended = step.changes, step.ended
        if self._where is None or not (len(changes) or len(ended)):
            return step
        if State.LISTEN in changes["after"]:
            self._listen()
        now = int(max(changes["at"].max(initial=0), ended["changed"].max(initial=0)))
        table = self._table(changes, self._lives.owners(changes, ended))
        kept = np.zeros(len(changes), np.bool_)
        for name in ("before", "after"):
            known = changes[name] != UNKNOWN
            kept |= known & self._where.matches(table.with_columns({"local_state": changes[name]}), now)
        over = self._where.matches(self._table(ended, ended).with_columns({"local_state": ended["former"]}), now)
        return Step(changes[kept], step.stayed[kept], ended[over])

    def _learn(self, table: ConnectionTable) -> None:
        held = table.select(table.valid("pid"))
        column = held.column("command")
        names = np.array([text.encode(errors="replace") for text in column.strings] or [b""], "S16")
        self._lives.belong(held.values("cookie"), held.values("pid"), names[column.values])

    def _listen(self) -> None:
        """Whose the listening sockets are, by namespace and endpoint; some sources do not know every namespace: 0."""
        lives = self._lives.current()
        listening = lives[(lives["state"] == State.LISTEN) & (lives["pid"] != 0)]
        owners = zip(listening["pid"].tolist(), listening["command"].tolist(), strict=True)
        self._listeners = {}
        for (namespace, end), owner in zip(_places(listening), owners, strict=True):
            self._listeners[namespace, end] = self._listeners[0, end] = owner

    def _table(self, changes: Array, lives: Array) -> ConnectionTable:
        """The rows, changes or lives, as connections without states; `lives` are those that they are of."""
        connected = changes["remote_port"] != 0
        pids, names = self._owners(changes, lives)
        first, which = distinct(pids, *names.view(np.uint64).reshape(-1, 2).T)
        owners = list(zip(pids[first].tolist(), names[first].tolist(), strict=True))
        places = [self._place(pid) for pid, _ in owners]
        commands = text_values([name.decode(errors="replace") if pid else None for pid, name in owners])
        return ConnectionTable(
            len(changes),
            {
                "viewpoint": np.full(len(changes), Viewpoint.HOST, np.uint8),
                "family": changes["family"],
                "local_addr": changes["local_addr"],
                "local_port": changes["local_port"],
                "remote_addr": Values(changes["remote_addr"], connected),
                "remote_port": Values(changes["remote_port"], connected),
                "cookie": changes["cookie"],
                "pid": Values(pids.astype(np.int32), pids != 0),
                "command": commands.take(which),
                "unit": text_values([place.unit for place in places]).take(which),
                "container": text_values([place.container for place in places]).take(which),
            },
        )

    def _owners(self, changes: Array, lives: Array) -> tuple[Array, Array]:
        """The pid and the name of whose each connection is; 0 and nothing where that is not known."""
        pids, names = lives["pid"].copy(), np.ascontiguousarray(lives["command"])
        nobody = np.flatnonzero(pids == 0)
        ends = copied(changes, nobody)
        addr = ends["local_addr"]
        first, which = distinct(ends["namespace"], addr["high"], addr["low"], ends["local_port"])
        few = copied(ends, first)
        found = [_NOBODY] * len(few)
        for wildcard in chains.ANYWHERE:
            found = [self._listeners.get(place, _NOBODY) if owner is _NOBODY else owner
                     for owner, place in zip(found, _places(few, wildcard), strict=True)]  # fmt: skip
        pids[nobody] = np.array([pid for pid, _ in found], pids.dtype)[which]
        names[nobody] = np.array([name for _, name in found], names.dtype)[which]
        return pids, names

    def _place(self, pid: int) -> cgroups.Place:
        """Unit and container of a process, as long as it lives, and for a while after."""
        if pid not in self._places:
            if len(self._places) >= _MOST:
                self._places.clear()
            try:
                text = Path(f"/proc/{pid}/cgroup").read_text() if pid else ""
            except OSError:
                text = ""
            self._places[pid] = cgroups.place(text)
        return self._places[pid]


def _places(rows: Array, wildcard: int | None = None) -> Iterator[tuple[int, int]]:
    """The namespace and the local endpoint of each row, as `chains.endpoints` has it."""
    return zip(rows["namespace"].tolist(), chains.endpoints(rows, wildcard).tolist(), strict=True)
