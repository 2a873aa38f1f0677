"""The filter language applied to changes of state: one is wanted if the connection is, before it or after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lastack.live.transitions.life import UNKNOWN, Step
from lastack.model.close import Viewpoint
from lastack.model.record import ConnectionTable, Values, text_values

if TYPE_CHECKING:
    from lastack.live.transitions.lives import Lives
    from lastack.model.filters import Filter
    from lastack.model.record import Array


def chosen(step: Step, lives: Lives, where: Filter) -> Step:
    """The changes of a step whose connection the filter holds of, and such lives; `lives` are those that it led to.

    The process is the one that made the change, or else the last one that made any of this connection's.
    """
    changes, ended = step.changes, step.ended
    if where.condition is None or not (len(changes) or len(ended)):
        return step
    now = int(max(changes["at"].max(initial=0), ended["changed"].max(initial=0)))
    table = _table(changes, lives.owners(changes, ended))
    kept = np.zeros(len(changes), np.bool_)
    for name in ("before", "after"):
        kept |= (changes[name] != UNKNOWN) & where.matches(table.with_columns({"local_state": changes[name]}), now)
    over = where.matches(_table(ended, ended).with_columns({"local_state": ended["former"]}), now)
    return Step(changes[kept], step.stayed[kept], ended[over])


def _table(changes: Array, owners: Array) -> ConnectionTable:
    """The rows, changes or lives, as connections; `owners`: of each the pid (0 unknown) and the command."""
    connected, owned = changes["remote_port"] != 0, owners["pid"] != 0
    names = [name.decode(errors="replace") if name else None for name in owners["command"].tolist()]
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
            "pid": Values(owners["pid"].astype(np.int32), owned),
            "command": text_values(names),
        },
    )
