"""Sorting in bulk, against NumPy's own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lastack.live.transitions.sorting import distinct, order_of

near = st.integers(1_000, 1_020)
far = st.integers(0, 2**64 - 1)


@given(st.lists(st.one_of(near, far), max_size=50), st.booleans())
def test_the_order_is_that_of_a_stable_sort(keys: list[int], numbered: bool) -> None:
    column = np.array([key | 1 << 63 if numbered else key for key in keys], np.uint64)
    assert order_of(column).tolist() == np.argsort(column, kind="stable").tolist()


@given(st.lists(st.tuples(near, st.integers(0, 3)), max_size=50))
def test_rows_that_are_equal_are_one_and_others_are_not(rows: list[tuple[int, int]]) -> None:
    one, other = (np.array([row[place] for row in rows], np.uint64) for place in (0, 1))
    first, which = distinct(one, other)
    assert [rows[place] for place in first[which].tolist()] == rows
    assert len(first) == len(set(rows))
    assert all(rows.index(rows[place]) == place for place in first.tolist())
