"""Writing a recording: every look at once as files of its own, put together by the hour, kept within bounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from lastack.errors import CallError
from lastack.model.record import ConnectionTable
from lastack.model.time import MINUTE, Nanos

from . import facts as facts_text
from .files import KINDS, hour, locked, path_of, prune, stamp, stored
from .hours import join, replacing
from .reader import SPACE
from .runs import MOMENT

if TYPE_CHECKING:
    import pyarrow

    from lastack.model.host import HostFacts

Look = Sequence[tuple[ConnectionTable, "HostFacts"]]
"""What was seen at one moment: of each network namespace its connections and the facts."""


def _silent(_said: str) -> None:
    """Tell nobody."""


class Recorder:
    """Writes looks into a directory, which is its own until `close`; a context manager.

    The directory never holds more than `most_octets` and the look that is being written, nor more hours than the
    present one and those of `most_age`; what goes first is the oldest. Hours count that have a look, whenever they
    were: so a clock that is set makes nothing old. `tell` is given a sentence about whatever could not be kept.
    Raises CallError where pyarrow is missing, or the directory cannot be had.
    """

    def __init__(
        self, directory: Path, *, most_octets: int, most_age: Nanos, tell: Callable[[str], None] = _silent
    ) -> None:
        try:
            import pyarrow.parquet  # noqa: F401 - said now, not an hour later
        except ImportError:
            raise CallError("recording needs pyarrow: pip install 'lastack[parquet]'") from None
        self.directory = directory
        self._most_octets = most_octets
        self._most_hours = -(-most_age // (60 * MINUTE)) + 1
        self._tell = tell
        self._hour = ""
        self.failed = 0
        """So many looks could not be kept."""
        self._lock = locked(directory)
        for file in stored(directory):
            if file.path.suffix == ".new":
                file.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the directory up. The looks of this hour stay as they are: the next recording puts them together."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def add(self, look: Look, at: Nanos, chosen: str = "") -> None:
        """Keep what was seen at `at` (ns since 1970); `chosen` is the filter, if any, that left the connections.

        A disk that is full or fails costs this look, and is told; nothing is raised for it.
        """
        try:
            with ExitStack() as whole:  # the first leaves last: where there is a row of hosts, the look is whole
                for kind, rows in reversed(list(zip(KINDS, _rows(look, at, chosen), strict=True))):
                    _write(whole.enter_context(replacing(path_of(self.directory, kind, stamp(at)))), rows)
            if hour(at) != self._hour:
                self._hour = hour(at)
                self._settle(at)
            if not prune(self.directory, at, most_octets=self._most_octets, most_hours=self._most_hours):
                self._tell(f"one look at this host is more than {self._most_octets:,} octets: nothing is kept")
        except OSError as error:
            self.failed += 1
            self._tell(f"cannot record into {self.directory}: {error.strerror or error}")

    def _settle(self, now: Nanos) -> None:
        """Put the looks of every hour that is over together; while that is done they are there twice."""
        over = [file for file in stored(self.directory) if file.hour < self._hour and file.readable]
        for kind, past in dict.fromkeys((file.kind, file.hour) for file in over if not file.whole_hour):
            parts = [file for file in over if (file.kind, file.hour) == (kind, past)]
            prune(self.directory, now, most_octets=self._most_octets - sum(part.octets for part in parts))
            left = [part.path for part in parts if part.path.exists()]
            join(left, path_of(self.directory, kind, past), self._tell)


def _rows(look: Look, at: Nanos, chosen: str) -> tuple[pyarrow.Table, pyarrow.Table]:
    """What is written of a look: its connections, and a row for each network namespace."""
    import pyarrow

    instant = pyarrow.timestamp("ns", "UTC")
    table = ConnectionTable.concatenate([table for table, _ in look]).without("id")
    space = np.repeat(np.arange(len(look), dtype=np.uint16), [len(table) for table, _ in look])
    connections = pyarrow.table(table) if len(table) else pyarrow.table({})
    connections = connections.add_column(0, MOMENT, pyarrow.array([at] * len(table), instant))
    hosts = {
        MOMENT: pyarrow.array([at] * len(look), instant),
        "netns": [facts.netns for _, facts in look],
        "connections": pyarrow.array([len(table) for table, _ in look], pyarrow.int64()),
        "filter": [chosen] * len(look),
        "facts": [facts_text.written(facts_text.concerning(table, facts)) for table, facts in look],
    }
    return connections.add_column(1, SPACE, pyarrow.array(space)), pyarrow.table(hosts)


def _write(path: Path, rows: pyarrow.Table) -> None:
    from pyarrow import parquet

    with path.open("wb") as file:
        parquet.write_table(rows, file, compression="zstd", write_page_checksum=True)
