"""How far one batch goes before another has its turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lastack.capture.kernels.octets import get
from lastack.capture.packets import TIME, WIDTH

KERNELS: Final = {"run_end": "int64(int64, int64, int64, int64)"}


def run_end(packets: Sequence[int], at: int, stop: int, limit: int) -> int:
    """The first row after `at` and before `stop` that is later than `limit`; `stop` where there is none."""
    at += 1
    while at < stop and get(packets, at * WIDTH + TIME) <= limit:
        at += 1
    return at
