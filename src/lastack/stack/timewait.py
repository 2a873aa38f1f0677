"""Connections of which only a wait is left, as packed rows: TIME_WAIT, and FIN_WAIT_2 that nobody holds.

A row is some sixty octets, found through an open-addressed index of row numbers. In what order they will end is a list
of row numbers: nearly all wait equally long, and so go to its end, and leave from its front.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from struct import Struct
from typing import Final, final

from lastack.model.state import State
from lastack.model.time import MILLISECOND, Nanos
from lastack.native import i64, mypyc_attr
from lastack.tcp.timers import NEVER
from lastack.wire.seq import MASK

_NONE: Final = -1
_HASH: Final = 0xFFFF_FFFF
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


@mypyc_attr(acyclic=True)
@final
class Wait:
    """What is known of a connection that waits until an instant (`until`, ns).

    `rcv_nxt` and `snd_nxt` are wrapped; `ts_at` is when `ts_recent` was noted (ms), `acked_at` when an ACK was last
    sent (ms; 0: not yet), for the rate limit; `number` is the connection's.
    """

    __slots__ = ("acked_at", "flags", "key", "number", "rcv_nxt", "snd_nxt", "ts_at", "ts_recent", "until")

    def __init__(
        self,
        key: bytes,
        number: int,
        until: Nanos,
        flags: int,
        rcv_nxt: int,
        snd_nxt: int,
        ts_recent: int = 0,
        ts_at: int = 0,
        acked_at: int = 0,
    ) -> None:
        self.key = key
        self.number = number
        self.until = until
        self.flags = flags
        self.rcv_nxt = rcv_nxt
        self.snd_nxt = snd_nxt
        self.ts_recent = ts_recent
        self.ts_at = ts_at
        self.acked_at = acked_at

    @property
    def state(self) -> State:
        """TIME_WAIT or FIN_WAIT_2."""
        return State.FIN_WAIT_2 if self.flags & FIN_WAIT_2 else State.TIME_WAIT

    @property
    def window(self) -> int:
        """The window as on the wire."""
        return self.flags >> WINDOW_AT

    @property
    def scale(self) -> int:
        """Its shift."""
        return self.flags >> SCALE_AT & 15

    def timestamp_age(self, now: Nanos) -> Nanos:
        """How long ago the last timestamp of the peer was noted, to the millisecond: with its FIN, as a rule."""
        return (now // MILLISECOND - self.ts_at & MASK) * MILLISECOND


@final
class Rows:
    """The rows of one address family. `key_size` octets each for the four-tuple.

    `deadline` says for each row when it ends (ns), `soonest` when the next one does, or NEVER.
    """

    __slots__ = (
        "_free",
        "_hash",
        "_head",
        "_index",
        "_latest",
        "_mask",
        "_order",
        "_row",
        "_rows",
        "_size",
        "count",
        "deadline",
        "key_size",
        "soonest",
    )

    def __init__(self, key_size: int) -> None:
        self.key_size = key_size
        self.count = 0
        self.soonest: i64 = NEVER
        self._row = Struct(f"={key_size}s7I")
        self._size = self._row.size
        self._rows = bytearray()
        self.deadline = array("Q")
        self._hash = array("I")
        """Of a free row: the next free row and one."""
        self._free = 0
        """A free row and one, or 0."""
        self._mask = 15
        self._index = array("I", bytes(64))
        """Row number and one, at the place of the key's hash or after it; 0: empty."""
        self._order = array("I")
        self._head = 0
        self._latest: i64 = 0
        """No row ends after this."""

    # -- finding

    def find(self, key: bytes) -> int:
        """The row of a four-tuple, or -1."""
        if not self.count:
            return _NONE
        index, mask, hashes, wanted = self._index, self._mask, self._hash, _hash(key)
        slot = wanted & mask
        row: int = index[slot]
        while row and not (hashes[row - 1] == wanted and self.load(row - 1).key == key):
            slot = (slot + 1) & mask
            row = index[slot]
        return row - 1

    def rows(self) -> list[int]:
        """All rows in use, in the order in which they end."""
        return list(self._order[self._head :])

    def first(self) -> int:
        """The row that ends next, or -1."""
        return self._order[self._head] if self.count else _NONE

    def load(self, row: int) -> Wait:
        """What a row says."""
        key, number, flags, rcv_nxt, snd_nxt, ts_recent, ts_at, acked_at = self._row.unpack_from(
            self._rows, row * self._size
        )
        return Wait(key, number, self.deadline[row], flags, rcv_nxt, snd_nxt, ts_recent, ts_at, acked_at)

    def octets(self) -> int:
        """Memory that the table takes, index included."""
        columns = (self.deadline, self._hash, self._order, self._index)
        return sum(len(column) * column.itemsize for column in columns) + len(self._rows)

    # -- changing

    def add(self, wait: Wait) -> int:
        """A row for a four-tuple that has none."""
        if 3 * (self.count + 1) > 2 * (self._mask + 1):
            self._grow()
        hashed = _hash(wait.key)
        row = self._free - 1
        if row >= 0:
            self._free = self._hash[row]
            self._hash[row] = hashed
            self.deadline[row] = wait.until
        else:
            row = len(self._hash)
            self._rows.extend(bytes(self._size))
            self._hash.append(hashed)
            self.deadline.append(wait.until)
        self._write(row, wait)
        self._enter(row, hashed)
        self.count += 1
        self._queue(row, wait.until)
        return row

    def store(self, row: int, wait: Wait) -> None:
        """Let a row say something else, of the same four-tuple, and wait until another instant."""
        self._write(row, wait)
        if wait.until != self.deadline[row]:
            self._unqueue(row)
            self.deadline[row] = wait.until
            self._queue(row, wait.until)

    def remove(self, row: int) -> None:
        """Forget a row; its place is used again."""
        self._unqueue(row)
        self._leave(row)
        self.count -= 1
        self._hash[row] = self._free
        self._free = row + 1

    def _write(self, row: int, wait: Wait) -> None:
        self._row.pack_into(
            self._rows,
            row * self._size,
            wait.key,
            wait.number,
            wait.flags,
            wait.rcv_nxt,
            wait.snd_nxt,
            wait.ts_recent,
            wait.ts_at,
            wait.acked_at,
        )

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
