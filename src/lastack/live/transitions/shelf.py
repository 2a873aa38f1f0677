"""Where lives are kept: rows of one array that are used again, and the way from a key to its row."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, Final

import numpy as np

from .life import LIFE
from .record import copied

if TYPE_CHECKING:
    from lastack.model.record import Array

_FIRST_ROOM: Final = 4_096
_EVICTED: Final = 16
"""One in so many leaves when there is no room."""


class Shelf:
    """Room for lives, `most` of them, in places that do not change; of more the longest unchanged are `forgotten`."""

    __slots__ = ("_free", "_most", "_place", "forgotten", "lives")

    def __init__(self, most: int) -> None:
        self._most = most
        self.lives = np.zeros(min(_FIRST_ROOM, most), LIFE)
        self._free = list(range(len(self.lives)))
        self._place: dict[int, int] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self.lives) - len(self._free)

    def used(self) -> Array:
        """The places that are taken, ascending."""
        return np.flatnonzero(self.lives["key"])

    def find(self, keys: Array) -> Array:
        """The places of these keys; -1 where there is none."""
        return np.fromiter(map(self._place.get, keys.tolist(), repeat(-1)), np.int64, len(keys))

    def name(self, keys: Array, places: Array) -> None:
        """From now on these keys lead to these places."""
        self._place.update(zip(keys.tolist(), places.tolist(), strict=True))

    def put(self, fresh: Array, needed: Array | None = None) -> Array:
        """Keep new lives; the places that they have come back. A key that was known leads to the new one.

        `needed`: places whose lives must not give way; -1 among them means nothing.
        """
        count = len(fresh)
        if count > len(self._free):
            self._make_room(count, np.empty(0, np.intp) if needed is None else needed)
        places = np.array(self._free[len(self._free) - count :], np.intp)
        del self._free[len(self._free) - count :]
        self.name(fresh["key"], places)
        octets = np.dtype((np.void, LIFE.itemsize))
        self.lives.view(octets)[places] = fresh.view(octets)
        return places

    def take(self, places: Array) -> Array:
        """Take lives out; they come back."""
        gone = copied(self.lives, places)
        for name in ("key", "cookie"):
            # A key may have passed to a new life meanwhile.
            theirs = gone[name][self.find(gone[name]) == places]
            deque(map(self._place.pop, theirs.tolist(), repeat(None)), maxlen=0)
        self.lives["key"][places] = 0
        self._free.extend(places.tolist())
        return gone

    def _make_room(self, count: int, needed: Array) -> None:
        """Have room for so many more: by growing up to the most, by forgetting, and else by growing beyond."""
        self._grow(min(2 * len(self.lives) + count, self._most))
        short = count - len(self._free)
        if short > 0:
            others = np.setdiff1d(self.used(), needed)
            oldest = np.argsort(self.lives["changed"][others])[: max(short, len(others) // _EVICTED)]
            self.forgotten += len(oldest)
            self.take(others[oldest])
            self._grow(len(self.lives) + count - len(self._free))

    def _grow(self, size: int) -> None:
        former = len(self.lives)
        if size > former:
            larger = np.zeros(size, LIFE)
            larger[:former] = self.lives
            self.lives = larger
            self._free.extend(range(former, size))
