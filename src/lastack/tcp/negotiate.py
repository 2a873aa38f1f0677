"""What a SYN offers and what is agreed (RFC 9293 3.7.1, RFC 7323 2 and 3.2, RFC 2018 2)."""

from __future__ import annotations

from typing import Final, final

from lastack.native import i64, mypyc_attr
from lastack.wire.options import Options
from lastack.wire.segment import Segment

from .settings import Settings, SocketOptions

DEFAULT_MSS: Final = 536
"""What holds where no MSS was said, IPv4 (RFC 9293 3.7.1); IPv6 has 1220, and Linux takes 536 for both."""
TIMESTAMPS_LENGTH: Final = 12
_LARGEST_SCALE: Final = 14


def window_scale(settings: Settings, options: SocketOptions) -> int:
    """The shift to offer: as much as the largest buffer will ever need (tcp_select_initial_window)."""
    if not settings.tcp_window_scaling:
        return 0
    space = options.so_rcvbuf or settings.tcp_rmem[2]
    return min(max(space.bit_length() - 16, 0), _LARGEST_SCALE)


def offer(segment: Segment, settings: Settings, options: SocketOptions, mss: i64, timestamp: i64, echo: i64) -> None:
    """Put on a SYN whatever the settings allow."""
    segment.mss = mss
    if settings.tcp_timestamps:
        segment.stamp = timestamp
        segment.ts_echo = echo
    segment.sack_permitted = bool(settings.tcp_sack)
    if settings.tcp_window_scaling:
        segment.window_scale = window_scale(settings, options)


@mypyc_attr(acyclic=True)
@final
class Agreed:
    """What both sides of a connection speak. `scale` -1: windows are not scaled either way."""

    __slots__ = ("mss", "sack", "scale", "timestamps")

    def __init__(self, syn: Options, settings: Settings) -> None:
        self.mss: i64 = DEFAULT_MSS if not syn.mss else max(syn.mss, settings.tcp_min_snd_mss)
        self.timestamps = bool(settings.tcp_timestamps) and syn.stamp >= 0
        self.sack = bool(settings.tcp_sack) and syn.sack_permitted
        # RFC 7323 2.3: a shift beyond 14 is taken for 14.
        self.scale: i64 = -1
        if settings.tcp_window_scaling and syn.window_scale is not None:
            self.scale = min(syn.window_scale, _LARGEST_SCALE)
