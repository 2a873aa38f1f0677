"""Initial sequence numbers nobody can guess, and offsets for the timestamps (RFC 6528, RFC 7323 7.1)."""

from __future__ import annotations

from hashlib import blake2s
from typing import Final, final

from lastack.model.time import Nanos
from lastack.wire.seq import MASK

from .dice import Dice

_REMEMBERED: Final = 1024


@final
class Secrets:
    """Keyed hashes of addresses and ports. Two hosts with the same dice draw the same."""

    __slots__ = ("_isn", "_keyed", "_offsets")

    def __init__(self, dice: Dice) -> None:
        key = dice.bits().to_bytes(8, "big") + dice.bits().to_bytes(8, "big")
        # The secret and a four-tuple fit into one block: an ISN takes a single compression. The length of the digest
        # goes into the hash, so that the two have nothing in common.
        self._isn = blake2s(key, digest_size=4)
        self._keyed = blake2s(digest_size=8, key=key)
        self._offsets: dict[bytes, dict[bytes, int]] = {}

    def digest(self, data: bytes) -> int:
        """64 bits that depend on the data and the key."""
        keyed = self._keyed.copy()
        keyed.update(data)
        return int.from_bytes(keyed.digest(), "big")

    def initial(self, key: bytes, now: Nanos) -> int:
        """ISN = M + F(four-tuple, secret), M counting 64 ns as Linux's does (RFC 6528 3)."""
        keyed = self._isn.copy()
        keyed.update(key)
        word = keyed.digest()
        return ((now >> 6) + (word[0] << 24 | word[1] << 16 | word[2] << 8 | word[3])) & MASK

    def timestamp_offset(self, local: bytes, remote: bytes) -> int:
        """The same for all connections between two addresses, so that their timestamps only ever grow."""
        peers = self._offsets.get(local)
        if peers is None:
            peers = self._offsets[local] = {}
        known = peers.get(remote)
        if known is None:
            if len(peers) >= _REMEMBERED:
                peers.clear()
            known = peers[remote] = self.digest(local + remote) & MASK
        return known
