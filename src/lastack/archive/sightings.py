"""Many looks at the same connections as one row each: as it was last seen, with when that was, and when first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lastack.model.record import ConnectionTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lastack.model.time import Nanos


class Sightings:
    """Is given looks, the latest first, and keeps of each connection the first row it is given."""

    def __init__(self) -> None:
        self._kept: list[ConnectionTable] = []
        self._last: list[NDArray[np.int64]] = []
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)  # in order, with where each is among all the rows kept
        self._where: NDArray[np.int64] = np.empty(0, np.int64)
        self._first: NDArray[np.int64] = np.empty(0, np.int64)

    def add(self, table: ConnectionTable, at: Nanos) -> None:
        """What was seen at `at`, which is before all that was given until now."""
        keys = _keys(table)
        place = np.searchsorted(self._keys, keys)
        known = np.zeros(len(keys), np.bool_)
        inside = place < len(self._keys)
        known[inside] = self._keys[place[inside]] == keys[inside]
        self._first[self._where[place[known]]] = at
        fresh = np.flatnonzero(~known)
        if not len(fresh):
            return
        self._kept.append(table.select(fresh))
        self._last.append(np.full(len(fresh), at, np.int64))
        where = np.arange(len(self._first), len(self._first) + len(fresh))
        self._first = np.concatenate((self._first, self._last[-1]))
        order = np.argsort(keys[fresh], kind="stable")
        place = np.searchsorted(self._keys, keys[fresh][order])
        self._keys = np.insert(self._keys, place, keys[fresh][order])
        self._where = np.insert(self._where, place, where[order])

    def table(self) -> ConnectionTable:
        """The connections in the order in which they were first, then last seen, with `first_ns` and `last_ns`."""
        found = ConnectionTable.concatenate(self._kept)
        if not len(found):
            return found
        last = np.concatenate(self._last)
        return found.with_columns({"first_ns": self._first, "last_ns": last}).select(np.lexsort((last, self._first)))


def _keys(table: ConnectionTable) -> NDArray[Any]:
    """One number a connection: of its cookie, which begins anew with the machine, its ends and its namespace."""
    names = table.column("netns")
    spaces = np.array([hash(name) & 0xFFFF_FFFF for name in names.strings] or [0], np.uint64)
    remote, local = table.values("remote_addr"), table.values("local_addr")
    ports = table.values("local_port").astype(np.uint64) << np.uint64(16) | table.values("remote_port")
    key = table.values("cookie").astype(np.uint64)
    for part in (spaces[names.values], ports, remote["low"], remote["high"], local["low"]):
        key = (key ^ part) * np.uint64(0x9E37_79B9_7F4A_7C15)
        key ^= key >> np.uint64(29)
    return key
