"""What the tests of watching share: looks at an imaginary host, and something that gives them one after the other."""

from __future__ import annotations

import select
from collections import Counter
from collections.abc import Iterator, Mapping
from threading import Event
from typing import Any, Final

import numpy as np

from lastack.api import judge
from lastack.live.transitions.record import TRANSITION
from lastack.model.close import Viewpoint
from lastack.model.host import HostFacts, Listener, Process
from lastack.model.record import ConnectionTable, Values, address_values, text_values
from lastack.model.state import State
from lastack.model.time import SECOND
from lastack.watch.flow import BOUNDS_NS, KINDS, Flow
from lastack.watch.groups import STATES
from lastack.watch.looker import Asked, Followed, Seen
from lastack.watch.stop import Stop

NOON: Final = 1_800_014_400 * SECOND
HERE: Final = (0, 0xFFFF << 32 | 0x7F000001)
EVIL: Final = "\x1b[31m[bold]red\x07"


def connections(
    count: int,
    state: State,
    command: str | None = "server",
    *,
    pid: int = 7,
    peer: int = 1,
    first: int = 1,
    listener: str | None = "127.0.0.1:80",
    age: int = 300,
) -> ConnectionTable:
    """So many alike, with cookies from `first` on; a command of None: nobody's."""
    owned = np.full(count, command is not None)
    return ConnectionTable(
        count,
        {
            "viewpoint": np.full(count, Viewpoint.HOST, np.uint8),
            "netns": text_values(["own"] * count),
            "family": np.full(count, 4, np.uint8),
            "local_addr": address_values([HERE] * count),
            "local_port": np.full(count, 80, np.uint16),
            "remote_addr": address_values([(0, 0xFFFF << 32 | 0x0A000000 | peer)] * count),
            "remote_port": np.arange(20_000, 20_000 + count, dtype=np.uint16),
            "local_state": np.full(count, state, np.uint8),
            "cookie": np.arange(first, first + count, dtype=np.uint64),
            "inode": np.where(owned, np.arange(first, first + count), 0).astype(np.uint64),
            "recv_q": np.ones(count, np.uint32),
            "send_q": np.zeros(count, np.uint32),
            "pid": Values(np.full(count, pid, np.int32), owned),
            "command": text_values([command] * count),
            "listener": text_values([listener] * count),
            "age_ns": np.full(count, age * SECOND),
            "age_most_ns": np.full(count, age * SECOND),
        },
    )


def facts(**more: Any) -> HostFacts:
    given: dict[str, Any] = {
        "processes": {7: Process(7, 1, "server", 33), 8: Process(8, 1, EVIL, 33)},
        "listeners": (Listener(4, "127.0.0.1", 80, 3, 128, 1, (7,), 7, "server"),),
        "settings": {"ip_local_port_range": "32768 60999"},
        **more,
    }
    return HostFacts("host", "6.18", NOON, **given)


def flow(span: int = 2 * SECOND, **counts: Mapping[str, Mapping[Any, int]]) -> Flow:
    """A flow with these births and deaths, by kind and name."""
    births, deaths = (
        {kind: Counter(counts.get(name, {}).get(kind, {})) for kind in KINDS} for name in ("births", "deaths")
    )
    return Flow(
        span,
        births["process"].total(),
        deaths["process"].total(),
        births,
        deaths,
        np.zeros((STATES, STATES), np.int64),
        np.zeros((STATES, len(BOUNDS_NS) + 1), np.int64),
        np.zeros(STATES),
    )


def seen(*tables: ConnectionTable, at: int = NOON, known: HostFacts | None = None, **more: Any) -> Seen:
    """A look at these connections."""
    table, known = ConnectionTable.concatenate(tables), known or facts()
    given: dict[str, Any] = {
        "flow": flow(),
        "source": "bpf",
        "exact": True,
        "lost": 0,
        "reasons": (),
        "lives": 5,
        "forgotten": 0,
        "followed": None,
        **more,
    }
    return Seen(at=at, took=SECOND // 10, look=((table, known),), report=judge([(table, known)]), **given)


class Looks:
    """Stands for a Looker: gives what it is given, and the last of it once more when something else is asked for.

    All but the first only when `more` is set.
    """

    def __init__(self, *given: Seen) -> None:
        self.asked = Asked()
        self.given = list(given)
        self.followed = 0
        self.more = Event()
        self.more.set()

    def follow(self, cookie: int) -> None:
        self.followed = cookie

    def looks(self, stop: Stop, end: int | None = None) -> Iterator[Seen]:
        yield self.given[0]
        self.more.wait(10)
        yield from self.given[1:]
        told: tuple[object, int] = (self.asked, 0)
        while not stop.is_set():
            if told != (self.asked, self.followed):
                told = (self.asked, self.followed)
                yield self._more_closely(self.given[-1])
            select.select([stop], [], [], 0.02)

    def _more_closely(self, one: Seen) -> Seen:
        row = next((table.select(table.values("cookie") == self.followed) for table, _ in one.look))
        changes = np.empty(0, TRANSITION)
        return one._replace(followed=Followed(self.followed, row if len(row) else None, None, None, changes, one.at))
