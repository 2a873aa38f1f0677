"""From the kernel's monotonic clock, by which events are stamped, to Unix time."""

from __future__ import annotations

import time
from typing import Final

from lastack.model.time import MILLISECOND, Nanos

_STEP: Final = 10 * MILLISECOND


class UnixOffset:
    """What is to be added to CLOCK_MONOTONIC to get Unix time, in ns.

    It stays what it is, so that durations are exact, until the system's clock has been set to another time.
    """

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = _measured()

    def now(self) -> Nanos:
        """The offset at present."""
        measured = _measured()
        if abs(measured - self._offset) > _STEP:
            self._offset = measured
        return self._offset


def _measured() -> Nanos:
    # The middle of two readings: this thread may be stopped in between.
    before = time.monotonic_ns()
    unix = time.time_ns()
    return unix - (before + time.monotonic_ns()) // 2
