"""Chance decides what is lost, late or had twice of what a host sends, and the peer tells of it by ACKs and SACKs."""

from __future__ import annotations

import random
from collections.abc import Iterator

from .peer import Peer
from .stories import SIZE, acknowledge, full
from .told import Story

_OUT = 10
_PAUSE = 40
"""In milliseconds: longer than the kernel's reordering timer, of two to three ticks, at any HZ."""


def by_chance(seed: int) -> Story:
    """One of them: ten segments are out, and then segments arrive in any order, once or twice, and more are written."""

    def happen(peer: Peer) -> Iterator[int]:
        dice = random.Random(seed)
        full(peer, _OUT)
        end, una, held = _OUT, 0, set[int]()
        for _ in range(dice.randrange(4, 14)):
            chance = dice.random()
            if chance < 0.2 and end - una < 12:
                for _ in range(dice.randrange(1, 4)):
                    peer.call("write", SIZE)
                    end += 1
                yield _PAUSE
                continue
            again = None
            missing = [number for number in range(una, min(end, una + 9)) if number not in held]
            if chance > 0.88 and una:
                # Of what lies beyond the ACK the kernel joins what is sacked, and no longer tells it apart.
                again = dice.randrange(max(0, una - 4), una)
            elif missing:
                held.add(missing[0] if dice.random() < 0.35 else dice.choice(missing))
            while una in held:
                held.discard(una)
                una += 1
            blocks = _runs(held)
            dice.shuffle(blocks)
            if again is not None:
                blocks.insert(0, (again, again + 1))
            acknowledge(peer, una, *blocks[:3])
            yield _PAUSE

    return happen


def _runs(held: set[int]) -> list[tuple[int, int]]:
    """The numbers as ranges without their ends."""
    found: list[tuple[int, int]] = []
    for number in sorted(held):
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found
