"""A table of packed rows, found by four-tuple and ended in order, in which a row takes some seventy octets all in.

Rows whose hashes agree are one string of octets, a bucket: a new row is put behind it, and the one that ends next is
as a rule in front. The order of ending is a list of buckets, of the same length as there are rows: a bucket's first
place in it is its first row's. The list is cut into stretches, so that a row that ends earlier than those before it,
or is taken out of their midst, moves few others; nearly all wait equally long, and then only the two ends are touched.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter, itemgetter
from struct import Struct
from sys import getsizeof
from typing import Final, final

from lastack.native import i64, mypyc_attr
from lastack.tcp.timers import NEVER

from .timewait import Wait

_AT: Final = 8
"""Where the key stands in a row: behind the instant of its end, most significant octet first, so that rows compare."""
_FULL: Final = 12
"""Rows to a bucket, on average, from which on there are twice as many buckets."""
_LONG: Final = 64
"""Rows from which on a stretch is followed by another."""
_start: Final = attrgetter("start")


@mypyc_attr(acyclic=True)
@final
class Bucket:
    """Rows whose hashes agree, packed, in the order in which they end."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows = b""


@mypyc_attr(acyclic=True)
@final
class Stretch:
    """The buckets of rows that end one after another, from `start` on and none after `latest` (ns).

    Rows that end together are in one stretch. `ordered`: the buckets are in the order of their rows.
    """

    __slots__ = ("buckets", "latest", "ordered", "start")

    def __init__(self, start: i64) -> None:
        self.start: i64 = start
        self.latest: i64 = start
        self.ordered = True
        self.buckets: list[Bucket] = []

    def add(self, bucket: Bucket, until: i64) -> None:
        """One more row."""
        if until >= self.latest:
            self.latest = until
        else:
            self.ordered = False
        self.start = min(self.start, until)
        self.buckets.append(bucket)


