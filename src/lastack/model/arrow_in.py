"""A ConnectionTable from Arrow rows: what `arrow` writes, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .address import address_halves
from .record import ADDRESS, COLUMN, TEXT, Column, ConnectionTable, Values, address_dtype

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

    Array = NDArray[Any]


def from_arrow(rows: pyarrow.Table) -> ConnectionTable:
    """The table whose columns the Arrow table has; columns that the schema does not know are left out.

    Raises ValueError (pyarrow's errors are that, too) where a value or a type is none of its column's.
    """
    known = [name for name in rows.column_names if name in COLUMN]
    return ConnectionTable(rows.num_rows, {name: _values(COLUMN[name], rows.column(name)) for name in known})


def _values(column: Column, found: pyarrow.ChunkedArray) -> Values:
    import numpy as np
    import pyarrow

    valid = found.is_valid().to_numpy() if found.null_count else None
    if column.dtype in (TEXT, ADDRESS) or column.words is not None:
        encoded = found.cast(pyarrow.string()).combine_chunks().dictionary_encode()
        codes: Array = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        strings = tuple(encoded.dictionary.to_pylist())
        if column.dtype == TEXT:
            return Values(codes.astype(np.int32, copy=False), valid, strings)
        return Values(_meant(column, strings)[codes], valid)
    values: Array = found.cast(column.dtype).fill_null(False if column.dtype == "bool" else 0).to_numpy()
    return Values(values, valid)


def _meant(column: Column, strings: tuple[str, ...]) -> Array:
    """What each string of an address or an enumerated column stands for; one value at least, for nulls to name."""
    import numpy as np

    if column.words is None:
        return np.array([address_halves(text) for text in strings] or [(0, 0)], address_dtype())
    words = column.words.__members__
    for text in strings:
        if text not in words:
            raise ValueError(f"{text!r} is no {column.name}")
    return np.array([int(words[text]) for text in strings] or [0], column.dtype)
