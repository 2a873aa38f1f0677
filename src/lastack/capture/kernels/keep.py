"""The rows as a whole: those whose connections have ended, the gaps that these leave, the way to the rest."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Final

from .lifecycle import over
from .moves import Rows
from .octets import column
from .rows import BEFORE, ENDS, HIGH_0, HIGH_1, LAST, LOW_0, LOW_1, META, QUARANTINE, ROW, SUPERSEDED
from .table import hashed


def ended(row_store: Rows, used: int, now: int, mark_store: MutableSequence[int]) -> int:
    """Mark with 1 the rows of connections that ended, or were followed by another, long before `now`; how many."""
    rows, marks = column(row_store), column(mark_store)
    found = 0
    for row in range(used):
        b = row * ROW
        gone = rows[b + LAST] < now - QUARANTINE and (rows[b + META] & SUPERSEDED or over(rows, b))
        marks[row] = 1 if gone else 0
        found += marks[row]
    return found


def compact(row_store: Rows, used: int, mark_store: MutableSequence[int]) -> int:
    """Move the rows that are not marked together; how many they are. The marks are used up."""
    rows, marks = column(row_store), column(mark_store)
    to = 0
    for row in range(used):
        if marks[row]:
            marks[row] = 0
            continue
        if to != row:
            for k in range(ROW):
                rows[to * ROW + k] = rows[row * ROW + k]
        # Where the row of an earlier incarnation is now, counted from 1; 0 where it left.
        if rows[to * ROW + BEFORE]:
            old = (rows[to * ROW + BEFORE] - 1) // ROW
            rows[to * ROW + BEFORE] = (marks[old] - 1) * ROW + 1 if marks[old] else 0
        to += 1
        marks[row] = to
    return to


def index(row_store: Rows, used: int, slot_store: MutableSequence[int], mask: int) -> int:
    """Lead empty slots to the rows: of each four-tuple to its latest incarnation."""
    rows, slots = column(row_store), column(slot_store)
    for row in range(used):
        b = row * ROW
        if rows[b + META] & SUPERSEDED:
            continue
        h = hashed(rows[b + HIGH_0], rows[b + LOW_0], rows[b + HIGH_1], rows[b + LOW_1], rows[b + ENDS])
        place = h & mask
        while slots[place]:
            place = place + 1 & mask
        slots[place] = h >> 32 << 32 | (row + 1)
    return used


KERNELS: Final = {
    "ended": "int64(int64, int64, int64, int64)",
    "compact": "int64(int64, int64, int64)",
    "index": "int64(int64, int64, int64, int64)",
}
