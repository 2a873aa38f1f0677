"""The suspects, closer and once more: what their owners are and do about them, and which of them end by themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lastack.errors import KernelError
from lastack.linux import namespaces
from lastack.linux.namespaces import Namespace
from lastack.model.host import Process, Runtime, SecondLook, Stack, Wait
from lastack.model.record import ConnectionTable
from lastack.model.state import State, bits
from lastack.model.time import SECOND, Nanos

from . import sockdiag, suspects
from .runtimes import runtime
from .stacks import python_stacks

if TYPE_CHECKING:
    from lastack.model.record import Array

_LOOKED_AT: Final = 32
"""Suspects of one process whose threads and epoll sets are looked at: enough to tell what it does."""

_DEADLINE: Final = SECOND // 2
_ASKED: Final = 3
"""So many Python processes, those with most suspects, are asked for their stacks."""
_PATIENCE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """How to look: CLOSE_WAIT older than `min_age_ns` are looked at again after `pause_ns`, to see which end.

    `stacks`: Python processes are asked for theirs, which costs each about 40 ms of CPU time.
    """

    min_age_ns: Nanos = 60 * SECOND
    pause_ns: Nanos = SECOND
    stacks: bool = True


def suspicious(table: ConnectionTable, look: Look) -> ConnectionTable:
    """The CLOSE_WAIT that may be as old as `min_age_ns`."""
    return table.select(table.in_state(State.CLOSE_WAIT) & _may_be_old(table, look))


def held(table: ConnectionTable, look: Look) -> ConnectionTable:
    """Those that may be as old and wait for their process: CLOSE_WAIT, and FIN_WAIT_2 that it has a descriptor of."""
    closing = table.in_state(State.CLOSE_WAIT, State.FIN_WAIT_2)
    return table.select(closing & table.valid("fd") & _may_be_old(table, look))


def _may_be_old(table: ConnectionTable, look: Look) -> Array:
    old: Array = ~table.valid("age_most_ns") | (table.values("age_most_ns") >= look.min_age_ns)
    return old


def waits(held: ConnectionTable) -> tuple[Wait, ...]:
    """What threads and epoll sets of the owners do about some of the rows, within half a second."""
    chosen: list[tuple[int, int, int]] = []
    for _, index in held.groups("pid"):
        few = (held.values(name)[index[:_LOOKED_AT]].tolist() for name in ("inode", "pid", "fd"))
        chosen += zip(*few, strict=True)
    return suspects.look(chosen, time.monotonic_ns() + _DEADLINE, time.monotonic_ns)


def programs(
    held: Sequence[ConnectionTable], processes: Mapping[int, Process], stacks: bool = True
) -> tuple[dict[int, Runtime], dict[int, tuple[Stack, ...]]]:
    """By pid, what runs the owners of the rows, and what the threads of some of them are at."""
    groups = [group for rows in held for group in rows.groups("pid")]
    pids = [int(str(pid)) for (pid,), _ in sorted(groups, key=lambda group: -len(group[1]))]
    deadline = time.monotonic_ns() + _DEADLINE
    known: dict[int, Runtime] = {}
    for pid in dict.fromkeys(pids):
        which = runtime(processes[pid]) if pid in processes else None
        if which is not None:
            known[pid] = which
        if time.monotonic_ns() >= deadline:
            break
    python = [pid for pid, each in known.items() if each is Runtime.PYTHON and not processes[pid].stopped]
    asked = python[:_ASKED] if stacks else ()
    return known, {pid: found for pid in asked if (found := python_stacks(pid, _PATIENCE_S))}


def again(
    places: Sequence[Namespace], rows: Sequence[ConnectionTable], since_ns: Nanos, look: Look
) -> list[SecondLook | None]:
    """Which of each namespace's suspect rows have ended `pause_ns` after `since_ns` (monotonic); None without any."""
    if not any(len(each) for each in rows):
        return [None] * len(rows)
    time.sleep(max(0, since_ns + look.pause_ns - time.monotonic_ns()) / SECOND)
    found: list[SecondLook | None] = []
    for place, few in zip(places, rows, strict=True):
        before = frozenset(few.values("cookie").tolist())
        still = _still_waiting(place) if before else None
        if still is None:
            found.append(None)
            continue
        queues = _unread(few)
        read = frozenset(cookie for cookie, unread in still.items() if unread < queues.get(cookie, 0))
        found.append(SecondLook(time.monotonic_ns() - since_ns, before, before.difference(still), read))
    return found


def _still_waiting(place: Namespace) -> dict[int, int] | None:
    """The CLOSE_WAIT there now, and what each has unread; None where the namespace has ended since the first look."""
    try:
        with namespaces.entered(place):
            return _unread(sockdiag.read(time.time_ns(), bits(State.CLOSE_WAIT), info=0))
    except KernelError:
        return None


def _unread(table: ConnectionTable) -> dict[int, int]:
    """Octets received and not yet read, the FIN among them, by cookie."""
    return dict(zip(table.values("cookie").tolist(), table.values("recv_q").tolist(), strict=True))
