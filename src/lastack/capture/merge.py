"""Several captures as one, in the order of their packets' times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from lastack.capture import columns
from lastack.capture.columns import passed
from lastack.capture.kernels.build import compiled
from lastack.capture.kernels.runs import KERNELS, interleave
from lastack.capture.packets import TIME, WIDTH, Packets

Batches = Iterator[tuple[Packets, int]]

_NEVER: Final = (1 << 63) - 1
"""Later than any time."""


class _Source:
    """A capture being merged: its batch, and the next row of it."""

    __slots__ = ("at", "batches", "count", "ordinal", "packets")

    def __init__(self, ordinal: int, batches: Batches) -> None:
        self.ordinal = ordinal
        self.batches = batches
        self.packets: Packets = []
        self.count = self.at = 0

    def more(self) -> bool:
        """Take the next batch, where this one is used up; false at the end."""
        if self.at < self.count:
            return True
        self.at = 0
        self.packets, self.count = next(self.batches, ([], 0))
        return self.count > 0

    @property
    def time(self) -> int:
        """The time of the next row."""
        return int(self.packets[self.at * WIDTH + TIME])


def merged(sources: Sequence[tuple[int, Callable[[], Batches]]], room: int, fast: bool) -> Batches:
    """Batches of all sources, given the first time of each and how to open it. Ties go to the source named first.

    A source is opened when the others come to its first time, and closed at its end: a ring of files is read one by
    one. Packets of one source keep their order even where their times run backwards.
    """
    waiting = sorted(((start, i) for i, (start, _) in enumerate(sources)), reverse=True)
    reading: list[_Source] = []
    out, count = columns.numbers(room * WIDTH, fast), 0
    while waiting or reading:
        reading = [one for one in reading if one.more()]
        if count and not reading:
            # What comes next may be a file that grows: nobody shall wait for it to see this.
            yield out, count
            count = 0
        while waiting and waiting[-1][0] <= min((one.time for one in reading), default=_NEVER):
            ordinal = waiting.pop()[1]
            one = _Source(ordinal, sources[ordinal][1]())
            if one.more():
                reading.append(one)
        if not waiting and len(reading) == 1 and not count:
            # Alone, it needs no copy.
            (one,) = reading
            yield one.packets[one.at * WIDTH :] if one.at else one.packets, one.count - one.at
            one.at = one.count
            continue
        reading.sort(key=lambda one: one.ordinal)
        count = _interleaved(reading, waiting[-1][0] if waiting else _NEVER, out, count, room, fast)
        if count == room:
            yield out, count
            count = 0
    if count:
        yield out, count


def _interleaved(reading: Sequence[_Source], limit: int, out: Packets, count: int, room: int, fast: bool) -> int:
    """Rows before `limit` put to the `count` of `out`, until a batch is used up or there is no room; how many then."""
    batches = [passed(one.packets, fast) for one in reading]
    places = columns.numbers(2 * len(reading), fast)
    for i, one in enumerate(reading):
        places[2 * i], places[2 * i + 1] = one.at, one.count
    if fast:
        addresses = columns.numbers(len(reading), fast)
        addresses[:] = batches
        kernel = compiled(interleave, KERNELS["interleave"])
        taken = kernel(
            passed(addresses, fast), passed(places, fast), len(reading), limit, passed(out, fast), count, room
        )
    else:
        taken = interleave(batches, places, len(reading), limit, out, count, room)
    for i, one in enumerate(reading):
        one.at = int(places[2 * i])
    return int(taken)
