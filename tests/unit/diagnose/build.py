"""Connections and facts for the rules as pure functions, from a few words."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from lastack.diagnose.context import Context
from lastack.diagnose.run import run
from lastack.diagnose.thresholds import Thresholds
from lastack.model.address import address_halves
from lastack.model.close import Closer
from lastack.model.finding import Finding
from lastack.model.host import Holder, HostFacts, Listener, Process
from lastack.model.record import ADDRESS, COLUMN, TEXT, ConnectionTable, Values, address_dtype, text_values
from lastack.model.state import State
from lastack.model.time import MINUTE, Nanos

NOW: Final[Nanos] = 1_700_000_000_000_000_000

Row = dict[str, Any]


def table(*rows: Row) -> ConnectionTable:
    """A table from rows by column name; addresses as text, what a row does not name is null in it."""
    filled = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        given = [row.get(name) for row in rows]
        known = np.array([value is not None for value in given], np.bool_)
        column = COLUMN[name]
        if column.dtype == TEXT:
            filled[name] = text_values(given)
        elif column.dtype == ADDRESS:
            halves = [address_halves(value) if value else (0, 0) for value in given]
            filled[name] = Values(np.array(halves, address_dtype()), known)
        else:
            filled[name] = Values(np.array([value or 0 for value in given], column.dtype), known)
    return ConnectionTable(len(rows), filled)


def connection(state: State = State.ESTABLISHED, number: int = 0, **columns: Any) -> Row:
    """A connection that `web` (pid 10) accepted at 10.0.0.1:80, with what the dump says of any."""
    row: Row = {
        "local_addr": "10.0.0.1",
        "local_port": 80,
        "remote_addr": "10.0.0.9",
        "remote_port": 50_000 + number,
        "family": 4,
        "local_state": state,
        "opened_by": Closer.REMOTE,
        "listener": "10.0.0.1:80",
        "pid": 10,
        "fd": 7 + number,
        "command": "web",
        "inode": 1_000 + number,
        "cookie": 5_000 + number,
        "recv_q": 0,
        "send_q": 0,
        "timer": 0,
        "retransmits": 0,
        "age_ns": 5 * MINUTE,
        "age_most_ns": 5 * MINUTE,
    }
    return {**row, **columns}


def close_wait(count: int, recv_q: int = 1, **columns: Any) -> list[Row]:
    return [connection(State.CLOSE_WAIT, number, recv_q=recv_q, **columns) for number in range(count)]


def listening(queue: int = 0, limit: int = 128, **columns: Any) -> Row:
    """The row of a listening socket."""
    row = connection(State.LISTEN, recv_q=queue, send_q=limit, inode=1, listener=None, opened_by=None)
    return {**row, "remote_addr": None, "remote_port": None, **columns}


def listener(queue: int = 0, limit: int = 128, inode: int = 1, **fields: Any) -> Listener:
    given = {"pids": (10,), "pid": 10, "command": "web", **fields}
    return Listener(4, "10.0.0.1", 80, queue, limit, inode, **given)


def process(pid: int = 10, ppid: int = 1, command: str = "web", **fields: Any) -> Process:
    return Process(pid, ppid, command, 0, executable=f"/bin/{command}", **fields)


def facts(*processes: Process, **fields: Any) -> HostFacts:
    return HostFacts("host", "6.18", NOW, **{"processes": {each.pid: each for each in processes}, **fields})


def held(*holders: tuple[int, int]) -> tuple[Holder, ...]:
    return tuple(Holder(*each) for each in holders)


def context(rows: list[Row], known: HostFacts | None = None, **thresholds: float) -> Context:
    return Context(table(*rows), known or facts(), Thresholds(**thresholds))  # type: ignore[arg-type]


def found(rows: list[Row], known: HostFacts | None = None, **thresholds: float) -> list[Finding]:
    """What all rules say of the rows."""
    return run(table(*rows), known or facts(), Thresholds(**thresholds))  # type: ignore[arg-type]


def told(finding: Finding) -> dict[str, str | int | float]:
    """The finding's evidence: values by fact."""
    return {each.fact: each.value for each in finding.evidence}
