"""Follows connections through batches of packets, in one pass: who they are, which state each side is in, since when.

The same kernels run compiled over NumPy arrays or plain over `array('q')`. A row is kept for a connection while it
lives and 120 s beyond its end, so that late segments find it; then it leaves as part of a table (`Analyser.drain`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from lastack.model.state import State
from lastack.model.time import Nanos

from .kernels import join, keep, table
from .kernels.rows import (
    BOOK,
    GIVEN_UP,
    LAST,
    LOG_ROOM,
    LOGGED,
    META,
    NOW,
    ROOM,
    ROW,
    SKIPPED,
    SLOT_MASK,
    STATES,
    SUPERSEDED,
    USED,
)
from .packets import Packets
from .reserve import release, reserve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lastack.model.record import ConnectionTable

    from .connections import Columns

    Array = NDArray[Any]

_FIRST_ROOM: Final = 256
_CHUNK: Final = 1 << 16
"""Rows from which on it is worth looking for those that have ended."""
_ENDED: Final = (State.TIME_WAIT, State.CLOSED)
_PIECE: Final = 1 << 14
"""Rows made into columns at a time: they fit a cache."""
_AHEAD: Final = 1 << 22
"""Rows that memory is set aside for, where the kernels are compiled: none of it is touched before it is needed."""
_SIGNATURES: Final = {**table.KERNELS, **keep.KERNELS, **join.KERNELS}
Numbers: TypeAlias = Any
"""A flat sequence of 64-bit numbers: NumPy `int64` where the kernels are compiled, `array('q')` where not."""


@final
class Analyser:
    """Takes batches, gives tables.

    `compiled`: run the kernels under Numba; batches are then contiguous NumPy `int64` arrays. `memory` limits the
    octets of live rows: over it connections leave before they have ended, those silent longest first (`given_up`
    counts them). `part` of `parts` (a power of two): mind only that share of the four-tuples, so that several threads
    can read one stream. `log`: keep the packets that a join needs (see `pieces`). Frames' numbers must grow from packet
    to packet. Raises ValueError where `memory` holds no table at all.
    """

    def __init__(
        self, *, compiled: bool = False, memory: int | None = None, part: int = 0, parts: int = 1, log: bool = False
    ) -> None:
        if memory is not None and memory < _FIRST_ROOM * ROW * 8:
            raise ValueError(f"a table of connections needs {_FIRST_ROOM * ROW * 8} octets, not {memory}")
        self.compiled = compiled
        self.given_up = 0
        self._most = None if memory is None else memory // (ROW * 8)
        self._left: list[Columns] = []
        self.book = self.numbers(BOOK)
        self.rows = self.numbers((_AHEAD if compiled else _FIRST_ROOM) * ROW)
        self.slots = self.numbers(_FIRST_ROOM * 2)
        self.log = self.numbers(_FIRST_ROOM * table.LOG_WIDTH if log else 1)
        self.book[ROOM], self.book[SLOT_MASK] = _FIRST_ROOM, _FIRST_ROOM * 2 - 1
        self.book[LOG_ROOM] = len(self.log) if log else 0
        if parts > 1:
            self.book[SKIPPED] = (parts - 1) << 8 | part

    @property
    def now(self) -> Nanos:
        """The latest instant that was seen."""
        return int(self.book[NOW])

    @property
    def logs(self) -> bool:
        """Whether it keeps what a join needs."""
        return bool(self.book[LOG_ROOM])

    @property
    def live(self) -> int:
        """Rows in use."""
        return int(self.book[USED])

    @property
    def left(self) -> bool:
        """Whether there is something to drain."""
        return bool(self._left)

    # -- packets in

    def feed(self, packets: Packets, count: int) -> None:
        """Take the next packets of the stream: `count` rows of a batch (see `packets`)."""
        at = 0
        while at < count:
            at = self.run(table.follow, packets, at, count, self.rows, self.slots, self.book, self.log)
            if at < count:
                self.make_room()

    def wait(self, until: Nanos) -> None:
        """Nothing came up to an instant: the capture went on for so long."""
        self.book[NOW] = max(self.now, until)

    def make_room(self) -> None:
        """For more rows, and for more of the log."""
        if self.book[LOG_ROOM] and self.book[LOGGED] + table.LOG_WIDTH > self.book[LOG_ROOM]:
            self._grow_log()
        if self.live < self.book[ROOM]:
            return
        if self.live >= _CHUNK and not self.book[LOG_ROOM]:
            self.sweep()
        if self._most is not None and 4 * self.live > 3 * self._most:
            self._give_up()
        if 4 * self.live > 3 * self.book[ROOM]:
            self._grow(2 * self.book[ROOM])

    # -- connections out

    def sweep(self) -> None:
        """Let go of the rows of connections that ended over 120 s ago; `drain` has them then."""
        marks = self.numbers(self.live)
        if self.run(keep.ended, self.rows, self.live, self.now, marks):
            self._leave(marks)

    def drain(self) -> ConnectionTable:
        """The connections that have left since the last call, in the order in which they did; ids begin anew."""
        from .connections import table_of

        return table_of(self.take_left(), [])

    def finish(self) -> ConnectionTable:
        """The end of the stream: every connection that was not drained, in the order of their first frames."""
        from .connections import table_of

        return table_of(self.take_left(), [self])

    def take_left(self) -> list[Columns]:
        """The columns of the connections that have left since the last drain."""
        left, self._left = self._left, []
        return left

    def take_rows(self) -> Iterator[Columns]:
        """All live rows as columns, the last of them first; their memory is given back on the way."""
        from .connections import connections

        # Nobody looks for a row any more, and there is nothing left to join.
        self.slots, self.log = self.numbers(1), self.numbers(1)
        self.book[LOG_ROOM] = 0
        while self.live:
            first = (self.live - 1) // _PIECE * _PIECE
            yield connections(self.matrix(first, self.live), self.now, last=True)
            self.book[USED] = first
            if first % _CHUNK == 0:
                self._shrink(max(first, 1))
        self._index()

    def matrix(self, first: int, stop: int) -> Array:
        """Some rows as a copy of two dimensions (NumPy)."""
        import numpy as np

        return np.array(self.rows[first * ROW : stop * ROW], np.int64).reshape(-1, ROW)

    def _leave(self, marks: Numbers) -> None:
        """Make the marked rows part of the table, and close the gaps."""
        import numpy as np

        from .connections import connections

        for first in range(0, self.live, _CHUNK):
            stop = min(first + _CHUNK, self.live)
            chosen = self.matrix(first, stop)[np.array(marks[first:stop], np.bool_)]
            if len(chosen):
                self._left.append(connections(chosen, self.now))
        self.book[USED] = self.run(keep.compact, self.rows, self.live, marks)
        self._index()

    def _give_up(self) -> None:
        """Let a quarter of the rows go: of connections that have ended first, then those silent longest."""
        import numpy as np

        marks = self.numbers(self.live)
        rows = np.frombuffer(self.rows, np.int64)[: self.live * ROW].reshape(-1, ROW)
        states = rows[:, META] & STATES
        ended = (np.isin(states & 15, _ENDED) & np.isin(states >> 4, _ENDED)) | (rows[:, META] & SUPERSEDED != 0)
        leaving = np.lexsort((rows[:, LAST], ~ended))[: self.live // 4 + 1]
        np.frombuffer(marks, np.int64)[leaving] = 1
        early = leaving[~ended[leaving]]
        rows[early, META] |= GIVEN_UP
        self.given_up += len(early)
        del rows
        self._leave(marks)

    # -- memory

    def numbers(self, length: int) -> Numbers:
        """So many zeros, as what the kernels take."""
        if not self.compiled:
            return array("q", bytes(length * 8))
        return reserve(length)

    def run(self, kernel: Callable[..., int], *arguments: int | Numbers) -> int:
        """Call a kernel, compiled or plain. Compiled it takes addresses."""
        if not self.compiled:
            return kernel(*arguments)
        from .kernels.build import compiled

        places = [found.ctypes.data if hasattr(found, "ctypes") else int(found) for found in arguments]
        return compiled(kernel, _SIGNATURES[kernel.__name__])(*places)

    def _grow(self, room: int) -> None:
        if not self.compiled:
            self.rows.frombytes(bytes((room - self.book[ROOM]) * ROW * 8))
        elif room * ROW > len(self.rows):
            rows = reserve(room * ROW)
            rows[: self.live * ROW] = self.rows[: self.live * ROW]
            self.rows = rows
        self.book[ROOM] = room
        self._index()

    def _shrink(self, room: int) -> None:
        if self.compiled:
            release(self.rows, room * ROW)
        else:
            del self.rows[room * ROW :]
        self.book[ROOM] = room

    def _grow_log(self) -> None:
        from .pieces import without_settled

        kept = without_settled(self.log, self.book[LOGGED], self.rows)
        room = max(2 * len(kept) // table.LOG_WIDTH * table.LOG_WIDTH, len(self.log))
        self.log = self.numbers(room)
        self.log[: len(kept)] = kept if self.compiled else array("q", kept)
        self.book[LOGGED], self.book[LOG_ROOM] = len(kept), room

    def _index(self) -> None:
        """Lead the slots to the rows anew, two slots a row at least."""
        room = len(self.slots)
        while room < 2 * self.book[ROOM]:
            room *= 2
        self.slots = self.numbers(room)
        self.book[SLOT_MASK] = room - 1
        self.run(keep.index, self.rows, self.live, self.slots, room - 1)
