"""What a SYN offers (RFC 9293 3.7.1, RFC 7323 2 and 3.2, RFC 2018 2)."""

from __future__ import annotations

from typing import Final

from lastack.native import i64
from lastack.wire.segment import Segment

from .settings import Settings, SocketOptions

DEFAULT_MSS: Final = 536
"""What holds where no MSS was said, IPv4 (RFC 9293 3.7.1); IPv6 has 1220, and Linux takes 536 for both."""
TIMESTAMPS_LENGTH: Final = 12
LARGEST_SCALE: Final = 14
"""RFC 7323 2.3: a shift beyond 14 is taken for 14."""


def window_scale(settings: Settings, options: SocketOptions) -> i64:
    """The shift to offer: as much as the largest buffer will ever need (tcp_select_initial_window)."""
    if not settings.tcp_window_scaling:
        return 0
    space: int = options.so_rcvbuf or settings.tcp_rmem[2]
    scale = space.bit_length() - 16
    if scale > LARGEST_SCALE:
        return LARGEST_SCALE
    return scale if scale > 0 else 0


def offer(segment: Segment, settings: Settings, options: SocketOptions, mss: i64, timestamp: i64, echo: i64) -> None:
    """Put on a SYN whatever the settings allow."""
    segment.mss = mss
    if settings.tcp_timestamps:
        segment.stamp = timestamp
        segment.ts_echo = echo
    segment.sack_permitted = bool(settings.tcp_sack)
    if settings.tcp_window_scaling:
        segment.window_scale = window_scale(settings, options)
