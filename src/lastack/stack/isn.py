"""Initial sequence numbers nobody can guess, and offsets for the timestamps (RFC 6528, RFC 7323 7.1)."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from lastack.model.time import Nanos
from lastack.wire.seq import MASK

from .dice import Dice

_REMEMBERED: Final = 1024


@final
class Secrets:
    """Keyed hashes of addresses and ports. Two hosts with the same dice draw the same."""

    __slots__ = ("_keyed", "_offsets")

    def __init__(self, dice: Dice) -> None:
        key = dice.bits().to_bytes(8, "big") + dice.bits().to_bytes(8, "big")
        self._keyed = blake2b(digest_size=8, key=key)
        self._offsets: dict[bytes, int] = {}

    def digest(self, data: bytes) -> int:
        """64 bits that depend on the data and the key."""
        keyed = self._keyed.copy()
        keyed.update(data)
        return int.from_bytes(keyed.digest(), "big")

    def initial(self, key: bytes, now: Nanos) -> int:
        """ISN = M + F(four-tuple, secret), M counting 64 ns as Linux's does (RFC 6528 3)."""
        return ((now >> 6) + self.digest(key)) & MASK

    def timestamp_offset(self, local: bytes, remote: bytes) -> int:
        """The same for all connections between two addresses, so that their timestamps only ever grow."""
        both = local + remote
        known = self._offsets.get(both)
        if known is None:
            if len(self._offsets) >= _REMEMBERED:
                self._offsets.clear()
            known = self._offsets[both] = self.digest(both) & MASK
        return known
