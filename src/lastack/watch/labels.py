"""Label values for Prometheus: text from the system made harmless, and no more of them than there is room for."""

from __future__ import annotations

from typing import Final

from lastack.model.time import SECOND, Nanos
from lastack.report.escape import visible

OTHER: Final = "other"
NONE: Final = "none"
LONGEST: Final = 64
_KEPT: Final = 3600 * SECOND


class Labels:
    """Admits `most` names at a time to be label values; what finds no place is `other`, what has no name is `none`.

    A place is free again an hour after its name was last asked for. Whatever processes call themselves, Prometheus
    is given no more than `most` new series an hour.
    """

    __slots__ = ("_last", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: dict[str, Nanos] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._last or name in (OTHER, NONE)

    def value(self, name: str, now: Nanos) -> str:
        """What the name is called at `now`."""
        name = visible(name)[:LONGEST] or NONE
        if name not in self._last and len(self._last) >= self._most:
            self._last = {name: last for name, last in self._last.items() if now - last < _KEPT}
            if len(self._last) >= self._most:
                return OTHER
        self._last[name] = now
        return name
