"""What every congestion control has: a window and a threshold, in segments as Linux counts them."""

from __future__ import annotations

from typing import Final

from lastack.model.time import Nanos

INFINITE: Final = 0x7FFF_FFFF


class Controller:
    """`window` (cwnd) and `threshold` (ssthresh), both in segments. Slow start is the same for all (RFC 5681 3.1)."""

    __slots__ = ("count", "threshold", "window")

    def __init__(self, initial_window: int) -> None:
        self.window = initial_window
        self.threshold = INFINITE
        self.count = 0
        """Segments acknowledged towards the next step in congestion avoidance."""

    def acknowledged(self, segments: int, rtt: Nanos, now: Nanos) -> None:
        """So many segments were delivered while the window was in full use."""
        if self.window < self.threshold:
            grown = min(self.window + segments, self.threshold)
            segments -= grown - self.window
            self.window = grown
            if segments <= 0:
                return
        self.avoid(segments, rtt, now)

    def avoid(self, segments: int, rtt: Nanos, now: Nanos) -> None:
        """Grow in congestion avoidance."""
        self.grow(self.window, segments)

    def grow(self, every: int, segments: int) -> None:
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

    def threshold_after_loss(self, now: Nanos) -> int:
        """The slow start threshold that a loss calls for."""
        return max(self.window // 2, 2)

    def timed_out(self) -> None:
        """A retransmission time-out has happened: forget what was learned about the path."""

    def idle(self, restart_window: int, periods: int) -> None:
        """Nothing was sent for so many time-outs: halve the window for each (RFC 2861, tcp_cwnd_restart)."""
        self.threshold = max(self.threshold, (self.window >> 1) + (self.window >> 2))
        self.window = max(self.window >> min(periods, 31), min(restart_window, self.window))
        self.count = 0
