"""Rows as opaque keys, so that two tables can be joined without a Python loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lastack.model.record import ConnectionTable


def keys(rows: ConnectionTable, *names: str) -> NDArray[np.void]:
    """One value a row, equal where all the named columns are equal; for np.isin and np.unique."""
    if not len(rows):
        return np.empty(0, "V1")
    parts = [np.ascontiguousarray(rows.values(name)).view(np.uint8).reshape(len(rows), -1) for name in names]
    octets = np.ascontiguousarray(np.concatenate(parts, axis=1))
    packed: NDArray[np.void] = octets.view(f"V{octets.shape[1]}")[:, 0]
    return packed


def found_in(rows: NDArray[np.void], others: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which of `rows` are among `others`."""
    wanted = set(others.tolist())
    return np.fromiter((key in wanted for key in rows.tolist()), np.bool_, len(rows))
