"""Connections of which only a wait is left, as packed rows: TIME_WAIT, and FIN_WAIT_2 that nobody holds.

A row is some sixty octets in parallel arrays, found through an open-addressed index of row numbers. Rows that wait
equally long form a queue, in the order in which they will end, so that ending one costs nothing to find.
"""

from __future__ import annotations

from array import array
from typing import Final, final

from lastack.model.time import SECOND, Nanos
from lastack.tcp.timers import NEVER

_EMPTY: Final = -1
_NONE: Final = -1
FIN_WAIT_2: Final = 1
"""Bit of `flags`: the peer's FIN has not come yet (tw_substate)."""
TIMESTAMPS: Final = 2
REUSE: Final = 4
"""The owner had set SO_REUSEADDR."""
SCALE_AT: Final = 4
"""The upper four bits: the shift of `window`."""


@final
class Rows:
    """The rows of one address family. `key_size` octets each for the four-tuple.

    Columns: `rcv_nxt` `snd_nxt` (wrapped), `window` as on the wire, `ts_recent` and when it was noted (`ts_at`,
    seconds), `ts_offset`, `deadline` (ns), `acked_at` (ms: when an ACK was last sent, for the rate limit),
    `number` of the connection, `flags`.
    """

    __slots__ = (
        "_free",
        "_index",
        "_keys",
        "_mask",
        "_next",
        "_previous",
        "_queue",
        "_queue_of",
        "_soonest",
        "acked_at",
        "count",
        "deadline",
        "flags",
        "key_size",
        "number",
        "queues",
        "rcv_nxt",
        "snd_nxt",
        "ts_at",
        "ts_offset",
        "ts_recent",
        "window",
    )

    def __init__(self, key_size: int) -> None:
        self.key_size = key_size
        self.count = 0
        self._keys = bytearray()
        self._mask = 15
        self._index = array("i", [_EMPTY]) * 16
        self._free = _NONE
        self._next = array("i")
        self._previous = array("i")
        self._queue = array("I")
        self.rcv_nxt = array("I")
        self.snd_nxt = array("I")
        self.window = array("H")
        self.ts_recent = array("I")
        self.ts_at = array("I")
        self.ts_offset = array("I")
        self.deadline = array("q")
        self.acked_at = array("I")
        self.number = array("I")
        self.flags = array("B")
        self.queues: list[tuple[Nanos, list[int]]] = []
        """(length of the wait, [first row, last row])."""
        self._soonest: Nanos = NEVER
        """When the next row ends; -1 where that is to be found again."""
        self._queue_of: dict[int, int] = {}

    # -- finding

    def key(self, row: int) -> bytes:
        """The four-tuple of a row."""
        return bytes(self._keys[row * self.key_size : (row + 1) * self.key_size])

    def find(self, key: bytes) -> int:
        """The row of a four-tuple, or -1."""
        if not self.count:
            return _NONE
        slot = self._slot(key)
        return self._index[slot]

    def _slot(self, key: bytes) -> int:
        """Where the index has the key, or the empty place where it would be."""
        mask, index, size, keys = self._mask, self._index, self.key_size, self._keys
        slot = hash(key) & mask
        while True:
            row = index[slot]
            if row == _EMPTY or keys[row * size : row * size + size] == key:
                return slot
            slot = (slot + 1) & mask

    def rows(self) -> list[int]:
        """All rows in use, the oldest first within each queue."""
        found: list[int] = []
        for _, ends in self.queues:
            row = ends[0]
            while row != _NONE:
                found.append(row)
                row = self._next[row]
        return found

    # -- changing

    def add(self, key: bytes, wait: Nanos, now: Nanos) -> int:
        """A new row for a key that has none, to end after `wait`. Its other columns are for the caller to fill."""
        if 3 * (self.count + 1) > 2 * (self._mask + 1):
            self._grow()
        row = self._free
        size = self.key_size
        if row == _NONE:
            row = len(self.deadline)
            self._extend(key)
        else:
            self._free = self._next[row]
            self._keys[row * size : row * size + size] = key
        self._index[self._slot(key)] = row
        self.count += 1
        self._enqueue(row, wait, now)
        return row

    def _extend(self, key: bytes) -> None:
        self._keys.extend(key)
        self._next.append(_NONE)
        self._previous.append(_NONE)
        self._queue.append(0)
        self.rcv_nxt.append(0)
        self.snd_nxt.append(0)
        self.window.append(0)
        self.ts_recent.append(0)
        self.ts_at.append(0)
        self.ts_offset.append(0)
        self.deadline.append(0)
        self.acked_at.append(0)
        self.number.append(0)
        self.flags.append(0)

    def _grow(self) -> None:
        """Twice as many places in the index."""
        self._mask = self._mask * 2 + 1
        index = array("i", [_EMPTY]) * (self._mask + 1)
        self._index = index
        size, mask, keys = self.key_size, self._mask, self._keys
        for row in self.rows():
            slot = hash(bytes(keys[row * size : row * size + size])) & mask
            while index[slot] != _EMPTY:
                slot = (slot + 1) & mask
            index[slot] = row

    def remove(self, row: int) -> None:
        """Forget a row; its place is used again."""
        self._dequeue(row)
        self._unindex(self._slot(self.key(row)))
        self.count -= 1
        self._next[row] = self._free
        self._free = row

    def _unindex(self, hole: int) -> None:
        """Empty a place of the index, and move up what would no longer be found (Knuth 6.4, algorithm R)."""
        mask, index = self._mask, self._index
        slot = hole
        while True:
            slot = (slot + 1) & mask
            row = index[slot]
            if row == _EMPTY:
                break
            home = hash(self.key(row)) & mask
            if ((slot - home) & mask) >= ((slot - hole) & mask):
                index[hole] = row
                hole = slot
        index[hole] = _EMPTY

    def restart(self, row: int, wait: Nanos, now: Nanos) -> None:
        """Begin the wait again, of whatever length."""
        self._dequeue(row)
        self._enqueue(row, wait, now)

    def _enqueue(self, row: int, wait: Nanos, now: Nanos) -> None:
        number = self._queue_of.get(wait)
        if number is None:
            number = self._new_queue(wait)
        ends = self.queues[number][1]
        last = ends[1]
        self._queue[row] = number
        self._previous[row] = last
        self._next[row] = _NONE
        if last == _NONE:
            ends[0] = row
        else:
            self._next[last] = row
        ends[1] = row
        self.deadline[row] = now + wait
        self._soonest = min(self._soonest, now + wait)

    def _new_queue(self, wait: Nanos) -> int:
        """A queue for a length not seen before, in the place of an empty one if there is any."""
        for number, (old, ends) in enumerate(self.queues):
            if ends[0] == _NONE:
                del self._queue_of[old]
                self.queues[number] = (wait, [_NONE, _NONE])
                self._queue_of[wait] = number
                return number
        self.queues.append((wait, [_NONE, _NONE]))
        self._queue_of[wait] = len(self.queues) - 1
        return len(self.queues) - 1

    def _dequeue(self, row: int) -> None:
        ends = self.queues[self._queue[row]][1]
        before, after = self._previous[row], self._next[row]
        if before == _NONE:
            # Only the first of a queue can be the one that ends next.
            self._soonest = -1
            ends[0] = after
        else:
            self._next[before] = after
        if after == _NONE:
            ends[1] = before
        else:
            self._previous[after] = before

    # -- ending

    def first(self) -> int:
        """The row that ends next, or -1."""
        best, at = _NONE, NEVER
        for _, ends in self.queues:
            row = ends[0]
            if row != _NONE and self.deadline[row] < at:
                best, at = row, self.deadline[row]
        return best

    def next(self) -> Nanos:
        """When the next one ends, or NEVER."""
        if self._soonest < 0:
            row = self.first()
            self._soonest = NEVER if row == _NONE else self.deadline[row]
        return self._soonest

    def octets(self) -> int:
        """Memory that the table takes, arrays and index."""
        columns = (self.rcv_nxt, self.snd_nxt, self.window, self.ts_recent, self.ts_at, self.ts_offset)
        more = (self.deadline, self.acked_at, self.number, self.flags, self._next, self._previous, self._queue)
        total = sum(len(column) * column.itemsize for column in (*columns, *more, self._index))
        return total + len(self._keys)

    def timestamp_age(self, row: int, now: Nanos) -> Nanos:
        """How long ago the last timestamp of the peer was noted, to the second."""
        return now - self.ts_at[row] * SECOND
