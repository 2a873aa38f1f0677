"""What a recording's files hold: of each moment one run of rows, the runs in the order of time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lastack.errors import RecordingError
from lastack.model.time import Nanos

if TYPE_CHECKING:
    import pyarrow

MOMENT: Final = "moment"
"""The column that every file has: when a row was seen."""


class Run(NamedTuple):
    """The rows of one moment: in which file, from which row on, and how many."""

    moment: Nanos
    path: Path
    start: int
    rows: int


def runs(paths: Collection[Path], torn: dict[Path, str]) -> list[Run]:
    """The runs of some files in the order of time, each moment once: as the first of the files has it.

    `torn` learns of the files that cannot be read, and why. Raises FileNotFoundError where one is gone.
    """
    found: dict[Nanos, Run] = {}
    for path in paths:
        try:
            for run in _of(path):
                found.setdefault(run.moment, run)
        except RecordingError as error:
            torn[path] = str(error)
    return sorted(found.values())


def read(together: Sequence[Run]) -> pyarrow.Table:
    """The rows of some runs that are neighbours in one file, one after another.

    Raises RecordingError where one of them is damaged, FileNotFoundError where the file is gone.
    """
    from pyarrow import parquet

    path, start = together[0].path, together[0].start
    end = together[-1].start + together[-1].rows
    with _readable(path), parquet.ParquetFile(path, page_checksum_verification=True) as file:
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        first, last = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(ends, end, "left"))
        rows = file.read_row_groups(list(range(first, last + 1)))
        return rows.slice(start - (int(ends[first]) - sizes[first]), end - start)


def batches(found: Iterable[Run], rows: int) -> Iterator[list[Run]]:
    """The runs, neighbours in one file together as long as they have no more rows than that."""
    batch: list[Run] = []
    for run in found:
        neighbour = batch and run.path == batch[-1].path and run.start == batch[-1].start + batch[-1].rows
        if batch and not (neighbour and run.start + run.rows - batch[0].start <= rows):
            yield batch
            batch = []
        batch.append(run)
    if batch:
        yield batch


def _of(path: Path) -> list[Run]:
    from pyarrow import int64, parquet

    with _readable(path), parquet.ParquetFile(path, page_checksum_verification=True) as file:
        moments = file.read(columns=[MOMENT]).column(MOMENT).cast(int64()).to_numpy()
    changes = np.flatnonzero(np.diff(moments)) + 1
    starts = [0, *changes.tolist()] if len(moments) else []
    ends = [*changes.tolist(), len(moments)]
    return [Run(int(moments[start]), path, start, end - start) for start, end in zip(starts, ends, strict=False)]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes pyarrow raise as RecordingError."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise
    except (ArrowException, OSError, KeyError, ValueError) as error:
        said = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise RecordingError(f"{path} is torn: {said}") from error
