"""Connections of which only a wait is left, as packed rows: TIME_WAIT, and FIN_WAIT_2 that nobody holds.

A row is some sixty octets in parallel arrays, found through an open-addressed index of row numbers. In what order they
will end is a list of row numbers: nearly all wait equally long, and so go to its end, and leave from its front.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import Final, final

from lastack.model.time import SECOND, Nanos
from lastack.native import i64
from lastack.tcp.timers import NEVER

_NONE: Final = -1
_HASH: Final = 0xFFFF_FFFF
_LAST: Final = 0
"""In `_link`: there is no further free row."""
# The bits of `flags`.
FIN_WAIT_2: Final = 1
"""The peer's FIN has not come yet (tw_substate)."""
TIMESTAMPS: Final = 2
REUSE: Final = 4
"""The owner had set SO_REUSEADDR."""
SCALE_AT: Final = 4
"""Four bits: the shift of the window."""
WINDOW_AT: Final = 8
"""Sixteen bits: the window as on the wire."""


@final
class Rows:
    """The rows of one address family. `key_size` octets each for the four-tuple.

    Columns: `rcv_nxt` `snd_nxt` (wrapped), `flags`, `ts_recent` and when it was noted (`ts_at`, seconds), `deadline`
    (ns; 0: the row is free), `number` of the connection. `soonest` is when the next one ends, or NEVER. `acked_at`
    knows of the few that had to answer when they last did (ms), for the rate limit.
    """

    __slots__ = (
        "_free",
        "_hash",
        "_head",
        "_index",
        "_keys",
        "_latest",
        "_mask",
        "_order",
        "acked_at",
        "count",
        "deadline",
        "flags",
        "key_size",
        "number",
        "rcv_nxt",
        "snd_nxt",
        "soonest",
        "ts_at",
        "ts_recent",
    )

    def __init__(self, key_size: int) -> None:
        self.key_size = key_size
        self.count = 0
        self.soonest: Nanos = NEVER
        self._keys = bytearray()
        self._mask = 15
        self._index = array("I", bytes(64))
        """Row number and one, at the place of the key's hash or after it; 0: empty."""
        self._free = _LAST
        """A free row and one; the next one is in its `rcv_nxt`."""
        self._order = array("I")
        self._head = 0
        self._latest: Nanos = 0
        """No row that waits ends after this."""
        self._hash = array("I")
        self.rcv_nxt = array("I")
        self.snd_nxt = array("I")
        self.flags = array("I")
        self.ts_recent = array("I")
        self.ts_at = array("I")
        self.deadline = array("Q")
        self.number = array("I")
        self.acked_at: dict[int, int] = {}

    # -- finding

    def key(self, row: int) -> bytes:
        """The four-tuple of a row."""
        return bytes(self._keys[row * self.key_size : (row + 1) * self.key_size])

    def find(self, key: bytes) -> int:
        """The row of a four-tuple, or -1."""
        if not self.count:
            return _NONE
        index, mask, hashes, wanted = self._index, self._mask, self._hash, _hash(key)
        slot = wanted & mask
        row: int = index[slot]
        while row and not (hashes[row - 1] == wanted and self.key(row - 1) == key):
            slot = (slot + 1) & mask
            row = index[slot]
        return row - 1

    def window(self, row: int) -> int:
        """The window as on the wire."""
        return self.flags[row] >> WINDOW_AT

    def timestamp_age(self, row: int, now: Nanos) -> Nanos:
        """How long ago the last timestamp of the peer was noted, to the second."""
        return now - self.ts_at[row] * SECOND

    def rows(self) -> list[int]:
        """All rows in use, in the order in which they end."""
        return list(self._order[self._head :])

    def first(self) -> int:
        """The row that ends next, or -1."""
        return self._order[self._head] if self.count else _NONE

    def octets(self) -> int:
        """Memory that the table takes, arrays and index."""
        columns = (self._hash, self.rcv_nxt, self.snd_nxt, self.flags, self.ts_recent, self.ts_at, self.number)
        more = (self.deadline, self._order, self._index)
        return sum(len(column) * column.itemsize for column in (*columns, *more)) + len(self._keys)

    # -- changing

    def add(
        self, key: bytes, until: Nanos, flags: int, rcv_nxt: int, snd_nxt: int, ts_recent: int, ts_at: int, number: int
    ) -> int:
        """A row for a key that has none."""
        if 3 * (self.count + 1) > 2 * (self._mask + 1):
            self._grow()
        hashed = _hash(key)
        row = self._free - 1
        if row >= 0:
            self._free = self.rcv_nxt[row]
            self._keys[row * self.key_size : (row + 1) * self.key_size] = key
            self._hash[row] = hashed
            self.rcv_nxt[row] = rcv_nxt
            self.snd_nxt[row] = snd_nxt
            self.flags[row] = flags
            self.ts_recent[row] = ts_recent
            self.ts_at[row] = ts_at
            self.deadline[row] = until
            self.number[row] = number
        else:
            row = len(self.number)
            self._keys.extend(key)
            self._hash.append(hashed)
            self.rcv_nxt.append(rcv_nxt)
            self.snd_nxt.append(snd_nxt)
            self.flags.append(flags)
            self.ts_recent.append(ts_recent)
            self.ts_at.append(ts_at)
            self.deadline.append(until)
            self.number.append(number)
        self._enter(row, hashed)
        self.count += 1
        self._queue(row, until)
        return row

    def remove(self, row: int) -> None:
        """Forget a row; its place is used again."""
        self._unqueue(row)
        self.count -= 1
        self._leave(row)
        self.deadline[row] = 0
        self.rcv_nxt[row] = self._free
        self._free = row + 1
        if self.acked_at:
            self.acked_at.pop(row, None)

    def restart(self, row: int, until: Nanos) -> None:
        """Let it wait until another instant."""
        self._unqueue(row)
        self.deadline[row] = until
        self._queue(row, until)

    # -- the index

    def _enter(self, row: int, hashed: int) -> None:
        index, mask = self._index, self._mask
        slot = hashed & mask
        while index[slot]:
            slot = (slot + 1) & mask
        index[slot] = row + 1

    def _leave(self, row: int) -> None:
        """Empty the row's place, and move up what would no longer be found (Knuth 6.4, algorithm R)."""
        index, mask, hashes = self._index, self._mask, self._hash
        hole = hashes[row] & mask
        while index[hole] != row + 1:
            hole = (hole + 1) & mask
        slot = (hole + 1) & mask
        other: int = index[slot]
        while other:
            home = hashes[other - 1] & mask
            if ((slot - home) & mask) >= ((slot - hole) & mask):
                index[hole] = other
                hole = slot
            slot = (slot + 1) & mask
            other = index[slot]
        index[hole] = 0

    def _grow(self) -> None:
        """Twice as many places in the index."""
        self._mask = self._mask * 2 + 1
        self._index = array("I", bytes(4 * (self._mask + 1)))
        hashes = self._hash
        for row in self.rows():
            self._enter(row, hashes[row])

    # -- the order of ending

    def _queue(self, row: int, until: Nanos) -> None:
        order = self._order
        if until >= self._latest:
            self._latest = until
            order.append(row)
        else:
            order.insert(bisect_right(order, until, self._head, key=self.deadline.__getitem__), row)
        self.soonest = min(self.soonest, until)

    def _unqueue(self, row: int) -> None:
        order, deadline, head = self._order, self.deadline, self._head
        if order[head] == row:
            head += 1
            if 8 * head > len(order) + 64:
                del order[:head]
                head = 0
            self._head = head
            self.soonest = deadline[order[head]] if head < len(order) else NEVER
            return
        place = bisect_left(order, deadline[row], head, key=deadline.__getitem__)
        while order[place] != row:
            place += 1
        del order[place]


def _hash(key: bytes) -> int:
    hashed: i64 = hash(key)
    return hashed & _HASH
