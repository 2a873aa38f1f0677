"""The history of one connection: a second, plain pass over its packets, by the very step that fills the table.

So the ladder and the table cannot disagree: both states are read from the row before and after each segment.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final, NamedTuple, final

from lastack.model.address import Endpoint, address_text
from lastack.model.history import History, LadderSegment, StateChange
from lastack.model.state import TRANSITIONS, State
from lastack.model.time import Nanos

from .kernels import rows as r
from .kernels.moves import expire, state_of
from .kernels.table import arrives, find, hashed
from .packets import (
    ACK,
    DST_HIGH,
    DST_LOW,
    FLAGS,
    FRAME_MASK,
    ICMP,
    LENGTH,
    NUMBER,
    OPTIONS,
    PORTS,
    SEQ,
    SRC_HIGH,
    SRC_LOW,
    TCP_FLAGS,
    TIME,
    WIDTH,
    WINDOW,
    WSCALE_MASK,
    WSCALE_SHIFT,
    Packets,
)

_UNSIGNED: Final = (1 << 64) - 1
_MASK: Final = 0xFFFF_FFFF
_ROOM: Final = 4
"""Incarnations: the one that is told, and what the next ones show of it."""

_WORDS: Final = (
    (r.DUPLICATE, "the capture's duplicate"),
    (r.UNSEEN_ACKED, "acknowledges what the capture lacks"),
    (r.OUT_OF_ORDER, "out of order"),
    (r.PROBE, "keepalive probe"),
    (r.PROBE_ANSWER, "answers the probe"),
    (r.WINDOW_PROBE, "window probe"),
    (r.WINDOW_CLOSED, "zero window"),
    (r.WINDOW_OPENED, "window opens"),
    (r.FIN_TOO_EARLY, "FIN before its data"),
    (r.WAIT_RESTARTED, "TIME_WAIT restarts"),
    (r.LAST_ACK_AGAIN, "last ACK again"),
    (r.CHALLENGED, "challenge ACK"),
    (r.UNBELIEVED, "not believed: not the exact number"),
    (r.NOBODYS, "neither side sent this"),
    (r.LATE, "after the end"),
    (r.UNREACHABLE, "unreachable"),
)
"""What a note of `step` says on a rung. Repetitions are counted, see `_notes`."""
_EVENT: Final = {(change.before, change.after): change.event for change in reversed(TRANSITIONS)}


def history(batches: Iterable[tuple[Packets, int]], first_frame: int, *, until: Nanos | None = None) -> History | None:
    """The history of the connection whose first frame has this number, from the packets of its capture.

    `batches` may hold nothing else than its four-tuple's packets, or all. `until`: how far the capture goes; without it
    the last packet's time. None where no connection begins with that frame.
    """
    teller = _Teller(first_frame)
    now = 0
    for packets, count in batches:
        for i in range(count):
            now = max(now, int(packets[i * WIDTH + TIME]))
            teller.take(packets, i * WIDTH)
    return teller.history(now if until is None else until)


class _Rung(NamedTuple):
    """A segment as it came. `times`: how many of its SYNs or FINs there were by then. `cause`: of the RST, so far."""

    side: int
    packet: list[int]
    notes: int
    times: int
    cause: int


@final
class _Teller:
    """A table of one four-tuple, and what happens to the row that is asked for."""

    def __init__(self, first_frame: int) -> None:
        self._first = first_frame
        self._rows = array("q", bytes(_ROOM * r.ROW * 8))
        self._slots = array("q", bytes(4 * _ROOM * 8))
        self._book = array("q", bytes(r.BOOK * 8))
        self._book[r.ROOM] = _ROOM
        self._hash = -1
        self._changes: list[list[tuple[Nanos, State, State, str]]] = [[], []]
        self._segments: list[_Rung] = []

    def take(self, packets: Packets, p: int) -> None:
        """One packet, of whatever connection."""
        key = hashed(*(packets[p + field] for field in (SRC_HIGH, SRC_LOW, DST_HIGH, DST_LOW, PORTS)))
        if self._hash < 0 and packets[p + NUMBER] == self._first:
            self._hash = key
        if key != self._hash or self._book[r.USED] == _ROOM:
            return
        rows = self._rows
        place, found, x = find(packets, p, rows, self._slots, len(self._slots) - 1, key)
        before = [state_of(rows, 0, side) for side in (0, 1)]
        self._book[r.NOTES] = 0
        b = arrives(packets, p, rows, found, x, self._book)
        if b < 0:
            return
        self._slots[place] = key >> 32 << 32 | (b // r.ROW + 1)
        notes = self._book[r.NOTES]
        if found < 0:
            before = (
                [State.CLOSED, State.LISTEN] if rows[r.META] & r.SYN_FIRST else [state_of(rows, 0, s) for s in (0, 1)]
            )
            if packets[p + FLAGS] & 0x12 == 0x12:
                before = [State.LISTEN, State.SYN_SENT]
        for side in (0, 1):
            cause = ""
            if b != 0:
                cause = "the four-tuple is used again"
            elif packets[p + FLAGS] & 4:
                cause = "RST sent" if side == x else "rcv RST"
            self._moved(side, before[side], int(packets[p + TIME]), cause)
        if b == 0 and not packets[p + FLAGS] & ICMP:
            m = r.SIDE + (x << r.SIDE_SHIFT)
            control = rows[m + r.CONTROLS]
            times = control >> r.FINS_AT & r.COUNT_MASK if notes & r.FIN_AGAIN else control & r.COUNT_MASK
            self._segments.append(_Rung(x, [int(n) for n in packets[p : p + WIDTH]], notes, times, rows[r.RESET] & 31))

    def _moved(self, side: int, before: int, at: Nanos, cause: str = "") -> None:
        """Note how a side's state changed, by the way that it must have taken."""
        rows = self._rows
        s = r.SIDE + (side << r.SIDE_SHIFT)
        after, lane = state_of(rows, 0, side), self._changes[side]
        if after == before:
            return
        if self._book[r.NOTES] & r.TAKEN_BACK and any(change[2] == after for change in lane):
            while lane[-1][2] != after:
                lane.pop()
            return
        if before == State.TIME_WAIT and rows[s + r.SINCE] < at:
            # The clock ended it before this segment came.
            at, cause = rows[s + r.SINCE], ""
        crossing = bool(rows[s + r.EVENTS] & r.WAS_CLOSING)
        for state in (*_between(before, after, crossing), after):
            told = cause if state == State.CLOSED else ""
            told = told or _EVENT.get((State(before), State(state)), "as later segments show")
            lane.append((at, State(before), State(state), told))
            before = state

    def history(self, until: Nanos) -> History | None:
        """All that was seen, up to an instant."""
        rows = self._rows
        if self._hash < 0:
            return None
        self._book[r.NOTES] = 0
        for side in (0, 1):
            before = state_of(rows, 0, side)
            expire(rows, 0, side, until)
            self._moved(side, before, until)
        local = int(rows[r.META] & 3 * r.OPENER == 2 * r.OPENER)
        sides = (local, 1 - local)
        ends = [self._end(side) for side in sides]
        alike = ends[0].addr == ends[1].addr
        hosts = {side: str(end) if alike else end.addr for side, end in zip(sides, ends, strict=True)}
        number = 1
        changes = [
            StateChange(at, hosts[side], number, before, after, cause)
            for side in sides
            for at, before, after, cause in self._changes[side]
            if self._told(side)
        ]
        changes.sort(key=lambda change: change.at)
        return History(
            str(ends[0]),
            str(ends[1]),
            (hosts[local], hosts[1 - local]),
            tuple(self._rung(rung, hosts) for rung in self._segments),
            tuple(changes),
            unseen=self._unseen(sides),
        )

    def _told(self, side: int) -> bool:
        """Whether the states of a side are known, or only assumed."""
        meta = self._rows[r.META]
        alone = meta & r.SYN_SEEN << side and state_of(self._rows, 0, side) == State.SYN_SENT
        return meta & 3 * r.PROVEN == 3 * r.PROVEN or bool(meta & r.BY_RST) or bool(alone)

    def _unseen(self, sides: tuple[int, int]) -> tuple[str, ...]:
        meta = self._rows[r.META]
        lacks = []
        if not meta & r.SYN_FIRST:
            lacks.append("the beginning")
        lacks += [
            f"what {name} sent"
            for side, name in zip(sides, ("local", "remote"), strict=True)
            if not meta & r.SPOKE << side
            and not meta & r.BY_RST
            and not meta & r.ICMP_ENDED
            and state_of(self._rows, 0, 1 - side) != State.SYN_SENT
        ]
        if meta & 3 * r.GAP:
            lacks.append("segments that were acknowledged")
        return tuple(lacks)

    def _end(self, side: int) -> Endpoint:
        rows = self._rows
        high, low = (r.HIGH_0, r.LOW_0) if side == 0 else (r.HIGH_1, r.LOW_1)
        port = rows[r.ENDS] >> 16 if side == 0 else rows[r.ENDS] & 0xFFFF
        return Endpoint(address_text(rows[high] & _UNSIGNED, rows[low] & _UNSIGNED), port)

    def _rung(self, rung: _Rung, hosts: dict[int, str]) -> LadderSegment:
        x, packet = rung.side, rung.packet
        bases = [self._rows[r.SIDE + (side << r.SIDE_SHIFT) + r.BASE] for side in (x, 1 - x)]
        if bases[1] < 0:
            # Nothing of the other side was seen: count from what this one first acknowledged.
            bases[1] = next((s.packet[ACK] for s in self._segments if s.packet[FLAGS] & 0x10), 0)
        flags = packet[FLAGS] & TCP_FLAGS
        window = packet[WINDOW]
        if not flags & 2:
            window <<= self._scale(x)
        return LadderSegment(
            packet[TIME],
            hosts[x],
            flags,
            packet[SEQ] - max(bases[0], 0) & _MASK if bases[0] >= 0 else 0,
            packet[ACK] - bases[1] & _MASK if flags & 0x10 else None,
            packet[LENGTH],
            window,
            packet[NUMBER] & FRAME_MASK,
            notes=_notes(rung),
        )

    def _scale(self, side: int) -> int:
        """The shift of a side's window: what its SYN said, where both did (RFC 7323 2.2)."""
        said: dict[int, int] = {}
        for rung in self._segments:
            if rung.packet[FLAGS] & 2:
                said.setdefault(rung.side, rung.packet[OPTIONS] >> WSCALE_SHIFT & WSCALE_MASK)
        return min(said[side] - 1, 14) if said.get(0) and said.get(1) else 0


