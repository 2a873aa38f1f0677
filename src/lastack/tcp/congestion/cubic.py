"""CUBIC (RFC 9438): the window is a cubic function of the time since the last loss. Integers as in tcp_cubic.c."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import MILLISECOND, Nanos64
from lastack.native import i64, mypyc_attr

from .controller import Controller

_BETA: Final = 717
"""Of 1024: what is left of the window after a loss (0.7)."""
_BIC_SCALE: Final = 41
_RTT_SCALE: Final = _BIC_SCALE * 10
"""C = 0.4, in units of 1 / 2^10 segments per (1/1024 s)^3."""
_FACTOR: Final = (1 << (10 + 3 * 10)) // _RTT_SCALE
_FAR: Final = 1 << 24
"""4.5 hours, in 1/1024 s: no window is that large."""
_RENO_SCALE: Final = 8 * (1024 + _BETA) // 3 // (1024 - _BETA)


def cube_root(value: int) -> int:
    """The integer part of the cube root."""
    if value < 8:
        return 1 if value else 0
    root = 1 << -(-value.bit_length() // 3)
    while True:
        closer = (2 * root + value // (root * root)) // 3
        if closer >= root:
            return root
        root = closer


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Cubic(Controller):
    """`last_max` the window before the last loss; `origin` where the curve is flat, `k` when, in 1/1024 s."""

    __slots__ = ("acked", "delay_min", "epoch", "k", "last_max", "origin", "reno_window")

    def __init__(self, initial_window: i64) -> None:
        super().__init__(initial_window)
        self.last_max: i64 = 0
        self.epoch: Nanos64 = -1
        self.origin: i64 = 0
        self.k: i64 = 0
        self.reno_window: i64 = 0
        self.acked: i64 = 0
        self.delay_min: Nanos64 = 0

    def acknowledged(self, segments: i64, rtt: Nanos64, now: Nanos64) -> None:
        """Note the least round trip, then grow as the base says."""
        if rtt > 0 and (self.delay_min == 0 or rtt < self.delay_min):
            self.delay_min = rtt
        Controller.acknowledged(self, segments, rtt, now)

    def avoid(self, segments: i64, rtt: Nanos64, now: Nanos64) -> None:
        """Grow towards the cubic curve, or Reno's line where that is higher (RFC 9438 4.2, 4.3)."""
        self.grow(self._every(segments, now), segments)

    def _every(self, segments: i64, now: Nanos64) -> i64:
        """After how many segments the window grows by one (bictcp_update)."""
        self.acked += segments
        if self.epoch < 0:
            self._begin(segments, now)
        # Where the curve will be one round trip from now.
        elapsed = ((now - self.epoch + self.delay_min) // MILLISECOND) * 1024 // 1000
        # Its cube needs more than 64 bits.
        offset: int = min(max(elapsed - self.k, self.k - elapsed), _FAR)
        delta = (_RTT_SCALE * offset * offset * offset) >> 40
        target = self.origin - delta if elapsed < self.k else self.origin + delta
        every = self.window // (target - self.window) if target > self.window else 100 * self.window
        if self.last_max == 0:
            every = min(every, 20)
        # Never slower than Reno would be.
        step = (self.window * _RENO_SCALE) >> 3
        while step > 0 and self.acked > step:
            self.acked -= step
            self.reno_window += 1
        if self.reno_window > self.window:
            every = min(every, self.window // (self.reno_window - self.window))
        return max(every, 2)

    def _begin(self, segments: i64, now: Nanos64) -> None:
        """Start a new curve."""
        self.epoch = now
        self.acked = segments
        self.reno_window = self.window
        if self.last_max <= self.window:
            self.k = 0
            self.origin = self.window
        else:
            self.k = cube_root(_FACTOR * (self.last_max - self.window))
            self.origin = self.last_max

    def threshold_after_loss(self, now: Nanos64) -> i64:
        """0.7 of the window; a second loss below the old maximum gives way further (RFC 9438 4.7)."""
        self.epoch = -1
        if self.window < self.last_max:
            self.last_max = self.window * (1024 + _BETA) // 2048
        else:
            self.last_max = self.window
        return max(self.window * _BETA // 1024, 2)

    def timed_out(self) -> None:
        """Start from scratch."""
        self.last_max = 0
        self.epoch = -1
        self.origin = 0
        self.k = 0
        self.delay_min = 0
        self.acked = 0

    def idle(self, restart_window: i64, periods: i64) -> None:
        """The time without traffic is no time of growth."""
        Controller.idle(self, restart_window, periods)
        self.epoch = -1
