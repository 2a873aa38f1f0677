"""The sockets of a dump joined with what the dump does not know: who holds each, and by which listener it came in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lastack.model.address import Endpoint, address_text
from lastack.model.close import Closer
from lastack.model.host import Holder, Listener, Process
from lastack.model.record import ConnectionTable, Values, text_values
from lastack.model.state import State

from .holders import Holders
from .programs import program

_A_SERVERS: Final = 8
"""Connections from one address to one local port from which the port was a listener's."""

_ANY: Final = ("0.0.0.0", "::")


def with_owners(table: ConnectionTable, holders: Holders, known: Mapping[int, Process]) -> ConnectionTable:
    """The table with pid, command, program, fd, holders, unit and container of who holds each socket."""
    held = np.flatnonzero(table.values("inode"))
    first, count = holders.find(table.values("inode")[held])
    held, first, count = (column[count > 0] for column in (held, first, count))
    several = np.zeros(len(held), np.uint16)
    chosen = first.copy()
    for row in np.flatnonzero(count > 1).tolist():
        its = slice(int(first[row]), int(first[row] + count[row]))
        pids = holders.pids[its].tolist()
        chosen[row] += _last_holder(pids, known)
        several[row] = len(set(pids))
    pid = holders.pids[chosen]
    pids, which = np.unique(pid, return_inverse=True)
    valid = np.zeros(len(table), np.bool_)
    valid[held] = True

    def spread(values: NDArray[Any], dtype: str) -> Values:
        column = np.zeros(len(table), dtype)
        column[held] = values
        return Values(column, valid)

    def spread_text(of: Callable[[Process], str | None]) -> Values:
        few = text_values([of(known[each]) if each in known else None for each in pids.tolist()])
        named = valid.copy()
        named[held] = True if few.valid is None else few.valid[which]
        return Values(spread(few.values[which], "i4").values, named, few.strings)

    return table.with_columns(
        {
            "pid": spread(pid, "i4"),
            "fd": spread(holders.fds[chosen], "i4"),
            "holders": spread(np.maximum(several, 1), "u2"),
            "command": spread_text(lambda process: process.command),
            "program": spread_text(program),
            "unit": spread_text(lambda process: process.unit),
            "container": spread_text(lambda process: process.container),
        }
    )


def _last_holder(pids: Sequence[int], known: Mapping[int, Process]) -> int:
    """Of several who hold a socket, the place of the one that none of the others descends from: the child's."""
    parents = {known[pid].ppid for pid in pids if pid in known}
    return max(range(len(pids)), key=lambda place: (pids[place] not in parents, pids[place]))


def listeners_of(
    table: ConnectionTable, holders: Mapping[int, tuple[Holder, ...]], known: Mapping[int, Process]
) -> tuple[Listener, ...]:
    """The listening sockets of a table, each with the first of the processes that hold it."""
    rows = table.select(table.in_state(State.LISTEN))
    found = []
    for row in range(len(rows)):
        inode = int(rows.values("inode")[row])
        pids = tuple(sorted({holder.pid for holder in holders.get(inode, ())}))
        first = known.get(pids[0]) if pids else None
        found.append(
            Listener(
                family=int(rows.values("family")[row]),
                addr=_text(rows.values("local_addr")[row]),
                port=int(rows.values("local_port")[row]),
                queue=int(rows.values("recv_q")[row]),
                limit=int(rows.values("send_q")[row]),
                inode=inode,
                pids=pids,
                pid=first.pid if first else None,
                command=first.command if first else None,
                unit=first.unit if first else None,
                container=first.container if first else None,
            )
        )
    return tuple(found)


def with_listeners(table: ConnectionTable, netns: str) -> ConnectionTable:
    """The table with the listener that each connection came in by, and who opened it."""
    listening = table.in_state(State.LISTEN)
    code, names = _came_in_by(table, listening)
    accepted = (code >= 0) | _shares_port(table)
    opened = np.where(accepted, np.uint8(Closer.REMOTE), np.uint8(Closer.LOCAL))
    return table.with_columns(
        {
            "netns": Values(np.zeros(len(table), np.int32), None, (netns,)),
            "listener": Values(np.maximum(code, 0), code >= 0, names),
            "opened_by": Values(opened, ~listening),
        }
    )


def _shares_port(table: ConnectionTable) -> NDArray[np.bool_]:
    """Rows whose local port has many connections from one peer: a server's, though nobody listens there any more.

    connect() takes a port of its own for each connection to the same address and port. Towards many ports of one
    address it may take the same port many times; then it is the remote port that more of them share.
    """
    here, there = (_how_many_share(table, f"{side}_port") for side in ("local", "remote"))
    return np.asarray((here >= _A_SERVERS) & (here > there), np.bool_)


def _how_many_share(table: ConnectionTable, port: str) -> NDArray[np.intp]:
    """For each row, how many have the same peer's address and the same of the two ports."""
    remote = table.values("remote_addr")
    key = (remote["high"] ^ remote["low"]) * np.uint64(0x9E3779B97F4A7C15) + table.values(port)
    _, which, count = np.unique(key, return_inverse=True, return_counts=True)
    return np.asarray(count[which], np.intp)


def _came_in_by(table: ConnectionTable, listening: NDArray[np.bool_]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """For each connection the code of its listener's name, or -1: the same port, and its address or the wildcard's.

    An exact address is preferred to a wildcard, and the wildcard of the family to the other family's.
    """
    code = np.full(len(table), -1, np.int32)
    port, addr, family = table.values("local_port"), table.values("local_addr"), table.values("family")
    listeners = np.flatnonzero(listening)
    names: dict[str, int] = {}
    candidates = np.flatnonzero(~listening & np.isin(port, port[listeners]))
    for row in sorted(listeners.tolist(), key=lambda row: (_text(addr[row]) not in _ANY, family[row] == 4)):
        at, text = addr[row], _text(addr[row])
        mine = candidates[port[candidates] == port[row]]
        if text not in _ANY:
            mine = mine[(addr[mine]["high"] == at["high"]) & (addr[mine]["low"] == at["low"])]
        elif family[row] == 4:
            mine = mine[family[mine] == 4]
        code[mine] = names.setdefault(str(Endpoint(text, int(port[row]))), len(names))
    return code, tuple(names)


def _text(addr: NDArray[np.void]) -> str:
    return address_text(int(addr["high"]), int(addr["low"]))