def _between(before: int, after: int, crossing: bool) -> tuple[State, ...]:
    """The states that a side went through on the way, where one segment did more than one thing to it."""
    ways = {
        (State.SYN_SENT, State.FIN_WAIT_1): (State.ESTABLISHED,),
        (State.SYN_SENT, State.CLOSE_WAIT): (State.ESTABLISHED,),
        (State.SYN_SENT, State.LAST_ACK): (State.ESTABLISHED, State.CLOSE_WAIT),
        (State.SYN_RECEIVED, State.CLOSE_WAIT): (State.ESTABLISHED,),
        (State.SYN_RECEIVED, State.FIN_WAIT_1): (State.ESTABLISHED,),
        (State.SYN_RECEIVED, State.LAST_ACK): (State.ESTABLISHED, State.CLOSE_WAIT),
        (State.ESTABLISHED, State.LAST_ACK): (State.CLOSE_WAIT,),
        (State.ESTABLISHED, State.TIME_WAIT): (State.FIN_WAIT_1, State.FIN_WAIT_2),
        (State.FIN_WAIT_1, State.TIME_WAIT): (State.CLOSING if crossing else State.FIN_WAIT_2,),
    }
    return ways.get((State(before), State(after)), ())


def _notes(rung: _Rung) -> tuple[str, ...]:
    """What a segment was, in words."""
    notes, words = rung.notes, []
    if notes & (r.SYN_AGAIN | r.FIN_AGAIN):
        name = "FIN" if notes & r.FIN_AGAIN else "SYN,ACK" if rung.packet[FLAGS] & 0x10 else "SYN"
        words.append(f"{name} again, {_ordinal(rung.times)}")
        if notes & r.TAKEN_BACK:
            words.append("the ACK of it never came")
    elif notes & r.RETRANSMITTED:
        words.append("retransmission")
    if notes & r.TAKEN_BACK:
        notes &= ~r.LATE
    words += [word for bit, word in _WORDS if notes & bit]
    if notes & r.WAS_RESET and rung.cause:
        words.append(r.CAUSES[rung.cause].replace("-", " "))
    return tuple(words)


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number % 10, 'th')}"
