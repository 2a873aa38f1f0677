"""How many challenge ACKs a whole host may still send (RFC 5961 7, net.ipv4.tcp_challenge_ack_limit)."""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import SECOND, Nanos
from lastack.native import mypyc_attr

UNLIMITED: Final = 0x7FFF_FFFF
_FACTOR: Final = 1_103_515_245
_WORD: Final = 0xFFFF_FFFF


@mypyc_attr(acyclic=True)
@final
class Challenges:
    """One host's budget, new every second.

    Half of the limit to one and a half times as many, by chance: with a fixed number, whoever counts the answers to
    his forgeries learns about other people's connections (CVE-2016-5696).
    """

    __slots__ = ("_chance", "_left", "_second")

    def __init__(self, seed: int) -> None:
        self._chance = seed & _WORD
        self._second = -1
        self._left = 0

    def allowed(self, limit: int, now: Nanos) -> bool:
        """Whether one more may be sent; it counts as sent."""
        if limit >= UNLIMITED:
            return True
        second = now // SECOND
        if second != self._second:
            self._second = second
            self._chance = (self._chance * _FACTOR + 12_345) & _WORD
            half = (limit + 1) >> 1
            self._left = half + ((self._chance >> 8) % limit if limit > 0 else 0)
        if self._left <= 0:
            return False
        self._left -= 1
        return True
