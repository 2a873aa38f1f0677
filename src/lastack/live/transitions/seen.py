"""A dump of the kernel's sockets as TRANSITION rows: the state that each was seen in, and since when at the latest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lastack.errors import KernelError
from lastack.linux import namespaces, sysctl
from lastack.linux.namespaces import Namespace
from lastack.live import sockdiag
from lastack.model.state import State, bits
from lastack.model.time import SECOND, Nanos

from .record import SAMPLED, TRANSITION

if TYPE_CHECKING:
    from lastack.model.record import Array, ConnectionTable

MINI: Final = bits(State.TIME_WAIT, State.FIN_WAIT_2)
"""The states that mini-sockets are in, as bits of `1 << state`."""


class Look(NamedTuple):
    """What one dump showed.

    `rows`: TRANSITION rows with SAMPLED; `before` is 0, `after` the state, and `at` when it came into it: exact where
    the kernel's timer tells (TIME_WAIT), otherwise the latest moment that is possible. `began`: Unix time in ns at
    which the dump began, so that what happened later says nothing against it. `states`: bits of the states asked for.
    `namespaces`: the inodes of those that were looked into.
    """

    rows: Array
    began: Nanos
    states: int
    namespaces: frozenset[int]


def rows(table: ConnectionTable, namespace: int, taken_ns: Nanos) -> Array:
    """The sockets of a table as a Look has them: read at `taken_ns`, in the namespace with this inode."""
    found = np.zeros(len(table), TRANSITION)
    at = np.full(len(table), taken_ns, np.int64)
    aged = table.valid("age_ns")
    at[aged] -= table.values("age_ns")[aged]
    found["at"], found["after"] = at, table.values("local_state")
    found["namespace"], found["flags"] = namespace, SAMPLED
    for name in ("cookie", "family", "local_addr", "local_port"):
        found[name] = table.values(name)
    connected = table.valid("remote_port")
    for name in ("remote_addr", "remote_port"):
        found[name][connected] = table.values(name)[connected]
    return found


def look(chosen: tuple[Namespace, ...], states: int) -> Look:
    """Dump the sockets of these namespaces in the states of the mask (bits of `1 << state`).

    A namespace that has ended meanwhile is left out. Raises KernelError where the only one cannot be looked into,
    DecodeError as `sockdiag.read`.
    """
    began = time.time_ns()
    pieces, looked = [np.empty(0, TRANSITION)], set()
    for namespace in chosen:
        try:
            with namespaces.entered(namespace):
                fin_timeout = sysctl.read("net.ipv4.tcp_fin_timeout")
                now = time.time_ns()
                timeout = int(fin_timeout) * SECOND if fin_timeout and fin_timeout.isdigit() else None
                table = sockdiag.read(now, states, info=0, fin_timeout_ns=timeout)
        except KernelError:
            if len(chosen) == 1:
                raise
            continue
        pieces.append(rows(table, namespace.inode, now))
        looked.add(namespace.inode)
    return Look(np.concatenate(pieces), began, states, frozenset(looked))
