"""What is known of the way to a destination: the largest packet it carries (RFC 1191, RFC 8201)."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import SECOND, Nanos
from lastack.native import i64

_REMEMBERED: Final[Nanos] = 600 * SECOND
"""ip_rt_mtu_expires."""
_LEAST: Final = 552
"""ip_rt_min_pmtu; nobody can make us send smaller packets than this (RFC 5927 7.3)."""


@final
class Paths:
    """Path MTUs that routers have told, each for ten minutes."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, Nanos]] = {}

    def mtu(self, destination: bytes, link: i64, now: Nanos) -> i64:
        """The largest packet towards a destination over a link of so many octets."""
        known = self._known.get(destination) if self._known else None
        if known is None:
            return link
        if now >= known[1]:
            del self._known[destination]
            return link
        return min(known[0], link)

    def learn(self, destination: bytes, mtu: int, now: Nanos) -> int:
        """A router said that no more than `mtu` octets pass. What is believed of it."""
        believed = max(mtu, _LEAST if len(destination) == 4 else 1280)
        self._known[destination] = (believed, now + _REMEMBERED)
        return believed
