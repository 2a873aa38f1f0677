"""A connection's three timers, as in Linux: one for what is out, one for the delayed ACK, one for keeping watch."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import Nanos64
from lastack.native import i64, mypyc_attr

NEVER: Final = (1 << 62) - 1
"""Later than any instant, and still a small integer for compiled code."""


# What the first timer is armed for (icsk_pending). Plain numbers, for they are looked at with every segment.
RETRANSMIT: Final = 1
"""RFC 6298's."""
PROBE: Final = 2
"""Zero window (RFC 9293 3.8.6.1)."""
LOSS_PROBE: Final = 3
"""RFC 8985 7."""
REORDER: Final = 4
"""RFC 8985 6.2 step 5."""


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Timers:
    """When each timer goes off; NEVER where it is off."""

    __slots__ = ("delayed_ack", "keepalive", "purpose", "retransmit")

    def __init__(self) -> None:
        self.retransmit: Nanos64 = NEVER
        self.purpose: i64 = RETRANSMIT
        self.delayed_ack: Nanos64 = NEVER
        self.keepalive: Nanos64 = NEVER
        """Keepalive; of an orphan in FIN_WAIT_2, what is left of its time; of one that lingers, the end of that."""

    def arm(self, purpose: i64, at: Nanos64) -> None:
        """Set the first timer."""
        self.purpose = purpose
        self.retransmit = at

    def clear(self) -> None:
        """Switch all off."""
        self.retransmit = NEVER
        self.delayed_ack = NEVER
        self.keepalive = NEVER
