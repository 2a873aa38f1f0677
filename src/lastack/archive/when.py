"""Moments as people name them: `03:12`, `2026-11-21 03:12`, `2h` (ago); and as they are shown again."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from lastack.model.filters.values import duration
from lastack.model.time import SECOND, Nanos

_OF_THE_DAY: Final = re.compile(r"(yesterday\s+)?(\d{1,2}):(\d{2})(?::(\d{2}))?(Z)?", re.IGNORECASE)
_FORMS: Final = "03:12 (the latest), yesterday 03:12, 2026-11-21 03:12, 2026-11-21T03:12Z, or 2h (ago)"


def moment(text: str, now: Nanos) -> Nanos:
    """The instant, ns since 1970, that a text names, seen from `now`. Local time, unless it says `Z` or an offset.

    A time of the day is the latest that was. Raises ValueError, which tells the forms there are.
    """
    text = text.strip()
    here = datetime.fromtimestamp(now // SECOND, UTC).astimezone()
    try:
        if match := _OF_THE_DAY.fullmatch(text):
            day = here.astimezone(UTC) if match[5] else here
            hours, minutes, seconds = int(match[2]), int(match[3]), int(match[4] or 0)
            found = day.replace(hour=hours, minute=minutes, second=seconds)
            if match[1] or found > here:
                found -= timedelta(days=1)
            return _nanos(found)
        if re.fullmatch(r"\d{4}-.*", text):
            return _nanos(datetime.fromisoformat(text))
        return now - duration(text.removesuffix("ago").strip())
    except ValueError:
        raise ValueError(f"{text!r} is no moment: {_FORMS}") from None


def shown(at: Nanos) -> str:
    """The moment in local time: `2026-11-21 03:12:45`, with the offset from UTC where there is one."""
    there = datetime.fromtimestamp(at // SECOND, UTC).astimezone()
    return f"{there:%Y-%m-%d %H:%M:%S} {f'{there:%z}' if there.utcoffset() else 'UTC'}"


def _nanos(at: datetime) -> Nanos:
    """A naive one is local time, as astimezone() has it."""
    return round(at.astimezone().timestamp() * 1_000_000) * 1_000
