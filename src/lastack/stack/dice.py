"""Chance from one seed: the same seed, the same throws, on every machine and in every build."""

from __future__ import annotations

from typing import Final, final

_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


@final
class Dice:
    """SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, no more than the simulator needs."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def bits(self) -> int:
        """64 random bits."""
        self._state = (self._state + 0x9E37_79B9_7F4A_7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        return (self.bits() >> 11) * limit >> 53

    def chance(self, probability: float) -> bool:
        """True with the given probability; no throw is used up for 0."""
        return probability > 0.0 and (self.bits() >> 11) * 2.0**-53 < probability

    def split(self) -> Dice:
        """Other dice whose throws do not depend on how many are made here from now on."""
        return Dice(self.bits())
