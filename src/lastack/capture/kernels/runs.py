"""Rows of batches: those of several put in order, those between two ports alone."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Final

from lastack.capture.kernels.octets import get, put
from lastack.capture.packets import PORTS, TIME, WIDTH

KERNELS: Final = {
    "interleave": "int64(int64, int64, int64, int64, int64, int64, int64)",
    "keep_ports": "int64(int64, int64, int64, int64)",
}


def interleave(
    batches: Sequence[MutableSequence[int]],
    places: MutableSequence[int],
    sources: int,
    limit: int,
    out: MutableSequence[int],
    count: int,
    room: int,
) -> int:
    """Rows of several batches behind the `count` of `out`, by time; of the same time the first batch's first.

    `places` has, for each batch, the next row and where its rows end. Ends where one is used up, where `out` has its
    `room`, or where no row is before `limit`. How many rows `out` has then. Compiled, `batches` are addresses.
    """
    while count < room:
        best, soonest = -1, limit
        for i in range(sources):
            at = get(places, 2 * i)
            if at >= get(places, 2 * i + 1):
                return count
            time = get(get(batches, i), at * WIDTH + TIME)  # type: ignore[arg-type]
            if time < soonest:
                best, soonest = i, time
        if best < 0:
            return count
        at = get(places, 2 * best)
        for field in range(WIDTH):
            value = get(get(batches, best), at * WIDTH + field)  # type: ignore[arg-type]
            put(out, count * WIDTH + field, value)
        put(places, 2 * best, at + 1)
        count += 1
    return count


def keep_ports(packets: MutableSequence[int], count: int, one: int, other: int) -> int:
    """Move the rows whose PORTS are one of the two to the front of a batch; how many they are."""
    kept = 0
    for at in range(0, count * WIDTH, WIDTH):
        ports = get(packets, at + PORTS)
        if ports in (one, other):
            for i in range(WIDTH):
                put(packets, kept + i, get(packets, at + i))
            kept += WIDTH
    return kept // WIDTH
