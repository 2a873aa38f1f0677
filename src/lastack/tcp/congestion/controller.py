"""What every congestion control has: a window and a threshold, in segments as Linux counts them."""

from __future__ import annotations

from typing import Final

from lastack.model.time import Nanos64
from lastack.native import i64, mypyc_attr

INFINITE: Final = 0x7FFF_FFFF


@mypyc_attr(acyclic=True)
class Controller:
    """`window` (cwnd) and `threshold` (ssthresh), both in segments. Slow start is the same for all (RFC 5681 3.1)."""

    __slots__ = ("count", "threshold", "window")

    def __init__(self, initial_window: i64) -> None:
        self.window: i64 = initial_window
        self.threshold: i64 = INFINITE
        self.count: i64 = 0
        """Segments acknowledged towards the next step in congestion avoidance."""

    def acknowledged(self, segments: i64, rtt: Nanos64, now: Nanos64) -> None:
        """So many segments were delivered while the window was in full use."""
        if self.window < self.threshold:
            grown = min(self.window + segments, self.threshold)
            segments -= grown - self.window
            self.window = grown
            if segments <= 0:
                return
        self.avoid(segments, rtt, now)

    def avoid(self, segments: i64, rtt: Nanos64, now: Nanos64) -> None:
        """Grow in congestion avoidance."""
        self.grow(self.window, segments)

    def grow(self, every: i64, segments: i64) -> None:
        """One segment more for every so many acknowledged (tcp_cong_avoid_ai)."""
        every = max(every, 1)
        if self.count >= every:
            self.count = 0
            self.window += 1
        self.count += segments
        if self.count >= every:
            steps = self.count // every
            self.count -= steps * every
            self.window += steps

    def threshold_after_loss(self, now: Nanos64) -> i64:
        """The slow start threshold that a loss calls for."""
        return max(self.window // 2, 2)

    def timed_out(self) -> None:
        """A retransmission time-out has happened: forget what was learned about the path."""

    def idle(self, restart_window: i64, periods: i64) -> None:
        """Nothing was sent for so many time-outs: halve the window for each (RFC 2861, tcp_cwnd_restart)."""
        self.threshold = max(self.threshold, (self.window >> 1) + (self.window >> 2))
        self.window = max(self.window >> min(periods, 31), min(restart_window, self.window))
        self.count = 0
