"""Rows of the analyser as a ConnectionTable: the one place where they get their meaning in words.

`local` is the side that opened; where no SYN was seen, whoever sent the first segment. What the packets do not show is
null: states and times of a connection of which something is missing that could have held a FIN, a close that was not
seen to its end (UNSEEN).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, final

from lastack.model.close import CloseKind, Closer, Viewpoint
from lastack.model.record import COLUMN, ConnectionTable, Values, address_dtype
from lastack.model.state import State
from lastack.model.time import SECOND, Nanos

from .kernels.rows import (
    ACKED,
    ANSWERED,
    BASE,
    BY_RST,
    CAUSES,
    CLOSE,
    CONTROLS,
    COUNT_MASK,
    CROSSED,
    DUPLICATES_AT,
    ENDS,
    EVENTS,
    FIN_AT,
    FIN_EARLY,
    FINS_AT,
    FIRST,
    FIRST_CLOSER,
    FORGED,
    GAP,
    GIVEN_UP,
    HEARD,
    HIGH_0,
    HIGH_1,
    ICMP_ENDED,
    KEEPALIVE,
    LAST,
    LAST_ACKS_AT,
    LOW_0,
    LOW_1,
    LOW_32,
    META,
    NUMBER,
    OCTETS,
    OPENER,
    PASSIVE,
    PROVEN,
    REFUSED,
    RESET,
    REUSED,
    ROUND_TRIP,
    RST_BY,
    RSTS_AT,
    SEGMENTS,
    SIDE,
    SIDE_SHIFT,
    SINCE,
    SIX,
    SPENT_1,
    SPENT_2,
    SPOKE,
    SUPERSEDED,
    SURE,
    SYN_SEEN,
    TOP,
    TRIES,
    WAIT,
    WAIT_LENGTH,
    WAITED,
    WAS_CLOSING,
    ZERO_WINDOWS_AT,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .flows import Analyser

    Array = NDArray[Any]

_K: Final = CloseKind
_LACKS: Final = ("start", "local", "remote", "segments", "memory")


Columns = dict[str, Values]


def connections(rows: Array, now: Nanos, *, last: bool = False) -> Columns:
    """The columns of some rows (two dimensions, one row a connection). `now`: how far the capture goes.

    `last`: the capture ends at `now`; ages are until then.
    """
    return _Maker(rows, now).columns(last)


@final
class Pieces:
    """Columns piece by piece, put where they belong at once: `count` rows in all, each piece taken from its rows."""

    def __init__(self, count: int) -> None:
        self.left = count
        self._columns: Columns = {}
        self._count = count

    def before(self, piece: Columns) -> None:
        """Put a piece in front of those that are there already."""
        import numpy as np

        stop = self.left
        self.left -= len(piece["first_frame"].values)
        for name, (values, valid, strings) in ((name, (v.values, v.valid, v.strings)) for name, v in piece.items()):
            whole = self._columns.get(name)
            if whole is None:
                marks = None if valid is None else np.empty(self._count, np.bool_)
                whole = self._columns[name] = Values(np.empty(self._count, values.dtype), marks, strings)
            whole.values[self.left : stop] = values
            if whole.valid is not None:
                whole.valid[self.left : stop] = valid

    def table(self) -> ConnectionTable:
        """All of them in the order of the connections' first frames; `id` counts them from 1."""
        import numpy as np

        if not self._count:
            return ConnectionTable()
        frames = self._columns["first_frame"].values
        if np.any(frames[1:] < frames[:-1]):
            order = np.argsort(frames, kind="stable")
            for name, column in self._columns.items():
                self._columns[name] = column.take(order)
        self._columns["id"] = Values(np.arange(1, self._count + 1, dtype=np.uint32))
        return ConnectionTable(self._count, self._columns)


def table_of(left: list[Columns], analysers: Sequence[Analyser]) -> ConnectionTable:
    """One table of what left analysers early and of all that is in them still; they are used up."""
    whole = Pieces(sum(len(piece["first_frame"].values) for piece in left) + sum(one.live for one in analysers))
    for analyser in reversed(analysers):
        for piece in analyser.take_rows():
            whole.before(piece)
    while left:
        whole.before(left.pop())
    return whole.table()


