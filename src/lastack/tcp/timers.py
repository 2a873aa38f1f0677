"""What a connection's timers are armed for, and the instant of one that is off."""

from __future__ import annotations

from typing import Final

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
