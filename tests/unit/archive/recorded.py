"""What the tests of recordings share: looks at an imaginary host, and a recorder with room for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from lastack.archive.writer import Recorder
from lastack.model.close import Viewpoint
from lastack.model.host import Holder, HostFacts, Process
from lastack.model.record import ConnectionTable, Values, address_values, text_values
from lastack.model.state import State
from lastack.model.time import SECOND

NOON: Final = 1_800_014_400 * SECOND  # 2027-01-15 12:00 UTC
MINUTE: Final = 60 * SECOND
DAY: Final = 86_400 * SECOND


def connections(cookies: list[int], state: State = State.CLOSE_WAIT, netns: str = "own") -> ConnectionTable:
    """One connection a cookie, all held by process 7."""
    count = len(cookies)
    cookie = np.array(cookies, np.uint64)
    return ConnectionTable(
        count,
        {
            "viewpoint": np.full(count, Viewpoint.HOST, np.uint8),
            "netns": text_values([netns] * count),
            "family": np.full(count, 4, np.uint8),
            "local_addr": address_values([(0, 0xFFFF << 32 | 0x7F000001)] * count),
            "local_port": np.full(count, 80, np.uint16),
            "remote_addr": address_values([(0, 0xFFFF << 32 | 0x0A000001)] * count),
            "remote_port": (1024 + cookie % 60_000).astype(np.uint16),
            "local_state": np.full(count, state, np.uint8),
            "cookie": cookie,
            "inode": cookie + 1_000,
            "pid": np.full(count, 7, np.int32),
            "fd": np.arange(3, count + 3, dtype=np.int32),
            "command": text_values(["leaky"] * count),
            "age_ns": Values(np.full(count, 300 * SECOND), np.arange(count) % 2 == 0),
        },
    )


def facts(netns: str = "own", **more: Any) -> HostFacts:
    leaky = Process(7, 1, "leaky", 33, arguments=("leaky", "--port=80"), descriptors=10, descriptor_limit=1024)
    given: dict[str, Any] = {
        "settings": {"ip_local_port_range": "32768 60999"},
        "processes": {7: leaky, 1: Process(1, 0, "init", 0), 99: Process(99, 1, "other", 0)},
        **more,
    }
    return HostFacts("host", "6.18", NOON, netns, **given)


def held(table: ConnectionTable) -> dict[int, tuple[Holder, ...]]:
    """The descriptors that a table tells of."""
    columns = (table.values(name).tolist() for name in ("inode", "pid", "fd"))
    return {inode: (Holder(pid, fd),) for inode, pid, fd in zip(*columns, strict=True)}


def look(cookies: list[int], state: State = State.CLOSE_WAIT) -> list[tuple[ConnectionTable, HostFacts]]:
    table = connections(cookies, state)
    return [(table, facts(holders=held(table)))]


def recorder(directory: Path, **more: Any) -> Recorder:
    return Recorder(directory, **{"most_octets": 1 << 30, "most_age": 30 * DAY, **more})
