"""Lanes of states for a ladder: the lives of single connections of one network namespace, as StateChange lists.

How to use it: in the namespace, with both ends of the connections in it or one,

    with Watcher(frozenset({namespace.inode})) as watcher:
        steps = []
        ...                             # make the connections; now and then: steps.append(watcher.step())
        steps.append(watcher.finish())  # stops, drains, and looks for TIME_WAIT once more
    lanes = histories(steps, host="kernel")
    lanes[FourTuple(local, remote)]  # of the socket at `local`; the other side's has them exchanged

Call `step` at least a few times a second while connections live. A dump of the mini-sockets is taken each second
(`Watcher(..., every=...)` for more often); what only dumps have shown says so in its cause: `SEEN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.model.address import Endpoint, FourTuple, address_text
from lastack.model.history import StateChange
from lastack.model.state import TRANSITIONS, State

from .life import UNKNOWN, Step, joined
from .record import SAMPLED, is_birth

if TYPE_CHECKING:
    from lastack.model.record import Array

SEEN: Final = "sampled"
"""How the cause of a change begins that a dump has shown: its time is that of the kernel's timer, or a bound."""
LET_GO: Final = "the kernel let the socket go; whether a mini-socket took its place was not seen"

_CALLS: Final = {State.SYN_SENT: "connect", State.FIN_WAIT_1: "close or shutdown", State.LAST_ACK: "close or shutdown"}
_EVENTS: Final = {(each.before, each.after): each.event for each in reversed(TRANSITIONS)}


def histories(steps: Sequence[Step], host: str = "kernel") -> dict[FourTuple, list[StateChange]]:
    """The changes of state of each four-tuple, in order of time.

    `host` is what the changes say of where they were. `connection` counts the lives of a four-tuple from 1. The end
    that the kernel reports when it makes a mini-socket is replaced by what a dump has shown of it, TIME_WAIT or
    CLOSED; where none has, it stays, with LET_GO as its cause. All steps must be of one network namespace. Listening
    sockets are left out.
    """
    rows = joined(list(steps)).changes
    rows = rows[np.argsort(rows["at"], kind="stable")].copy()
    _fill_ports(rows)
    found: dict[FourTuple, list[StateChange]] = {}
    for row in rows[rows["remote_port"] != 0]:
        lane = found.setdefault(FourTuple(_end(row, "local"), _end(row, "remote")), [])
        change = _change(row, host, lane)
        if lane and lane[-1].cause == LET_GO and lane[-1].before == change.before:
            lane[-1] = change
        else:
            lane.append(change)
    return found


def _end(row: Array, side: str) -> Endpoint:
    address = row[f"{side}_addr"]
    return Endpoint(address_text(int(address["high"]), int(address["low"])), int(row[f"{side}_port"]))


def _change(row: Array, host: str, lane: Sequence[StateChange]) -> StateChange:
    was, now = int(row["before"]), int(row["after"])
    before, after = State(was or now), State(now or State.CLOSED)
    number = lane[-1].connection if lane else 1
    if lane and is_birth(row):
        number += 1
    if row["flags"] & SAMPLED:
        cause = f"{SEEN}: seen first" if was == UNKNOWN else SEEN
    elif now == UNKNOWN:
        cause = LET_GO
    elif row["pid"]:
        command = bytes(row["command"]).decode(errors="replace")
        cause = f"{_CALLS.get(after, 'a call')} by {command} ({row['pid']})"
    else:
        cause = _EVENTS.get((before, after), "")
    return StateChange(int(row["at"]), host, number, before, after, cause)


def _fill_ports(rows: Array) -> None:
    """Give a change to SYN_SENT, which may come before there is a port, that of the socket's next change."""
    nameless = np.flatnonzero((rows["local_port"] == 0) & (rows["remote_port"] != 0))
    for place in nameless.tolist():
        later = rows[place + 1 :]
        same = np.flatnonzero((later["cookie"] == rows["cookie"][place]) & (later["local_port"] != 0))
        if len(same):
            rows["local_port"][place] = later["local_port"][same[0]]
            rows["local_addr"][place] = later["local_addr"][same[0]]
