"""Reading a recording: what was seen at one moment, and every connection that was seen between two.

A recording may be read while it is written: where files are put together meanwhile, it is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import numpy as np

from lastack.errors import RecordingError
from lastack.model.arrow_in import from_arrow
from lastack.model.record import ConnectionTable
from lastack.model.time import SECOND, Nanos

from . import facts as facts_text
from .files import CONNECTIONS, HOSTS, Stored, hour, stored
from .runs import MOMENT, Run, batches, read, runs
from .sightings import Sightings
from .when import shown

if TYPE_CHECKING:
    from lastack.model.filters import Filter
    from lastack.model.host import HostFacts

Answer = TypeVar("Answer")
Progress = Callable[[int, int | None], None]
Rows = np.ndarray[tuple[int], np.dtype[np.bool_]]
Spaces = np.ndarray[tuple[int], np.dtype[np.uint16]]

SPACE: Final = "namespace"
"""The column that says which network namespace of a look a row belongs to, counted from 0."""

_ATTEMPTS: Final = 5
_BATCH: Final = 200_000
"""Rows that are read at once."""
_EVER: Final = (1 << 62) // SECOND * SECOND


class Moment(NamedTuple):
    """A look as it was recorded: when, of each network namespace its connections and the facts, and the filter.

    `unseen` has a sentence for whatever could not be read on the way to it.
    """

    at: Nanos
    look: tuple[tuple[ConnectionTable, HostFacts], ...]
    chosen: str
    unseen: tuple[str, ...]


class Seen(NamedTuple):
    """Connections of a recording, each as it was last seen, and what could not be read."""

    connections: ConnectionTable
    unseen: tuple[str, ...]


class Recording:
    """A directory that a `Recorder` writes, or has written. Raises RecordingError where it holds no recording."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if not self._files(HOSTS):
            raise RecordingError(f"{directory} holds no recording: lastack watch --record makes one")

    def at(self, when: Nanos | None = None) -> Moment:
        """The last look that was not after `when` (None: the last of all).

        Raises RecordingError where there is none, and says when the recording begins.
        """
        return _again(lambda: self._at(when))

    def between(
        self,
        since: Nanos | None = None,
        until: Nanos | None = None,
        where: Filter | None = None,
        progress: Progress | None = None,
    ) -> Seen:
        """Every connection that was seen from `since` to `until`, and that `where` wanted then, as it was last seen so.

        `first_ns` and `last_ns` are the first and the last look that it was seen so in. `progress` is told how many
        octets were read, of how many.
        """
        return _again(lambda: self._between(since or 0, _EVER if until is None else until, where, progress))

    def _files(self, kind: str) -> list[Stored]:
        try:
            return [file for file in stored(self.directory) if file.kind == kind and file.readable]
        except OSError as error:
            raise RecordingError(f"cannot read {self.directory}: {error.strerror}") from error

    def _at(self, when: Nanos | None) -> Moment:
        torn: dict[Path, str] = {}
        unseen: list[str] = []
        earliest: Nanos | None = None
        for past in _hours(self._files(HOSTS)):
            if when is not None and past[0].hour > hour(when):
                continue
            for run in reversed(runs([file.path for file in past], torn)):
                earliest = run.moment
                if when is not None and run.moment > when:
                    continue
                try:
                    return self._moment(run, torn, unseen)
                except RecordingError as error:
                    unseen.append(f"what was seen at {shown(run.moment)}: {error}")
        raise RecordingError(self._begins(earliest, [*torn.values(), *unseen]))

    def _begins(self, earliest: Nanos | None, unseen: Sequence[str]) -> str:
        """Why there is no look that early."""
        if earliest is None:
            first = (runs([file.path for file in past], {}) for past in reversed(_hours(self._files(HOSTS))))
            earliest = next((found[0].moment for found in first if found), None)
        said = f"; {'; '.join(unseen)}" if unseen else ""
        if earliest is None:
            return f"nothing in {self.directory} can be read: {'; '.join(unseen)}"
        return f"the recording in {self.directory} begins at {shown(earliest)}{said}"

    def _moment(self, hosts: Run, torn: dict[Path, str], unseen: Sequence[str]) -> Moment:
        """The look whose hosts are known. Raises RecordingError where its connections are not all there."""
        rows = read([hosts]).to_pylist()
        parts = [file.path for file in self._files(CONNECTIONS) if file.hour == hour(hosts.moment)]
        found = [run for run in runs(parts, torn) if run.moment == hosts.moment]
        table, space = _rows(found[:1]) if found else (ConnectionTable(), np.empty(0, np.uint16))
        look = []
        for number, row in enumerate(rows):
            mine = table.select(space == number)
            if len(mine) != row["connections"]:
                raise RecordingError(f"of {row['connections']:,} connections {len(mine):,} can be read")
            try:
                look.append((mine, facts_text.with_holders(mine, facts_text.read(row["facts"]))))
            except (ValueError, TypeError) as error:
                raise RecordingError(f"{hosts.path} is torn: {error}") from error
        return Moment(hosts.moment, tuple(look), str(rows[0]["filter"]), (*torn.values(), *unseen))

    def _between(self, first: Nanos, last: Nanos, where: Filter | None, progress: Progress | None) -> Seen:
        torn: dict[Path, str] = {}
        sightings = Sightings()
        hours = [past for past in _hours(self._files(CONNECTIONS)) if hour(first) <= past[0].hour <= hour(last)]
        total, done = sum(file.octets for past in hours for file in past), 0
        for past in hours:
            found = _within(first, last, past, torn)
            known = self._facts(found, torn) if where is not None and where.of_host else {}
            for table, space, at in _latest_first(found, torn):
                wanted = None if where is None else _wanted(where, table, space, at, known.get(at, ()))
                sightings.add(table if wanted is None else table.select(wanted), at)
            done += sum(file.octets for file in past)
            if progress is not None:
                progress(done, total)
        return Seen(sightings.table(), tuple(torn.values()))

    def _facts(self, looks: Sequence[Run], torn: dict[Path, str]) -> dict[Nanos, Sequence[HostFacts]]:
        """The facts of each network namespace at looks of one hour; those that cannot be read are missing."""
        known: dict[Nanos, Sequence[HostFacts]] = {}
        hours = {hour(look.moment) for look in looks}
        files = [file for file in self._files(HOSTS) if file.hour in hours]
        for batch in batches(_within(looks[0].moment, looks[-1].moment, files, torn) if looks else (), _BATCH):
            try:
                texts = read(batch).column("facts").to_pylist()
                for run in batch:
                    start = run.start - batch[0].start
                    known[run.moment] = tuple(map(facts_text.read, texts[start : start + run.rows]))
            except RecordingError as error:
                torn[batch[0].path] = str(error)
            except (ValueError, TypeError, KeyError) as error:
                torn[batch[0].path] = f"{batch[0].path} is torn: {error}"
        return known


