"""Time as the whole package counts it: integer nanoseconds, passed in as an argument, never read from a clock."""

from __future__ import annotations

from typing import Final

from lastack.native import i64

Nanos = int
"""An instant or a duration in nanoseconds."""
Nanos64 = i64
"""The same as a machine integer where it is compiled: what a connection counts by. Enough for 292 years."""

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60_000_000_000
DAY: Final = 86_400_000_000_000

TIME_WAIT_LENGTH: Final = 60_000_000_000
"""Linux's TCP_TIMEWAIT_LEN: a constant of the kernel's source, not a setting (include/net/tcp.h)."""


def spoken(duration: Nanos) -> str:
    """A duration as a person would say it: `4.2 s`, `3 min 20 s`, `2 h 11 min`, `5 d 3 h`; two units at most."""
    if duration < 0:
        return "-" + spoken(-duration)
    if duration < 10 * SECOND:
        seconds = duration / SECOND
        return f"{duration / MILLISECOND:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"
    left = round(duration / SECOND)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)
