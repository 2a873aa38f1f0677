"""From the kernel's clocks, by which events are stamped, to Unix time."""

from __future__ import annotations

import time
from typing import Final

from lastack.model.time import MILLISECOND, Nanos

_STEP: Final = 10 * MILLISECOND


class UnixOffset:
    """What is to be added to one of the kernel's clocks to get Unix time, in ns.

    It stays what it is, so that durations are exact, until the system's clock has been set to another time.
    """

    __slots__ = ("_clock", "_offset")

    def __init__(self, clock: int) -> None:
        """`clock`: time.CLOCK_MONOTONIC, or time.CLOCK_BOOTTIME, which goes on while the machine sleeps."""
        self._clock = clock
        self._offset = _measured(clock)

    def now(self) -> Nanos:
        """The offset at present."""
        measured = _measured(self._clock)
        if abs(measured - self._offset) > _STEP:
            self._offset = measured
        return self._offset


def _measured(clock: int) -> Nanos:
    # The middle of two readings: this thread may be stopped in between.
    before = time.clock_gettime_ns(clock)
    unix = time.time_ns()
    return unix - (before + time.clock_gettime_ns(clock)) // 2
