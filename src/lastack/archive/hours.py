"""Putting the looks of an hour together: many files as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lastack.errors import RecordingError

from .files import TORN
from .runs import Run, batches, read, runs

if TYPE_CHECKING:
    import pyarrow

_ROWS: Final = 1 << 16
"""Rows of a row group, about: small ones cost more for their headers than for what they hold."""


def join(parts: Sequence[Path], target: Path, tell: Callable[[str], None]) -> None:
    """Make `target` of the files, which are of one kind, and remove them. It may be the first of them.

    A look that two files have (a former attempt did not come to its end) is kept once. A file that cannot be read is
    told of and put aside. Raises OSError where `target` cannot be written.
    """
    torn: dict[Path, str] = {}
    found = runs(parts, torn)
    if found:
        with replacing(target) as path:
            _copy(found, path, torn)
    for part in parts:
        if part in torn:
            tell(torn[part])
        if part != target:
            if part in torn:
                part.rename(f"{part}{TORN}")
            else:
                part.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, its owner's alone, that becomes `path` when all is on the disk, or goes when it fails."""
    new = path.with_name(f"{path.name}.new")
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        yield new
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def _copy(found: Sequence[Run], target: Path, torn: dict[Path, str]) -> None:
    """Write the runs again, in a schema that has the columns of all; what one of them lacks is null there."""
    import pyarrow
    from pyarrow import parquet

    paths = dict.fromkeys(run.path for run in found)
    schema = pyarrow.unify_schemas([parquet.read_schema(path).remove_metadata() for path in paths])
    waiting: list[pyarrow.Table] = []
    with (
        target.open("wb") as file,
        parquet.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for batch in batches(found, _ROWS):
            try:
                waiting.append(_widened(read(batch), schema))
            except RecordingError as error:
                torn[batch[0].path] = str(error)
            if sum(map(len, waiting)) >= _ROWS:
                writer.write_table(pyarrow.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pyarrow.concat_tables(waiting))


def _widened(rows: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    columns = [
        rows.column(field.name) if field.name in rows.column_names else pyarrow.nulls(len(rows), field.type)
        for field in schema
    ]
    return pyarrow.table(columns, schema=schema)
