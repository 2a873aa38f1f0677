"""What happened between two looks: how many connections began and ended, whose they were, which changes there were."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lastack.live.programs import program
from lastack.live.transitions.life import UNKNOWN
from lastack.live.transitions.sorting import distinct
from lastack.model.address import Endpoint, address_text
from lastack.model.state import State

from .groups import NOBODY, STATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lastack.live.transitions.life import Step
    from lastack.model.host import HostFacts, Process
    from lastack.model.record import Array
    from lastack.model.time import Nanos

BOUNDS_NS: Final = tuple(10**exponent * factor for exponent in range(5, 12) for factor in (1, 3))
"""Up to which times in a state are counted together: 0.1 ms, 0.3 ms, 1 ms ... 300 s; the last is beyond."""
PEERS: Final = 256
"""So many peers are told apart; those with the fewest births and deaths are left out."""

KINDS: Final = ("process", "listener", "peer")


class Flow(NamedTuple):
    """The news of a span of time.

    `births` and `deaths` by the process's name, by the listening socket's where there is one, and by the peer's
    address; `changes`: how many from each state (row) to each other; `stayed`: of each state how many had been in it
    for up to each of BOUNDS_NS when they left it, and in the last column for longer; `seconds`: their sum.
    """

    span: Nanos
    born: int
    died: int
    births: dict[str, Counter[str]]
    deaths: dict[str, Counter[str]]
    changes: NDArray[np.int64]
    stayed: NDArray[np.int64]
    seconds: NDArray[np.float64]

    def rate(self, count: int) -> float:
        """So many in the span as a number a second."""
        return count * 1e9 / self.span if self.span else 0.0


class _Listening(NamedTuple):
    """A listening socket: what it and its process are called."""

    name: str
    process: str


class Tally:
    """Takes steps of a watch in, and gives their sum; `begin` says what is known of the processes and the listeners."""

    def __init__(self) -> None:
        self.begin(())

    def begin(self, known: Iterable[tuple[int, HostFacts]]) -> None:
        """Count from nothing again. `known`: of each network namespace its inode and the facts."""
        self._names: dict[int, str] = {}
        self._listening: dict[tuple[int, str, int], _Listening] = {}
        for namespace, facts in known:
            self._names |= {pid: process_name(process) for pid, process in facts.processes.items()}
            for listener in facts.listeners:
                self._listens(namespace, listener.addr, listener.port, self._names.get(listener.pid or 0, NOBODY))
        self._births: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self._deaths: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self._changes = np.zeros((STATES, STATES), np.int64)
        self._stayed = np.zeros((STATES, len(BOUNDS_NS) + 1), np.int64)
        self._seconds = np.zeros(STATES)
        self._born = self._died = 0

    def add(self, step: Step) -> None:
        """Take a step in."""
        # What the kernel has let go is told again, once a dump has shown what became of it.
        certain = step.changes["after"] != UNKNOWN
        changes, stayed, ended = step.changes[certain], step.stayed[certain], step.ended
        np.add.at(self._changes, (changes["before"], changes["after"]), 1)
        for row in changes[(changes["after"] == State.LISTEN) & (changes["pid"] != 0)]:
            process = self._name(int(row["pid"]), bytes(row["command"]))
            self._listens(int(row["namespace"]), _text(row), int(row["local_port"]), process)
        known = stayed >= 0
        before, stayed = changes["before"][known], stayed[known]
        np.add.at(self._stayed, (before, np.searchsorted(BOUNDS_NS, stayed)), 1)
        np.add.at(self._seconds, before, stayed / 1e9)
        born = changes[_born(changes)]
        died = ended[ended["former"] != State.LISTEN]
        self._born += len(born)
        self._died += len(died)
        self._count(born, self._births)
        self._count(died, self._deaths)

    def sum(self, span: Nanos) -> Flow:
        """What was taken in since `begin`, in so many ns."""
        births, deaths = self._births, self._deaths
        kept = (births["peer"] + deaths["peer"]).most_common(PEERS)
        for counter in (births, deaths):
            counter["peer"] = Counter({peer: counter["peer"][peer] for peer, _ in kept})
        return Flow(span, self._born, self._died, births, deaths, self._changes, self._stayed, self._seconds)

    def _count(self, rows: Array, into: dict[str, Counter[str]]) -> None:
        if not len(rows):
            return
        called = rows["pid"] != 0
        for row, count in zip(*_each(rows[called][["pid", "command"]]), strict=True):
            into["process"][self._name(*row)] += count
        near = np.isin(rows["local_port"], [port for _, _, port in self._listening])
        if unknown := int(np.count_nonzero(~near & ~called)):
            into["process"][NOBODY] += unknown
        for halves, count in zip(*_each(rows["remote_addr"]), strict=True):
            into["peer"][address_text(*halves)] += count
        self._count_accepted(rows[near], into)

    def _count_accepted(self, rows: Array, into: dict[str, Counter[str]]) -> None:
        """Count at the listening sockets, and for their processes what no call has told of."""
        addr = rows["local_addr"]
        first, which = distinct(rows["namespace"], addr["high"], addr["low"], rows["local_port"])
        counts, uncalled = np.bincount(which), np.bincount(which, rows["pid"] == 0)
        for row, count, others in zip(rows[first], counts.tolist(), uncalled.tolist(), strict=True):
            listening = self._came_in_by(row)
            if listening is not None:
                into["listener"][listening.name] += count
            if others:
                into["process"][NOBODY if listening is None else listening.process] += int(others)

    def _name(self, pid: int, command: bytes) -> str:
        """What a process is called that made a change by a call."""
        return self._names.get(pid) or os.fsdecode(command)

    def _listens(self, namespace: int, addr: str, port: int, process: str) -> None:
        listening = _Listening(str(Endpoint(addr, port)), process)
        # Some sources do not know every socket's namespace.
        self._listening[namespace, addr, port] = self._listening[0, addr, port] = listening

    def _came_in_by(self, row: Array) -> _Listening | None:
        """The listening socket at the address and port of a row, or at the wildcard of its family, or of both."""
        namespace, port = int(row["namespace"]), int(row["local_port"])
        wildcards = ("0.0.0.0", "::") if row["family"] == 4 else ("::",)
        found = (self._listening.get((namespace, addr, port)) for addr in (_text(row), *wildcards))
        return next(filter(None, found), None)


def _born(changes: Array) -> Array:
    """Which changes are a connection's first: a call of connect(), or the end of a listener's handshake.

    Not every source tells of a listener's child before that; dumps may find it in any state.
    """
    before, after = changes["before"], changes["after"]
    accepted = (before == State.SYN_RECEIVED) & (after == State.ESTABLISHED)
    begun: Array = accepted | ((before == State.CLOSED) & ~np.isin(after, (State.LISTEN, State.SYN_RECEIVED)))
    return begun


def process_name(process: Process) -> str:
    """What a process is called: its name and, where that is an interpreter's, what it runs."""
    return " ".join(filter(None, (process.command, program(process))))


def _text(row: Array) -> str:
    return address_text(*map(int, row["local_addr"].tolist()))


def _each(values: Array) -> tuple[list[Any], list[int]]:
    """The different values, and how often each is there."""
    different, counts = np.unique(values, return_counts=True)
    return different.tolist(), counts.tolist()
