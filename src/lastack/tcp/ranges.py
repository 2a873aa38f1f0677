"""A set of sequence numbers as disjoint half-open ranges in ascending order."""

from __future__ import annotations

from typing import final

from lastack.native import mypyc_attr


@mypyc_attr(acyclic=True)
@final
class Ranges:
    """Ranges [start, end). Mostly few: what a receiver holds beyond a hole, what a SACK has told."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> tuple[int, int]:
        """Put a range in, and give back the range that it has become a part of. An empty one changes nothing."""
        if start >= end:
            return start, end
        items = self.items
        first, high = 0, len(items)
        while first < high:
            middle = (first + high) // 2
            if items[middle][1] < start:
                first = middle + 1
            else:
                high = middle
        last = first
        while last < len(items) and items[last][0] <= end:
            start = min(start, items[last][0])
            end = max(end, items[last][1])
            last += 1
        items[first:last] = [(start, end)]
        return start, end

    def discard_below(self, seq: int) -> None:
        """Forget everything before `seq`."""
        items = self.items
        while items and items[0][1] <= seq:
            del items[0]
        if items and items[0][0] < seq:
            items[0] = (seq, items[0][1])

    def holds(self, start: int, end: int) -> bool:
        """Whether all of [start, end) is in."""
        return any(left <= start and end <= right for left, right in self.items)
