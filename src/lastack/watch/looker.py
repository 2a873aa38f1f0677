"""Looking again and again: changes of state as they happen, and from time to time everything, with a diagnosis."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np

from lastack.api import chosen, judge
from lastack.diagnose.thresholds import Thresholds
from lastack.errors import KernelError
from lastack.linux import namespaces
from lastack.live import sockdiag
from lastack.live.second_look import Look
from lastack.live.snapshot import LiveSocket, take
from lastack.live.transitions.record import none
from lastack.live.transitions.watcher import Watcher
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos

from .choose import Chooser
from .flow import Flow, Tally

if TYPE_CHECKING:
    from lastack.live.snapshot import Snapshot
    from lastack.live.tcpinfo import Measure
    from lastack.model.filters import Filter
    from lastack.model.host import HostFacts
    from lastack.model.record import Array, ConnectionTable
    from lastack.model.report import Report

    from .stop import Stop

_DRAINED: Final = 100 * MILLISECOND
"""The rings of the kernel are emptied at least as often as this."""
_CHANGES: Final = 64
"""So many changes of the connection that is followed are kept."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to watch: which network namespaces, which connections, by which source, how often, and judged by what.

    `pause`: suspect CLOSE_WAIT are looked at again after this.
    """

    netns: str = "own"
    where: Filter | None = None
    source: str = "best"
    every: Nanos = 2 * SECOND
    thresholds: Thresholds = field(default_factory=Thresholds)
    pause: Nanos = SECOND


class Followed(NamedTuple):
    """One connection that somebody watches: its row and tcp_info (None when it is gone), its life, and its changes.

    `life`: a LIFE row, None where it is not known; `changes`: TRANSITION rows since it is followed; `taken` is when the
    row was read.
    """

    cookie: int
    row: ConnectionTable | None
    info: Mapping[str, Measure] | None
    life: Array | None
    changes: Array
    taken: Nanos


class Seen(NamedTuple):
    """One look: when, how long it took, of each namespace the connections chosen and the facts, and the diagnosis.

    `flow`: what happened since the look before. `source` names where changes of state come from, `exact` whether each
    of them is told, `lost` how many are known not to have been, `reasons` why there is no better source. `lives` and
    `forgotten`: how many connections are kept in mind, and how many there was no room for.
    """

    at: Nanos
    took: Nanos
    look: tuple[tuple[ConnectionTable, HostFacts], ...]
    report: Report
    flow: Flow
    source: str
    exact: bool
    lost: int
    reasons: tuple[str, ...]
    lives: int
    forgotten: int
    followed: Followed | None


class _Taken(NamedTuple):
    """What a look itself gives; `places`: the inode of each namespace."""

    at: Nanos
    took: Nanos
    places: tuple[int, ...]
    look: tuple[tuple[ConnectionTable, HostFacts], ...]
    report: Report
    follow: int
    socket: LiveSocket | None


class Looker:
    """Watches from when it is made until `close`; a context manager. Raises KernelError where that cannot be done.

    `asked` may be replaced while it looks, by any thread: its filter, how often, and by what is judged.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        places = namespaces.choose(asked.netns)
        everywhere = asked.netns == namespaces.ALL
        self.watcher = Watcher(None if everywhere else frozenset(place.inode for place in places), asked.source)
        self._tally = Tally()
        try:
            self._choose(asked.where)
            # Who listens and what processes are called has to be known of the first change on.
            self._tally.begin((each.namespace.inode, each.facts) for each in take(places))
        except BaseException:
            self.watcher.close()
            raise
        self._follow = 0
        self._changes = none()
        self._life: Array | None = None
        self._thread = ThreadPoolExecutor(1, "look")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching. A look that is under way is waited for."""
        self._thread.shutdown(cancel_futures=True)
        self.watcher.close()

    @property
    def following(self) -> int:
        """The cookie of the connection that is followed, or 0."""
        return self._follow

    def follow(self, cookie: int) -> None:
        """Tell of the connection with this cookie more closely from now on; 0: of none. Any thread may call this."""
        self._follow, self._life, self._changes = cookie, None, none()

    def looks(self, stop: Stop, end: Nanos | None = None) -> Iterator[Seen]:
        """A look every `asked.every`, or as often as the machine can, the first at once.

        Until `stop` is set, or it is `end` by the monotonic clock.
        Raises KernelError where the kernel takes something away.
        """
        since = due = time.monotonic_ns()
        under_way: Future[_Taken] | None = None
        while not stop.is_set():
            now = time.monotonic_ns()
            if end is not None and now >= end:
                return
            if under_way is None and now >= due:
                under_way = self._thread.submit(_take, self.asked, self._follow)
                due = max(due + self.asked.every, now)
            self._drain(min(max(due - now, 0), _DRAINED) if under_way is None else _DRAINED, stop)
            if under_way is not None and under_way.done():
                taken, under_way = under_way.result(), None
                now = time.monotonic_ns()
                flow = self._tally.sum(now - since)
                since = now
                self._tally.begin(zip(taken.places, (facts for _, facts in taken.look), strict=True))
                yield self._seen(taken, flow)

    def _choose(self, where: Filter | None) -> None:
        """From now on only these count."""
        self._where = where
        self._chooser = Chooser(where, self.watcher.lives, namespaces.choose(self.asked.netns))

    def _drain(self, patience: Nanos, stop: Stop) -> None:
        self.watcher.wait(patience, stop.fileno())
        if self.asked.where is not self._where:
            self._choose(self.asked.where)
        step = self.watcher.step()
        self._tally.add(self._chooser.chosen(step))
        if self._follow:
            mine = step.changes[step.changes["cookie"] == self._follow]
            self._changes = np.concatenate((self._changes, mine))[-_CHANGES:]
            over = step.ended[step.ended["cookie"] == self._follow]
            self._life = over[-1] if len(over) else self._life

    def _seen(self, taken: _Taken, flow: Flow) -> Seen:
        watcher = self.watcher
        source, lives = watcher.source, watcher.lives
        return Seen(
            at=taken.at,
            took=taken.took,
            look=taken.look,
            report=taken.report,
            flow=flow,
            source=source.name,
            exact=source.exact,
            lost=watcher.lost,
            reasons=source.reasons,
            lives=len(lives),
            forgotten=lives.forgotten,
            followed=self._followed(taken) if self._follow else None,
        )

    def _followed(self, taken: _Taken) -> Followed | None:
        if taken.follow != self._follow:
            return None  # the look had begun before it was asked for
        live = self.watcher.lives.current()
        now = live[live["cookie"] == self._follow]
        self._life = now[-1] if len(now) else self._life
        socket = taken.socket
        row, info = (None, None) if socket is None else (socket.connection, socket.info)
        return Followed(self._follow, row, info, self._life, self._changes, taken.at)


def _take(asked: Asked, follow: int) -> _Taken:
    """One look, in the thread that calls; more closely at the socket with the cookie `follow`, unless that is 0."""
    began, at = time.monotonic_ns(), time.time_ns()
    snapshots = take(namespaces.choose(asked.netns), Look(asked.thresholds.min_age_ns, asked.pause, stacks=False))
    everything = [(each.connections, each.facts) for each in snapshots]
    report = judge(everything, asked.where, asked.thresholds)
    look = tuple((chosen(table, facts, asked.where), facts) for table, facts in everything)
    socket = next(filter(None, (_closely(each, follow) for each in snapshots)), None)
    places = tuple(each.namespace.inode for each in snapshots)
    return _Taken(at, time.monotonic_ns() - began, places, look, report, follow, socket)


def _closely(snapshot: Snapshot, cookie: int) -> LiveSocket | None:
    """The socket of a snapshot with its tcp_info."""
    rows = np.flatnonzero(snapshot.connections.values("cookie") == cookie)
    if not cookie or not len(rows):
        return None
    row, at = snapshot.connections.select(rows[:1]), snapshot.facts.taken_ns
    if row.in_state(State.TIME_WAIT).all():
        return LiveSocket(row, None, at)
    try:
        with namespaces.entered(snapshot.namespace):
            found = sockdiag.find(at, cookie)
    except KernelError:
        found = None  # it has ended meanwhile, with its namespace
    return LiveSocket(row, None if found is None else found.info, at)