@final
class _Side:
    """One side of every row, by its number (0 or 1) in each."""

    def __init__(self, columns: Array, meta: Array, which: Array, now: Nanos) -> None:
        import numpy as np

        self._columns, self._meta, self._which = columns, meta, which
        self._swapped = which == 1
        state = meta >> (which << 2) & 15
        since, waited = self.field(SINCE), self.field(WAITED)
        # The wait ends by the clock, seen or not (Linux TCP_TIMEWAIT_LEN).
        over = (state == State.TIME_WAIT) & (now >= self.field(WAIT) + WAIT_LENGTH)
        ends = self.field(WAIT) + WAIT_LENGTH
        self.waited = np.where(over, ends - since, waited)
        self.state = np.where(over, State.CLOSED, state)
        self.since = np.where(over, ends, since)

    def field(self, number: int) -> Array:
        """One number of the side."""
        import numpy as np

        one, two = self._columns[SIDE + number], self._columns[SIDE + (1 << SIDE_SHIFT) + number]
        found: Array = np.where(self._swapped, two, one)
        return found

    def has(self, bit: int) -> Array:
        """One bit of META that each side has."""
        found: Array = self._meta >> self._which & bit != 0
        return found

    def count(self, number: int, shift: int, mask: int) -> Array:
        """A count within a packed number."""
        found: Array = self.field(number) >> shift & mask
        return found