@final
class Rows:
    """The waits of one address family. `key_size` octets each for the four-tuple.

    `soonest` says when the next one ends (ns), or NEVER.
    """

    __slots__ = ("_buckets", "_head", "_mask", "_row", "_size", "_stretches", "count", "key_size", "soonest")

    def __init__(self, key_size: int) -> None:
        self.key_size = key_size
        self.count = 0
        self.soonest: i64 = NEVER
        self._row = Struct(f">Q{key_size}s7I")
        self._size = self._row.size
        self._mask = 0
        self._buckets = [Bucket()]
        self._stretches: list[Stretch] = []
        self._head = 0
        """How many places of the first stretch are used up."""

    # -- finding

    def find(self, key: bytes) -> Wait | None:
        """The wait of a four-tuple."""
        if not self.count:
            return None
        rows = self._bucket(key).rows
        at = self._place(rows, key)
        return None if at < 0 else self.load(rows[at : at + self._size])

    def load(self, row: bytes) -> Wait:
        """What a row says."""
        until, key, number, rcv_nxt, snd_nxt, ts_recent, ts_at, acked_at, flags = self._row.unpack(row)
        return Wait(key, number, until, flags, rcv_nxt, snd_nxt, ts_recent, ts_at, acked_at)

    def key(self, row: bytes) -> bytes:
        """A row's four-tuple."""
        return row[_AT : _AT + self.key_size]

    def waits(self) -> list[Wait]:
        """All there are, in the order in which they end."""
        size = self._size
        rows = [bucket.rows[at : at + size] for bucket in self._buckets for at in range(0, len(bucket.rows), size)]
        return [self.load(row) for row in sorted(rows)]

    def octets(self) -> int:
        """Memory that the table takes, index included."""
        lists = getsizeof(self._buckets) + getsizeof(self._stretches)
        lists += sum([getsizeof(stretch) + getsizeof(stretch.buckets) for stretch in self._stretches])
        return lists + sum([getsizeof(bucket) + getsizeof(bucket.rows) for bucket in self._buckets])

    def _bucket(self, key: bytes) -> Bucket:
        hashed: i64 = hash(key)
        return self._buckets[hashed & self._mask]

    def _place(self, rows: bytes, key: bytes) -> int:
        """Where a four-tuple's row begins, or -1."""
        here, there, size, end = key[-1], key[-3], self._size, _AT + self.key_size
        while end <= len(rows):
            # Most differ in the last octet of a port, and no octets need be copied to see it.
            if rows[end - 1] == here and rows[end - 3] == there and rows[end - self.key_size : end] == key:
                return end - self.key_size - _AT
            end += size
        return -1

    # -- changing

    def add(self, wait: Wait) -> None:
        """A row for a four-tuple that has none."""
        if self.count >= _FULL * (self._mask + 1):
            self._grow()
        self.count += 1
        self._enter(self._bucket(wait.key), self._pack(wait), wait.until)

    def store(self, wait: Wait) -> None:
        """Let a four-tuple's row say something else, and wait until another instant."""
        bucket, row = self._bucket(wait.key), self._pack(wait)
        at = self._place(bucket.rows, wait.key)
        if _until(bucket.rows, at) == wait.until:
            bucket.rows = bucket.rows[:at] + row + bucket.rows[at + self._size :]
        else:
            self._leave(bucket, at)
            self._enter(bucket, row, wait.until)

    def remove(self, key: bytes) -> None:
        """Forget a four-tuple's row."""
        bucket = self._bucket(key)
        self._leave(bucket, self._place(bucket.rows, key))
        self.count -= 1

    def take(self) -> bytes:
        """Forget the row that ends next, and there is one; its octets, for `load` and `key`. The last has the flags."""
        bucket = self._first()
        rows, size = bucket.rows, self._size
        bucket.rows = rows[size:]
        self.count -= 1
        self._head += 1
        self._look()
        return rows[:size]

    def _pack(self, wait: Wait) -> bytes:
        return self._row.pack(
            wait.until,
            wait.key,
            wait.number,
            wait.rcv_nxt,
            wait.snd_nxt,
            wait.ts_recent,
            wait.ts_at,
            wait.acked_at,
            wait.flags,
        )

    def _grow(self) -> None:
        """Twice as many buckets; the order stays, but what it is made of is replaced."""
        self._mask = self._mask * 2 + 1
        self._buckets = [Bucket() for _ in range(self._mask + 1)]
        size, head = self._size, self._head
        for stretch in self._stretches:
            for place in range(head, len(stretch.buckets)):
                old = stretch.buckets[place]
                row = old.rows[:size]
                old.rows = old.rows[size:]
                new = self._bucket(self.key(row))
                new.rows += row
                stretch.buckets[place] = new
            head = 0

    # -- the order of ending

    def _enter(self, bucket: Bucket, row: bytes, until: i64) -> None:
        """Put a row into its bucket and into the order."""
        stretches = self._stretches
        if not stretches:
            stretches.append(Stretch(until))
        place = len(stretches) - 1
        stretch = stretches[place]
        if until >= stretch.latest:
            bucket.rows += row
        else:
            at = len(bucket.rows)
            while at and _until(bucket.rows, at - self._size) > until:
                at -= self._size
            bucket.rows = bucket.rows[:at] + row + bucket.rows[at:]
            place = max(self._stretch_at(until), 0)
            stretch = stretches[place]
        if len(stretch.buckets) >= _LONG and until > stretch.latest:
            stretch = Stretch(until)
            stretches.insert(place + 1, stretch)
        stretch.add(bucket, until)
        if len(stretch.buckets) > 2 * _LONG and not stretch.ordered:
            self._arrange(place)
        self.soonest = min(self.soonest, until)

    def _leave(self, bucket: Bucket, at: int) -> None:
        """Take the row at a place of its bucket out of both."""
        rows, size = bucket.rows, self._size
        bucket.rows = rows[:at] + rows[at + size :]
        place = self._stretch_at(_until(rows, at))
        stretch = self._stretches[place]
        # Of the bucket's places in the stretch it is that one which the row has among the bucket's rows in there.
        mine = (self._head if place == 0 else 0) - 1
        while at >= 0 and _until(rows, at) >= stretch.start:
            mine = stretch.buckets.index(bucket, mine + 1)
            at -= size
        del stretch.buckets[mine]
        if place and not stretch.buckets:
            del self._stretches[place]
        self._look()

    def _look(self) -> None:
        """See which one is next, after one has gone."""
        if self._head == len(self._stretches[0].buckets):
            del self._stretches[0]
            self._head = 0
        self.soonest = _until(self._first().rows, 0) if self._stretches else NEVER

    def _first(self) -> Bucket:
        """The bucket whose first row is the next to end."""
        if not self._stretches[0].ordered:
            self._arrange(0)
        return self._stretches[0].buckets[self._head]

    def _stretch_at(self, until: i64) -> int:
        """The stretch of what ends then; -1: it is before them all."""
        return bisect_right(self._stretches, until, key=_start) - 1

    def _arrange(self, place: int) -> None:
        """Put a stretch in order, as several where it has become long; those that end together by their keys."""
        stretches, size = self._stretches, self._size
        stretch = stretches[place]
        end: i64 = stretches[place + 1].start if place + 1 < len(stretches) else NEVER
        found: list[tuple[bytes, Bucket]] = []
        for bucket in dict.fromkeys(stretch.buckets[self._head :] if place == 0 else stretch.buckets):
            rows = [bucket.rows[at : at + size] for at in range(0, len(bucket.rows), size)]
            before = [row for row in rows if _until(row, 0) < stretch.start]
            after = [row for row in rows if _until(row, 0) >= end]
            within = sorted(rows[len(before) : len(rows) - len(after)])
            bucket.rows = b"".join([*before, *within, *after])
            found.extend([(row, bucket) for row in within])
        found.sort(key=itemgetter(0))
        parts: list[Stretch] = []
        for row, bucket in found:
            until = _until(row, 0)
            if not parts or (len(parts[-1].buckets) >= _LONG and until > parts[-1].latest):
                parts.append(Stretch(until))
            parts[-1].add(bucket, until)
        stretches[place : place + 1] = parts
        if place == 0:
            self._head = 0


def _until(rows: bytes, at: int) -> i64:
    """When the row that begins there ends (ns)."""
    high: i64 = rows[at] << 24 | rows[at + 1] << 16 | rows[at + 2] << 8 | rows[at + 3]
    low: i64 = rows[at + 4] << 24 | rows[at + 5] << 16 | rows[at + 6] << 8 | rows[at + 7]
    return high << 32 | low
