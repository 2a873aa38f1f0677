"""Initial sequence numbers: a function of the secret, the four-tuple and the clock, whatever was asked before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.stack import Dice
from lastack.stack.demux import four_tuple
from lastack.stack.isn import Secrets

ports = st.one_of(st.integers(0, 65_535), st.integers(1_000, 1_070))
OURS, THEIRS = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))


@given(st.lists(st.tuples(st.booleans(), ports, ports), max_size=40))
def test_an_initial_number_does_not_depend_on_those_drawn_before(asked: list[tuple[bool, int, int]]) -> None:
    secrets = Secrets(Dice(1))
    for turned, local, remote in asked:
        key = four_tuple(*((THEIRS, OURS) if turned else (OURS, THEIRS)), local, remote)
        assert secrets.initial(key, 64 * 5) == (Secrets(Dice(1)).initial(key, 0) + 5) % (1 << 32)


@pytest.mark.parametrize("size", [4, 16])
def test_every_four_tuple_and_every_secret_has_its_own(size: int) -> None:
    some = range(1_000, 1_066)
    ours, theirs, other = (bytes([number]) * size for number in range(3))
    keys = {four_tuple(ours, theirs, local, remote) for local in some for remote in some}
    keys |= {four_tuple(theirs, ours, local, remote) for local in some for remote in some}
    keys |= {four_tuple(ours, other, local, 80) for local in some}
    one, two = Secrets(Dice(1)), Secrets(Dice(2))
    drawn = [secrets.initial(key, 0) for key in keys for secrets in (one, two)]
    # Of 17,000 numbers of 32 bits 0.04 pairs are equal by chance; of ports whose bits were confused, thousands.
    assert len(drawn) - len(set(drawn)) <= 2
