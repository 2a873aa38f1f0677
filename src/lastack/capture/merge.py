"""Several captures as one, in the order of their packets' times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lastack.capture import columns
from lastack.capture.kernels.build import compiled
from lastack.capture.kernels.runs import KERNELS, run_end
from lastack.capture.packets import TIME, WIDTH, Packets

Batches = Iterator[tuple[Packets, int]]


class _Head:
    """A capture being merged: its batch, and how far that has been taken."""

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
    def turn(self) -> tuple[int, int]:
        """When it is its turn: the time of the next packet, and the source's place among those of the same time."""
        return int(self.packets[self.at * WIDTH + TIME]), self.ordinal


def merged(sources: Sequence[tuple[int, Callable[[], Batches]]], room: int, fast: bool) -> Batches:
    """Batches of all sources, given the first time of each and how to open it. Ties go to the source named first.

    A source is opened when the others come to its first time, and closed at its end: a ring of files is read one by
    one. Packets of one source keep their order even where their times run backwards.
    """
    waiting = sorted(((start, i) for i, (start, _) in enumerate(sources)), reverse=True)
    open_now: list[_Head] = []
    end_of_run = compiled(run_end, KERNELS["run_end"]) if fast else run_end
    batch, count = columns.numbers(room * WIDTH, fast), 0
    while waiting or open_now:
        turns = sorted(head.turn for head in open_now)
        while waiting and (not turns or waiting[-1] < turns[0]):
            ordinal = waiting.pop()[1]
            head = _Head(ordinal, sources[ordinal][1]())
            if head.more():
                open_now.append(head)
                turns = sorted((*turns, head.turn))
        if not open_now:
            break
        first = min(open_now, key=lambda head: head.turn)
        time, ordinal = min([*turns[1:], *waiting[-1:]], default=(1 << 62, len(sources)))
        limit = time if first.ordinal < ordinal else time - 1
        stop = min(first.count, first.at + room - count)
        end = int(end_of_run(columns.passed(first.packets, fast), first.at, stop, limit))
        taken = end - first.at
        batch[count * WIDTH : (count + taken) * WIDTH] = first.packets[first.at * WIDTH : end * WIDTH]
        count += taken
        first.at = end
        if not first.more():
            open_now.remove(first)
        if count == room:
            yield batch, count
            count = 0
    if count:
        yield batch, count
