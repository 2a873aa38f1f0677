"""The suspects, closer and once more: what their owners do about them, and which of them end by themselves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lastack.errors import KernelError
from lastack.linux import namespaces
from lastack.linux.namespaces import Namespace
from lastack.model.host import SecondLook, Wait
from lastack.model.record import ConnectionTable
from lastack.model.state import State, bits
from lastack.model.time import SECOND, Nanos

from . import sockdiag, suspects

_LOOKED_AT: Final = 32
"""Suspects of one process whose threads and epoll sets are looked at: enough to tell what it does."""

_DEADLINE: Final = SECOND // 2


@dataclass(frozen=True, slots=True)
class Look:
    """How to look: CLOSE_WAIT older than `min_age_ns` are looked at again after `pause_ns`, to see which end."""

    min_age_ns: Nanos = 60 * SECOND
    pause_ns: Nanos = SECOND


def suspicious(table: ConnectionTable, look: Look) -> ConnectionTable:
    """The CLOSE_WAIT that may be as old as `min_age_ns`."""
    old = ~table.valid("age_most_ns") | (table.values("age_most_ns") >= look.min_age_ns)
    return table.select(table.in_state(State.CLOSE_WAIT) & old)


def waits(rows: ConnectionTable) -> tuple[Wait, ...]:
    """What threads and epoll sets of the owners do about some of the rows, within half a second."""
    held = rows.select(rows.valid("pid"))
    chosen: list[tuple[int, int, int]] = []
    for _, index in held.groups("pid"):
        few = (held.values(name)[index[:_LOOKED_AT]].tolist() for name in ("inode", "pid", "fd"))
        chosen += zip(*few, strict=True)
    return suspects.look(chosen, time.monotonic_ns() + _DEADLINE, time.monotonic_ns)


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
        found.append(None if still is None else SecondLook(time.monotonic_ns() - since_ns, before, before - still))
    return found


def _still_waiting(place: Namespace) -> frozenset[int] | None:
    """The cookies of the CLOSE_WAIT there now; None where the namespace has ended since the first look."""
    try:
        with namespaces.entered(place):
            later = sockdiag.read(time.time_ns(), bits(State.CLOSE_WAIT), info=0)
    except KernelError:
        return None
    return frozenset(later.values("cookie").tolist())
