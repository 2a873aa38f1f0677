"""How long loss recovery waits for what others have overtaken (RFC 8985 6.2 step 4, tcp_rack_update_reo_wnd)."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import Nanos64
from lastack.native import i64, mypyc_attr

_MOST_STEPS: Final = 255
_PERSISTS: Final = 16
"""For so many recoveries in which nothing was sent again in vain the patience lasts."""


@mypyc_attr(acyclic=True)
@final
class Reordering:
    """Made when the first segment is seen to be overtaken: RACK's patience, in `steps` of a quarter of a round trip.

    `seen`: how often one was. `sent_twice`: the receiver has had something twice, of which nothing was made so far.
    """

    __slots__ = ("_persist", "_widened_at", "seen", "sent_twice", "steps")

    def __init__(self) -> None:
        self.seen: i64 = 0
        self.sent_twice = False
        self.steps: i64 = 1
        self._persist: i64 = 0
        self._widened_at: Nanos64 = -1

    def delivered(self, sent_at: Nanos64, now: Nanos64) -> None:
        """An ACK tells of something new, sent at `sent_at` at the latest: once a round trip it may be a step more."""
        if sent_at < self._widened_at:
            self.sent_twice = False
        if self.sent_twice:
            self.sent_twice = False
            self.steps = min(self.steps + 1, _MOST_STEPS)
            self._persist = _PERSISTS
            self._widened_at = now
        elif not self._persist:
            self.steps = 1

    def recovered(self, in_vain: bool) -> None:
        """A recovery is over; `in_vain`: everything that it sent again had arrived before."""
        if in_vain:
            self._persist = min(self._persist + 1, _PERSISTS)
        elif self._persist:
            self._persist -= 1
