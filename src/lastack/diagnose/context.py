"""What every rule is given: the connections, the facts of the host, the thresholds, and what follows from them."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lastack.model.address import MAPPED_PREFIX
from lastack.model.close import Closer
from lastack.model.host import HostFacts
from lastack.model.record import ConnectionTable
from lastack.model.state import State

from .thresholds import Thresholds

Mask = NDArray[np.bool_]
Times = NDArray[np.int64]

_NEVER = np.iinfo(np.int64).max


class Context:
    """One namespace of one host, as rules see it.

    `table` has the connections to judge, and `listeners` the listening sockets: what a filter left of all those in
    `facts`. Listening sockets are not in `table`.
    """

    def __init__(self, table: ConnectionTable, facts: HostFacts, thresholds: Thresholds) -> None:
        listening = table.in_state(State.LISTEN)
        judged = set(table.values("inode")[listening].tolist())
        self.table = table.select(~listening)
        self.listeners = tuple(listener for listener in facts.listeners if listener.inode in judged)
        self.facts = facts
        self.thresholds = thresholds

    def state(self, *states: State) -> Mask:
        """Rows in one of the states."""
        mask: Mask = self.table.in_state(*states)
        return mask

    @cached_property
    def age(self) -> Times:
        """Time in the present state, at least, in ns; 0 where nothing is known."""
        return np.where(self.table.valid("age_ns"), self.table.values("age_ns"), 0)

    @cached_property
    def age_most(self) -> Times:
        """Time in the present state, at most, in ns; the largest number where nothing is known."""
        return np.where(self.table.valid("age_most_ns"), self.table.values("age_most_ns"), _NEVER)

    @cached_property
    def old(self) -> Mask:
        """Rows that have surely been in their state for `min_age`."""
        return np.asarray(self.age >= self.thresholds.min_age_ns, np.bool_)

    @cached_property
    def opened_here(self) -> Mask:
        """Rows whose first SYN was ours: the client's side."""
        return self._is("opened_by", Closer.LOCAL)

    @cached_property
    def accepted(self) -> Mask:
        """Rows that came in by a listener: the server's side."""
        return self._is("opened_by", Closer.REMOTE)

    @cached_property
    def owned(self) -> Mask:
        """Rows whose socket has an inode: some process can still act on it."""
        return np.asarray(self.table.valid("inode") & (self.table.values("inode") != 0), np.bool_)

    @cached_property
    def leaves_host(self) -> Mask:
        """Rows whose peer is neither a loopback address nor the very address that they have here."""
        local, remote = self.table.values("local_addr"), self.table.values("remote_addr")
        v4 = (remote["high"] == 0) & (remote["low"] >> 24 == (MAPPED_PREFIX | 127 << 24) >> 24)
        v6 = (remote["high"] == 0) & (remote["low"] == 1)
        return np.asarray(~(v4 | v6 | (remote == local)), np.bool_)

    @cached_property
    def idle_for(self) -> Times:
        """Time since data went either way, in ns; of those on which none ever did, their age."""
        data = ("last_data_received_ns", "last_data_sent_ns")
        return np.where(self.table.valid(data[0]) | self.table.valid(data[1]), self.silence(*data), self.age)

    def silence(self, *columns: str) -> Times:
        """Time since the latest of the named instants, in ns; 0 where none of them is known."""
        latest = np.zeros(len(self.table), np.int64)
        for name in columns:
            latest = np.maximum(latest, np.where(self.table.valid(name), self.table.values(name), 0))
        return np.where(latest > 0, self.facts.taken_ns - latest, 0)

    def remaining(self) -> Times:
        """Time until the armed timer expires, in ns; 0 where none is armed."""
        valid = self.table.valid("timer_expires_ns")
        left = np.where(valid, self.table.values("timer_expires_ns") - self.facts.taken_ns, 0)
        return np.maximum(left, 0)

    def range_size(self) -> int:
        """How many ports connect() may choose from: ip_local_port_range less the reserved ones."""
        low, high = self.facts.ephemeral
        return high - low + 1 - len(_reserved(self.facts.settings.get("ip_local_reserved_ports", ""), low, high))

    def in_range(self) -> Mask:
        """Rows whose local port is one that connect() may choose."""
        low, high = self.facts.ephemeral
        port = self.table.values("local_port")
        return np.asarray((port >= low) & (port <= high), np.bool_)

    def _is(self, column: str, value: int) -> Mask:
        return np.asarray(self.table.valid(column) & (self.table.values(column) == value), np.bool_)


def _reserved(text: str, low: int, high: int) -> set[int]:
    """The ports of ip_local_reserved_ports (`8080,9148-9150`) that lie within the range."""
    ports: set[int] = set()
    for part in filter(None, text.replace(" ", "").split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            ports.update(range(max(low, int(first)), min(high, int(last or first)) + 1))
    return ports
