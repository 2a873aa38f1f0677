"""The round-trip time and the retransmission time-out (RFC 6298), estimated as Linux does (tcp_rtt_estimator)."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import MICROSECOND, MILLISECOND, SECOND, Nanos64
from lastack.native import i64, mypyc_attr
from lastack.wire.seq import Seq

_WINDOW: Final = 300 * SECOND
"""How long a least round-trip time is believed (tcp_min_rtt_wlen)."""
MOST_DOUBLINGS: Final = 24
"""More would pass any bound, and 63 bits."""


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Rtt:
    """`srtt` eight times the smoothed round-trip time, `mdev` and `var` four times deviations, all in microseconds.

    The variance is the greatest deviation of each round trip, never less than the least time-out, and is let fall
    once a round trip only: RTO = SRTT + max(4 RTTVAR, RTO_min). RFC 6298 takes max(RTO_min, SRTT + 4 RTTVAR).
    """

    __slots__ = (
        "backoff",
        "latest",
        "mdev",
        "mdev_max",
        "min_rtt",
        "min_rtt_at",
        "rto",
        "rto_max",
        "rto_min",
        "seq",
        "srtt",
        "var",
    )

    def __init__(self, initial: Nanos64, rto_min: Nanos64, rto_max: Nanos64) -> None:
        self.rto: Nanos64 = initial
        self.rto_min: Nanos64 = rto_min
        self.rto_max: Nanos64 = rto_max
        self.srtt: i64 = 0
        self.mdev: i64 = 0
        self.mdev_max: i64 = 0
        self.var: i64 = 0
        self.seq: Seq = 0
        self.backoff: i64 = 0
        self.latest: Nanos64 = 0
        self.min_rtt: Nanos64 = 0
        self.min_rtt_at: Nanos64 = 0

    def sample(self, measured: Nanos64, una: Seq, nxt: Seq, now: Nanos64) -> None:
        """Take one measurement, made on a segment that was sent once (Karn) or carried a timestamp."""
        if measured < MICROSECOND:
            # Nothing takes no time, and 0 stands for what was never measured.
            measured = MICROSECOND
        self.latest = measured
        if self.min_rtt == 0 or measured <= self.min_rtt or now - self.min_rtt_at > _WINDOW:
            self.min_rtt = measured
            self.min_rtt_at = now
        error = measured // MICROSECOND
        least = self.rto_min // MICROSECOND
        if self.srtt == 0:
            self.srtt = error << 3
            self.mdev = error << 1
            self.var = self.mdev_max = max(self.mdev, least)
            self.seq = nxt
        else:
            error -= self.srtt >> 3
            self.srtt += error
            if self.srtt < 1:
                self.srtt = 1
            if error < 0:
                error = -error - (self.mdev >> 2)
                if error > 0:
                    # A sudden fall of the round-trip time must not raise the time-out.
                    error >>= 3
            else:
                error -= self.mdev >> 2
            self.mdev += error
            if self.mdev > self.mdev_max:
                self.mdev_max = self.mdev
                if self.mdev > self.var:
                    self.var = self.mdev
            if una > self.seq:
                if self.mdev_max < self.var:
                    self.var -= (self.var - self.mdev_max) >> 2
                self.seq = nxt
                self.mdev_max = least
        self.backoff = 0
        self.reset_rto()

    def reset_rto(self) -> None:
        """Forget the backing off: the time-out that the estimate gives, or what it is where there is none yet.

        The clock ticks in milliseconds (RFC 6298's G), and what lies between two ticks counts as the later.
        """
        if self.srtt:
            milliseconds = ((self.srtt >> 3) + self.var + 999) // 1000
            self.rto = milliseconds * MILLISECOND
            if self.rto > self.rto_max:
                self.rto = self.rto_max

    def back_off(self) -> None:
        """Double the time-out (RFC 6298 5.5)."""
        self.backoff += 1
        self.rto = min(self.rto * 2, self.rto_max)

    @property
    def smoothed(self) -> Nanos64:
        """SRTT, 0 before the first measurement."""
        return (self.srtt >> 3) * MICROSECOND
