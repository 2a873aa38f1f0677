"""Columns of descriptors, found as in a mapping and all at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.live.holders import Holders
from lastack.model.host import Holder

DESCRIPTORS = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 4), st.integers(0, 9)), max_size=20)


@given(DESCRIPTORS)
def test_they_are_the_mapping_that_a_dictionary_would_be(descriptors: list[tuple[int, int, int]]) -> None:
    plain: dict[int, tuple[Holder, ...]] = {}
    for inode, pid, fd in descriptors:
        plain[inode] = (*plain.get(inode, ()), Holder(pid, fd))
    holders = Holders.of(descriptors)
    assert holders == plain
    assert (len(holders), sorted(holders)) == (len(plain), sorted(plain))
    first, count = holders.find(np.arange(10))
    assert count.tolist() == [len(plain.get(inode, ())) for inode in range(10)]
    assert [holders.pids[at] for at, many in zip(first, count, strict=True) if many] == [
        plain[inode][0].pid for inode in range(10) if inode in plain
    ]


def test_an_inode_that_nobody_holds_is_missing() -> None:
    with pytest.raises(KeyError):
        Holders.of([(5, 1, 3)])[6]
    assert Holders.of([]).get(5) is None
