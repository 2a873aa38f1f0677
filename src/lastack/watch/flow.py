"""What happened between two looks: how many connections began and ended, whose they were, which changes there were."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lastack.live.programs import program
from lastack.live.transitions.life import UNKNOWN
from lastack.model.address import address_text
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

    `births` and `deaths` by the process's name, by the local port where that is a listener's, and by the peer's
    address; `changes`: how many from each state (row) to each other; `stayed`: of each state how many had been in it
    for up to each of BOUNDS_NS when they left it, and in the last column for longer; `seconds`: their sum.
    """

    span: Nanos
    born: int
    died: int
    births: dict[str, Counter[str | int]]
    deaths: dict[str, Counter[str | int]]
    changes: NDArray[np.int64]
    stayed: NDArray[np.int64]
    seconds: NDArray[np.float64]

    def rate(self, count: int) -> float:
        """So many in the span as a number a second."""
        return count * 1e9 / self.span if self.span else 0.0


class Tally:
    """Takes steps of a watch in, and gives their sum; `begin` says what is known of the processes and the listeners."""

    def __init__(self) -> None:
        self.begin(())

    def begin(self, known: Iterable[HostFacts]) -> None:
        """Count from nothing again."""
        self._names: dict[int, str] = {}
        self._process_at: dict[int, str] = {}
        for facts in known:
            self._names |= {pid: process_name(process) for pid, process in facts.processes.items()}
            for listener in facts.listeners:
                self._process_at[listener.port] = self._names.get(listener.pid or 0, NOBODY)
        self._births: dict[str, Counter[str | int]] = {kind: Counter() for kind in KINDS}
        self._deaths: dict[str, Counter[str | int]] = {kind: Counter() for kind in KINDS}
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

    def _count(self, rows: Array, into: dict[str, Counter[str | int]]) -> None:
        if not len(rows):
            return
        own, others = rows[rows["pid"] != 0], rows["local_port"][rows["pid"] == 0]
        for row, count in zip(*_each(own[["pid", "command"]]), strict=True):
            into["process"][self._names.get(row[0]) or os.fsdecode(row[1])] += count
        for port, count in zip(*_each(others), strict=True):
            into["process"][self._process_at.get(port, NOBODY)] += count
        accepted = rows["local_port"][np.isin(rows["local_port"], list(self._process_at))]
        into["listener"].update(dict(zip(*_each(accepted), strict=True)))
        for halves, count in zip(*_each(rows["remote_addr"]), strict=True):
            into["peer"][address_text(*halves)] += count


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


def _each(values: Array) -> tuple[list[Any], list[int]]:
    """The different values, and how often each is there."""
    different, counts = np.unique(values, return_counts=True)
    return different.tolist(), counts.tolist()
