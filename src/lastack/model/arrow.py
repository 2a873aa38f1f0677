"""A ConnectionTable for Arrow consumers: the PyCapsule interface by way of nanoarrow, and Parquet files by pyarrow.

Only filled columns leave. Whole numbers keep their width, instants become timestamp[ns, UTC], durations duration[ns];
addresses, enumerated columns and text become plain UTF-8 (nanoarrow cannot build dictionary arrays). Every field's
metadata holds its unit and meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lastack.errors import CallError

from .address import address_text
from .record import ADDRESS, COLUMN, TEXT, Column, ConnectionTable

if TYPE_CHECKING:
    from pathlib import Path

    from nanoarrow.c_array import CArray
    from nanoarrow.c_schema import CSchema
    from numpy.typing import NDArray

    Array = NDArray[Any]

BATCH_ROWS: Final = 1 << 20
"""Rows in one batch: the 32-bit offsets of UTF-8 columns then suffice for strings of 2 KiB on average."""


def schema_capsule(table: ConnectionTable) -> object:
    """The schema of the filled columns as an `arrow_schema` capsule."""
    capsule: object = _schema(table).__arrow_c_schema__()
    return capsule


def stream_capsule(table: ConnectionTable, requested_schema: object | None = None) -> object:
    """The rows as an `arrow_array_stream` capsule, in batches of BATCH_ROWS.

    A requested schema is a wish that the protocol lets a producer decline; this one always gives its own types.
    """
    del requested_schema
    from nanoarrow.c_array_stream import CArrayStream

    schema = _schema(table)
    batches = [_batch(table, schema, start) for start in range(0, len(table), BATCH_ROWS)]
    capsule: object = CArrayStream.from_c_arrays(batches, schema, move=True, validate=False).__arrow_c_stream__()
    return capsule


def write_parquet(table: ConnectionTable, path: str | Path) -> None:
    """Write the filled columns to a Parquet file.

    Raises CallError where pyarrow is not installed, and OSError as open() does.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise CallError("writing Parquet needs pyarrow: pip install 'lastack[parquet]'") from None
    rows = pyarrow.table(table)
    # Given a path, pyarrow removes what is there when writing fails: a device too.
    with open(path, "wb") as file:  # noqa: PTH123 - a path in either form
        parquet.write_table(rows, file, compression="zstd")


def _schema(table: ConnectionTable) -> CSchema:
    import nanoarrow

    fields = [_field(COLUMN[name]) for name in table.names]
    return nanoarrow.c_schema(nanoarrow.struct([])).modify(children=fields, nullable=False)


def _field(column: Column) -> CSchema:
    import nanoarrow

    if column.dtype in (TEXT, ADDRESS) or column.words is not None:
        kind = nanoarrow.string()
    elif column.unit == "ns since 1970":
        kind = nanoarrow.timestamp("ns", "UTC")
    elif column.unit == "ns":
        kind = nanoarrow.duration("ns")
    else:
        kind = nanoarrow.bool_() if column.dtype == "bool" else getattr(nanoarrow, column.dtype)()
    about = {"unit": column.unit, "meaning": column.meaning}
    return nanoarrow.c_schema(kind).modify(
        name=column.name, metadata={key: text for key, text in about.items() if text}
    )


def _batch(table: ConnectionTable, schema: CSchema, start: int) -> CArray:
    """The rows from `start` on as one struct array."""
    import nanoarrow

    rows = slice(start, min(start + BATCH_ROWS, len(table)))
    children = [_array(table, name, schema.child(i), rows) for i, name in enumerate(table.names)]
    return nanoarrow.c_array_from_buffers(schema, rows.stop - rows.start, [None], 0, 0, children, move=True)


def _array(table: ConnectionTable, name: str, field: CSchema, rows: slice) -> CArray:
    """Some rows of one column as an Arrow array."""
    import nanoarrow
    import numpy as np

    column, found = COLUMN[name], table.column(name)
    values = found.values[rows]
    valid = np.ones(len(values), np.bool_) if found.valid is None else found.valid[rows]
    nulls = len(values) - int(np.count_nonzero(valid))
    bitmap = np.packbits(valid, bitorder="little") if nulls else None
    if column.dtype == TEXT:
        buffers = _utf8(np.where(valid, values, 0), found.strings, valid)
    elif column.dtype == ADDRESS:
        buffers = _utf8(*_addresses(values), valid)
    elif column.words is not None:
        kinds, inverse = np.unique(values[valid], return_inverse=True)
        codes = np.zeros(len(values), np.intp)
        codes[valid] = inverse
        buffers = _utf8(codes, tuple(column.words(int(kind)).name for kind in kinds), valid)
    elif column.dtype == "bool":
        buffers = [np.packbits(values.astype(np.bool_), bitorder="little")]
    else:
        buffers = [np.ascontiguousarray(values, column.dtype)]
    return nanoarrow.c_array_from_buffers(field, len(values), [bitmap, *buffers], nulls, move=True)


def _addresses(halves: Array) -> tuple[Array, tuple[str, ...]]:
    """Codes and the text of each distinct address, so that each is written once."""
    import numpy as np

    high, low = halves["high"], halves["low"]
    order = np.lexsort((low, high))
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    codes = np.empty(len(order), np.intp)
    codes[order] = np.cumsum(fresh) - 1
    firsts = halves[order[fresh]]
    return codes, tuple(address_text(high, low) for high, low in firsts.tolist())


def _utf8(codes: Array, strings: tuple[str, ...], valid: Array) -> list[Array | bytes]:
    """The offsets and the data of a UTF-8 array whose rows are codes of strings; a null is empty."""
    import numpy as np

    # A command name may hold any octets, which Python keeps as lone surrogates and UTF-8 cannot.
    encoded = [text.encode("utf-8", "replace") for text in strings]
    lengths = np.array([len(text) for text in encoded] or [0], np.int64)
    offsets = np.zeros(len(codes) + 1, np.int32)
    offsets[1:] = np.cumsum(np.where(valid, lengths[codes], 0))
    return [offsets, b"".join(map(encoded.__getitem__, codes[valid].tolist()))]