@final
class _Maker:
    """The columns of some rows."""

    def __init__(self, rows: Array, now: Nanos) -> None:
        import numpy as np

        # Column after column in memory: each is read several times.
        self.rows, self.now = np.ascontiguousarray(rows.T), now
        meta = self.meta = self.rows[META]
        which = (meta & 3 * OPENER == 2 * OPENER).astype(int)
        self.local = _Side(self.rows, meta, which, now)
        self.remote = _Side(self.rows, meta, 1 - which, now)
        self.which = which
        self.proven = meta & 3 * PROVEN == 3 * PROVEN
        self.by_rst = meta & BY_RST != 0
        self.cause = self.rows[RESET] & 31
        self.filled: Columns = {}

    def put(self, name: str, values: Array, valid: Array | None = None) -> None:
        """Add a column in the schema's own width."""
        kind = COLUMN[name].dtype
        # A view would keep all of the rows alive.
        own = values if kind == "address" else values.astype(kind, copy=values.base is not None)
        self.filled[name] = Values(own, valid)

    def columns(self, last: bool) -> Columns:
        """Every column."""
        self._names()
        self._counts()
        self._closing(last)
        self._reset()
        self._lacking()
        return self.filled

    def _names(self) -> None:
        import numpy as np

        rows, count = self.rows, len(self.meta)
        self.put("viewpoint", np.full(count, Viewpoint.CAPTURE))
        self.put("family", np.where(self.meta & SIX, 6, 4))
        swapped = self.which == 1
        for name, one, two in (("local", 0, 1), ("remote", 1, 0)):
            address = np.empty(count, address_dtype())
            for half, zero in (("high", (HIGH_0, HIGH_1)), ("low", (LOW_0, LOW_1))):
                address[half] = np.where(swapped, rows[zero[two]], rows[zero[one]]).view(np.uint64)
            self.put(f"{name}_addr", address)
            ports = (rows[ENDS] >> 16, rows[ENDS] & 0xFFFF)
            self.put(f"{name}_port", np.where(swapped, ports[two], ports[one]))
        self.put("opened_by", np.choose((self.meta & 3 * OPENER) // OPENER, (4, 0, 0, 2)))
        self.put("first_ns", rows[FIRST])
        self.put("last_ns", rows[LAST])
        self.put("first_frame", rows[NUMBER])

    def _counts(self) -> None:
        for way, side in (("out", self.local), ("in", self.remote)):
            self.put(f"segments_{way}", side.count(SEGMENTS, 0, LOW_32))
            self.put(f"retransmits_{way}", side.count(SEGMENTS, 32, LOW_32))
            self.put(f"octets_{way}", side.field(OCTETS))
            self.put(f"syn_{way}", side.count(CONTROLS, 0, COUNT_MASK))
            fins = side.count(CONTROLS, FINS_AT, COUNT_MASK)
            self.put(f"fin_{way}", fins)
            self.put(f"fin_retransmits_{way}", (fins - 1).clip(0))
            self.put(f"rst_{way}", side.count(CONTROLS, RSTS_AT, COUNT_MASK))
            self.put(f"keepalives_{way}", side.count(EVENTS, 0, COUNT_MASK))
            self.put(f"zero_windows_{way}", side.count(EVENTS, ZERO_WINDOWS_AT, COUNT_MASK))
            self.put(f"last_acks_again_{way}", side.count(EVENTS, LAST_ACKS_AT, COUNT_MASK))
            self.put(f"fin_early_{way}", side.has(FIN_EARLY))
        self.put("duplicates", self.rows[CLOSE] >> DUPLICATES_AT)
        self.put("handshake_rtt_ns", self.rows[ROUND_TRIP], (self.rows[ROUND_TRIP] >= 0) & (self.meta & SURE != 0))

    def _closing(self, last: bool) -> None:
        import numpy as np

        local, remote, meta = self.local, self.remote, self.meta
        kind = self._kind()
        self.put("close_kind", kind)
        closers = np.choose(local.has(FIRST_CLOSER) + 2 * remote.has(FIRST_CLOSER), (3, 0, 1, 2))
        told = self.proven | (self.by_rst & (local.field(FIN_AT) < 0) & (remote.field(FIN_AT) < 0))
        told &= (closers != Closer.NOBODY) | (meta & SUPERSEDED == 0) | (meta & (FORGED | ICMP_ENDED) != 0)
        told |= (kind == _K.OPEN) | (kind == _K.HANDSHAKE_TIMEOUT)
        told &= (kind != _K.UNSEEN) | self.proven
        self.put("first_closer", np.where(told, closers, Closer.UNKNOWN))
        self.put("close_segments", self.rows[CLOSE] & LOW_32, closers != Closer.NOBODY)
        self.put("reuse_gap_ns", self.rows[REUSED], self.rows[REUSED] >= 0)
        left = (meta & SUPERSEDED != 0) & ~self._over()
        for name, side in (("local", local), ("remote", remote)):
            known = self.proven | self.by_rst | (side.has(SYN_SEEN) & (side.state == State.SYN_SENT))
            known &= (side.state != State.LISTEN) & ~left
            self.put(f"{name}_state", side.state, known)
            passive = side.field(EVENTS) & PASSIVE != 0
            crossing = side.field(EVENTS) & WAS_CLOSING != 0
            one, two, proven = side.field(SPENT_1), side.field(SPENT_2), self.proven
            self.put(f"{name}_fin_wait_1_ns", one, proven & (one >= 0) & ~passive)
            self.put(f"{name}_close_wait_ns", one, proven & (one >= 0) & passive)
            self.put(f"{name}_fin_wait_2_ns", two, proven & (two >= 0) & ~passive & ~crossing)
            self.put(f"{name}_closing_ns", two, proven & (two >= 0) & crossing)
            self.put(f"{name}_last_ack_ns", two, proven & (two >= 0) & passive)
            self.put(f"{name}_time_wait_ns", side.waited, proven & (side.waited >= 0))
        ages = np.maximum(self.now - local.since, 0)
        self.put("age_ns", ages, np.full(len(ages), last) & (local.state != State.CLOSED) & self.proven & ~left)

    def _over(self) -> Array:
        import numpy as np

        ends = (State.CLOSED, State.TIME_WAIT)
        over: Array = np.isin(self.local.state, ends) & np.isin(self.remote.state, ends)
        return over

    def _kind(self) -> Array:
        """How each connection ended."""
        import numpy as np

        local, remote, meta, rows = self.local, self.remote, self.meta, self.rows
        fins = (local.field(FIN_AT) >= 0).astype(int) + (remote.field(FIN_AT) >= 0)
        tries = (rows[CLOSE] & TRIES) >> 32
        # The next repetition, twice as long after the last, is overdue.
        earlier = np.where(tries > 0, np.minimum(local.field(HEARD), remote.field(HEARD)), rows[FIRST])
        earlier = np.where(meta & 3 * SPOKE == 3 * SPOKE, earlier, rows[FIRST])
        overdue = self.now - rows[LAST] > 2 * (rows[LAST] - earlier) + 3 * SECOND
        opening = np.isin(local.state, (State.SYN_SENT, State.SYN_RECEIVED))
        opening |= remote.state == State.SYN_RECEIVED
        spoke = meta & 3 * SPOKE != 0
        return np.select(
            [
                meta & ICMP_ENDED != 0,
                self.by_rst & ~spoke,
                self.by_rst & (self.cause == REFUSED),
                self.by_rst & (self.cause == KEEPALIVE),
                self.by_rst & local.has(RST_BY),
                self.by_rst,
                opening & overdue & (meta & SUPERSEDED == 0),
                opening & (meta & (SUPERSEDED | GIVEN_UP) == 0),
                ~self.proven,
                (fins == 2) & self._over() & (meta & CROSSED != 0),
                (fins == 2) & self._over(),
                meta & (SUPERSEDED | GIVEN_UP) != 0,
                (tries >= 3) & overdue,
                fins == 2,
                fins == 1,
            ],
            [
                _K.UNREACHABLE,
                _K.UNSEEN,
                _K.REFUSED,
                _K.KEEPALIVE_TIMEOUT,
                _K.RESET_SENT,
                _K.RESET_RECEIVED,
                _K.HANDSHAKE_TIMEOUT,
                _K.OPEN,
                _K.UNSEEN,
                _K.SIMULTANEOUS,
                _K.ORDERLY,
                _K.UNSEEN,
                _K.RETRANSMIT_TIMEOUT,
                _K.UNSEEN,
                _K.HALF_CLOSED,
            ],
            _K.OPEN,
        )

    def _reset(self) -> None:
        import numpy as np

        reset, met = self.rows[RESET], self.rows[RESET] >> 5 & 15
        was = self.cause > 0
        self.filled["reset_cause"] = Values(self.cause.astype(np.int32), was, CAUSES)
        self.put("reset_state", np.where(met, met, State.CLOSED), was & (met > 0))
        self.put("reset_silence_ns", (reset >> 16) * 1000, was & (self.meta & 3 * SPOKE != 0))
        for way, side, other in (("out", self.local, self.remote), ("in", self.remote, self.local)):
            # A SYN and a FIN take a number each, and are no octets.
            lost = (side.field(TOP) - other.field(ACKED) & 0xFFFF_FFFF) - (side.field(FIN_AT) >= 0)
            known = self.by_rst & (other.field(ACKED) >= 0) & (side.field(BASE) >= 0) & (self.meta & ANSWERED != 0)
            self.put(f"lost_{way}", np.where(lost < 0x8000_0000, lost, 0).clip(0), known)

    def _lacking(self) -> None:
        import numpy as np

        local, remote, meta = self.local, self.remote, self.meta
        # A SYN that nobody answered lacks nothing.
        alone = local.has(OPENER) & (local.state == State.SYN_SENT)
        lacks = (
            ~(
                local.has(SYN_SEEN)
                & (remote.has(SYN_SEEN) | alone | (meta & ICMP_ENDED != 0) | (self.cause == REFUSED))
            ),
            ~local.has(SPOKE),
            ~remote.has(SPOKE) & ~alone & (self.cause != REFUSED) & (meta & ICMP_ENDED == 0),
            local.has(GAP) | remote.has(GAP),
            meta & GIVEN_UP != 0,
        )
        codes = sum(np.where(lack, 1 << bit, 0) for bit, lack in enumerate(lacks))
        strings = tuple(
            ", ".join(word for bit, word in enumerate(_LACKS) if code >> bit & 1) for code in range(1 << len(_LACKS))
        )
        self.filled["unseen"] = Values(np.asarray(codes, np.int32), np.asarray(codes) > 0, strings)
