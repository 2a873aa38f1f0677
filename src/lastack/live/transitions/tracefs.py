"""Changes of state from the tracepoint sock:inet_sock_set_state, read as binary pages of a private tracefs instance.

The event has no cookie and no network namespace. Sockets are told apart by their address in the kernel's memory, for
which a number of our own goes out in place of a cookie (NUMBERED): addresses are used again, and are nobody's business.
A dump of sock_diag has the cookie to the four-tuple. How namespaces are found out: see `origins`. Linux 4.16 and later.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from lastack.linux import tracefs
from lastack.linux.bpf.syscall import require_first_pids
from lastack.model.address import MAPPED_PREFIX
from lastack.model.state import State

from .clock import UnixOffset
from .origins import Origins
from .record import NUMBERED, TRANSITION, copied, is_birth
from .sorting import order_of
from .source import Namespaces, TransitionSource
from .tasks import Tasks

if TYPE_CHECKING:
    from lastack.model.record import Array

_EVENT: Final = "sock/inet_sock_set_state"
_FIELDS: Final = frozenset(
    (
        "skaddr",
        "oldstate",
        "newstate",
        "sport",
        "dport",
        "protocol",
        "saddr_v6",
        "daddr_v6",
        "common_pid",
        "common_flags",
    )
)
_OCTETS: Final = 32 << 20
_TCP: Final = 6
_INTERRUPTED: Final = 0x18
"""TRACE_FLAG_HARDIRQ and TRACE_FLAG_SOFTIRQ: the thread has nothing to do with it."""
_BY_CALL: Final = (State.LISTEN, State.SYN_SENT, State.FIN_WAIT_1, State.LAST_ACK)
"""The states that a socket comes into by listen, connect, shutdown or close, in the thread that calls."""
_NOBODY: Final = (0, 0)
_MOST: Final = 1 << 20
"""Sockets remembered. More are only possible where their ends were lost."""


class TracefsSource(TransitionSource):
    """See TransitionSource. `octets`: how much memory the rings of all processors take together.

    Rows come in order of time: what happened on one processor while another's ring was being read waits for the next
    call. Rows of namespaces not asked for are left out as far as it is known that they are.
    """

    name = "tracefs"
    exact = True

    def __init__(self, namespaces: Namespaces, octets: int = _OCTETS) -> None:
        # Threads would be looked up by the numbers of others: nobody's network could be told from one's own.
        require_first_pids()
        self._instance = tracefs.Instance(_EVENT, octets, _FIELDS)
        try:
            self._origins = Origins(namespaces)
        except BaseException:
            self._instance.close()
            raise
        self._tasks = Tasks(tracefs.root() / "saved_cmdlines")
        self._offset = UnixOffset(time.CLOCK_MONOTONIC)
        self._sockets: dict[int, tuple[int, int]] = {}
        self._next = 1
        self._held = tracefs.Batch(np.empty(0, self._instance.layout), np.empty(0, np.int64))
        self._stopped = False
        # Readable while rows are held back.
        self._waiting = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._instance.fileno(), select.EPOLLIN)
        self._epoll.register(self._waiting, select.EPOLLIN)

    @property
    def lost(self) -> int:
        """See TransitionSource."""
        return self._instance.lost

    def fileno(self) -> int:
        """See TransitionSource."""
        return self._epoll.fileno()

    def stop(self) -> None:
        """See TransitionSource."""
        self._instance.stop()
        self._stopped = True

    def read(self) -> Array:
        """See TransitionSource."""
        began = time.monotonic_ns()
        fresh = self._instance.read()
        octets = np.dtype((np.void, fresh.events.itemsize))
        events = np.concatenate((self._held.events.view(octets), fresh.events.view(octets))).view(fresh.events.dtype)
        times = np.concatenate((self._held.times, fresh.times))
        order = order_of(times.view(np.uint64))
        ready = len(order) if self._stopped else int(np.searchsorted(times, began, side="right", sorter=order))
        later, order = order[ready:], order[:ready]
        self._hold(tracefs.Batch(copied(events, later), times[later]))
        order = order[events["protocol"][order] == _TCP]
        return self._rows(copied(events, order), times[order] + self._offset.now(), began)

    def close(self) -> None:
        """See TransitionSource."""
        if self._epoll.closed:
            return
        self._epoll.close()
        os.close(self._waiting)
        self._instance.close()

    def _hold(self, batch: tracefs.Batch) -> None:
        if len(self._held.times):
            os.eventfd_read(self._waiting)
        if len(batch.times):
            os.eventfd_write(self._waiting, 1)
        self._held = batch

    def _rows(self, events: Array, times: Array, now: int) -> Array:
        rows = np.zeros(len(events), TRANSITION)
        rows["at"], rows["before"], rows["after"] = times, events["oldstate"], events["newstate"]
        for end, field in (("local", "s"), ("remote", "d")):
            rows[f"{end}_port"] = events[f"{field}port"]
            halves = np.ascontiguousarray(events[f"{field}addr_v6"]).view(">u8").reshape(-1, 2)
            rows[f"{end}_addr"]["high"], rows[f"{end}_addr"]["low"] = halves[:, 0], halves[:, 1]
        mapped = (rows["local_addr"]["high"] == 0) & (rows["local_addr"]["low"] >> 32 == MAPPED_PREFIX >> 32)
        rows["family"] = np.where(mapped, 4, 6)
        self._name_callers(rows, events, now)
        keep = self._tell_apart(rows, events["skaddr"])
        return rows if keep.all() else copied(rows, keep)

    def _name_callers(self, rows: Array, events: Array, now: int) -> None:
        """Fill in the processes that have made changes by a call."""
        called = np.isin(rows["after"], _BY_CALL) & (events["common_flags"] & _INTERRUPTED == 0)
        where = np.flatnonzero(called & (events["common_pid"] > 0))
        threads, which = np.unique(events["common_pid"][where], return_inverse=True)
        if not len(threads):
            return
        numbers = threads.tolist()
        found = self._tasks.find(numbers, now)
        tasks = [found[thread] for thread in numbers]
        rows["pid"][where] = np.array([task.pid for task in tasks], "u4")[which]
        rows["command"][where] = np.array([task.command for task in tasks], "S16")[which]
        rows["namespace"][where] = np.array([task.namespace for task in tasks], "u4")[which]

    def _tell_apart(self, rows: Array, sockets: Array) -> Array:
        """Fill in a number for each life and the namespace, where it is known; which rows are to be told comes back."""
        order = order_of(sockets)
        grouped, births = sockets[order], is_birth(rows)[order]
        head = np.ones(len(order), np.bool_)
        head[1:] = grouped[1:] != grouped[:-1]
        begins = np.flatnonzero(head | births)
        first, goes_on = rows[order[begins]], ~births[begins]
        lives = np.arange(self._next, self._next + len(begins))
        self._next += len(begins)
        places = np.where(goes_on, 0, self._origins.of_births(first))
        # The first row of a socket that is no birth goes on with the life that it had.
        keys = grouped[begins[goes_on]].tolist()
        known = np.array([self._sockets.get(key, _NOBODY) for key in keys], np.int64).reshape(-1, 2)
        strangers = self._origins.of_strangers(first[goes_on])
        lives[goes_on] = np.where(known[:, 0], known[:, 0], lives[goes_on])
        places[goes_on] = np.where(known[:, 0], known[:, 1], strangers)
        number = np.cumsum(head | births) - 1
        self._remember(grouped, np.roll(head, -1), rows["after"][order] == State.CLOSED, lives[number], places[number])
        rows["cookie"][order] = lives[number].astype(np.uint64) | NUMBERED
        rows["namespace"][order] = places[number]
        return self._origins.wanted(rows["namespace"])

    def _remember(self, sockets: Array, last: Array, over: Array, lives: Array, places: Array) -> None:
        """Keep what is known of the sockets (grouped, `last` marks the end of each group) that are not `over`."""
        kept = last & ~over
        pairs = zip(lives[kept].tolist(), places[kept].tolist(), strict=True)
        self._sockets.update(zip(sockets[kept].tolist(), pairs, strict=True))
        for socket in sockets[last & over].tolist():
            self._sockets.pop(socket, None)
        while len(self._sockets) > _MOST:
            del self._sockets[next(iter(self._sockets))]
