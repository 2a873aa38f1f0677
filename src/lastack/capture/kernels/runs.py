"""Which rows of a batch are wanted: those before another batch has its turn, those between two ports."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Final

from lastack.capture.kernels.octets import get, put
from lastack.capture.packets import PORTS, TIME, WIDTH

KERNELS: Final = {
    "run_end": "int64(int64, int64, int64, int64)",
    "keep_ports": "int64(int64, int64, int64, int64)",
}


def run_end(packets: Sequence[int], at: int, stop: int, limit: int) -> int:
    """The first row after `at` and before `stop` that is later than `limit`; `stop` where there is none."""
    at += 1
    while at < stop and get(packets, at * WIDTH + TIME) <= limit:
        at += 1
    return at


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
