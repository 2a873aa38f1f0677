"""Initial sequence numbers nobody can guess, and offsets for the timestamps (RFC 6528, RFC 7323 7.1)."""

from __future__ import annotations

from hashlib import blake2b, blake2s
from typing import Final, final

from lastack.model.time import Nanos
from lastack.native import i64
from lastack.wire.seq import MASK

from .dice import Dice

_REMEMBERED: Final = 1024
_BLOCKS: Final = 64


@final
class Block:
    """Sixteen words of keyed hash, for four-tuples that differ in four bits of one port; the rest names the block."""

    __slots__ = ("addresses", "ports", "words")

    def __init__(self, addresses: bytes, ports: i64, words: bytes) -> None:
        self.addresses = addresses
        self.ports: i64 = ports
        self.words = words


@final
class Secrets:
    """Keyed hashes of addresses and ports. Two hosts with the same dice draw the same."""

    __slots__ = ("_blocks", "_isn", "_keyed", "_offsets")

    def __init__(self, dice: Dice) -> None:
        key = dice.bits().to_bytes(8, "big") + dice.bits().to_bytes(8, "big")
        # The secret and what it is put before fit into one block of the hash: that takes a single compression.
        self._isn = blake2b(key)
        self._keyed = blake2s(digest_size=8, key=key)
        self._blocks = [Block(b"", 0, b"")] * _BLOCKS
        self._offsets: dict[bytes, dict[bytes, int]] = {}

    def digest(self, data: bytes) -> int:
        """64 bits that depend on the data and the key."""
        keyed = self._keyed.copy()
        keyed.update(data)
        return int.from_bytes(keyed.digest(), "big")

    def initial(self, key: bytes, now: Nanos) -> int:
        """ISN = M + F(four-tuple, secret), M counting 64 ns as Linux's does (RFC 6528 3).

        One digest is F of sixteen four-tuples whose larger port, the client's as a rule, differs in its last four
        bits: who connects often takes one port after the other, or every second one.
        """
        end = len(key)
        remote: i64 = key[end - 4] << 8 | key[end - 3]
        local: i64 = key[end - 2] << 8 | key[end - 1]
        larger, ports = local, local >> 4 << 16 | remote
        if remote >= local:
            # Which of the two it is belongs to the name.
            larger, ports = remote, 1 << 32 | remote >> 4 << 16 | local
        addresses = key[: end - 4]
        block = self._blocks[(larger >> 4) % _BLOCKS]
        if block.ports != ports or block.addresses != addresses:
            keyed = self._isn.copy()
            keyed.update(addresses + int(ports).to_bytes(5, "big"))
            block = Block(addresses, ports, keyed.digest())
            self._blocks[(larger >> 4) % _BLOCKS] = block
        words, at = block.words, (larger & 15) << 2
        word: i64 = words[at] << 24 | words[at + 1] << 16 | words[at + 2] << 8 | words[at + 3]
        return ((now >> 6) + word) & MASK

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
