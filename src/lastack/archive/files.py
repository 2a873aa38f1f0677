"""The files of a recording: their names, their order in time, and what has to go when they are too many or too old.

`KIND-20261121T19.parquet` is a whole hour (UTC), `KIND-20261121T190312.345678.parquet` one look at the host that waits
to be joined to its hour. A look has one file of each kind; `hosts` is written last, so where it is, the look is whole.
Files of other names are nobody's business here.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from lastack.errors import CallError
from lastack.model.time import SECOND, Nanos

CONNECTIONS: Final = "connections"
HOSTS: Final = "hosts"
KINDS: Final = (CONNECTIONS, HOSTS)
"""In the order of writing."""

TORN: Final = ".torn"
"""Behind the name of a file that could not be read when its hour was put together."""

_HOUR: Final = "%Y%m%dT%H"
_NAME: Final = re.compile(rf"({'|'.join(KINDS)})-(\d{{8}}T\d{{2}})(\d{{4}}\.\d{{6}})?\.parquet({TORN}|\.new)?")


class Stored(NamedTuple):
    """A file of a recording. `stamp` orders files by time: an hour's comes before those of the looks within it."""

    stamp: str
    kind: str
    path: Path
    octets: int

    @property
    def hour(self) -> str:
        """The hour that it belongs to."""
        return self.stamp[:11]

    @property
    def whole_hour(self) -> bool:
        """Whether it holds an hour, not one look."""
        return len(self.stamp) == len(self.hour)

    @property
    def readable(self) -> bool:
        """Whether it is neither torn nor being written."""
        return self.path.suffix == ".parquet"


def stored(directory: Path) -> list[Stored]:
    """The files of a recording in the order of time. Raises OSError where the directory cannot be read."""
    found = []
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        with suppress(FileNotFoundError):
            found.append(Stored(match[2] + (match[3] or ""), match[1], path, path.stat().st_size))
    return sorted(found)


def stamp(at: Nanos) -> str:
    """What stands in the name of a look's file."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):{_HOUR}%M%S}.{at % SECOND // 1_000:06d}"


def hour(at: Nanos) -> str:
    """What stands in the name of the file of the hour that an instant is in."""
    return stamp(at)[:11]


def path_of(directory: Path, kind: str, stamped: str) -> Path:
    """Where the file of a kind for an hour or a look is."""
    return directory / f"{kind}-{stamped}.parquet"


def prune(directory: Path, now: Nanos, *, most_octets: int, most_hours: int | None = None) -> int:
    """Remove hours and looks until the rest has `most_octets` and is of `most_hours` hours at most, the first first.

    First is what was recorded first, as far as names tell: what is after `now` was before the clock was set back.
    How many octets are left. Raises OSError where a file cannot be removed.
    """
    present = hour(now)
    files = sorted(stored(directory), key=lambda file: (file.hour <= present, file))
    hours = list(dict.fromkeys(file.hour for file in files))
    over = set() if most_hours is None else set(hours[: max(len(hours) - most_hours, 0)])
    left = sum(file.octets for file in files)
    for stamped in dict.fromkeys(file.stamp for file in files):
        its = [file for file in files if file.stamp == stamped]
        if left <= most_octets and its[0].hour not in over:
            break
        for file in its:
            file.path.unlink(missing_ok=True)
            left -= file.octets
    return left


def locked(directory: Path) -> int:
    """A descriptor that holds the directory for this process alone until it is closed; made, for its owner, if missing.

    Raises CallError where another recording writes into it, or it cannot be made or written to.
    """
    import fcntl

    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CallError(f"cannot record into {directory}: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK):  # said now, not at every look
        os.close(held)
        raise CallError(f"cannot record into {directory}: it is not writable")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise CallError(f"cannot record into {directory}: another recording writes into it") from None
    return held