def _within(first: Nanos, last: Nanos, files: Sequence[Stored], torn: dict[Path, str]) -> list[Run]:
    """The runs of some files that are from the one moment to the other."""
    return [run for run in runs([file.path for file in files], torn) if first <= run.moment <= last]


def _wanted(where: Filter, table: ConnectionTable, space: Spaces, at: Nanos, known: Sequence[HostFacts]) -> Rows:
    """The rows of a look that the filter wants; of namespaces whose facts are not known, by the table alone."""
    if not known:
        return where.matches(table, at)
    found = np.zeros(len(table), np.bool_)
    for number, facts in enumerate(known):
        mine = space == number
        found[mine] = where.matches(table.select(mine), at, facts.ephemeral, facts)
    return found


def _again(read: Callable[[], Answer]) -> Answer:
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except FileNotFoundError:
            continue
    return read()


def _hours(files: Sequence[Stored]) -> list[list[Stored]]:
    """The files of each hour, the latest hour first."""
    found: dict[str, list[Stored]] = {}
    for file in files:
        found.setdefault(file.hour, []).append(file)
    return [found[each] for each in sorted(found, reverse=True)]


def _latest_first(found: Sequence[Run], torn: dict[Path, str]) -> Iterator[tuple[ConnectionTable, Spaces, Nanos]]:
    """Of each run the connections, their namespaces and the moment, the latest first; `torn` learns what is damaged."""
    for batch in reversed(list(batches(found, _BATCH))):
        try:
            table, space = _rows(batch)
        except RecordingError as error:
            torn[batch[0].path] = str(error)
            if len(batch) > 1:
                for run in reversed(batch):
                    yield from _latest_first([run], torn)
            continue
        for run in reversed(batch):
            start = run.start - batch[0].start
            its = np.arange(start, start + run.rows)
            yield table.select(its), space[its], run.moment


def _rows(together: Sequence[Run]) -> tuple[ConnectionTable, Spaces]:
    """The connections of neighbours in one file, and which network namespace of its look each is in."""
    rows = read(together)
    try:
        return from_arrow(rows.drop_columns([MOMENT, SPACE])), rows.column(SPACE).to_numpy()
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:  # pyarrow's are among these
        raise RecordingError(f"{together[0].path} is torn: {error}") from error
