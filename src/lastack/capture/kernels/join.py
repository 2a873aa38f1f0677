"""What becomes of the connections of the next piece of a stream, once the piece before is known.

A connection whose whole handshake is in the later piece (SURE) owes nothing to what came before but for one thing: its
first SYN may follow an older incarnation, or repeat a SYN. Of all others every packet is played again.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Final

from lastack.capture.packets import ACK, IP, IP_ID, LENGTH, SEQ
from lastack.capture.packets import NUMBER as FRAME

from .lifecycle import duplicate, over, same_again
from .moves import Rows, state_of, taken_over
from .octets import column
from .rows import (
    CLOSE,
    CONTROLS,
    DUPLICATES,
    ESTABLISHED_ONCE,
    EVENTS,
    FIRST,
    LAST,
    LOG_ROOM,
    META,
    NUMBER,
    OCTETS,
    ONE_MORE,
    ONE_RST,
    QUARANTINE,
    ROOM,
    ROUND_TRIP,
    ROW,
    SEGMENTS,
    SIDE,
    SIDE_SHIFT,
    SLOT_MASK,
    SUPERSEDED,
    SURE,
    SYN_FIRST,
    SYN_TIME,
    USED,
)
from .seq import MASK
from .table import LOG_WIDTH, another, find, follows, full, hash_at, noted, take, time_of


def join(
    their_log: MutableSequence[int],
    start: int,
    stop: int,
    their_rows: Rows,
    row_store: Rows,
    slot_store: MutableSequence[int],
    book_store: MutableSequence[int],
    log_store: MutableSequence[int],
    mark_store: MutableSequence[int],
    leave: int,
) -> int:
    """Take entries `start` to `stop` of the later piece's log; the first that was not: there was no room for it.

    Rows that have been taken are marked. With `leave` a row stays where it is whose four-tuple has no other.
    """
    packets, later, marks = column(their_log), column(their_rows), column(mark_store)
    rows, slots, book, log = column(row_store), column(slot_store), column(book_store), column(log_store)
    for i in range(start, stop):
        if full(book) or book[USED] >= book[ROOM]:
            return i
        p = i * LOG_WIDTH
        row = packets[p + LOG_WIDTH - 1]
        r = row * ROW
        if row < 0 or not later[r + META] & SURE:
            take(packets, p, rows, slots, book, log)
        elif packets[p + FRAME] != later[r + NUMBER] or (leave and alone(packets, p, later, r, rows, slots, book)):
            continue
        else:
            adopt(packets, p, later, r, rows, slots, book, log)
        if row >= 0:
            marks[row] = 1
    return stop


def alone(
    packets: Sequence[int],
    p: int,
    later: Rows,
    r: int,
    rows: Rows,
    slots: MutableSequence[int],
    book: MutableSequence[int],
) -> bool:
    """Whether a row of the later piece, whose SYN is at `p`, is the only one of its four-tuple in both pieces."""
    if later[r + META] & SUPERSEDED:
        return False
    h = hash_at(packets, p)
    _, old, _ = find(packets, p, rows, slots, book[SLOT_MASK], h)
    return old < 0


def adopt(
    packets: Sequence[int],
    p: int,
    later: Rows,
    r: int,
    rows: Rows,
    slots: MutableSequence[int],
    book: MutableSequence[int],
    log: MutableSequence[int],
) -> None:
    """Take over a row of the later piece, whose SYN is at `p`."""
    h = hash_at(packets, p)
    place, old, x = find(packets, p, rows, slots, book[SLOT_MASK], h)
    t = time_of(packets, p)
    fresh = old < 0 or (over(rows, old) and t - rows[old + LAST] > QUARANTINE) or another(packets, p, rows, old, x)
    if not fresh and opening(rows, old):
        carry(packets, p, later, r, rows, old)
        return
    b = book[USED] * ROW
    book[USED] += 1
    for k in range(ROW):
        rows[b + k] = later[r + k]
    rows[b + META] &= ~SUPERSEDED
    if old >= 0:
        follows(packets, p, rows, b, old, x, book)
        taken_over(rows, b, 1, rows[b + FIRST])
    slots[place] = h >> 32 << 32 | (b // ROW + 1)
    if book[LOG_ROOM]:
        noted(packets, p, b, book, log)


def opening(rows: Rows, b: int) -> bool:
    """Whether nothing but SYNs of side 0, and answers to them, was seen of a connection."""
    resets = rows[b + SIDE + CONTROLS] | rows[b + SIDE + (1 << SIDE_SHIFT) + CONTROLS]
    return (
        rows[b + META] & (SYN_FIRST | ESTABLISHED_ONCE) == SYN_FIRST
        and state_of(rows, b, 0) == 2
        and state_of(rows, b, 1) in (3, 10)
        and resets < ONE_RST
    )


def carry(packets: Sequence[int], p: int, later: Rows, r: int, rows: Rows, b: int) -> None:
    """Put the later row in the place of one that repeated SYNs, with these added to it."""
    one = b + SIDE
    ident = packets[p + IP] & IP_ID
    end = (packets[p + SEQ] + packets[p + LENGTH] + 1) & MASK
    twice = same_again(rows, one, time_of(packets, p), ident, end, packets[p + ACK])
    twins = rows[b + CLOSE] & DUPLICATES
    first, number, asked = rows[b + FIRST], rows[b + NUMBER], rows[b + SYN_TIME]
    two = one + (1 << SIDE_SHIFT)
    answered = rows[two + CONTROLS] > 0
    for k in range(ROW):
        added = k >= SIDE and (k - SIDE) & 15 in (OCTETS, SEGMENTS, CONTROLS, EVENTS) and k < SIDE + (2 << SIDE_SHIFT)
        rows[b + k] = later[r + k] + (rows[b + k] if added else 0)
    rows[b + FIRST], rows[b + NUMBER] = first, number
    rows[b + CLOSE] += min(twins, DUPLICATES - (rows[b + CLOSE] & DUPLICATES))
    rows[b + META] &= ~SUPERSEDED
    if twice:
        rows[one + SEGMENTS] -= 1
        rows[one + CONTROLS] -= 1
        rows[one + OCTETS] -= packets[p + LENGTH]
        duplicate(rows, b)
        if rows[b + ROUND_TRIP] >= 0 and not answered:
            rows[b + ROUND_TRIP] += rows[b + SYN_TIME] - asked
        rows[b + SYN_TIME] = asked
    else:
        rows[one + SEGMENTS] += ONE_MORE
        rows[b + ROUND_TRIP] = -1
    if answered:
        rows[two + SEGMENTS] += ONE_MORE


KERNELS: Final = {"join": "int64(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)"}
