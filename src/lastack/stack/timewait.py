"""What is left of a connection that only waits: TIME_WAIT, or FIN_WAIT_2 that nobody holds. `rows` keeps it."""

from __future__ import annotations

from typing import Final, final

from lastack.model.state import State
from lastack.model.time import MILLISECOND, Nanos
from lastack.native import mypyc_attr
from lastack.wire.seq import MASK

# The bits of `flags`.
FIN_WAIT_2: Final = 1
"""The peer's FIN has not come yet (tw_substate)."""
TIMESTAMPS: Final = 2
REUSE: Final = 4
"""The owner had set SO_REUSEADDR."""
SCALE_AT: Final = 4
"""Four bits: the shift of the window."""
WINDOW_AT: Final = 8
"""Sixteen bits: the window as on the wire."""


@mypyc_attr(acyclic=True)
@final
class Wait:
    """What is known of a connection that waits until an instant (`until`, ns).

    `rcv_nxt` and `snd_nxt` are wrapped; `ts_at` is when `ts_recent` was noted (ms), `acked_at` when an ACK was last
    sent (ms; 0: not yet), for the rate limit; `number` is the connection's.
    """

    __slots__ = ("acked_at", "flags", "key", "number", "rcv_nxt", "snd_nxt", "ts_at", "ts_recent", "until")

    def __init__(
        self,
        key: bytes,
        number: int,
        until: Nanos,
        flags: int,
        rcv_nxt: int,
        snd_nxt: int,
        ts_recent: int = 0,
        ts_at: int = 0,
        acked_at: int = 0,
    ) -> None:
        self.key = key
        self.number = number
        self.until = until
        self.flags = flags
        self.rcv_nxt = rcv_nxt
        self.snd_nxt = snd_nxt
        self.ts_recent = ts_recent
        self.ts_at = ts_at
        self.acked_at = acked_at

    @property
    def state(self) -> State:
        """TIME_WAIT or FIN_WAIT_2."""
        return State.FIN_WAIT_2 if self.flags & FIN_WAIT_2 else State.TIME_WAIT

    @property
    def window(self) -> int:
        """The window as on the wire."""
        return self.flags >> WINDOW_AT

    @property
    def scale(self) -> int:
        """Its shift."""
        return self.flags >> SCALE_AT & 15

    def timestamp_age(self, now: Nanos) -> Nanos:
        """How long ago the last timestamp of the peer was noted, to the millisecond: with its FIN, as a rule."""
        return (now // MILLISECOND - self.ts_at & MASK) * MILLISECOND
